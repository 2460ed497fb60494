{#
    The text columns of a relation that people read: no ids and no codes of one length.
#}
{% macro text_columns(relation) -%}
    {%- set found = [] -%}
    {%- for column in adapter.get_columns_in_relation(relation)
        if column.is_string() and not column.name.endswith('_id')
        and column.name not in ('version', 'version_season', 'tribe_colour') -%}
        {%- do found.append(column.name) -%}
    {%- endfor -%}
    {{ return(found) }}
{%- endmacro %}
