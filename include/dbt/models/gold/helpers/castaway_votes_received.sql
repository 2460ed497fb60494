-- First-round ballots against each castaway in a season, penalty ballots included. Re-votes repeat the
-- same council, so they count in no total.

with votes as (
    select * from {{ ref('vote_dynamics') }}
    where has_ballot and vote_round = 1
),

final as (
    select
        version_season,
        target_id as castaway_id,
        count(*) as total_votes_received,
        count(*) filter (where not nullified) as votes_received_counted,
        count(*) filter (where nullified) as votes_nullified_against,
        count(*) filter (where merge_phase = 'pre_merge') as pre_merge_votes_received,
        count(*) filter (where merge_phase != 'pre_merge') as post_merge_votes_received
    from votes
    group by version_season, target_id
)

select * from final
