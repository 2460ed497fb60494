{#
    One text column that identifies a row: the md5 of its key columns.

    Null has a mark of its own, so that a missing value and an empty text give different keys.

    columns: list of SQL expressions, in the order that the model's description names them.
#}
{% macro surrogate_key(columns) -%}
    md5(
        {%- for column in columns %}
        coalesce(cast({{ column }} as text), '<null>')
        {%- if not loop.last %} || '|' || {% endif -%}
        {% endfor %}
    )
{%- endmacro %}
