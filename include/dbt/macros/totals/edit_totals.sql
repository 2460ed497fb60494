{#
    How the edit shows a castaway, added up. Time is known for few castaways: sums and averages use the
    episodes that are known, and are null, not 0, when there is none. The order of floating-point sums is
    fixed, so that every build gives the same bits.

    episodes   rows of edit_features
    by         columns to add up by: the castaway-season, and the stage before which the rows were known
#}
{% macro edit_totals(episodes, by) -%}
    select
        {{ by | join(', ') }},
        count(*) as total_episodes_appeared,
        count(*) filter (where has_confessional = 1) as episodes_with_confessionals,
        sum(confessional_count) as total_confessional_count,
        sum(confessional_time order by episode) as total_confessional_time,
        sum(expected_confessional_count order by episode) as total_expected_confessional_count,
        sum(expected_confessional_time order by episode) filter (where confessional_time is not null)
            as total_expected_confessional_time,
        sum(high_confessional_count) as high_confessional_episodes,
        sum(high_confessional_time) as high_confessional_time_episodes,
        sum(over_edited_count) as over_edited_count_episodes,
        sum(over_edited_time) as over_edited_time_episodes,
        sum(under_edited_count) as under_edited_count_episodes,
        sum(under_edited_time) as under_edited_time_episodes,
        {{ ratio('sum(over_edited_count)', 'count(over_edited_count)') }} as over_edited_rate,
        {{ ratio('sum(under_edited_count)', 'count(under_edited_count)') }} as under_edited_rate,
        {{ ratio('sum(confessional_count)', 'count(confessional_count)') }}
            as avg_confessional_count_per_episode,
        avg(confessional_time order by episode) as avg_confessional_time_per_episode
    from {{ episodes }}
    group by {{ by | join(', ') }}
{%- endmacro %}
