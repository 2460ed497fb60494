with ballots as (
    select * from {{ source('bronze', 'vote_history') }}
),

challenge_results as (
    select * from {{ source('bronze', 'challenge_results') }}
),

boot_order as (
    select * from {{ source('bronze', 'boot_order') }}
),

boot_votes as (
    select distinct
        version_season,
        "order",
        episode,
        voted_out_id
    from ballots
),

immunity_winners as (
    select
        version_season,
        sog_id,
        castaway_id,
        min(challenge_id) as challenge_id
    from challenge_results
    where
        outcome_type = 'Individual'
        and challenge_type in ('Immunity', 'Immunity and Reward')
        and result = 'Won'
    group by version_season, sog_id, castaway_id
),

final as (
    select
        'nobody_votes_for_themselves' as rule,
        concat_ws('|', version_season, "order", vote_order, castaway_id) as row_key,
        castaway_id = vote_id as is_broken,
        null as found
    from ballots
    where castaway_id is not null and vote_id is not null

    union all

    select
        'a_merged_council_has_someone_immune' as rule,
        concat_ws('|', version_season, "order") as row_key,
        not coalesce(bool_or(immunity in ('Individual', 'Earned merge')), false) as is_broken,
        'immunities: ' || coalesce(string_agg(distinct immunity, ', '), 'none') as found
    from ballots
    where tribe_status = 'Merged' and vote_order = 1
    group by version_season, "order"

    union all

    select
        'who_won_immunity_is_immune' as rule,
        concat_ws('|', ballots.version_season, ballots."order", ballots.vote_order, ballots.castaway_id) as row_key,
        ballots.immunity is null as is_broken,
        'won challenge ' || winners.challenge_id as found
    from ballots
    inner join immunity_winners as winners
        on
            ballots.version_season = winners.version_season
            and ballots.sog_id = winners.sog_id
            and ballots.castaway_id = winners.castaway_id

    union all

    select
        'who_is_voted_out_leaves_by_that_number' as rule,
        concat_ws('|', boot_votes.version_season, boot_votes."order") as row_key,
        (boot_votes.voted_out_id is distinct from boot_order.castaway_id) as is_broken,
        boot_votes.voted_out_id || ' is voted out, ' || coalesce(boot_order.castaway_id, 'nobody') || ' leaves' as found
    from boot_votes
    left join boot_order
        on
            boot_votes.version_season = boot_order.version_season
            and boot_votes."order" = boot_order."order"
)

select * from final
