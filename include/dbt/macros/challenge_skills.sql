{#
    The skills that challenge_description judges, one flag each, of which features are made.
#}
{% macro challenge_skills() -%}
    {{ return(['balance', 'endurance', 'knowledge', 'memory', 'precision', 'puzzle', 'race', 'strength', 'water']) }}
{%- endmacro %}
