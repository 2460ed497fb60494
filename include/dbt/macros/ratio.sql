{#
    numerator / denominator as double precision; null, not 0, when there is nothing to divide by.
#}
{% macro ratio(numerator, denominator) -%}
    cast({{ numerator }} as double precision) / nullif({{ denominator }}, 0)
{%- endmacro %}
