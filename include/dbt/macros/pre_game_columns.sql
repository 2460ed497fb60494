{#
    The columns of pre_game_features: what is known before the first day.
#}
{% macro pre_game_columns() -%}
    {{ return([
        'gender', 'race', 'ethnicity', 'occupation', 'personality_type', 'current_age', 'appearance_number',
        'is_african', 'is_asian', 'is_latin_american', 'is_native_american', 'is_bipoc', 'is_lgbt', 'is_returnee',
        'season_number', 'season_era', 'is_new_era_format', 'cast_size', 'season_male_ratio',
        'season_female_ratio', 'season_bipoc_ratio', 'season_returnee_ratio', 'season_average_age',
        'all_newbie_cast', 'all_returnee_cast', 'mixed_returnee_cast',
    ]) }}
{%- endmacro %}
