{#
    A bronze value, or our correction of it when the seed upstream_repairs has one.

    A repair applies only while the source still holds the value it was written for: once upstream
    corrects itself (or changes its mind), the source's value passes through untouched.

    dataset      bronze dataset, as text
    column_name  column of that dataset, as text
    row_key      SQL expression that gives the row's key as the seed writes it
    value        SQL expression of the bronze value
    data_type    type of the result
#}
{% macro repaired(dataset, column_name, row_key, value, data_type) -%}
    (
        select case when count(*) = 0 then {{ value }} else cast(max(repair.our_value) as {{ data_type }}) end
        from {{ ref('upstream_repairs') }} as repair
        where
            repair.dataset = '{{ dataset }}'
            and repair.column_name = '{{ column_name }}'
            and repair.row_key = {{ row_key }}
            and repair.upstream_value is not distinct from cast({{ value }} as text)
    )
{%- endmacro %}
