with castaways as (
    select * from {{ source('bronze', 'castaways') }}
),

boot_order as (
    select * from {{ source('bronze', 'boot_order') }}
),

seasons as (
    select * from {{ source('bronze', 'season_summary') }}
),

season_progress as (
    select * from {{ ref('season_progress') }}
),

people as (
    select * from {{ ref('people') }}
),

appearances as (
    select * from {{ ref('castaway_appearances') }}
),

-- While a season runs, upstream also lists those who are still in the game, without an order.
boots as (
    select
        version_season,
        castaway_id,
        count("order") as n_boots
    from boot_order
    group by version_season, castaway_id
),

castaway_seasons as (
    select
        *,
        case
            when result in ('Sole Survivor', 'Runner-up', '2nd runner-up') then 'finalist'
            when result like '%voted out%' then 'voted_out'
            when result like '%fire challenge' then 'fire'
            when result in ('Medically evacuated', 'Evacuated') then 'medevac'
            when result in ('Quit', 'Withdrew') then 'quit'
            when result = 'Ejected' then 'removed'
            -- Jonathan and Wanda of US10 were never picked for a tribe: no tie was broken.
            when result = 'Eliminated' and original_tribe != 'None' then 'tie_break'
            when result is not null then 'other'
        end as exit_type
    from castaways
),

final as (
    select
        {{ surrogate_key(['castaway_seasons.version_season', 'castaway_seasons.castaway_id']) }}
            as castaway_profile_key,
        castaway_seasons.castaway_id,
        castaway_seasons.version_season,
        castaway_seasons.version,
        castaway_seasons.season,
        castaway_seasons.castaway,
        castaway_seasons.full_name,
        castaway_seasons.age,
        castaway_seasons.city,
        castaway_seasons.state,
        people.date_of_birth,
        people.personality_type,
        people.occupation,
        people.collar,
        people.gender,
        people.african,
        people.asian,
        people.latin_american,
        people.native_american,
        people.bipoc,
        people.lgbt,
        people.race,
        people.ethnicity,
        seasons.location as season_location,
        seasons.country as season_country,
        seasons.tribe_setup,
        seasons.season_name,
        castaway_seasons.original_tribe,
        appearances.appearance_number,
        appearances.is_returnee,
        appearances.previous_version_season,
        cast(coalesce(boots.n_boots, 0) as integer) as n_boots,
        castaway_seasons.result,
        castaway_seasons.exit_type,
        castaway_seasons.place,
        castaway_seasons.episode as exit_episode,
        castaway_seasons.day as exit_day,
        -- Before the end upstream says false of everyone who has left, though some may still return.
        case when season_progress.is_complete or castaway_seasons.jury then castaway_seasons.jury end
            as is_juror,
        case when season_progress.is_complete then castaway_seasons.finalist end as is_finalist,
        case when season_progress.is_complete then castaway_seasons.winner end as is_winner
    from castaway_seasons
    left join seasons
        on castaway_seasons.version_season = seasons.version_season
    left join season_progress
        on castaway_seasons.version_season = season_progress.version_season
    left join people
        on castaway_seasons.castaway_id = people.castaway_id
    left join appearances
        on
            castaway_seasons.version_season = appearances.version_season
            and castaway_seasons.castaway_id = appearances.castaway_id
    left join boots
        on
            castaway_seasons.version_season = boots.version_season
            and castaway_seasons.castaway_id = boots.castaway_id
)

select * from final
