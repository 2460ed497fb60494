{#
    The main totals of a whole season, counted a second time: from bronze, past silver and without its SQL.

    features   the columns of the model to compare, of those counted below
#}
{% test counts_what_bronze_has(model, features) %}

with ballots as (
    -- Copies count once.
    select distinct
        to_jsonb(votes) - '_row_number' as contents,
        votes.version_season,
        votes."order" as boot_vote_number,
        votes.vote_order,
        votes.castaway_id,
        votes.vote_id,
        votes.voted_out_id
    from {{ source('bronze', 'vote_history') }} as votes
),

events as (
    select distinct
        movement.version_season,
        holder.castaway_id,
        movement.advantage_id,
        details.advantage_type in (
            'Hidden Immunity Idol', 'Super Idol', 'Preventative Hidden Immunity Idol'
        ) as is_idol
    from {{ source('bronze', 'advantage_movement') }} as movement
    inner join {{ source('bronze', 'advantage_details') }} as details
        on
            movement.version_season = details.version_season
            and movement.advantage_id = details.advantage_id
    cross join lateral unnest(string_to_array(movement.castaway_id, ', ')) as holder (castaway_id)
    where movement.event = 'Found'
),

counted as (
    select
        version_season, castaway_id, 'boot_votes_voted' as feature, count(distinct boot_vote_number) as total
    from ballots where vote_id is not null group by version_season, castaway_id

    union all

    select version_season, castaway_id, 'votes_correct', count(distinct boot_vote_number)
    from ballots where vote_id = voted_out_id group by version_season, castaway_id

    union all

    select version_season, castaway_id, 'total_votes_cast', count(*)
    from ballots where vote_id is not null and vote_order = 1 group by version_season, castaway_id

    union all

    select version_season, vote_id, 'total_votes_received', count(*)
    from ballots where vote_id is not null and vote_order = 1 group by version_season, vote_id

    union all

    select version_season, castaway_id, 'boot_votes_attended', count(distinct boot_vote_number)
    from ballots group by version_season, castaway_id

    union all

    select version_season, castaway_id, 'total_challenges', count(*)
    from {{ source('bronze', 'challenge_results') }}
    where sit_out is not true group by version_season, castaway_id

    union all

    select version_season, castaway_id, 'reward_selections', count(*)
    from {{ source('bronze', 'challenge_results') }}
    where chosen_for_reward group by version_season, castaway_id

    union all

    select version_season, castaway_id, 'advantages_found', count(*)
    from events group by version_season, castaway_id

    union all

    select version_season, castaway_id, 'idols_found', count(*)
    from events where is_idol group by version_season, castaway_id

    union all

    select version_season, finalist_id, 'jury_votes_received', sum(vote)
    from {{ source('bronze', 'jury_votes') }} group by version_season, finalist_id

    union all

    select version_season, castaway_id, 'total_confessional_count', sum(confessional_count)
    from {{ source('bronze', 'confessionals') }} group by version_season, castaway_id

    union all

    select version_season, castaway_id, 'total_confessional_time', sum(confessional_time)
    from {{ source('bronze', 'confessionals') }} group by version_season, castaway_id

    union all

    select version_season, castaway_id, 'total_episodes_appeared', count(*)
    from {{ source('bronze', 'confessionals') }} group by version_season, castaway_id
)

{% for feature in features -%}
select
    ours.version_season,
    ours.castaway_id,
    '{{ feature }}' as feature,
    ours.{{ feature }} as in_gold,
    counted.total as in_bronze
from {{ model }} as ours
left join counted
    on
        ours.version_season = counted.version_season
        and ours.castaway_id = counted.castaway_id
        and counted.feature = '{{ feature }}'
where coalesce(ours.{{ feature }}, 0) != coalesce(counted.total, 0)
{% if not loop.last %}union all{% endif %}
{% endfor %}

{% endtest %}
