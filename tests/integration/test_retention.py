"""Old releases go, and take nothing with them that somebody needs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from include.pipeline import close_release
from include.warehouse import schemas
from include.warehouse.connection import ConnectionSettings, MissingSetting
from include.warehouse.history import list_events
from include.warehouse.releases import (
    ReleaseError,
    fail_release,
    get_release,
    list_releases,
    publish_release,
    roll_back,
)
from include.warehouse.retention import Retention, prune_releases

pytestmark = pytest.mark.integration


def test_what_somebody_reads_is_dropped_another_time(
    owner: psycopg.Connection, warehouse: ConnectionSettings, build: Callable[..., int]
) -> None:
    """A forgotten psql in an old release made a good run red for want of a lock."""
    releases = []
    for _ in range(2):
        releases.append(build())
        publish_release(owner, releases[-1])
    with warehouse.connect(role=schemas.AUDITOR) as forgotten:
        forgotten.execute(f"select * from gold_r{releases[0]}.features")
        assert prune_releases(owner, Retention(kept=1)) == []
    assert prune_releases(owner, Retention(kept=1)) == [releases[0]]


def test_the_last_three_releases_stay_and_older_ones_go(
    owner: psycopg.Connection, build: Callable[..., int]
) -> None:
    releases = []
    for _ in range(5):
        releases.append(build())
        publish_release(owner, releases[-1])
    assert prune_releases(owner, Retention(kept=3)) == releases[:2]
    assert prune_releases(owner, Retention(kept=3)) == []
    with pytest.raises(ReleaseError, match="were dropped"):
        roll_back(owner, releases[0])
    roll_back(owner, releases[2])


def test_what_a_public_view_shows_is_never_pruned(
    owner: psycopg.Connection, reader: psycopg.Connection, build: Callable[..., int]
) -> None:
    """Runs that stop at bronze must not push the release away whose gold readers use."""
    full = build()
    publish_release(owner, full)
    for _ in range(4):
        publish_release(owner, build(target_layer="bronze"))
        prune_releases(owner, Retention(kept=1))
    assert reader.execute("select answer from gold.features").fetchall() == [(1,)]


def test_the_evidence_of_the_newest_failure_is_kept(
    owner: psycopg.Connection, build: Callable[..., int]
) -> None:
    older, newer = build(results=[]), None
    fail_release(owner, older, "first")
    newer = build(results=[])
    fail_release(owner, newer, "second")
    assert prune_releases(owner) == [older]
    assert [release.failure for release in list_releases(owner)][:2] == ["second", "first"]


def age(owner: psycopg.Connection, release: int, days: int) -> None:
    """Let it be that long since a release was closed."""
    owner.execute(
        "update ops.releases set closed_at = closed_at - make_interval(days => %s) "
        "where release_id = %s",
        (days, release),
    )
    owner.commit()


def test_what_nobody_has_seen_for_long_goes_though_there_are_few(
    owner: psycopg.Connection, build: Callable[..., int]
) -> None:
    """Upstream rested for a year: a release of last spring is no way back from today's."""
    releases = []
    for _ in range(3):
        releases.append(build())
        publish_release(owner, releases[-1])
    old, newer, shown = releases
    age(owner, old, 90)
    failed = build(results=[])
    fail_release(owner, failed, "why")
    age(owner, failed, 90)
    # The second was superseded only now, however long ago it was built.
    assert prune_releases(owner, Retention(kept_days=30)) == [old]
    assert [get_release(owner, kept).pruned_at for kept in (newer, shown, failed)] == [None] * 3


def test_the_newest_replay_stays_and_pushes_nothing_away(
    owner: psycopg.Connection, build: Callable[..., int]
) -> None:
    published = build()
    publish_release(owner, published)
    failed = build(results=[])
    fail_release(owner, failed, "why")
    replays = [build(is_replay=True) for _ in range(3)]
    for replay in replays[:2]:
        publish_release(owner, replay)
    fail_release(owner, replays[2], "why")
    assert prune_releases(owner, Retention(kept=1)) == replays[:1]
    age(owner, replays[1], 8)
    assert prune_releases(owner, Retention(kept=1, kept_days=7)) == replays[1:2]


ON_A_RELEASE = {
    "a view": "create view audit.notes as select answer from gold_r{old}.features",
    "a materialized view": "create materialized view audit.notes as table gold_r{old}.features",
    "a foreign key": "create table audit.notes (answer int references gold_r{old}.features)",
    "a function": "create function audit.notes() returns bigint begin atomic "
    "select count(*) from gold_r{old}.features; end",
}


@pytest.mark.parametrize("built", ON_A_RELEASE)
def test_what_somebody_built_on_an_old_release_is_not_swept_away_with_it(
    owner: psycopg.Connection,
    warehouse_admin: ConnectionSettings,
    build: Callable[..., int],
    caplog: pytest.LogCaptureFixture,
    built: str,
) -> None:
    """An auditor's view on gold_r41 vanished one night: `drop schema ... cascade`."""
    old, new = build(), None
    publish_release(owner, old)
    with warehouse_admin.connect(autocommit=True) as auditor:
        auditor.execute("create schema audit")
        auditor.execute(f"alter table gold_r{old}.features add primary key (answer)")  # type: ignore[arg-type]
        auditor.execute(ON_A_RELEASE[built].format(old=old))  # type: ignore[arg-type]
        new = build()
        publish_release(owner, new)
        for _ in range(2):
            assert prune_releases(owner, Retention(kept=1)) == []
        assert "audit.notes" in caplog.text
        # Said once, not every night.
        assert len(list_events(owner, ["kept"])) == 1
        assert "audit.notes" in str(list_events(owner, ["kept"])[0].detail)
        roll_back(owner, old)
        roll_back(owner, new)
        auditor.execute("drop schema audit cascade")
    assert prune_releases(owner, Retention(kept=1)) == [old]
    assert not owner.execute(f"select to_regnamespace('gold_r{old}')").fetchone()[0]  # type: ignore[index]


def test_the_pages_of_a_release_go_with_its_tables(
    owner: psycopg.Connection,
    warehouse: ConnectionSettings,
    build: Callable[..., int],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("GAMEBOT_ARTIFACTS_URL", tmp_path.as_uri())
    monkeypatch.setenv("GAMEBOT_RELEASES_KEPT", "1")
    releases = []
    for _ in range(2):
        releases.append(build())
        publish_release(owner, releases[-1])
        pages = tmp_path / "releases" / str(releases[-1]) / "great_expectations"
        pages.mkdir(parents=True)
        (pages / "index.html").write_text("passed")
    (tmp_path / "releases" / "of somebody else").mkdir()
    close_release(warehouse, releases[-1])
    left = {path.name for path in (tmp_path / "releases").iterdir()}
    assert left == {str(releases[-1]), "of somebody else"}


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("GAMEBOT_RELEASES_KEPT", "0"),
        ("GAMEBOT_RELEASES_KEPT", "three"),
        ("GAMEBOT_RELEASES_KEPT_DAYS", "-1"),
    ],
)
def test_a_retention_that_makes_no_sense_is_refused_by_name(setting: str, value: str) -> None:
    with pytest.raises(MissingSetting, match=f"{setting}: .*not '{value}'"):
        Retention.from_environment({setting: value})
    assert Retention.from_environment({}) == Retention(kept=3, kept_days=0)
