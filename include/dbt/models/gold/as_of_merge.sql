{{ config(materialized='view') }}

with as_of as (
    select * from {{ ref('ml_features_as_of') }}
),

seasons as (
    select * from {{ ref('season_context') }}
),

final as (
    select as_of.*
    from as_of
    inner join seasons
        on
            as_of.version_season = seasons.version_season
            and as_of.sog_id = seasons.merge_sog_id
)

select * from final
