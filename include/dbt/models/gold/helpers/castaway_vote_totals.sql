-- Votes that each castaway cast in a season. A penalty has no voter.

with votes as (
    select * from {{ ref('vote_dynamics') }}
    where castaway_id is not null
),

final as (
    {{ vote_totals('votes', by=['version_season', 'castaway_id']) }}
)

select * from final
