with confessionals as (
    select * from {{ source('bronze', 'confessionals') }}
),

boot_mapping as (
    select * from {{ source('bronze', 'boot_mapping') }}
),

in_game as (
    select distinct
        version_season,
        castaway_id,
        episode
    from boot_mapping
    where {{ is_in_game('game_status') }}
),

ratios as (
    select
        confessionals.version_season,
        confessionals.castaway_id,
        confessionals.episode,
        confessionals.confessional_count,
        cast(confessionals.confessional_time as double precision) as confessional_time,
        cast(confessionals.exp_count as double precision) as expected_confessional_count,
        cast(confessionals.exp_time as double precision) as expected_confessional_time,
        {{ ratio('confessionals.confessional_count', 'confessionals.exp_count') }}
            as confessional_count_ratio,
        {{ ratio('confessionals.confessional_time', 'confessionals.exp_time') }}
            as confessional_time_ratio,
        {{ ratio(
            'confessionals.confessional_count', 'sum(confessionals.confessional_count) over episode_cast'
        ) }} as confessional_share,
        cast(rank() over (episode_cast order by confessionals.confessional_count desc) as integer)
            as confessional_rank,
        in_game.castaway_id is not null as is_in_game
    from confessionals
    left join in_game
        on
            confessionals.version_season = in_game.version_season
            and confessionals.castaway_id = in_game.castaway_id
            and confessionals.episode = in_game.episode
    window episode_cast as (partition by confessionals.version_season, confessionals.episode)
),

final as (
    select
        {{ surrogate_key(['version_season', 'episode', 'castaway_id']) }} as edit_features_key,
        castaway_id,
        version_season,
        episode,
        is_in_game,
        confessional_count,
        confessional_time,
        expected_confessional_count,
        expected_confessional_time,
        confessional_count_ratio,
        confessional_time_ratio,
        confessional_share,
        confessional_rank,
        cast(confessional_count > 0 as integer) as has_confessional,
        cast(confessional_count >= 3 as integer) as high_confessional_count,
        cast(confessional_time >= 60 as integer) as high_confessional_time,
        cast(confessional_count_ratio > 1 as integer) as over_edited_count,
        cast(confessional_time_ratio > 1 as integer) as over_edited_time,
        cast(confessional_count_ratio < 1 as integer) as under_edited_count,
        cast(confessional_time_ratio < 1 as integer) as under_edited_time
    from ratios
)

select * from final
