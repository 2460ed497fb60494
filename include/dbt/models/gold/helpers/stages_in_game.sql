-- Who is in the game when each stage begins, and with whom. The tribe of the stage itself is not known
-- then: a swap or merge comes later in it, so tribes here are those of the stage before.

with positions as (
    select * from {{ ref('social_positioning') }}
),

stages as (
    select
        version_season,
        sog_id,
        castaway_id,
        episode,
        is_in_game,
        original_tribe,
        lag(tribe) over earlier as tribe_before,
        lag(merge_phase) over earlier as merge_phase_before,
        coalesce(lag(sog_id) over earlier = sog_id - 1, false) as has_stage_before
    from positions
    window earlier as (partition by version_season, castaway_id order by sog_id)
),

-- Whoever has no row at the stage before was out of the game: the Outcasts of US07 came back from home.
arrivals as (
    select
        *,
        case
            when sog_id = 1 then null
            when has_stage_before then merge_phase_before
            else 'out_of_game'
        end as last_merge_phase
    from stages
),

final as (
    select
        version_season,
        sog_id,
        castaway_id,
        episode,
        last_merge_phase,
        count(*) over (partition by version_season, sog_id) as castaways_left,
        case
            when original_tribe is not null
                then count(*) over (partition by version_season, sog_id, original_tribe)
        end as original_tribe_members_left,
        -- Those who come back come from no tribe.
        case
            when tribe_before is not null and last_merge_phase in ('pre_merge', 'mergatory', 'post_merge')
                then count(*) over (partition by version_season, sog_id, tribe_before, last_merge_phase)
        end as last_tribe_members_left
    from arrivals
    where is_in_game
)

select * from final
