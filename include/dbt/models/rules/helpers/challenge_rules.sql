with results as (
    select * from {{ source('bronze', 'challenge_results') }}
),

summary as (
    select * from {{ source('bronze', 'challenge_summary') }}
),

descriptions as (
    select * from {{ source('bronze', 'challenge_description') }}
),

boot_mapping as (
    select * from {{ source('bronze', 'boot_mapping') }}
),

held as (
    select
        version_season,
        challenge_id,
        count(won) as known_outcomes
    from results
    group by version_season, challenge_id
),

told as (
    select distinct
        version_season,
        challenge_id
    from summary
    where category = 'All'
),

mentioned as (
    select distinct
        'challenge_results' as dataset,
        version_season,
        challenge_id
    from results
    union all
    select distinct
        'challenge_summary' as dataset,
        version_season,
        challenge_id
    from summary
    union all
    select distinct
        'vote_history' as dataset,
        version_season,
        challenge_id
    from {{ source('bronze', 'vote_history') }}
    where challenge_id is not null
),

tribes as (
    select
        version_season,
        challenge_id,
        tribe,
        count(*) filter (where not sit_out) as competitors
    from results
    where outcome_type = 'Tribal' and sit_out is not null
    group by version_season, challenge_id, tribe
),

contestants as (
    select
        version_season,
        sog_id,
        count(distinct castaway_id) as castaways
    from results
    where challenge_type != 'Duel'
    group by version_season, sog_id
),

stages as (
    select
        version_season,
        sog_id,
        count(distinct castaway_id) filter (where {{ is_in_game('game_status') }}) as castaways
    from boot_mapping
    group by version_season, sog_id
),

final as (
    select
        'a_described_challenge_has_results' as rule,
        concat_ws('|', descriptions.version_season, descriptions.challenge_id) as row_key,
        held.challenge_id is null as is_broken,
        descriptions.challenge_type || ': ' || descriptions.name as found
    from descriptions
    left join held
        on
            descriptions.version_season = held.version_season
            and descriptions.challenge_id = held.challenge_id

    union all

    select
        'a_challenge_is_described' as rule,
        concat_ws('|', mentioned.dataset, mentioned.version_season, mentioned.challenge_id) as row_key,
        descriptions.challenge_id is null as is_broken,
        null as found
    from mentioned
    left join descriptions
        on
            mentioned.version_season = descriptions.version_season
            and mentioned.challenge_id = descriptions.challenge_id

    union all

    -- Upstream's summary leaves out what it does not know, the challenges with unknown line-ups.
    select
        'a_challenge_with_known_winners_is_summarised' as rule,
        concat_ws('|', held.version_season, held.challenge_id) as row_key,
        told.challenge_id is null as is_broken,
        null as found
    from held
    left join told
        on
            held.version_season = told.version_season
            and held.challenge_id = told.challenge_id
    where held.known_outcomes > 0

    union all

    select
        'tribes_compete_in_equal_numbers' as rule,
        concat_ws('|', version_season, challenge_id) as row_key,
        min(competitors) != max(competitors) as is_broken,
        string_agg(tribe || ' ' || competitors, ', ' order by tribe) as found
    from tribes
    group by version_season, challenge_id

    union all

    -- Duels are fought by those outside the game.
    select
        'everyone_in_the_game_is_in_its_challenges' as rule,
        concat_ws('|', contestants.version_season, contestants.sog_id) as row_key,
        (contestants.castaways is distinct from stages.castaways) as is_broken,
        contestants.castaways || ' compete, ' || coalesce(stages.castaways, 0) || ' are in the game' as found
    from contestants
    left join stages
        on
            contestants.version_season = stages.version_season
            and contestants.sog_id = stages.sog_id
)

select * from final
