-- Challenges of each castaway in a season.

with challenges as (
    select * from {{ ref('challenge_performance') }}
),

final as (
    {{ challenge_totals('challenges', by=['version_season', 'castaway_id']) }}
)

select * from final
