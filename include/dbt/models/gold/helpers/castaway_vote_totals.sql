-- Votes that each castaway cast in a season. Correctness is judged once per boot vote, over all of its
-- rounds; agreement with others by first-round ballots, before re-votes narrow the choice.

with votes as (
    select * from {{ ref('vote_dynamics') }}
    where castaway_id is not null
),

boot_votes as (
    select
        version_season,
        castaway_id,
        boot_vote_number,
        bool_and(merge_phase = 'pre_merge') as is_pre_merge,
        bool_or(has_ballot) as has_voted,
        coalesce(bool_or(vote_correct = 1), false) as is_correct,
        coalesce(bool_or(vote_incorrect = 1) and not bool_or(vote_correct = 1), false) as is_incorrect
    from votes
    group by version_season, castaway_id, boot_vote_number
),

per_boot_vote as (
    select
        version_season,
        castaway_id,
        count(*) as boot_votes_attended,
        count(*) filter (where has_voted) as boot_votes_voted,
        count(*) filter (where is_correct) as votes_correct,
        count(*) filter (where is_incorrect) as votes_incorrect,
        count(*) filter (where is_pre_merge) as pre_merge_tribals_attended,
        count(*) filter (where not is_pre_merge) as post_merge_tribals_attended,
        count(*) filter (where is_pre_merge and has_voted) as pre_merge_boot_votes_voted,
        count(*) filter (where not is_pre_merge and has_voted) as post_merge_boot_votes_voted,
        count(*) filter (where is_pre_merge and is_correct) as pre_merge_correct_votes,
        count(*) filter (where not is_pre_merge and is_correct) as post_merge_correct_votes
    from boot_votes
    group by version_season, castaway_id
),

per_first_round_ballot as (
    select
        version_season,
        castaway_id,
        count(*) as total_votes_cast,
        sum(in_majority_alliance) as majority_alliance_votes,
        coalesce(sum(voting_alone), 0) as lone_wolf_votes,
        avg(alignment_ratio order by boot_vote_number, ballot_no) as avg_vote_alignment
    from votes
    where has_ballot and vote_round = 1
    group by version_season, castaway_id
),

final as (
    select
        per_boot_vote.*,
        coalesce(per_first_round_ballot.total_votes_cast, 0) as total_votes_cast,
        coalesce(per_first_round_ballot.majority_alliance_votes, 0) as majority_alliance_votes,
        coalesce(per_first_round_ballot.lone_wolf_votes, 0) as lone_wolf_votes,
        per_first_round_ballot.avg_vote_alignment
    from per_boot_vote
    left join per_first_round_ballot
        on
            per_boot_vote.version_season = per_first_round_ballot.version_season
            and per_boot_vote.castaway_id = per_first_round_ballot.castaway_id
)

select * from final
