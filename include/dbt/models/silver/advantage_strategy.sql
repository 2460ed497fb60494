with events as (
    select * from {{ source('bronze', 'advantage_movement') }}
),

details as (
    select * from {{ source('bronze', 'advantage_details') }}
),

categories as (
    select * from {{ ref('advantage_categories') }}
),

repaired_events as (
    select
        events.version_season,
        events.advantage_id,
        events.sequence_id,
        {{ repaired('advantage_movement', 'castaway_id', 'events', 'text') }} as castaway_ids,
        {{ repaired('advantage_movement', 'played_for_id', 'events', 'text') }} as target_ids,
        events.episode,
        events.day,
        {{ repaired('advantage_movement', 'sog_id', 'events', 'integer') }} as sog_id,
        {{ repaired('advantage_movement', 'event', 'events', 'text') }} as event,
        events.success,
        events.votes_nullified
    from events
),

-- Several people can hold an advantage together, and a play have several targets: repairs separate their ids.
held as (
    select
        repaired_events.*,
        holder.castaway_id,
        array_remove(string_to_array(repaired_events.castaway_ids, '|'), holder.castaway_id) as co_holders,
        string_to_array(repaired_events.target_ids, '|') as targets
    from repaired_events
    left join lateral unnest(string_to_array(repaired_events.castaway_ids, '|')) as holder (castaway_id) on true
),

categorised as (
    select
        *,
        case
            when event = 'Found' then 'obtained_found'
            when event in ('Received', 'Won', 'Bought', 'Stolen') then 'obtained_other'
            when event = 'Found (beware)' then 'beware_found'
            when event = 'Played' then 'played'
            when event in ('Expired', 'Lost', 'Destroyed', 'Discarded') then 'lost_or_expired'
            when event like '% with advantage' then 'left_with'
            when event in ('Activated', 'Absorbed', 'Banked') or event like 'Became %' then 'changed'
        end as event_category
    from held
),

-- A beware advantage is found, and found again once its task is done: one acquisition.
acquisitions as (
    select
        version_season,
        advantage_id,
        castaway_id,
        min(sequence_id) as first_sequence_id
    from categorised
    where event_category in ('obtained_found', 'obtained_other', 'beware_found')
    group by version_season, advantage_id, castaway_id
),

final as (
    select
        {{ surrogate_key([
            'events.version_season', 'events.advantage_id', 'events.sequence_id', 'events.castaway_id',
        ]) }} as advantage_strategy_key,
        events.version_season,
        events.advantage_id,
        events.sequence_id,
        events.castaway_id,
        nullif(array_to_string(events.co_holders, ', '), '') as co_castaway_ids,
        coalesce(cardinality(events.co_holders) > 0, false) as joint_play,
        events.episode,
        events.day,
        events.sog_id,
        lower(events.event) as event_type,
        events.event_category,
        acquisitions.first_sequence_id is not null as is_first_acquisition,
        case when cardinality(events.targets) = 1 then events.targets[1] end as target_castaway_id,
        array_to_string(events.targets, ', ') as target_castaway_ids,
        coalesce(cardinality(events.targets) > 1, false) as multi_target_play,
        case when events.event_category = 'played' then lower(events.success) end as success_outcome,
        events.votes_nullified,
        details.advantage_type,
        categories.advantage_category,
        -- Null for a play of which upstream does not say how it ended, or for whom it was; 0 for other events.
        case when events.event_category = 'played' then cast(events.success = 'Yes' as integer) else 0 end
            as played_successfully,
        case when events.event_category = 'played' then cast(events.success = 'No' as integer) else 0 end
            as played_unsuccessfully,
        case when events.event_category = 'played' then cast(events.success = 'Not needed' as integer) else 0 end
            as played_not_needed,
        case
            when events.event_category = 'played' then cast(events.castaway_id = any(events.targets) as integer)
            else 0
        end as played_for_self,
        case
            when events.event_category = 'played' then cast(events.castaway_id != any(events.targets) as integer)
            else 0
        end as played_for_others,
        details.clue_details,
        details.location_found,
        details.conditions
    from categorised as events
    left join details
        on
            events.version_season = details.version_season
            and events.advantage_id = details.advantage_id
    left join categories on details.advantage_type = categories.advantage_type
    left join acquisitions
        on
            events.version_season = acquisitions.version_season
            and events.advantage_id = acquisitions.advantage_id
            and events.castaway_id = acquisitions.castaway_id
            and events.sequence_id = acquisitions.first_sequence_id
)

select * from final
