{#
    The rows of a castaway that were known when a stage of the game began, once for every such stage, under
    `as_of_sog_id`. What happens at the stage itself is not known yet.

    rows    rows of a silver model with castaway_id
    known   SQL condition between `happened`, a row, and `stages`, the stages of stages_in_game
#}
{% macro known_before_stage(rows, known='happened.sog_id < stages.sog_id') -%}
    select
        stages.sog_id as as_of_sog_id,
        happened.*
    from {{ ref('stages_in_game') }} as stages
    inner join {{ rows }} as happened
        on
            stages.version_season = happened.version_season
            and stages.castaway_id = happened.castaway_id
            and {{ known }}
{%- endmacro %}
