{#
    A gold table says of a castaway and the season what castaway_profile and season_context say.

    columns   {column of the model: SQL over `castaway` and `season`}
#}
{% test describes_castaways_as_silver_does(model, columns) %}

select
    ours.version_season,
    ours.castaway_id,
    differing.feature,
    differing.in_gold,
    differing.in_silver
from {{ model }} as ours
inner join {{ ref('castaway_profile') }} as castaway
    on
        ours.version_season = castaway.version_season
        and ours.castaway_id = castaway.castaway_id
inner join {{ ref('season_context') }} as season
    on ours.version_season = season.version_season
cross join lateral (
    values
    {% for column, expression in columns.items() -%}
    ('{{ column }}', cast(ours.{{ column }} as text), cast({{ expression }} as text)){{ ',' if not loop.last }}
    {% endfor %}
) as differing (feature, in_gold, in_silver)
where differing.in_gold is distinct from differing.in_silver

{% endtest %}
