{% set demographics = ['african', 'asian', 'latin_american', 'native_american', 'bipoc', 'lgbt'] %}

with boot_mapping as (
    select * from {{ source('bronze', 'boot_mapping') }}
),

castaway_profile as (
    select * from {{ ref('castaway_profile') }}
),

stages as (
    select
        boot_mapping.version_season,
        boot_mapping.sog_id,
        {{ repaired('boot_mapping', 'castaway_id', 'boot_mapping', 'text') }} as castaway_id,
        boot_mapping.episode,
        boot_mapping.tribe,
        boot_mapping.tribe_status,
        boot_mapping.game_status,
        boot_mapping.final_n
    from boot_mapping
),

members as (
    select
        stages.version_season,
        stages.sog_id,
        stages.castaway_id,
        stages.episode,
        stages.tribe,
        stages.tribe_status,
        {{ game_phase('stages.tribe_status') }} as merge_phase,
        stages.game_status,
        {{ is_in_game('stages.game_status') }} as is_in_game,
        stages.final_n,
        castaway_profile.gender,
        {% for flag in demographics -%}
        castaway_profile.{{ flag }},
        {% endfor -%}
        castaway_profile.race,
        castaway_profile.ethnicity,
        castaway_profile.original_tribe
    from stages
    left join castaway_profile
        on
            stages.version_season = castaway_profile.version_season
            and stages.castaway_id = castaway_profile.castaway_id
),

tribes as (
    select
        version_season,
        sog_id,
        tribe,
        {% for flag in demographics -%}
        {{ known_count(flag) }} as {{ flag }}_count,
        {% endfor -%}
        count(*) filter (where gender = 'Male') as male_count,
        count(*) filter (where gender = 'Female') as female_count,
        count(*) filter (where gender = 'Non-binary') as nonbinary_count,
        count(*) as tribe_size
    from members
    group by version_season, sog_id, tribe
),

original_tribes as (
    select
        version_season,
        sog_id,
        tribe,
        original_tribe,
        count(*) as original_tribe_members
    from members
    group by version_season, sog_id, tribe, original_tribe
),

-- A tribe that upstream does not know yet matches nothing here: all that is said of it stays null.
counted as (
    select
        members.*,
        tribes.tribe_size,
        tribes.male_count,
        tribes.female_count,
        tribes.nonbinary_count,
        {% for flag in demographics -%}
        tribes.{{ flag }}_count,
        {% endfor -%}
        case members.gender
            when 'Male' then tribes.male_count
            when 'Female' then tribes.female_count
            when 'Non-binary' then tribes.nonbinary_count
        end as same_gender_count,
        case when members.bipoc then tribes.bipoc_count else tribes.tribe_size - tribes.bipoc_count end
            as same_bipoc_count,
        case when members.lgbt then tribes.lgbt_count else tribes.tribe_size - tribes.lgbt_count end
            as same_lgbt_count,
        original_tribes.original_tribe_members
    from members
    left join tribes
        on
            members.version_season = tribes.version_season
            and members.sog_id = tribes.sog_id
            and members.tribe = tribes.tribe
    left join original_tribes
        on
            members.version_season = original_tribes.version_season
            and members.sog_id = original_tribes.sog_id
            and members.tribe = original_tribes.tribe
            and members.original_tribe = original_tribes.original_tribe
),

shares as (
    select
        *,
        {% for group in ['male', 'female'] + demographics -%}
        {{ ratio(group ~ '_count', 'tribe_size') }} as {{ group }}_ratio,
        {% endfor -%}
        {{ ratio('same_gender_count', 'tribe_size') }} as same_gender_ratio,
        {{ ratio('same_lgbt_count', 'tribe_size') }} as lgbt_similarity_ratio,
        {{ ratio('same_bipoc_count', 'tribe_size') }} as bipoc_similarity_ratio,
        {{ ratio('original_tribe_members', 'tribe_size') }} as original_tribe_proportion
    from counted
),

final as (
    select
        {{ surrogate_key(['version_season', 'sog_id', 'castaway_id']) }} as social_positioning_key,
        castaway_id,
        version_season,
        sog_id,
        episode,
        tribe,
        tribe_status,
        merge_phase,
        game_status,
        is_in_game,
        final_n,
        gender,
        {% for flag in demographics -%}
        {{ flag }},
        {% endfor -%}
        race,
        ethnicity,
        cast(tribe_size as integer) as tribe_size,
        {% for group in ['male', 'female', 'nonbinary'] + demographics -%}
        cast({{ group }}_count as integer) as {{ group }}_count,
        {% endfor -%}
        {% for group in ['male', 'female'] + demographics -%}
        {{ group }}_ratio,
        {% endfor -%}
        same_gender_ratio,
        lgbt_similarity_ratio,
        bipoc_similarity_ratio,
        original_tribe,
        cast(original_tribe_members as integer) as original_tribe_members,
        cast(tribe_size as integer) as total_tribe_members,
        original_tribe_proportion,
        case
            when original_tribe_proportion > 0.5 then 'majority'
            when original_tribe_proportion = 0.5 then 'half'
            when original_tribe_proportion < 0.5 then 'minority'
        end as original_tribe_status,
        {{ majority_status('same_gender_ratio', 'gender') }} as gender_status,
        {{ majority_status('bipoc_similarity_ratio', 'racial') }} as racial_status,
        {{ majority_status('lgbt_similarity_ratio', 'lgbt') }} as lgbt_status
    from shares
)

select * from final
