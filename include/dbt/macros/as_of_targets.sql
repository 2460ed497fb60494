{#
    What a model is to predict, unknown (null) until the season is complete: upstream says who has not won,
    and places whoever has left, while others still play and some come back.

    castaways, seasons   castaway_profile and season_context, joined
#}
{% macro as_of_targets(castaways, seasons) -%}
    cast({{ castaways }}.is_winner as integer) as target_winner,
    cast({{ castaways }}.is_finalist as integer) as target_finalist,
    case when {{ seasons }}.season_status = 'complete' then {{ castaways }}.place end as target_placement
{%- endmacro %}
