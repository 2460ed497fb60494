with seasons as (
    select * from {{ source('bronze', 'season_summary') }}
),

boot_mapping as (
    select * from {{ source('bronze', 'boot_mapping') }}
),

episodes as (
    select * from {{ source('bronze', 'episodes') }}
),

vote_history as (
    select * from {{ source('bronze', 'vote_history') }}
),

air_dates as (
    select * from {{ ref('season_air_dates') }}
),

season_progress as (
    select * from {{ ref('season_progress') }}
),

cast_composition as (
    select * from {{ ref('cast_composition') }}
),

stages as (
    select
        version_season,
        bool_or(tribe_status = 'Edge of Extinction') as has_edge_of_extinction,
        bool_or(tribe_status = 'Redemption Island') as has_redemption_island,
        bool_or(tribe_status like 'Swapped%') as has_tribe_swap,
        bool_or(tribe_status = 'Mergatory') as has_mergatory,
        bool_or({{ game_phase('tribe_status') }} = 'out_of_game') as has_island,
        min(episode) filter (where tribe_status = 'Merged') as merge_episode,
        min(sog_id) filter (where tribe_status = 'Merged') as merge_sog_id
    from boot_mapping
    group by version_season
),

boot_votes as (
    select
        version_season,
        count(distinct "order") as boot_vote_count
    from vote_history
    group by version_season
),

numbered_episodes as (
    select
        version_season,
        count(*) as episode_count
    from episodes
    where episode_number_overall is not null
    group by version_season
),

recency as (
    select
        version_season,
        {{ ratio(
            'row_number() over by_air_date - 1',
            'count(*) over (partition by version) - 1'
        ) }} as recency_in_version
    from air_dates
    window by_air_date as (partition by version order by air_date asc nulls last, version_season asc)
),

final as (
    select
        {{ surrogate_key(['seasons.version_season']) }} as season_context_key,
        seasons.version,
        seasons.version_season,
        seasons.season_name,
        seasons.season as season_number,
        seasons.location,
        seasons.country,
        seasons.tribe_setup,
        season_progress.season_status,
        season_progress.last_episode_with_data,
        seasons.n_cast as cast_size,
        seasons.n_tribes as tribe_count,
        seasons.n_finalists as finalist_count,
        -- Upstream counts a jury that has not met yet as 0.
        nullif(seasons.n_jury, 0) as jury_count,
        air_dates.air_date,
        air_dates.premiered,
        air_dates.ended,
        air_dates.filming_started,
        air_dates.filming_ended,
        seasons.winner_id as winner_castaway_id,
        seasons.winner,
        seasons.runner_ups,
        seasons.final_vote,
        seasons.timeslot,
        cast(seasons.viewers_reunion as double precision) as viewers_reunion,
        cast(seasons.viewers_premiere as double precision) as viewers_premiere,
        cast(seasons.viewers_finale as double precision) as viewers_finale,
        cast(seasons.viewers_mean as double precision) as viewers_mean,
        seasons.rank,
        case
            when seasons.version != 'US' then null
            when seasons.season <= 10 then 'early'
            when seasons.season <= 20 then 'middle'
            when seasons.season <= 30 then 'modern'
            when seasons.season <= 40 then 'new_school'
            else 'new_era'
        end as season_era,
        case when seasons.version = 'US' then seasons.season >= 41 end as is_new_era_format,
        recency.recency_in_version,
        {% for twist in ['has_edge_of_extinction', 'has_redemption_island', 'has_tribe_swap', 'has_mergatory'] -%}
        {{ seen_so_far('stages.' ~ twist, 'season_progress.is_complete') }} as {{ twist }},
        {% endfor -%}
        {{ seen_so_far(
            'stages.has_island or cast_composition.has_repeat_boot', 'season_progress.is_complete'
        ) }} as has_return_twist,
        cast(stages.merge_episode as integer) as merge_episode,
        cast(stages.merge_sog_id as integer) as merge_sog_id,
        cast(coalesce(boot_votes.boot_vote_count, 0) as integer) as boot_vote_count,
        cast(coalesce(numbered_episodes.episode_count, 0) as integer) as episode_count,
        cast_composition.total_cast,
        cast_composition.male_count,
        cast_composition.female_count,
        cast_composition.nonbinary_count,
        cast_composition.bipoc_count,
        cast_composition.lgbt_count,
        cast_composition.returnee_count,
        cast_composition.male_ratio,
        cast_composition.female_ratio,
        cast_composition.bipoc_ratio,
        cast_composition.lgbt_ratio,
        cast_composition.returnee_ratio,
        cast_composition.average_age,
        cast_composition.min_age,
        cast_composition.max_age,
        cast_composition.age_stddev,
        cast_composition.high_diversity_cast,
        cast_composition.mixed_returnee_cast,
        cast_composition.all_returnee_cast,
        cast_composition.all_newbie_cast
    from seasons
    left join season_progress
        on seasons.version_season = season_progress.version_season
    left join air_dates
        on seasons.version_season = air_dates.version_season
    left join recency
        on seasons.version_season = recency.version_season
    left join cast_composition
        on seasons.version_season = cast_composition.version_season
    left join stages
        on seasons.version_season = stages.version_season
    left join boot_votes
        on seasons.version_season = boot_votes.version_season
    left join numbered_episodes
        on seasons.version_season = numbered_episodes.version_season
)

select * from final
