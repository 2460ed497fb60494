{#- Whoever has no row in a topic did nothing there: counts are 0, rates have no denominator and are null. -#}
{%- set counts = {
    'challenge_totals': [
        'total_challenges', 'challenges_won', 'individual_challenges', 'individual_wins',
        'individual_immunity_wins', 'individual_reward_wins', 'team_challenges', 'team_wins', 'duel_wins',
        'pre_merge_wins', 'post_merge_wins', 'reward_selections', 'balance_wins', 'endurance_wins',
        'knowledge_wins', 'memory_wins', 'precision_wins', 'puzzle_wins', 'race_wins', 'strength_wins',
        'water_wins',
    ],
    'advantage_totals': [
        'advantages_found', 'advantages_played', 'idols_found', 'idols_played',
        'advantages_played_successfully', 'advantages_played_unsuccessfully', 'advantages_played_not_needed',
        'advantages_played_for_self', 'advantages_played_for_others',
    ],
    'vote_totals': [
        'boot_votes_attended', 'boot_votes_voted', 'total_votes_cast', 'votes_correct', 'votes_incorrect',
        'pre_merge_tribals_attended', 'post_merge_tribals_attended', 'pre_merge_boot_votes_voted',
        'post_merge_boot_votes_voted', 'pre_merge_correct_votes', 'post_merge_correct_votes',
        'majority_alliance_votes', 'lone_wolf_votes',
    ],
    'votes_received': [
        'total_votes_received', 'votes_received_counted', 'votes_nullified_against',
        'pre_merge_votes_received', 'post_merge_votes_received',
    ],
    'jury_totals': ['jury_votes_received', 'jury_votes_from_original_tribe'],
} -%}

with castaways as (
    select * from {{ ref('castaway_profile') }}
),

seasons as (
    select * from {{ ref('season_context') }}
),

pre_game as (
    select * from {{ ref('pre_game_features') }}
),

challenge_totals as (
    select * from {{ ref('castaway_challenge_totals') }}
),

advantage_totals as (
    select * from {{ ref('castaway_advantage_totals') }}
),

vote_totals as (
    select * from {{ ref('castaway_vote_totals') }}
),

votes_received as (
    select * from {{ ref('castaway_votes_received') }}
),

position_totals as (
    select * from {{ ref('castaway_position_totals') }}
),

jury_totals as (
    select * from {{ ref('castaway_jury_totals') }}
),

final as (
    select
        {{ surrogate_key(['castaways.version_season', 'castaways.castaway_id']) }} as ml_features_key,
        castaways.castaway_id,
        castaways.version_season,

        cast(castaways.is_winner as integer) as target_winner,
        cast(castaways.is_finalist as integer) as target_finalist,
        cast(castaways.is_juror as integer) as target_jury,
        castaways.place as target_placement,
        castaways.exit_type,

        {%- for column in pre_game_columns() %}
        pre_game.{{ column }},
        {%- endfor %}

        -- Known only once the season is over, or later still.
        seasons.recency_in_version as season_recency_weight,
        seasons.finalist_count,
        seasons.jury_count,
        cast(seasons.has_edge_of_extinction as integer) as has_edge_of_extinction,
        cast(seasons.has_redemption_island as integer) as has_redemption_island,
        cast(seasons.has_tribe_swap as integer) as has_tribe_swap,
        {%- for topic, columns in counts.items() %}
        {%- for column in columns %}
        cast(coalesce({{ topic }}.{{ column }}, 0) as integer) as {{ column }},
        {%- endfor %}
        {%- endfor %}

        -- No 0 here: sit-outs that nobody recorded are unknown.
        cast(challenge_totals.challenge_sitouts as integer) as challenge_sitouts,

        {{ ratio('challenge_totals.individual_wins', 'challenge_totals.individual_challenges') }}
            as individual_win_rate,
        {{ ratio('challenge_totals.team_wins', 'challenge_totals.team_challenges') }} as team_win_rate,
        challenge_totals.balance_participation_rate,
        challenge_totals.endurance_participation_rate,
        challenge_totals.puzzle_participation_rate,
        challenge_totals.strength_participation_rate,
        {{ ratio(
            'advantage_totals.advantages_played_successfully',
            '(advantage_totals.advantages_played_successfully + advantage_totals.advantages_played_unsuccessfully)'
        ) }} as advantage_success_rate,
        {{ ratio(
            'advantage_totals.idols_played_successfully',
            '(advantage_totals.idols_played_successfully + advantage_totals.idols_played_unsuccessfully)'
        ) }} as idol_success_rate,
        vote_totals.avg_vote_alignment,
        {{ ratio('vote_totals.votes_correct', 'vote_totals.boot_votes_voted') }} as vote_accuracy_rate,
        {{ ratio('vote_totals.pre_merge_correct_votes', 'vote_totals.pre_merge_boot_votes_voted') }}
            as pre_merge_accuracy_rate,
        {{ ratio('vote_totals.post_merge_correct_votes', 'vote_totals.post_merge_boot_votes_voted') }}
            as post_merge_accuracy_rate,
        {{ ratio('vote_totals.majority_alliance_votes', 'vote_totals.total_votes_cast') }}
            as majority_alliance_rate,
        {{ ratio('vote_totals.lone_wolf_votes', 'vote_totals.total_votes_cast') }} as lone_wolf_rate,
        position_totals.avg_same_gender_ratio,
        position_totals.avg_lgbt_similarity_ratio,
        position_totals.avg_bipoc_similarity_ratio,
        position_totals.avg_original_tribe_strength,
        position_totals.gender_minority_rate,
        position_totals.racial_minority_rate,
        position_totals.lgbt_minority_rate,
        position_totals.original_tribe_minority_rate,
        {{ ratio('jury_totals.jury_votes_from_original_tribe', 'jury_totals.jury_votes_received') }}
            as original_tribe_jury_support_rate
    from castaways
    inner join seasons
        on castaways.version_season = seasons.version_season
    inner join pre_game
        on castaways.castaway_profile_key = pre_game.castaway_profile_key
    {%- for topic in counts.keys() | list + ['position_totals'] %}
    left join {{ topic }}
        on
            castaways.version_season = {{ topic }}.version_season
            and castaways.castaway_id = {{ topic }}.castaway_id
    {%- endfor %}
    -- A running season has no targets yet, and its counts are not those of a whole season.
    where seasons.season_status = 'complete'
)

select * from final
