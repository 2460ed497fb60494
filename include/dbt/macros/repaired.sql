{#
    A bronze value, or our correction of it when the seed upstream_repairs has one.

    A repair applies only while the source still holds the value it was written for: once upstream
    corrects itself (or changes its mind), the source's value passes through untouched.

    The repairs of a column are looked up in one map, which Postgres makes once per query.

    dataset      bronze dataset, as text
    column_name  column of that dataset, as text
    relation     relation of the query with the dataset's rows, as text
    data_type    type of the result
    value        SQL expression of the bronze value, where it is not the column itself
#}
{% macro repaired(dataset, column_name, relation, data_type, value=none) -%}
    {%- set value = value or relation ~ '."' ~ column_name ~ '"' -%}
    {%- set held = row_key(dataset, relation, column_name) ~ " || ' = ' || coalesce(cast(" ~ value ~ " as text), '<null>')" -%}
    {%- set repairs -%}
        (
            select jsonb_object_agg(row_key || ' = ' || coalesce(upstream_value, '<null>'), our_value)
            from {{ ref('upstream_repairs') }}
            where dataset = '{{ dataset }}' and column_name = '{{ column_name }}'
        )
    {%- endset -%}
    case
        when {{ repairs }} -> ({{ held }}) is not null
            then cast({{ repairs }} ->> ({{ held }}) as {{ data_type }})
        else {{ value }}
    end
{%- endmacro %}
