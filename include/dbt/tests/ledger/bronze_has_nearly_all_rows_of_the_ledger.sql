-- Half a load: a table with less than nine tenths of the rows that its finished seasons had. Single rows that upstream
-- drops are a warning of the test beside this one.

with differences as (
    {{ ledger_differences('bronze', datasets_with_seasons()) }}
),

known as (
    select
        ledger.table_name,
        sum(ledger.row_count) as expected_rows
    from {{ ref('row_count_ledger') }} as ledger
    inner join {{ source('bronze', 'season_summary') }} as seasons
        on ledger.version_season = seasons.version_season
    where seasons.winner_id is not null
    group by ledger.table_name
)

select
    known.table_name,
    known.expected_rows,
    known.expected_rows - sum(differences.expected_rows - differences.found_rows) as found_rows,
    string_agg(differences.version_season, ', ' order by differences.version_season) as seasons
from known
inner join differences
    on known.table_name = differences.table_name
group by known.table_name, known.expected_rows
having sum(differences.expected_rows - differences.found_rows) > 0.1 * known.expected_rows
