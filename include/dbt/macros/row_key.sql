{#
    How the seed upstream_repairs names a row of a bronze dataset, as a SQL expression: the values of its key
    columns, joined by |. The key columns stand in dbt_project.yml (row_keys).

    dataset      bronze dataset, as text
    relation     relation of the query with the dataset's rows, as text
    column_name  column to be repaired, which may have a key of its own
#}
{% macro row_key(dataset, relation, column_name='') -%}
    {%- set row_keys = var('row_keys') -%}
    {%- set columns = row_keys.get(dataset ~ '.' ~ column_name) or row_keys[dataset] -%}
    concat(
    {%- for column in columns -%}
        {{ relation }}."{{ column }}"{{ ", '|', " if not loop.last }}
    {%- endfor -%}
    )
{%- endmacro %}
