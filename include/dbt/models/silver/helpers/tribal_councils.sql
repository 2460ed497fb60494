{#- A table, because its unit tests reach no further than one model; with the seeds, because it is not published. -#}
{{ config(materialized='table', schema='reference', contract={'enforced': true}) }}

with votes as (
    select * from {{ ref('vote_dynamics') }}
),

traces as (
    select
        version_season,
        boot_vote_number,
        max(voted_out_id) as voted_out_id,
        min(episode) as episode,
        min(day) as day,
        min(sog_id) as sog_id,
        string_agg(distinct tribe, ', ' order by tribe) as tribes,
        count(distinct castaway_id) as castaway_count,
        max(vote_round) as round_count,
        count(*) filter (where has_ballot) as ballot_count,
        count(*) filter (where has_ballot and vote_round = 1) as first_round_ballot_count,
        count(*) filter (where nullified and has_ballot) as nullified_ballot_count,
        coalesce(sum(vote_correct), 0) as correct_ballot_count,
        bool_or(vote_event like 'Fire challenge%' or vote_event = 'Trial by fire') as has_fire,
        bool_or(vote_event = 'Rock draw') as has_rock_draw,
        bool_or(
            vote_event in ('Countback', 'Tiebreaker challenge', 'Nature quiz', 'Sudden death trivia')
        ) as has_tie_break,
        bool_or(vote_event = 'Unanimous decision') as has_unanimous_decision,
        bool_or(vote_event in ('Quit', 'Player quit')) as has_quit
    from votes
    group by version_season, boot_vote_number
),

final as (
    select
        {{ surrogate_key(['version_season', 'boot_vote_number']) }} as tribal_councils_key,
        version_season,
        boot_vote_number,
        episode,
        day,
        sog_id,
        tribes,
        voted_out_id,
        case
            when has_fire then 'fire'
            when has_rock_draw then 'rock'
            when has_tie_break then 'tie_break'
            when has_unanimous_decision then 'unanimous'
            when has_quit and correct_ballot_count = 0 then 'quit'
            -- Nobody named the person who left, and nothing else happened: everyone else was immune.
            when correct_ballot_count = 0 then 'default'
            when round_count > 1 then 'revote'
            else 'vote'
        end as decided_by,
        cast(castaway_count as integer) as castaway_count,
        cast(round_count as integer) as round_count,
        cast(ballot_count as integer) as ballot_count,
        cast(first_round_ballot_count as integer) as first_round_ballot_count,
        cast(nullified_ballot_count as integer) as nullified_ballot_count,
        cast(correct_ballot_count as integer) as correct_ballot_count
    from traces
)

select * from final
