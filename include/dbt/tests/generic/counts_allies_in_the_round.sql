{#
    Who voted alike, counted a second time: from the ballots that bronze has in the same round of the same boot vote.
#}
{% test counts_allies_in_the_round(model) %}

with ballots as (
    select distinct
        version_season,
        "order" as boot_vote_number,
        vote_order as vote_round,
        castaway_id,
        vote_id as target_id
    from {{ source('bronze', 'vote_history') }}
    where vote_id is not null and castaway_id is not null
),

counted as (
    select
        ballot.version_season,
        ballot.boot_vote_number,
        ballot.vote_round,
        ballot.castaway_id,
        ballot.target_id,
        count(distinct other.castaway_id) as total_voters,
        count(distinct other.castaway_id) filter (where other.target_id = ballot.target_id) as aligned_votes
    from ballots as ballot
    left join ballots as other
        on
            ballot.version_season = other.version_season
            and ballot.boot_vote_number = other.boot_vote_number
            and ballot.vote_round = other.vote_round
            and ballot.castaway_id != other.castaway_id
    group by 1, 2, 3, 4, 5
)

select
    ours.version_season,
    ours.boot_vote_number,
    ours.vote_round,
    ours.castaway_id,
    ours.aligned_votes || ' of ' || ours.total_voters as in_silver,
    counted.aligned_votes || ' of ' || counted.total_voters as in_bronze
from {{ model }} as ours
left join counted
    on
        ours.version_season = counted.version_season
        and ours.boot_vote_number = counted.boot_vote_number
        and ours.vote_round = counted.vote_round
        and ours.castaway_id = counted.castaway_id
        and ours.target_id = counted.target_id
where
    ours.has_ballot
    and ours.castaway_id is not null
    and (
        (ours.aligned_votes, ours.total_voters) is distinct from (counted.aligned_votes, counted.total_voters)
        or abs(ours.alignment_ratio * ours.total_voters - ours.aligned_votes) > 0.000001
    )

{% endtest %}
