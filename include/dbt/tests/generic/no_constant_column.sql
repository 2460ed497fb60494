{#
    Every column holds at least two known values: one that says the same of every row has usually lost its
    meaning on the way (every castaway was once a first-time player, no vote was ever part of a split).

    A column that may be constant says why in its config: meta: {constant: <reason>}.

    minimum_seasons   a model with fewer seasons cannot tell, and passes
#}
{% test no_constant_column(model, minimum_seasons=40) %}

{%- set may_be_constant = [] %}
{%- set columns = [] %}
{%- if execute %}
    {%- for node in graph.nodes.values() if node.resource_type == 'model' and node.name == model.identifier %}
        {%- for column in node.columns.values() if column.config.meta.constant %}
            {%- do may_be_constant.append(column.name) %}
        {%- endfor %}
    {%- endfor %}
    {%- for column in adapter.get_columns_in_relation(model) if column.name not in may_be_constant %}
        {%- do columns.append(column.name) %}
    {%- endfor %}
{%- endif %}

with extremes as (
    select
        {% for column in columns -%}
        min(cast({{ column }} as text)) as least_{{ loop.index }},
        max(cast({{ column }} as text)) as greatest_{{ loop.index }},
        {% endfor -%}
        count(distinct version_season) as season_count
    from {{ model }}
)

select facts.*
from extremes
cross join lateral (
    values
    {% for column in columns -%}
    ('{{ column }}', least_{{ loop.index }}, greatest_{{ loop.index }}){{ ',' if not loop.last }}
    {% else -%}
    (null, null, null)
    {% endfor -%}
) as facts (column_name, least_value, greatest_value)
where
    extremes.season_count >= {{ minimum_seasons }}
    and facts.least_value is not distinct from facts.greatest_value

{% endtest %}
