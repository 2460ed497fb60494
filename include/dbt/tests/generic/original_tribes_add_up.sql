{#
    For each tribe and stage, the members by original tribe add up to the tribe.
#}
{% test original_tribes_add_up(model) %}

with origins as (
    select distinct
        version_season,
        sog_id,
        tribe,
        tribe_size,
        original_tribe,
        original_tribe_members
    from {{ model }}
    where original_tribe is not null
),

unknown_origins as (
    select
        version_season,
        sog_id,
        tribe,
        count(*) as members_of_unknown_origin
    from {{ model }}
    where original_tribe is null
    group by version_season, sog_id, tribe
),

tribes as (
    select
        origins.version_season,
        origins.sog_id,
        origins.tribe,
        origins.tribe_size,
        sum(origins.original_tribe_members)
        + coalesce(max(unknown_origins.members_of_unknown_origin), 0) as members
    from origins
    left join unknown_origins
        on
            origins.version_season = unknown_origins.version_season
            and origins.sog_id = unknown_origins.sog_id
            and origins.tribe = unknown_origins.tribe
    group by origins.version_season, origins.sog_id, origins.tribe, origins.tribe_size
)

select * from tribes
where members != tribe_size

{% endtest %}
