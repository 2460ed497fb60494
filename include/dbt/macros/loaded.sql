{#
    Those of the datasets that the release holds: a source may lack some, such as the snapshot
    tribe_colours. All of them while dbt only parses, or compiles for the linter before anything was loaded.
#}
{% macro loaded(datasets) -%}
    {%- set bronze_exists = execute and load_relation(source('bronze', 'season_summary')) is not none -%}
    {%- set found = [] -%}
    {%- for dataset in datasets -%}
        {%- set relation = source('bronze', dataset) -%}
        {%- if not bronze_exists or load_relation(relation) is not none -%}
            {%- do found.append(dataset) -%}
        {%- endif -%}
    {%- endfor -%}
    {{ return(found) }}
{%- endmacro %}
