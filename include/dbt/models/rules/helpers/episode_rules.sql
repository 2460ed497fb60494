{%- set datasets = [
    'advantage_movement',
    'advantage_timeline',
    'boot_mapping',
    'boot_order',
    'castaways',
    'challenge_description',
    'challenge_results',
    'challenge_summary',
    'confessionals',
    'journeys',
    'survivor_auction',
    'tribe_mapping',
    'vote_history',
] -%}

with episodes as (
    select * from {{ source('bronze', 'episodes') }}
),

seasons as (
    select * from {{ source('bronze', 'season_summary') }}
),

boot_mapping as (
    select * from {{ source('bronze', 'boot_mapping') }}
),

confessionals as (
    select * from {{ source('bronze', 'confessionals') }}
),

mentioned as (
    {% for dataset in loaded(datasets) -%}
    select distinct
        '{{ dataset }}' as dataset,
        version_season,
        episode
    from {{ source('bronze', dataset) }}
    where episode is not null
    {% if not loop.last %}union all{% endif %}
    {% endfor %}
),

in_the_game as (
    select distinct
        version_season,
        episode,
        castaway_id
    from boot_mapping
    where {{ is_in_game('game_status') }}
),

-- Of a running season only what has aired: boot_mapping opens the next stage before that.
edited_episodes as (
    select
        version_season,
        episode
    from confessionals
    union
    select
        boot_mapping.version_season,
        boot_mapping.episode
    from boot_mapping
    inner join seasons
        on boot_mapping.version_season = seasons.version_season
    where seasons.winner_id is not null
),

final as (
    select
        'an_episode_with_events_exists' as rule,
        concat_ws('|', mentioned.dataset, mentioned.version_season, mentioned.episode) as row_key,
        episodes.episode is null as is_broken,
        cast(null as text) as found
    from mentioned
    inner join seasons
        on mentioned.version_season = seasons.version_season
    left join episodes
        on
            mentioned.version_season = episodes.version_season
            and mentioned.episode = episodes.episode
    -- The mappings of a running season are an episode ahead.
    where seasons.winner_id is not null or mentioned.dataset not in ('boot_mapping', 'tribe_mapping')

    union all

    select
        'everyone_in_the_game_has_an_edit' as rule,
        concat_ws('|', in_the_game.version_season, in_the_game.episode, in_the_game.castaway_id) as row_key,
        confessionals.castaway_id is null as is_broken,
        null as found
    from in_the_game
    inner join edited_episodes
        on
            in_the_game.version_season = edited_episodes.version_season
            and in_the_game.episode = edited_episodes.episode
    left join confessionals
        on
            in_the_game.version_season = confessionals.version_season
            and in_the_game.episode = confessionals.episode
            and in_the_game.castaway_id = confessionals.castaway_id

    union all

    select
        'the_episodes_of_a_finished_season_have_a_length' as rule,
        episodes.version_season as row_key,
        bool_or(episodes.episode_length is null) as is_broken,
        count(*) filter (where episodes.episode_length is null) || ' episodes without' as found
    from episodes
    inner join seasons
        on episodes.version_season = seasons.version_season
    where seasons.winner_id is not null and episodes.episode_label is distinct from 'Reunion'
    group by episodes.version_season

    union all

    select
        'a_season_ends_after_its_premiere' as rule,
        version_season as row_key,
        ended < premiered as is_broken,
        premiered || ' to ' || ended as found
    from seasons
    where premiered is not null and ended is not null
)

select * from final
