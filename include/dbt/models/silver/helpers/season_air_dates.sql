-- When each season was filmed and on air, after repairs; everything that orders seasons in time uses this.

with seasons as (
    select * from {{ source('bronze', 'season_summary') }}
),

episodes as (
    select * from {{ source('bronze', 'episodes') }}
),

first_episodes as (
    select
        version_season,
        min(episode_date) as first_episode_date
    from episodes
    group by version_season
),

repaired as (
    select
        seasons.version_season,
        seasons.version,
        {{ repaired('season_summary', 'premiered', 'seasons', 'date') }} as premiered,
        {{ repaired('season_summary', 'ended', 'seasons', 'date') }} as ended,
        {{ repaired('season_summary', 'filming_started', 'seasons', 'date') }} as filming_started,
        {{ repaired('season_summary', 'filming_ended', 'seasons', 'date') }} as filming_ended
    from seasons
),

final as (
    select
        repaired.version_season,
        repaired.version,
        repaired.premiered,
        repaired.ended,
        repaired.filming_started,
        repaired.filming_ended,
        -- Upstream fills in a new season's premiere late, the dates of its episodes earlier.
        coalesce(repaired.premiered, first_episodes.first_episode_date) as air_date
    from repaired
    left join first_episodes
        on repaired.version_season = first_episodes.version_season
)

select * from final
