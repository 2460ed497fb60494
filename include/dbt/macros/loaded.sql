{#
    Those of the datasets that the release holds: a source may lack some, such as the snapshot
    tribe_colours. While dbt only parses, all of them.
#}
{% macro loaded(datasets) -%}
    {%- set found = [] -%}
    {%- for dataset in datasets -%}
        {%- set relation = source('bronze', dataset) -%}
        {%- if not execute or load_relation(relation) is not none -%}
            {%- do found.append(dataset) -%}
        {%- endif -%}
    {%- endfor -%}
    {{ return(found) }}
{%- endmacro %}
