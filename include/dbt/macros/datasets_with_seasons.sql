{#
    The bronze tables of the release that have seasons, as sources.yml says. Known only when dbt runs.
#}
{% macro datasets_with_seasons() -%}
    {%- set found = [] -%}
    {%- set tables = graph.sources.values() if execute else [] -%}
    {%- for table in tables if 'version_season' in table.columns -%}
        {%- set relation = adapter.get_relation(table.database, table.schema, table.identifier) -%}
        {%- if relation is not none -%}
            {%- do found.append(relation) -%}
        {%- endif -%}
    {%- endfor -%}
    {{ return(found) }}
{%- endmacro %}
