{#
    The phase of the game that a tribe status stands for; docs/definitions.md has the reasons.

    pre_merge     Original, Swapped and its numbered successors
    mergatory     one camp, but the merge has still to be earned
    post_merge    Merged
    out_of_game   an island, beach or leave from which a castaway may return
    not_started   not yet (or never) placed in a tribe
    null          an unknown status; a test reports it
#}
{% macro game_phase(tribe_status) -%}
    case
        when {{ tribe_status }} = 'Original' or {{ tribe_status }} like 'Swapped%' then 'pre_merge'
        when {{ tribe_status }} = 'Mergatory' then 'mergatory'
        when {{ tribe_status }} = 'Merged' then 'post_merge'
        when {{ tribe_status }} in (
            'Redemption Island',
            'Redemption Rock',
            'Redemption Beach',
            'Edge of Extinction',
            'Exile Beach',
            'Exile Island',
            'Purgatory',
            'Dead Man''s Island',
            'Island of Secrets',
            'Medical Leave'
        ) then 'out_of_game'
        when {{ tribe_status }} in ('Not yet selected', 'None') then 'not_started'
    end
{%- endmacro %}
