{#
    What ml_features_as_of says of a castaway at a stage, counted a second time from silver's rows of earlier
    stages (of earlier episodes): a row that knows more has seen the future, one that knows less has forgotten.
#}
{% test counts_what_came_before(model) %}

with stages as (
    select
        version_season,
        sog_id,
        castaway_id,
        episode
    from {{ ref('social_positioning') }}
    where is_in_game
),

happened as (
    select
        version_season, castaway_id, sog_id, cast(null as integer) as episode, 'total_votes_cast' as feature, 1 as number
    from {{ ref('vote_dynamics') }} where has_ballot and vote_round = 1

    union all

    select version_season, target_id, sog_id, cast(null as integer), 'total_votes_received', 1
    from {{ ref('vote_dynamics') }} where has_ballot and vote_round = 1

    union all

    select version_season, castaway_id, sog_id, cast(null as integer), 'total_challenges', 1
    from {{ ref('challenge_performance') }} where sit_out is not true

    union all

    select version_season, castaway_id, sog_id, cast(null as integer), 'challenges_won', won_flag
    from {{ ref('challenge_performance') }}

    union all

    select version_season, castaway_id, sog_id, cast(null as integer), 'individual_immunity_wins', won_individual_immunity
    from {{ ref('challenge_performance') }}

    union all

    select version_season, castaway_id, cast(null as integer), episode, 'total_confessional_count', confessional_count
    from {{ ref('edit_features') }}

    union all

    select version_season, castaway_id, cast(null as integer), episode, 'total_episodes_appeared', 1
    from {{ ref('edit_features') }}
),

counted as (
    select
        stages.version_season,
        stages.sog_id,
        stages.castaway_id,
        {% set features = [
            'total_votes_cast', 'total_votes_received', 'total_challenges', 'challenges_won',
            'individual_immunity_wins', 'total_confessional_count', 'total_episodes_appeared',
        ] -%}
        {% for feature in features -%}
        coalesce(sum(happened.number) filter (where happened.feature = '{{ feature }}'), 0) as {{ feature }}
        {{- ',' if not loop.last }}
        {% endfor %}
    from stages
    left join happened
        on
            stages.version_season = happened.version_season
            and stages.castaway_id = happened.castaway_id
            and (stages.sog_id > happened.sog_id or stages.episode > happened.episode)
    group by stages.version_season, stages.sog_id, stages.castaway_id
)

select
    counted.version_season,
    counted.sog_id,
    counted.castaway_id,
    differing.*
from counted
left join {{ model }} as ours
    on
        counted.version_season = ours.version_season
        and counted.sog_id = ours.sog_id
        and counted.castaway_id = ours.castaway_id
cross join lateral (
    values
    {% for feature in features -%}
    ('{{ feature }}', ours.{{ feature }}, counted.{{ feature }}){{ ',' if not loop.last }}
    {% endfor %}
) as differing (feature, in_gold, in_silver)
where differing.in_gold is distinct from differing.in_silver

{% endtest %}
