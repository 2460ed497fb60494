-- What each castaway holds when a stage begins: the last event of the advantage so far is that the castaway
-- came by it, or that it changed in the castaway's hands. A half that was absorbed by the other is gone, and
-- a beware advantage is not held before it works. advantage_timeline says nothing of this for older commits.

with stages as (
    select distinct
        version_season,
        sog_id,
        episode
    from {{ ref('stages_in_game') }}
),

events as (
    select * from {{ ref('advantage_strategy') }}
),

known_events as (
    select
        stages.sog_id as as_of_sog_id,
        events.*
    from stages
    inner join events
        on
            stages.version_season = events.version_season
            and {{ event_is_known('events', 'stages') }}
),

latest_events as (
    select
        *,
        sequence_id = max(sequence_id) over (
            partition by version_season, as_of_sog_id, advantage_id
        ) as is_latest
    from known_events
),

final as (
    select
        version_season,
        as_of_sog_id,
        castaway_id,
        count(*) as advantages_held,
        count(*) filter (where advantage_category = 'idol') as idols_held
    from latest_events
    where
        is_latest
        and event_category in ('obtained_found', 'obtained_other', 'changed')
        and event_type != 'absorbed'
    group by version_season, as_of_sog_id, castaway_id
)

select * from final
