"""How the features of gold are distributed, now and in the release before: pages in the Data Docs.

Great Expectations draws distributions itself, with Vega: a megabyte of scripts that evaluate text
as code, and an expectation for every feature. These pages need neither: `features` bins what a
table holds, `pages` draws it on the server. Nothing here decides about a release.
"""

from __future__ import annotations

from pathlib import Path

import psycopg

from include.quality.distributions.features import features
from include.quality.distributions.pages import FOLDER, write_pages
from include.warehouse.schemas import release_schema

# Each with the columns that say which row it is. ml_features_hybrid has every feature of
# ml_features_non_edit.
TABLES = {
    "ml_features_hybrid": ("version_season", "castaway_id"),
    "ml_features_as_of": ("version_season", "sog_id", "castaway_id"),
}


def write_distributions(connection: psycopg.Connection, release_id: int, site: Path) -> list[Path]:
    """Write the pages into a folder of the Data Docs; return them.

    Args:
        connection: acting as `gamebot_auditor`.
    """
    before = release_before(connection, release_id)
    tables = [
        features(
            connection,
            table,
            keys,
            release_schema("gold", release_id),
            None if before is None else release_schema("gold", before),
        )
        for table, keys in TABLES.items()
    ]
    return write_pages(site / FOLDER, release_id, before, tables)


def release_before(connection: psycopg.Connection, release_id: int) -> int | None:
    """Return the release that readers see in gold or, when that is no older, saw before.

    One whose tables were dropped does not count.
    """
    found = connection.execute(
        """
        select releases.release_id
        from ops.releases
        left join ops.published_layers
            on published_layers.layer = 'gold'
            and published_layers.release_id = releases.release_id
        where
            releases.release_id < %s
            and releases.published_at is not null
            and to_regnamespace('gold_r' || releases.release_id) is not null
        order by published_layers.release_id is null, releases.release_id desc
        limit 1
        """,
        (release_id,),
    ).fetchone()
    return None if found is None else int(found[0])
