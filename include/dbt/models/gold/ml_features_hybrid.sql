with non_edit as (
    select * from {{ ref('ml_features_non_edit') }}
),

edit_totals as (
    select * from {{ ref('castaway_edit_totals') }}
),

rated as (
    select
        edit_totals.*,
        {{ ratio('total_confessional_count', 'total_expected_confessional_count') }}
            as overall_confessional_count_ratio,
        {{ ratio('total_confessional_time', 'total_expected_confessional_time') }}
            as overall_confessional_time_ratio,
        {{ ratio('episodes_with_confessionals', 'total_episodes_appeared') }} as confessional_presence_rate
    from edit_totals
),

final as (
    select
        non_edit.*,
        {%- for count in [
            'total_episodes_appeared', 'episodes_with_confessionals', 'total_confessional_count',
            'high_confessional_episodes', 'high_confessional_time_episodes', 'over_edited_count_episodes',
            'over_edited_time_episodes', 'under_edited_count_episodes', 'under_edited_time_episodes',
        ] %}
        cast(rated.{{ count }} as integer) as {{ count }},
        {%- endfor %}
        rated.total_confessional_time,
        rated.total_expected_confessional_count,
        rated.total_expected_confessional_time,
        rated.overall_confessional_count_ratio,
        rated.overall_confessional_time_ratio,
        rated.confessional_presence_rate,
        rated.over_edited_rate,
        rated.under_edited_rate,
        rated.avg_confessional_count_per_episode,
        rated.avg_confessional_time_per_episode,
        cast(rated.total_confessional_count > 0 as integer) as has_any_confessionals,
        cast(rated.confessional_presence_rate >= 0.5 as integer) as high_edit_presence,
        cast(rated.overall_confessional_count_ratio >= 1.2 as integer) as significantly_over_edited,
        cast(rated.overall_confessional_count_ratio <= 0.8 as integer) as significantly_under_edited,
        cast(rated.total_confessional_count > 0 and non_edit.challenges_won > 0 as integer)
            as edit_and_challenge_success,
        cast(rated.total_confessional_count > 0 and non_edit.advantages_found > 0 as integer)
            as edit_and_advantage_success,
        cast(rated.confessional_presence_rate >= 0.5 and non_edit.vote_accuracy_rate >= 0.7 as integer)
            as edit_and_strategic_success
    from non_edit
    left join rated
        on
            non_edit.version_season = rated.version_season
            and non_edit.castaway_id = rated.castaway_id
)

select * from final
