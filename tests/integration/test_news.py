"""What a published release tells its operators about: what its predecessor did not have."""

from __future__ import annotations

from include.warehouse.connection import ConnectionSettings
from include.warehouse.news import release_news
from include.warehouse.schemas import OWNER

RELEASE = """
insert into ops.releases (
    state, source_kind, source_version, source_location, source_fingerprint, code_fingerprint,
    target_layer, triggered_by, published_at
)
values (%s, 'directory', 'v', 'a test', 'v', 'c', 'gold', 'a test', %s)
"""
WARNING = """
insert into ops.check_results (
    release_id, tool, check_id, layer, table_name, description, severity, outcome, observed, message
)
values (%s, 'dbt', %s, 'silver', 'votes', %s, 'warning', 'warned', '{}', %s)
"""
DRIFT = """
insert into ops.schema_drift (release_id, dataset, column_name, kind, severity, detail)
values (%s, 'castaways', %s, 'new_column', 'recorded', 'loaded as text')
"""


def test_only_what_the_release_published_before_did_not_have_is_news(
    warehouse_admin: ConnectionSettings,
) -> None:
    with warehouse_admin.connect(role=OWNER) as connection:
        connection.execute(RELEASE, ("superseded", "2026-01-01"))
        connection.execute(WARNING, (1, "known", "ballots add up", "2 rows"))
        connection.execute(DRIFT, (1, "gender"))
        connection.commit()
        assert release_news(connection, 1) == [], "all of a first release is new"

        # One that failed is no measure of what operators have heard of.
        connection.execute(RELEASE, ("failed", None))
        connection.execute(WARNING, (2, "fresh", "nobody votes twice", "1 row"))

        connection.execute(RELEASE, ("published", "2026-01-03"))
        connection.execute(WARNING, (3, "known", "ballots add up", "3 rows"))
        connection.execute(WARNING, (3, "fresh", "nobody votes twice", "1 row"))
        connection.execute(DRIFT, (3, "gender"))
        connection.execute(DRIFT, (3, "pronouns"))
        connection.commit()
        assert release_news(connection, 3) == [
            "upstream: castaways.pronouns - new column (loaded as text)",
            "warning: votes - nobody votes twice (1 row)",
        ]
        connection.execute("update ops.releases set is_replay = true where release_id = 3")
        assert release_news(connection, 3) == []
