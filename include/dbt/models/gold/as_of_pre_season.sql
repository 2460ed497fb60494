{{ config(materialized='view') }}

with castaways as (
    select * from {{ ref('castaway_profile') }}
),

seasons as (
    select * from {{ ref('season_context') }}
),

pre_game as (
    select * from {{ ref('pre_game_features') }}
),

final as (
    select
        castaways.version_season,
        castaways.castaway_id,
        {%- for column in pre_game_columns() %}
        pre_game.{{ column }},
        {%- endfor %}
        {{ as_of_targets('castaways', 'seasons') }}
    from castaways
    inner join seasons
        on castaways.version_season = seasons.version_season
    inner join pre_game
        on castaways.castaway_profile_key = pre_game.castaway_profile_key
)

select * from final
