-- A complete season has one winner, the one that season_summary names, and, once upstream has placed its
-- castaways, as many places as castaways.

with results as (
    select
        version_season,
        count(*) filter (where is_winner) as winner_count,
        max(castaway_id) filter (where is_winner) as winner_castaway_id,
        min(place) as first_place,
        max(place) as last_place,
        count(place) as placed_count
    from {{ ref('castaway_profile') }}
    group by version_season
)

select
    seasons.version_season,
    seasons.winner_castaway_id as published_winner_castaway_id,
    results.*
from {{ ref('season_context') }} as seasons
left join results
    on seasons.version_season = results.version_season
where
    seasons.season_status = 'complete'
    and (
        results.winner_count is distinct from 1
        or results.winner_castaway_id is distinct from seasons.winner_castaway_id
        or (
            results.placed_count > 0
            and (
                results.first_place != 1
                or results.last_place != seasons.total_cast
                or results.placed_count != seasons.total_cast
            )
        )
    )
