-- Jury votes that each finalist received: the votes, not the jurors.

with votes as (
    select * from {{ ref('jury_analysis') }}
),

final as (
    select
        version_season,
        finalist_id as castaway_id,
        sum(vote) as jury_votes_received,
        coalesce(sum(vote) filter (where same_original_tribe = 1), 0) as jury_votes_from_original_tribe
    from votes
    group by version_season, finalist_id
)

select * from final
