{#
    A model that drops exact copies of source rows drops known ones only: every row that the source holds more than
    once has a repair of its `copies` in the seed upstream_repairs, and the model has a row for each other.

    dataset   bronze dataset; copies are counted over every column but the loader's own
#}
{% test copies_are_known(model, dataset) %}

with published as (
    select
        {{ row_key(dataset, 'source_rows') }} as row_key,
        count(*) as copies
    from {{ source('bronze', dataset) }} as source_rows
    group by {{ row_key(dataset, 'source_rows') }}, to_jsonb(source_rows) - '_row_number'
),

repairs as (
    select
        row_key,
        cast(upstream_value as bigint) as copies,
        cast(our_value as bigint) as our_copies
    from {{ ref('upstream_repairs') }}
    where dataset = '{{ dataset }}' and column_name = 'copies'
),

expected as (
    select
        published.row_key,
        published.copies,
        repairs.our_copies,
        coalesce(repairs.our_copies, published.copies) as row_count
    from published
    left join repairs
        on
            published.row_key = repairs.row_key
            and published.copies = repairs.copies
)

select
    'unknown copy' as problem,
    row_key,
    copies as row_count
from expected
where copies > 1 and our_copies is null

union all

select
    'the model has other rows than the source after repairs' as problem,
    null as row_key,
    ours.row_count
from (select count(*) as row_count from {{ model }}) as ours
cross join (select sum(row_count) as row_count from expected) as theirs
where ours.row_count != theirs.row_count

{% endtest %}
