{#
    The place of a count in a window, 1 for the highest, shared by ties; null while nobody has any, for
    nobody is first at what nobody has done yet.

    count    column
    window   name of a window without order
#}
{% macro rank_among(count, window) -%}
    case when max({{ count }}) over {{ window }} > 0
        then cast(rank() over ({{ window }} order by {{ count }} desc) as integer) end
{%- endmacro %}
