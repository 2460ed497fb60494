{#
    A view on ml_features_as_of shows one stage of each season, whole and unchanged.

    stages   SQL over `stages` (version_season, sog_id, in_game: how many are in the game, merge_sog_id): true for
             the stages that may be shown; of several the last one is
#}
{% test shows_the_stage(model, stages) %}

with stages as (
    select
        positions.version_season,
        positions.sog_id,
        season.merge_sog_id,
        count(*) as in_game
    from {{ ref('social_positioning') }} as positions
    inner join {{ ref('season_context') }} as season
        on positions.version_season = season.version_season
    where positions.is_in_game
    group by positions.version_season, positions.sog_id, season.merge_sog_id
),

shown as (
    select
        version_season,
        max(sog_id) as sog_id
    from stages
    where {{ stages }}
    group by version_season
),

expected as (
    select as_of.*
    from {{ ref('ml_features_as_of') }} as as_of
    inner join shown
        on
            as_of.version_season = shown.version_season
            and as_of.sog_id = shown.sog_id
)

select
    'not of the stage' as problem,
    differing.version_season,
    differing.sog_id,
    differing.castaway_id
from (select * from {{ model }} except select * from expected) as differing

union all

select
    'missing' as problem,
    differing.version_season,
    differing.sog_id,
    differing.castaway_id
from (select * from expected except select * from {{ model }}) as differing

{% endtest %}
