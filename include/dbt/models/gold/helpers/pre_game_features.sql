-- What is known of a castaway and the season's cast before the first day. Nothing here may come from the
-- season itself, nor from seasons that came later.
--
-- Joined by its one key: of a join by season and castaway Postgres expects a handful of rows, for it takes the
-- two for independent, and picks nested loops whose time grows with the square of the seasons.

with castaways as (
    select * from {{ ref('castaway_profile') }}
),

seasons as (
    select * from {{ ref('season_context') }}
),

final as (
    select
        castaways.castaway_profile_key,
        castaways.version_season,
        castaways.castaway_id,
        castaways.gender,
        castaways.race,
        castaways.ethnicity,
        castaways.occupation,
        castaways.personality_type,
        castaways.age as current_age,
        castaways.appearance_number,
        {%- for flag in ['african', 'asian', 'latin_american', 'native_american', 'bipoc', 'lgbt'] %}
        cast(castaways.{{ flag }} as integer) as is_{{ flag }},
        {%- endfor %}
        cast(castaways.is_returnee as integer) as is_returnee,
        seasons.season_number,
        seasons.season_era,
        cast(seasons.is_new_era_format as integer) as is_new_era_format,
        seasons.cast_size,
        seasons.male_ratio as season_male_ratio,
        seasons.female_ratio as season_female_ratio,
        seasons.bipoc_ratio as season_bipoc_ratio,
        seasons.returnee_ratio as season_returnee_ratio,
        seasons.average_age as season_average_age,
        cast(seasons.all_newbie_cast as integer) as all_newbie_cast,
        cast(seasons.all_returnee_cast as integer) as all_returnee_cast,
        cast(seasons.mixed_returnee_cast as integer) as mixed_returnee_cast
    from castaways
    inner join seasons
        on castaways.version_season = seasons.version_season
)

select * from final
