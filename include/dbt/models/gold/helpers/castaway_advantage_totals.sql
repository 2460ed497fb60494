-- Advantages that each castaway found and played in a season. An advantage counts once however often its
-- finding is recorded; a beware advantage counts from the moment it works.

with events as (
    select
        *,
        advantage_category = 'idol' as is_idol
    from {{ ref('advantage_strategy') }}
),

final as (
    select
        version_season,
        castaway_id,
        count(distinct advantage_id) filter (where event_category = 'obtained_found') as advantages_found,
        count(*) filter (where event_category = 'played') as advantages_played,
        count(distinct advantage_id) filter (where event_category = 'obtained_found' and is_idol) as idols_found,
        count(*) filter (where event_category = 'played' and is_idol) as idols_played,
        count(*) filter (where played_successfully = 1) as advantages_played_successfully,
        count(*) filter (where played_unsuccessfully = 1) as advantages_played_unsuccessfully,
        count(*) filter (where played_not_needed = 1) as advantages_played_not_needed,
        count(*) filter (where played_for_self = 1) as advantages_played_for_self,
        count(*) filter (where played_for_others = 1) as advantages_played_for_others,
        count(*) filter (where played_successfully = 1 and is_idol) as idols_played_successfully,
        count(*) filter (where played_unsuccessfully = 1 and is_idol) as idols_played_unsuccessfully
    from events
    group by version_season, castaway_id
)

select * from final
