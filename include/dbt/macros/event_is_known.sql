{#
    Whether an event of an advantage was known when a stage began. Upstream gives some events an episode and
    no stage: these are known once a later episode begins. An event without either is never known.
#}
{% macro event_is_known(event, stage) -%}
    ({{ event }}.sog_id < {{ stage }}.sog_id or ({{ event }}.sog_id is null and {{ event }}.episode < {{ stage }}.episode))
{%- endmacro %}
