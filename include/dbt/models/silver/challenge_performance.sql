with results as (
    select * from {{ source('bronze', 'challenge_results') }}
),

wins as (
    select * from {{ ref('challenge_wins') }}
),

descriptions as (
    select * from {{ source('bronze', 'challenge_description') }}
),

castaways as (
    select * from {{ source('bronze', 'castaways') }}
),

summary as (
    select * from {{ source('bronze', 'challenge_summary') }}
),

-- How many compete and how many win is one fact per challenge, repeated on the row of every castaway. Until
-- November 2025 a challenge with a prize for teams and one for a person had rows for both: the largest numbers
-- are those of the person's, as upstream publishes them since.
odds as (
    select
        version_season,
        challenge_id,
        max(n_entities) as n_entities,
        max(n_winners) as n_winners
    from summary
    where category = 'All'
    group by version_season, challenge_id
),

final as (
    select
        {{ surrogate_key(['results.version_season', 'results.challenge_id', 'results.castaway_id']) }}
            as challenge_performance_key,
        results.version_season,
        results.challenge_id,
        results.castaway_id,
        castaways.castaway_id is not null as is_castaway,
        results.episode,
        results.sog_id,
        results.challenge_type,
        descriptions.name as challenge_name,
        descriptions.recurring_name,
        results.outcome_type,
        case
            when results.challenge_type in ('Duel', 'Captains Duel') then 'duel'
            when results.outcome_type in ('Individual', 'Team', 'Tribal') then lower(results.outcome_type)
            when results.outcome_type in ('Team / Individual', 'Tribal / Individual') then 'mixed'
        end as challenge_format,
        results.tribe_status,
        {{ game_phase('results.tribe_status') }} as merge_phase,
        results.team,
        lower(results.result) as result,
        results.sit_out,
        not results.sit_out as participated,
        results.chosen_for_reward,
        results.order_of_finish,
        -- 'Won' holds for the whole tribe, also for those who sat out.
        case when results.sit_out then 0 else wins.won end as won_flag,
        wins.won_individual_immunity,
        wins.won_individual_reward,
        wins.won_tribal_immunity,
        wins.won_tribal_reward,
        wins.won_team_immunity,
        wins.won_team_reward,
        wins.won_duel,
        {%- for skill in challenge_skills() %}
        cast(descriptions.{{ skill }} and results.sit_out is not true as integer) as {{ skill }}_participated,
        -- A product, because "unknown and lost" would be 0 where "unknown and won" is null.
        cast(descriptions.{{ skill }} and results.sit_out is not true as integer)
        * case when results.sit_out then 0 else wins.won end as {{ skill }}_win,
        {%- endfor %}
        odds.n_entities,
        odds.n_winners,
        {{ ratio('odds.n_winners', 'odds.n_entities') }} as win_probability
    from results
    inner join wins
        on
            results.version_season = wins.version_season
            and results.challenge_id = wins.challenge_id
            and results.castaway_id = wins.castaway_id
    left join descriptions
        on
            results.version_season = descriptions.version_season
            and results.challenge_id = descriptions.challenge_id
    left join castaways
        on
            results.version_season = castaways.version_season
            and results.castaway_id = castaways.castaway_id
    left join odds
        on
            results.version_season = odds.version_season
            and results.challenge_id = odds.challenge_id
)

select * from final
