{#
    A model that drops exact copies of source rows drops known ones only: the model has one row for each
    distinct source row, and every row that occurs twice stands in the seed known_exceptions.

    source_table   the copies are counted here, over every column but the loader's own
    rule           value of known_exceptions.rule
    row_key        SQL expression that gives the row's key as the seed writes it
#}
{% test duplicates_are_known(model, source_table, rule, row_key) %}

with copies as (
    select
        {{ row_key }} as row_key,
        count(*) as row_count
    from {{ source_table }} as source_rows
    group by {{ row_key }}, to_jsonb(source_rows) - array['_row_number', '_release_id']
)

select
    'unknown copy' as problem,
    copies.row_key,
    copies.row_count
from copies
where
    copies.row_count > 1
    and not exists (
        select 1
        from {{ ref('known_exceptions') }} as known
        where known.rule = '{{ rule }}' and known.row_key = copies.row_key
    )

union all

select
    'rows of the model differ from distinct rows of the source' as problem,
    null as row_key,
    ours.row_count
from (select count(*) as row_count from {{ model }}) as ours
cross join (select count(*) as row_count from copies) as theirs
where ours.row_count != theirs.row_count

{% endtest %}
