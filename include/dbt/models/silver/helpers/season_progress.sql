-- How far each season is, judged by the data alone, so that a rebuild of old data says the same.

with seasons as (
    select * from {{ source('bronze', 'season_summary') }}
),

episodes_with_events as (
    select version_season, episode from {{ source('bronze', 'boot_order') }}
    union all
    select version_season, episode from {{ source('bronze', 'vote_history') }}
    union all
    select version_season, episode from {{ source('bronze', 'challenge_results') }}
    union all
    select version_season, episode from {{ source('bronze', 'confessionals') }}
),

last_episodes as (
    select
        version_season,
        max(episode) as last_episode_with_data
    from episodes_with_events
    group by version_season
),

final as (
    select
        seasons.version_season,
        case
            when seasons.winner_id is not null then 'complete'
            when last_episodes.last_episode_with_data is not null then 'in_progress'
            else 'scheduled'
        end as season_status,
        seasons.winner_id is not null as is_complete,
        cast(last_episodes.last_episode_with_data as integer) as last_episode_with_data
    from seasons
    left join last_episodes
        on seasons.version_season = last_episodes.version_season
)

select * from final
