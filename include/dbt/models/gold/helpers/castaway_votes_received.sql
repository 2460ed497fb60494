-- First-round ballots against each castaway in a season.

with ballots as (
    select
        version_season,
        target_id as castaway_id,
        vote_round,
        merge_phase,
        nullified
    from {{ ref('vote_dynamics') }}
    where has_ballot
),

final as (
    {{ votes_received_totals('ballots', by=['version_season', 'castaway_id']) }}
)

select * from final
