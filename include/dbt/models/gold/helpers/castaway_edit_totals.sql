-- How the edit of a season shows each castaway.

with episodes as (
    select * from {{ ref('edit_features') }}
),

final as (
    {{ edit_totals('episodes', by=['version_season', 'castaway_id']) }}
)

select * from final
