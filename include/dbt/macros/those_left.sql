{#
    ml_features_as_of at the last stage of each season that begins with `count` castaways in the game. Where
    somebody came back, an earlier stage began with as many: the last one is what the show calls it.
#}
{% macro those_left(count) -%}
with as_of as (
    select * from {{ ref('ml_features_as_of') }}
),

last_stages as (
    select
        version_season,
        max(sog_id) as sog_id
    from as_of
    where castaways_left = {{ count }}
    group by version_season
),

final as (
    select as_of.*
    from as_of
    inner join last_stages
        on
            as_of.version_season = last_stages.version_season
            and as_of.sog_id = last_stages.sog_id
)

select * from final
{%- endmacro %}
