with details as (
    select * from {{ source('bronze', 'advantage_details') }}
),

movement as (
    select * from {{ source('bronze', 'advantage_movement') }}
),

votes as (
    select * from {{ source('bronze', 'vote_history') }}
),

auction_details as (
    select * from {{ source('bronze', 'auction_details') }}
),

lives as (
    select
        version_season,
        advantage_id,
        min(sequence_id) as first_event,
        max(sequence_id) as last_event,
        count(distinct sequence_id) as events
    from movement
    group by version_season, advantage_id
),

plays as (
    select
        movement.version_season,
        movement.episode,
        movement.played_for_id,
        sum(movement.votes_nullified) as votes_nullified
    from movement
    inner join details
        on
            movement.version_season = details.version_season
            and movement.advantage_id = details.advantage_id
    where
        movement.event = 'Played'
        and details.advantage_type = 'Hidden Immunity Idol'
    group by movement.version_season, movement.episode, movement.played_for_id
),

votes_received as (
    select
        version_season,
        episode,
        vote_id,
        count(*) filter (where nullified) as nullified_ballots
    from votes
    group by version_season, episode, vote_id
),

final as (
    select
        'an_advantage_has_events' as rule,
        concat_ws('|', details.version_season, details.advantage_id) as row_key,
        lives.advantage_id is null as is_broken,
        details.advantage_type as found
    from details
    left join lives
        on
            details.version_season = lives.version_season
            and details.advantage_id = lives.advantage_id

    union all

    select
        'events_of_an_advantage_are_numbered_without_gaps' as rule,
        concat_ws('|', version_season, advantage_id) as row_key,
        first_event != 1 or last_event != events as is_broken,
        events || ' events, numbered ' || first_event || ' to ' || last_event as found
    from lives

    union all

    select
        'advantages_of_a_season_are_numbered_without_gaps' as rule,
        version_season as row_key,
        max(advantage_id) != count(*) as is_broken,
        count(*) || ' advantages, the last has number ' || max(advantage_id) as found
    from details
    group by version_season

    union all

    select
        'an_idol_nullifies_the_votes_that_are_nullified' as rule,
        concat_ws('|', plays.version_season, plays.episode, plays.played_for_id) as row_key,
        (plays.votes_nullified is distinct from votes_received.nullified_ballots) as is_broken,
        coalesce(cast(plays.votes_nullified as text), 'unknown') || ' by the idols, '
        || votes_received.nullified_ballots || ' of the ballots' as found
    from plays
    inner join votes_received
        on
            plays.version_season = votes_received.version_season
            and plays.episode = votes_received.episode
            and plays.played_for_id = votes_received.vote_id

    union all

    select
        'no_purchase_is_published_twice' as rule,
        concat_ws('|', version_season, auction_num, item, castaway_id) as row_key,
        count(*) > 1 as is_broken,
        count(*) || ' copies' as found
    from auction_details
    group by
        version_season,
        auction_num,
        item,
        castaway_id,
        to_jsonb(auction_details) - array['_row_number', '_release_id']
)

select * from final
