-- Advantages that each castaway found and played in a season.

with events as (
    select * from {{ ref('advantage_strategy') }}
),

final as (
    {{ advantage_totals('events', by=['version_season', 'castaway_id']) }}
)

select * from final
