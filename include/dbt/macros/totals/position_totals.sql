{#
    The company a castaway kept: averages over the stages spent in the game on a tribe. A stage whose tribe
    is not fully known has no share and enters no average.

    stages   rows of social_positioning
    by       columns to add up by: the castaway-season, and the stage before which the rows were known
#}
{% macro position_totals(stages, by) -%}
    with tribe_stages as (
        select
            *,
            merge_phase in ('mergatory', 'post_merge') as is_merged
        from {{ stages }}
        where is_in_game and merge_phase in ('pre_merge', 'mergatory', 'post_merge')
    )

    select
        {{ by | join(', ') }},
        count(*) as stages_on_a_tribe,
        avg(same_gender_ratio order by sog_id) as avg_same_gender_ratio,
        avg(lgbt_similarity_ratio order by sog_id) as avg_lgbt_similarity_ratio,
        avg(bipoc_similarity_ratio order by sog_id) as avg_bipoc_similarity_ratio,
        avg(original_tribe_proportion order by sog_id) filter (where is_merged) as avg_original_tribe_strength,
        {{ ratio("count(*) filter (where gender_status = 'gender_minority')", 'count(gender_status)') }}
            as gender_minority_rate,
        {{ ratio("count(*) filter (where racial_status = 'racial_minority')", 'count(racial_status)') }}
            as racial_minority_rate,
        {{ ratio("count(*) filter (where lgbt_status = 'lgbt_minority')", 'count(lgbt_status)') }}
            as lgbt_minority_rate,
        {{ ratio(
            "count(*) filter (where is_merged and original_tribe_status = 'minority')",
            'count(original_tribe_status) filter (where is_merged)'
        ) }} as original_tribe_minority_rate
    from tribe_stages
    group by {{ by | join(', ') }}
{%- endmacro %}
