{#
    Whether a castaway is in the game at a stage, by game_status: also on the stage at which someone
    comes back from an island, not while on one. The US10 pair that no tribe picked never started.
#}
{% macro is_in_game(game_status) -%}
    {{ game_status }} in ('In the game', 'Returned')
{%- endmacro %}
