{#- Whoever has no row in a topic did nothing there: counts are 0, rates have no denominator and are null. -#}
{%- set counts = {
    'vote_totals': [
        'boot_votes_attended', 'boot_votes_voted', 'votes_lost', 'total_votes_cast', 'votes_correct',
        'votes_incorrect', 'majority_alliance_votes', 'lone_wolf_votes',
    ],
    'votes_received': ['total_votes_received', 'votes_received_counted', 'votes_nullified_against'],
    'challenge_totals': [
        'total_challenges', 'challenges_won', 'individual_challenges', 'individual_wins',
        'individual_immunity_wins', 'individual_reward_wins', 'team_challenges', 'team_wins', 'duel_wins',
        'reward_selections',
    ],
    'advantage_totals': [
        'advantages_obtained', 'advantages_found', 'advantages_played', 'idols_found', 'idols_played',
        'advantages_played_successfully', 'advantages_played_unsuccessfully', 'advantages_played_not_needed',
    ],
    'held': ['advantages_held', 'idols_held'],
    'position_totals': ['stages_on_a_tribe'],
    'edit_totals': ['total_episodes_appeared', 'episodes_with_confessionals', 'total_confessional_count'],
} -%}
{%- set before_stage = ['version_season', 'as_of_sog_id', 'castaway_id'] -%}

with stages as (
    select
        *,
        sog_id as as_of_sog_id
    from {{ ref('stages_in_game') }}
),

castaways as (
    select * from {{ ref('castaway_profile') }}
),

seasons as (
    select * from {{ ref('season_context') }}
),

pre_game as (
    select * from {{ ref('pre_game_features') }}
),

held as (
    select * from {{ ref('advantages_held') }}
),

votes_before as (
    {{ known_before_stage(ref('vote_dynamics')) }}
),

ballots_received as (
    select
        version_season,
        target_id as castaway_id,
        sog_id,
        vote_round,
        merge_phase,
        nullified
    from {{ ref('vote_dynamics') }}
    where has_ballot
),

ballots_received_before as (
    {{ known_before_stage('ballots_received') }}
),

challenges_before as (
    {{ known_before_stage(ref('challenge_performance')) }}
),

advantage_events_before as (
    {{ known_before_stage(ref('advantage_strategy'), known=event_is_known('happened', 'stages')) }}
),

positions_before as (
    {{ known_before_stage(ref('social_positioning')) }}
),

-- An episode airs as a whole: only earlier ones have been seen.
episodes_before as (
    {{ known_before_stage(ref('edit_features'), known='happened.episode < stages.episode') }}
),

vote_totals as (
    {{ vote_totals('votes_before', by=before_stage) }}
),

votes_received as (
    {{ votes_received_totals('ballots_received_before', by=before_stage) }}
),

challenge_totals as (
    {{ challenge_totals('challenges_before', by=before_stage) }}
),

advantage_totals as (
    {{ advantage_totals('advantage_events_before', by=before_stage) }}
),

position_totals as (
    {{ position_totals('positions_before', by=before_stage) }}
),

edit_totals as (
    {{ edit_totals('episodes_before', by=before_stage) }}
),

counted as (
    select
        stages.version_season,
        stages.sog_id,
        stages.castaway_id,
        stages.episode,
        stages.last_merge_phase,
        stages.castaways_left,
        stages.original_tribe_members_left,
        stages.last_tribe_members_left,
        {%- for topic, columns in counts.items() %}
        {%- for column in columns %}
        coalesce({{ topic }}.{{ column }}, 0) as {{ column }},
        {%- endfor %}
        {%- endfor %}
        -- No 0 here: sit-outs that nobody recorded, and time that nobody took, are unknown.
        challenge_totals.challenge_sitouts,
        edit_totals.total_confessional_time,
        vote_totals.avg_vote_alignment,
        edit_totals.avg_confessional_count_per_episode,
        position_totals.avg_same_gender_ratio,
        position_totals.avg_lgbt_similarity_ratio,
        position_totals.avg_bipoc_similarity_ratio,
        position_totals.avg_original_tribe_strength,
        position_totals.gender_minority_rate,
        position_totals.racial_minority_rate,
        position_totals.lgbt_minority_rate,
        position_totals.original_tribe_minority_rate
    from stages
    {% for topic in counts -%}
    left join {{ topic }} on {{ same_values('stages', topic, before_stage) }}
    {% endfor %}
),

-- Seasons and versions differ in how much of everything there is: compare with those who are left.
compared as (
    select
        *,
        sum(total_confessional_count) over stage as confessionals_of_those_left,
        {{ rank_among('total_confessional_count', 'stage') }} as total_confessional_count_rank,
        {{ rank_among('challenges_won', 'stage') }} as challenges_won_rank,
        {{ rank_among('total_votes_received', 'stage') }} as total_votes_received_rank,
        {{ ratio('original_tribe_members_left', 'castaways_left') }} as original_tribe_share,
        {{ ratio('last_tribe_members_left', 'castaways_left') }} as last_tribe_share
    from counted
    window stage as (partition by version_season, sog_id)
),

final as (
    select
        {{ surrogate_key(['compared.version_season', 'compared.sog_id', 'compared.castaway_id']) }}
            as ml_features_as_of_key,
        compared.version_season,
        compared.sog_id,
        compared.castaway_id,

        {{ as_of_targets('castaways', 'seasons') }},

        {%- for column in pre_game_columns() %}
        pre_game.{{ column }},
        {%- endfor %}

        compared.episode,
        cast(compared.castaways_left as integer) as castaways_left,
        compared.last_merge_phase,
        cast(compared.original_tribe_members_left as integer) as original_tribe_members_left,
        compared.original_tribe_share,
        cast(compared.last_tribe_members_left as integer) as last_tribe_members_left,
        compared.last_tribe_share,
        {%- for columns in counts.values() %}
        {%- for column in columns %}
        cast(compared.{{ column }} as integer) as {{ column }},
        {%- endfor %}
        {%- endfor %}
        cast(compared.challenge_sitouts as integer) as challenge_sitouts,
        {{ ratio('compared.votes_correct', 'compared.boot_votes_voted') }} as vote_accuracy_rate,
        {{ ratio('compared.majority_alliance_votes', 'compared.total_votes_cast') }} as majority_alliance_rate,
        compared.avg_vote_alignment,
        {{ ratio('compared.individual_wins', 'compared.individual_challenges') }} as individual_win_rate,
        {{ ratio('compared.team_wins', 'compared.team_challenges') }} as team_win_rate,
        {%- for average in [
            'avg_same_gender_ratio', 'avg_lgbt_similarity_ratio', 'avg_bipoc_similarity_ratio',
            'avg_original_tribe_strength', 'gender_minority_rate', 'racial_minority_rate',
            'lgbt_minority_rate', 'original_tribe_minority_rate',
        ] %}
        compared.{{ average }},
        {%- endfor %}
        compared.total_confessional_time,
        compared.avg_confessional_count_per_episode,
        {{ ratio('compared.total_confessional_count', 'compared.confessionals_of_those_left') }}
            as confessional_share,
        compared.total_confessional_count_rank,
        compared.challenges_won_rank,
        compared.total_votes_received_rank
    from compared
    inner join castaways
        on
            compared.version_season = castaways.version_season
            and compared.castaway_id = castaways.castaway_id
    inner join seasons
        on compared.version_season = seasons.version_season
    inner join pre_game
        on castaways.castaway_profile_key = pre_game.castaway_profile_key
)

select * from final
