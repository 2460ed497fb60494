"""A warehouse of an earlier version becomes one of this version, with all that it knew."""

from __future__ import annotations

from collections.abc import Callable

import psycopg
import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine

from include.local.databases import PIPELINE_LOGIN
from include.local.postgres import PostgresServer
from include.warehouse import bootstrap as module
from include.warehouse.bootstrap import NotBootstrapped, bootstrap, ensure_bootstrapped
from include.warehouse.connection import ConnectionSettings
from include.warehouse.history import list_events
from include.warehouse.releases import list_releases, publish_release
from include.warehouse.retention import prune_releases
from include.warehouse.schemas import OWNER
from tests.conftest import as_pipeline
from tests.integration.small_releases import build_release

pytestmark = pytest.mark.integration

OLD_RELEASES = """
insert into ops.releases (
    state, source_kind, source_version, source_location, source_fingerprint, code_fingerprint,
    target_layer, triggered_by, opened_at, published_at, closed_at, failure, pruned_at
)
values
    ('superseded', 'upstream', 'a', 'x', 'a', 'c', 'gold', 'scheduled__1',
     '2026-01-01', '2026-01-02', '2026-01-04', null, null),
    ('failed', 'upstream', 'b', 'x', 'b', 'c', 'gold', 'scheduled__2',
     '2026-01-03', null, '2026-01-03', 'why', '2026-01-05'),
    ('published', 'upstream', 'c', 'x', 'c', 'c', 'silver', 'scheduled__3',
     '2026-01-04', '2026-01-04', null, null, null),
    ('building', 'upstream', 'd', 'x', 'd', 'c', 'gold', 'scheduled__4',
     '2026-01-06', null, null, null, null);
insert into ops.published_layers values
    ('bronze', 3, '2026-01-04'), ('silver', 3, '2026-01-04'), ('gold', 1, '2026-01-02')
"""


@pytest.fixture
def old_warehouse(
    postgres_server: PostgresServer,
    create_warehouse: Callable[[], ConnectionSettings],
    monkeypatch: pytest.MonkeyPatch,
) -> ConnectionSettings:
    """The superuser's way into a warehouse as the first version left it."""

    def migrate_to_the_first(admin: ConnectionSettings) -> None:
        engine = create_engine("postgresql+psycopg://", creator=lambda: admin.connect(role=OWNER))
        config = Config()
        config.set_main_option("script_location", str(module.MIGRATIONS))
        with engine.begin() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, "0001")
        engine.dispose()

    with monkeypatch.context() as patch:
        patch.setattr(module, "_migrate", migrate_to_the_first)
        superuser = create_warehouse()
    with superuser.connect(role=OWNER) as owner:
        owner.execute(OLD_RELEASES)
    return superuser


def test_a_warehouse_of_the_first_version_keeps_its_releases_and_goes_on(
    old_warehouse: ConnectionSettings,
) -> None:
    for _ in range(2):
        bootstrap(old_warehouse, PIPELINE_LOGIN)
    pipeline = as_pipeline(old_warehouse)
    with pipeline.connect(role=OWNER) as owner:
        releases = list_releases(owner)
        assert [release.state for release in releases] == [
            "building", "published", "failed", "superseded",
        ]  # fmt: skip
        assert not any(release.is_replay for release in releases)
        assert [f"{release.active_at:%m-%d}" for release in releases] == [
            "01-06", "01-04", "01-03", "01-04",
        ]  # fmt: skip
        assert [
            (event.release_id, event.layers, event.done_by) for event in list_events(owner)
        ] == [
            (3, ["bronze", "silver"], "scheduled__3"),
            (1, ["bronze", "silver", "gold"], "scheduled__1"),
        ]
        published = build_release(pipeline, owner)
        publish_release(owner, published)
        assert owner.execute("select session_user").fetchone() == (PIPELINE_LOGIN,)
        assert list_events(owner)[0].login == PIPELINE_LOGIN
        prune_releases(owner)


def test_a_migration_that_fails_half_way_leaves_the_warehouse_as_it_was(
    old_warehouse: ConnectionSettings,
) -> None:
    """Something of somebody else's had the name of a new table."""
    with old_warehouse.connect(role=OWNER) as owner:
        owner.execute("create table ops.release_events (mine integer)")
    with pytest.raises(Exception, match="release_events"):
        bootstrap(old_warehouse, PIPELINE_LOGIN)
    with old_warehouse.connect(role=OWNER) as owner:
        assert owner.execute("select version_num from ops.alembic_version").fetchone() == ("0001",)
        with pytest.raises(psycopg.errors.UndefinedColumn):
            owner.execute("select is_replay from ops.releases")
        owner.rollback()
        owner.execute("drop table ops.release_events")
    bootstrap(old_warehouse, PIPELINE_LOGIN)


def test_older_code_than_the_warehouse_says_so_and_changes_nothing(
    warehouse: ConnectionSettings, warehouse_admin: ConnectionSettings
) -> None:
    """After the rollback of a deploy it asked for an administrator, who could not help either."""
    with warehouse_admin.connect(autocommit=True) as admin:
        admin.execute("update ops.alembic_version set version_num = '9999'")
    with pytest.raises(NotBootstrapped, match=r"newer version \(9999\) than this code"):
        ensure_bootstrapped(warehouse)
