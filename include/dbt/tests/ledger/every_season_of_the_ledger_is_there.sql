-- The last season of a version can vanish without a gap. A past commit lacks seasons that are known by now, so this
-- only warns; a load that loses a published season is refused before.

{{ config(severity='warn') }}

select distinct ledger.version_season
from {{ ref('row_count_ledger') }} as ledger
left join {{ source('bronze', 'season_summary') }} as seasons
    on ledger.version_season = seasons.version_season
where seasons.version_season is null
