{#
    Where a node is built. `custom_schema_name` is its layer: silver, gold or reference.

    While a release is built (GAMEBOT_RELEASE_ID=42): silver_r42, gold_r42, reference_r42.
    By hand: <target schema>_silver and so on, so that no one writes into a release by accident.
#}
{% macro generate_schema_name(custom_schema_name, node) -%}
    {%- set release_id = env_var('GAMEBOT_RELEASE_ID', '') -%}
    {%- if custom_schema_name is none -%}
        {{ target.schema }}
    {%- elif release_id -%}
        {{ custom_schema_name | trim }}_r{{ release_id }}
    {%- else -%}
        {{ target.schema }}_{{ custom_schema_name | trim }}
    {%- endif -%}
{%- endmacro %}
