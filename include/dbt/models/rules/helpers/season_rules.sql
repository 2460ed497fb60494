{%- set datasets = [
    'advantage_details',
    'advantage_movement',
    'advantage_timeline',
    'auction_details',
    'boot_mapping',
    'boot_order',
    'castaway_scores',
    'castaways',
    'challenge_description',
    'challenge_results',
    'challenge_summary',
    'confessionals',
    'episodes',
    'journeys',
    'jury_votes',
    'season_summary',
    'survivor_auction',
    'tribe_colours',
    'tribe_mapping',
    'vote_history',
] -%}

with seasons as (
    select * from {{ source('bronze', 'season_summary') }}
),

mentioned as (
    {% for dataset in loaded(datasets) -%}
    select distinct
        '{{ dataset }}' as dataset,
        version_season,
        version,
        season
    from {{ source('bronze', dataset) }}
    {% if not loop.last %}union all{% endif %}
    {% endfor %}
),

final as (
    select
        'a_season_has_one_id' as rule,
        concat_ws('|', mentioned.dataset, mentioned.version_season) as row_key,
        (
            mentioned.version_season is distinct from mentioned.version || lpad(cast(mentioned.season as text), 2, '0')
            or seasons.version_season is null
        ) as is_broken,
        concat_ws(' ', mentioned.version, mentioned.season) as found
    from mentioned
    left join seasons
        on mentioned.version_season = seasons.version_season
)

select * from final
