"""Expectations on gold.ml_features_hybrid: ml_features_non_edit and the edit beside it.

Shared features must equal those of ml_features_non_edit, whose own expectations cover them.
"""

from __future__ import annotations

from include.quality.expectations.castaway_seasons import CASTAWAY_SEASONS
from include.quality.expectations.vocabulary import counts, mean, no_rows, rates

EXPECTATIONS = [
    *CASTAWAY_SEASONS,
    no_rows(
        "the features that both tables have are the same",
        """
        select hybrid.version_season, hybrid.castaway_id
        from {batch} as hybrid
        join ml_features_non_edit as other using (version_season, castaway_id)
        where not to_jsonb(hybrid) @> to_jsonb(other)
        """,
    ),
    *counts("total_confessional_count", "episodes_with_confessionals", "total_episodes_appeared"),
    *rates("confessional_presence_rate", "over_edited_rate", "under_edited_rate"),
    mean("total_confessional_count", 15, 60),
    no_rows(
        "nobody gives confessionals in more episodes than they appear in",
        """
        select version_season, castaway_id, episodes_with_confessionals, total_episodes_appeared
        from {batch}
        where episodes_with_confessionals > total_episodes_appeared
        """,
    ),
    no_rows(
        "an unknown speaking time stays unknown",
        """
        select version_season, castaway_id, gold.total_confessional_time
        from {batch} as gold
        join (
            select version_season, castaway_id, count(confessional_time) as timed_episodes
            from edit_features
            group by version_season, castaway_id
        ) as silver using (version_season, castaway_id)
        where timed_episodes = 0 and gold.total_confessional_time is not null
        """,
    ),
]
