{#
    Rows per season that differ from the seed row_count_ledger: table_name, version_season, expected_rows and
    found_rows. A season that the ledger does not know, that the release lacks or that still runs has none.

    layer       bronze, silver or gold
    relations   the tables to count; each has version_season
#}
{% macro ledger_differences(layer, relations) %}

with finished_seasons as (
    select version_season
    from {{ source('bronze', 'season_summary') }}
    where winner_id is not null
),

ledger as (
    select * from {{ ref('row_count_ledger') }}
),

known_seasons as (
    select distinct version_season
    from ledger
    where version_season in (select version_season from finished_seasons)
),

tables as (
    select
        '' as table_name,
        '' as version_season
    where false
    {%- for relation in relations %}
    union all
    select
        '{{ layer }}.{{ relation.identifier }}' as table_name,
        version_season
    from {{ relation }}
    {%- endfor %}
),

found as (
    select
        table_name,
        version_season,
        count(*) as row_count
    from tables
    group by table_name, version_season
)

select
    coalesce(ledger.table_name, found.table_name) as table_name,
    version_season,
    coalesce(ledger.row_count, 0) as expected_rows,
    coalesce(found.row_count, 0) as found_rows
from ledger
full outer join found
    using (table_name, version_season)
inner join known_seasons
    using (version_season)
where
    coalesce(ledger.table_name, found.table_name) in (
        ''
        {%- for relation in relations %}, '{{ layer }}.{{ relation.identifier }}'{% endfor -%}
    )
    and coalesce(ledger.row_count, 0) != coalesce(found.row_count, 0)
order by table_name, version_season

{% endmacro %}
