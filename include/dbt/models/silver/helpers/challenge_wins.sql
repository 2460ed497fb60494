-- Who won which prize of a challenge. Upstream flags it since 2025-11-16; for an older commit the same flags
-- are made from challenge_summary. All flags of a release come from one of the two, never some from each.
{%- set categories = {
    'won': 'All',
    'won_individual_immunity': 'Individual Immunity',
    'won_individual_reward': 'Individual Reward',
    'won_tribal_immunity': 'Tribal Immunity',
    'won_tribal_reward': 'Tribal Reward',
    'won_team_immunity': 'Team Immunity',
    'won_team_reward': 'Team Reward',
    'won_duel': 'Duel',
} %}

with results as (
    select * from {{ source('bronze', 'challenge_results') }}
),

summary as (
    select * from {{ source('bronze', 'challenge_summary') }}
),

-- A column that the source does not hold is null in every row.
published as (
    select
        true
        {%- for flag in categories %}
        and count({{ flag }}) > 0
        {%- endfor %} as has_flags
    from results
),

repaired_results as (
    select
        {% for flag in categories -%}
        {{ repaired('challenge_results', flag, 'results', 'integer') }} as {{ flag }},
        {% endfor -%}
        results.version_season,
        results.challenge_id,
        results.castaway_id,
        results.outcome_type
    from results
),

repaired_summary as (
    select
        summary.version_season,
        summary.challenge_id,
        summary.castaway_id,
        summary.category,
        {{ repaired('challenge_summary', 'won', 'summary', 'integer') }} as won
    from summary
),

told as (
    select
        {% for flag, category in categories.items() -%}
        coalesce(max(won) filter (where category = '{{ category }}'), 0) as {{ flag }},
        {% endfor -%}
        version_season,
        challenge_id,
        castaway_id
    from repaired_summary
    group by version_season, challenge_id, castaway_id
),

final as (
    select
        {% for flag in categories -%}
        case
            when published.has_flags then results.{{ flag }}
            -- The summary leaves out who competed in teams whose line-up is unknown, and a few who did not win.
            when told.castaway_id is null and results.outcome_type = 'Team' then null
            else coalesce(told.{{ flag }}, 0)
        end as {{ flag }},
        {% endfor -%}
        results.version_season,
        results.challenge_id,
        results.castaway_id
    from repaired_results as results
    cross join published
    left join told
        on
            results.version_season = told.version_season
            and results.challenge_id = told.challenge_id
            and results.castaway_id = told.castaway_id
)

select * from final
