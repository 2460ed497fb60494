{#
    Whether a season has a twist: true once the data show it, false when the season is over without it,
    null while it may still come.
#}
{% macro seen_so_far(condition, is_complete) -%}
    case when {{ condition }} then true when {{ is_complete }} then false end
{%- endmacro %}
