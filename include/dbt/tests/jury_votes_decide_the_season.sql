-- Votes received used to count juror rows. In a season whose jury has voted, every juror has one vote,
-- the sums sorted are the published final vote, and the most votes went to the winner.

with received as (
    select
        version_season,
        finalist_id,
        actual_winner_id,
        sum(vote) as votes
    from {{ ref('jury_analysis') }}
    group by version_season, finalist_id, actual_winner_id
),

tallies as (
    select
        version_season,
        sum(votes) as votes,
        max(votes) as most_votes,
        max(votes) filter (where finalist_id = actual_winner_id) as winner_votes,
        string_agg(cast(votes as text), '-' order by votes desc) as final_vote
    from received
    group by version_season
),

jurors as (
    select
        version_season,
        count(distinct juror_key) as juror_count
    from {{ ref('jury_analysis') }}
    group by version_season
)

select
    tallies.*,
    jurors.juror_count,
    seasons.final_vote as published_final_vote
from tallies
inner join jurors
    on tallies.version_season = jurors.version_season
inner join {{ ref('season_context') }} as seasons
    on tallies.version_season = seasons.version_season
where
    seasons.season_status = 'complete'
    and (
        tallies.votes != jurors.juror_count
        or tallies.winner_votes is distinct from tallies.most_votes
        or tallies.final_vote is distinct from seasons.final_vote
    )
