{#
    How many rows of the group have a flag, or null when the flag of any row is unknown: a group that is
    only partly known has no count, and so no share.
#}
{% macro known_count(flag) -%}
    case when count({{ flag }}) = count(*) then count(*) filter (where {{ flag }}) end
{%- endmacro %}
