{%- set tribe_columns = {
    'boot_mapping': 'tribe',
    'castaways': 'original_tribe',
    'challenge_results': 'tribe',
    'challenge_summary': 'tribe',
    'tribe_mapping': 'tribe',
    'vote_history': 'tribe',
} -%}

with boot_mapping as (
    select * from {{ source('bronze', 'boot_mapping') }}
),

present as (
    select distinct
        'advantage_movement' as dataset,
        version_season,
        sog_id,
        castaway_id
    from {{ source('bronze', 'advantage_movement') }}
    union all
    select distinct
        'challenge_results' as dataset,
        version_season,
        sog_id,
        castaway_id
    from {{ source('bronze', 'challenge_results') }}
    union all
    select distinct
        'vote_history' as dataset,
        version_season,
        sog_id,
        castaway_id
    from {{ source('bronze', 'vote_history') }}
),

{% if loaded(['tribe_colours']) -%}
tribes as (
    {% for dataset, column in tribe_columns.items() -%}
    select distinct
        '{{ dataset }}' as dataset,
        version_season,
        {{ column }} as tribe
    from {{ source('bronze', dataset) }}
    where {{ column }} is not null
    {% if not loop.last %}union all{% endif %}
    {% endfor %}
),

coloured_tribes as (
    select distinct
        version_season,
        tribe
    from {{ source('bronze', 'tribe_colours') }}
),
{% endif %}
final as (
    select
        'who_acts_at_a_stage_is_mapped_there' as rule,
        concat_ws('|', present.dataset, present.version_season, present.sog_id, present.castaway_id) as row_key,
        boot_mapping.castaway_id is null as is_broken,
        cast(null as text) as found
    from present
    left join boot_mapping
        on
            present.version_season = boot_mapping.version_season
            and present.sog_id = boot_mapping.sog_id
            and present.castaway_id = boot_mapping.castaway_id
    where present.sog_id is not null and present.castaway_id is not null

    {% if loaded(['tribe_colours']) -%}
    union all

    select
        'a_tribe_has_a_colour' as rule,
        concat_ws('|', tribes.dataset, tribes.version_season, tribes.tribe) as row_key,
        coloured_tribes.tribe is null as is_broken,
        null as found
    from tribes
    left join coloured_tribes
        on
            tribes.version_season = coloured_tribes.version_season
            and tribes.tribe = coloured_tribes.tribe
    {%- endif %}
)

select * from final
