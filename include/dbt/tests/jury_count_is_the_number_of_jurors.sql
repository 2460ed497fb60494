-- season_summary counts the jurors, jury_votes names them: in a complete season they agree, voters who
-- are no castaways (a public vote, celebrity captains) aside.

{{ config(severity='warn') }}

with jurors as (
    select
        version_season,
        count(distinct juror_key) as juror_count
    from {{ ref('jury_analysis') }}
    where juror_type in ('castaway', 'finalist')
    group by version_season
)

select
    seasons.version_season,
    seasons.jury_count,
    jurors.juror_count
from {{ ref('season_context') }} as seasons
left join jurors
    on seasons.version_season = jurors.version_season
where
    seasons.season_status = 'complete'
    and seasons.jury_count is distinct from jurors.juror_count
