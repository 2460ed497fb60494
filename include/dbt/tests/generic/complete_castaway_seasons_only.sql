{#
    The model has a row for every castaway-season of a complete season, and for no other.
#}
{% test complete_castaway_seasons_only(model) %}

with expected as (
    select
        castaways.version_season,
        castaways.castaway_id
    from {{ ref('castaway_profile') }} as castaways
    inner join {{ ref('season_context') }} as seasons
        on castaways.version_season = seasons.version_season
    where seasons.season_status = 'complete'
)

select
    coalesce(ours.version_season, expected.version_season) as version_season,
    coalesce(ours.castaway_id, expected.castaway_id) as castaway_id
from {{ model }} as ours
full outer join expected
    on
        ours.version_season = expected.version_season
        and ours.castaway_id = expected.castaway_id
where ours.castaway_id is null or expected.castaway_id is null

{% endtest %}
