"""What every gold table with a row per castaway and season promises."""

from __future__ import annotations

from include.quality.expectations.vocabulary import WARNING, key, no_rows

CASTAWAY_SEASONS = [
    *key("version_season", "castaway_id"),
    no_rows(
        "exactly the castaways of complete seasons are there",
        """
        select version_season, castaway_id
        from {batch} as gold
        full join (
            select profile.version_season, profile.castaway_id
            from castaway_profile as profile
            join season_context as season on season.version_season = profile.version_season
            where season.season_status = 'complete'
        ) as silver using (version_season, castaway_id)
        where gold.ml_features_key is null or silver.castaway_id is null
        """,
    ),
    no_rows(
        # A warning: a source may lack what a rare feature needs.
        "no feature is the same for everybody",
        """
        select feature.name, min(feature.value) as value
        from {batch} as gold
        cross join jsonb_each_text(to_jsonb(gold)) as feature (name, value)
        group by feature.name
        having min(feature.value) is not distinct from max(feature.value)
        """,
        severity=WARNING,
    ),
]
