-- The how-manieth season of a person each castaway-season is, over all versions.
-- Ordered by air date: season numbers of two versions say nothing about which came first.

with castaways as (
    select * from {{ source('bronze', 'castaways') }}
),

air_dates as (
    select * from {{ ref('season_air_dates') }}
),

final as (
    select
        castaways.version_season,
        castaways.castaway_id,
        cast(row_number() over appearances as integer) as appearance_number,
        row_number() over appearances > 1 as is_returnee,
        lag(castaways.version_season) over appearances as previous_version_season
    from castaways
    left join air_dates
        on castaways.version_season = air_dates.version_season
    window
        appearances as (
            partition by castaways.castaway_id
            order by air_dates.air_date asc nulls last, castaways.version_season asc
        )
)

select * from final
