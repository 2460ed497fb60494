with vote_history as (
    select * from {{ source('bronze', 'vote_history') }}
),

-- Upstream publishes some rows twice, all of their columns equal, which would count a ballot twice.
counted_votes as (
    select
        *,
        row_number() over copies as copy_number,
        count(*) over copies as copies
    from vote_history
    window copies as (partition by to_jsonb(vote_history) - '_row_number')
),

-- Only copies that have been looked at are dropped: each is a repair.
repaired_votes as (
    select
        counted_votes.version_season,
        counted_votes."order",
        counted_votes.vote_order,
        counted_votes.castaway_id,
        counted_votes.episode,
        {{ repaired('vote_history', 'day', 'counted_votes', 'integer') }} as day,
        {{ repaired('vote_history', 'sog_id', 'counted_votes', 'integer') }} as sog_id,
        counted_votes.tribe,
        counted_votes.tribe_status,
        counted_votes.vote_id,
        counted_votes.voted_out_id,
        counted_votes.immunity,
        counted_votes.vote_event,
        counted_votes.vote_event_outcome,
        counted_votes.split_vote,
        counted_votes.nullified,
        counted_votes.tie
    from counted_votes
    where counted_votes.copy_number <= {{ repaired('vote_history', 'copies', 'counted_votes', 'bigint') }}
),

-- A castaway with an extra vote has two rows in a round, the own vote first.
votes as (
    select
        *,
        coalesce(castaway_id, 'PENALTY') as voter_key,
        row_number() over (
            partition by version_season, "order", vote_order, castaway_id
            order by coalesce(vote_event_outcome = 'Extra vote', false), vote_id
        ) as ballot_no
    from repaired_votes
),

-- A castaway with an extra vote is one voter with two ballots; a penalty is a ballot without a voter.
target_tallies as (
    select
        version_season,
        "order",
        vote_order,
        vote_id,
        count(*) as ballots,
        count(distinct castaway_id) as voters
    from votes
    where vote_id is not null
    group by version_season, "order", vote_order, vote_id
),

round_tallies as (
    select
        version_season,
        "order",
        vote_order,
        count(*) as ballots,
        count(distinct castaway_id) as voters
    from votes
    where vote_id is not null
    group by version_season, "order", vote_order
),

-- The round of a boot vote is the unit in which people vote together: an episode can hold three boot
-- votes, a boot vote four rounds.
agreement as (
    select
        votes.*,
        round_tallies.voters - 1 as total_voters,
        target_tallies.voters - 1 as aligned_votes,
        target_tallies.ballots * 2 > round_tallies.ballots as in_majority,
        target_tallies.ballots = max(target_tallies.ballots) over (
            partition by votes.version_season, votes."order", votes.vote_order
        ) as in_plurality,
        votes.vote_id is not null as has_ballot,
        votes.vote_id is not null and votes.castaway_id is not null as has_voter
    from votes
    left join target_tallies
        on
            votes.version_season = target_tallies.version_season
            and votes."order" = target_tallies."order"
            and votes.vote_order = target_tallies.vote_order
            and votes.vote_id = target_tallies.vote_id
    left join round_tallies
        on
            votes.version_season = round_tallies.version_season
            and votes."order" = round_tallies."order"
            and votes.vote_order = round_tallies.vote_order
),

final as (
    select
        {{ surrogate_key(['version_season', '"order"', 'vote_order', 'voter_key', 'ballot_no']) }}
            as vote_dynamics_key,
        version_season,
        "order" as boot_vote_number,
        vote_order as vote_round,
        vote_order,
        voter_key,
        cast(ballot_no as integer) as ballot_no,
        castaway_id,
        episode,
        day,
        sog_id,
        tribe,
        tribe_status,
        {{ game_phase('tribe_status') }} as merge_phase,
        vote_id as target_id,
        voted_out_id,
        immunity,
        vote_event,
        vote_event_outcome,
        split_vote,
        nullified,
        tie,
        has_ballot,
        has_ballot and ballot_no > 1 as is_extra_vote,
        not has_ballot and coalesce(
            vote_event_outcome like 'Lost vote%'
            or vote_event like 'Lost vote%'
            or vote_event in ('Vote blocked', 'Vote stolen', 'Played bank your vote'),
            false
        ) as lost_vote,
        cast(vote_id = voted_out_id as integer) as vote_correct,
        -- A ballot that was not counted says nothing about its voter's judgement.
        case when not nullified then cast(vote_id != voted_out_id as integer) end as vote_incorrect,
        cast(nullified as integer) as vote_nullified,
        case when has_voter then cast(total_voters as integer) end as total_voters,
        case when has_voter then cast(aligned_votes as integer) end as aligned_votes,
        case when has_voter then {{ ratio('aligned_votes', 'total_voters') }} end as alignment_ratio,
        case when has_voter then cast(in_majority as integer) end as in_majority_alliance,
        case when has_voter then cast(in_plurality as integer) end as in_plurality,
        case when has_voter and total_voters > 0 then cast(aligned_votes = 0 as integer) end as voting_alone,
        cast(split_vote is not null as integer) as split_vote_scenario,
        cast(tie as integer) as tie_vote_scenario,
        -- 'Removed from tribal' means not there, 'Hidden (nullified)' an idol that did not work.
        cast(
            coalesce(immunity not in ('Removed from tribal', 'Hidden (nullified)'), false) as integer
        ) as has_immunity
    from agreement
)

select * from final
