{#
    Challenges of a castaway, added up. A castaway known to have sat out took no part; where nobody
    recorded sit-outs, everyone counts as a participant and the number of sit-outs is unknown.

    challenges   rows of challenge_performance
    by           columns to add up by: the castaway-season, and the stage before which the rows were known
#}
{% macro challenge_totals(challenges, by) -%}
    with attempts as (
        select
            *,
            sit_out is not true as took_part,
            greatest(won_individual_immunity, won_individual_reward) as won_individually,
            won_flag * greatest(won_tribal_immunity, won_tribal_reward, won_team_immunity, won_team_reward)
                as won_as_team
        from {{ challenges }}
    ),

    contests as (
        select
            *,
            -- Who wins without playing (US44 Carson bet on the winning team) has contested the prize.
            challenge_format in ('individual', 'mixed') and (took_part or won_individually = 1)
                as contested_individually,
            challenge_format in ('tribal', 'team', 'mixed') and took_part and won_flag is not null
                as contested_as_team
        from attempts
    )

    select
        {{ by | join(', ') }},
        count(*) filter (where took_part) as total_challenges,
        coalesce(sum(won_flag), 0) as challenges_won,
        count(*) filter (where contested_individually) as individual_challenges,
        count(*) filter (where contested_as_team) as team_challenges,
        count(*) filter (where contested_individually and won_individually = 1) as individual_wins,
        coalesce(sum(won_individual_immunity), 0) as individual_immunity_wins,
        coalesce(sum(won_individual_reward), 0) as individual_reward_wins,
        count(*) filter (where contested_as_team and won_as_team = 1) as team_wins,
        coalesce(sum(won_duel), 0) as duel_wins,
        count(*) filter (where merge_phase = 'pre_merge' and won_flag = 1) as pre_merge_wins,
        count(*) filter (where merge_phase in ('mergatory', 'post_merge') and won_flag = 1) as post_merge_wins,
        count(*) filter (where chosen_for_reward) as reward_selections,
        {%- for skill in challenge_skills() %}
        count(*) filter (where {{ skill }}_win = 1) as {{ skill }}_wins,
        {%- endfor %}
        {%- for skill in ['balance', 'endurance', 'puzzle', 'strength'] %}
        {{ ratio('sum(' ~ skill ~ '_participated)', 'count(' ~ skill ~ '_participated) filter (where took_part)') }}
            as {{ skill }}_participation_rate,
        {%- endfor %}
        case when count(sit_out) = count(*) then count(*) filter (where sit_out) end as challenge_sitouts
    from contests
    group by {{ by | join(', ') }}
{%- endmacro %}
