-- The company each castaway kept in a season.

with stages as (
    select * from {{ ref('social_positioning') }}
),

final as (
    {{ position_totals('stages', by=['version_season', 'castaway_id']) }}
)

select * from final
