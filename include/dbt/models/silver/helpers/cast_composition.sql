-- Who makes up the cast of each season. A count whose flag is unknown of anyone is unknown itself.

with castaway_profile as (
    select * from {{ ref('castaway_profile') }}
),

counts as (
    select
        version_season,
        count(*) as total_cast,
        count(*) filter (where gender = 'Male') as male_count,
        count(*) filter (where gender = 'Female') as female_count,
        count(*) filter (where gender = 'Non-binary') as nonbinary_count,
        {{ known_count('bipoc') }} as bipoc_count,
        {{ known_count('lgbt') }} as lgbt_count,
        count(*) filter (where is_returnee) as returnee_count,
        avg(age) as average_age,
        min(age) as min_age,
        max(age) as max_age,
        stddev_samp(age) as age_stddev,
        coalesce(bool_or(n_boots > 1), false) as has_repeat_boot
    from castaway_profile
    group by version_season
),

final as (
    select
        version_season,
        {% for group in ['male', 'female', 'nonbinary', 'bipoc', 'lgbt', 'returnee'] -%}
        cast({{ group }}_count as integer) as {{ group }}_count,
        {% endfor -%}
        {% for group in ['male', 'female', 'bipoc', 'lgbt', 'returnee'] -%}
        {{ ratio(group ~ '_count', 'total_cast') }} as {{ group }}_ratio,
        {% endfor -%}
        cast(total_cast as integer) as total_cast,
        cast(average_age as double precision) as average_age,
        cast(min_age as integer) as min_age,
        cast(max_age as integer) as max_age,
        cast(age_stddev as double precision) as age_stddev,
        bipoc_count >= 0.4 * total_cast as high_diversity_cast,
        returnee_count > 0 and returnee_count < total_cast as mixed_returnee_cast,
        returnee_count = total_cast as all_returnee_cast,
        returnee_count = 0 as all_newbie_cast,
        has_repeat_boot
    from counts
)

select * from final
