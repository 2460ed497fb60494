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
        lag(tribe) over stages_before as last_tribe,
        lag(merge_phase) over stages_before as last_merge_phase
    from positions
    window stages_before as (partition by version_season, castaway_id order by sog_id)
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
        -- Those who come back from an island come from no tribe.
        case
            when last_tribe is not null and last_merge_phase in ('pre_merge', 'mergatory', 'post_merge')
                then count(*) over (partition by version_season, sog_id, last_tribe)
        end as last_tribe_members_left
    from stages
    where is_in_game
)

select * from final
