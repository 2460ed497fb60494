{#
    <group>_majority when at least half of the tribe shares the castaway's own value, <group>_minority
    when less does, null when the share is unknown.
#}
{% macro majority_status(share, group) -%}
    case
        when {{ share }} >= 0.5 then '{{ group }}_majority'
        when {{ share }} < 0.5 then '{{ group }}_minority'
    end
{%- endmacro %}
