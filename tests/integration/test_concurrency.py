"""Runs, retries, zombies and readers at once: none waits long, none mixes with another."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from include import pipeline
from include.ingestion.sources import ResolvedSource
from include.warehouse import occupancy, publication, schemas
from include.warehouse.connection import ConnectionSettings
from include.warehouse.history import list_events
from include.warehouse.occupancy import ReleaseBusy, name_session, working_on
from include.warehouse.publication import OldSnapshots
from include.warehouse.releases import (
    ReleaseError,
    fail_release,
    get_release,
    publish_release,
    roll_back,
)
from include.warehouse.retention import GRACE, close_orphans
from tests.integration.small_releases import start

pytestmark = pytest.mark.integration


@pytest.fixture(autouse=True)
def pages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is dropped here has no pages of a person's."""
    monkeypatch.setenv("GAMEBOT_ARTIFACTS_URL", tmp_path.as_uri())


def silent(owner: psycopg.Connection, release: int) -> None:
    """Let a release be without a sign of life for longer than a living run is."""
    owner.execute(
        "update ops.releases set active_at = active_at - %s::interval where release_id = %s",
        (GRACE, release),
    )
    owner.commit()


def open_as_the_pipeline_does(warehouse: ConnectionSettings) -> int:
    source = ResolvedSource(kind="directory", version="v1", location="a test", fingerprint="v1")
    return pipeline.open_release(warehouse, source, "gold", "a test")


@contextmanager
def reading(reader: psycopg.Connection, seconds_at_most: float = 2) -> Iterator[list[Any]]:
    """Ask the published gold again and again: whatever happens, no answer may take long."""
    answers: list[Any] = []
    going_on = True

    def ask() -> None:
        while going_on:
            started = time.monotonic()
            answers.append(reader.execute("select answer from gold.features").fetchone())
            assert time.monotonic() - started < seconds_at_most
            time.sleep(0.01)

    with ThreadPoolExecutor() as pool:
        asking = pool.submit(ask)
        try:
            yield answers
        finally:
            going_on = False
        asking.result(timeout=10)


@pytest.mark.parametrize("way", ["publish", "roll back", "publish, closed meanwhile"])
def test_a_long_query_holds_off_the_change_and_nobody_else(
    owner: psycopg.Connection,
    reader: psycopg.Connection,
    warehouse: ConnectionSettings,
    warehouse_admin: ConnectionSettings,
    build: Callable[..., int],
    way: str,
) -> None:
    """Before a long query ended, somebody marked the run that waited for it as failed."""
    old, good = build("0 as answer"), None
    publish_release(owner, old)
    good = build()
    publish_release(owner, good)
    coming = old if way == "roll back" else build("2 as answer")
    show = roll_back if way == "roll back" else publish_release

    def wait_and_show() -> None:
        with warehouse.connect(role=schemas.OWNER) as publisher:
            show(publisher, coming)

    with (
        ThreadPoolExecutor() as pool,
        warehouse_admin.connect(role=schemas.READER) as patient,
        reading(reader) as answers,
    ):
        patient.execute("select * from gold.features")
        change: Future[None] = pool.submit(wait_and_show)
        time.sleep(4)
        assert not change.done()
        # Nor are other runs: they open, close and prune.
        started = time.monotonic()
        assert pipeline.close_release(warehouse, open_as_the_pipeline_does(warehouse))
        assert time.monotonic() - started < 10
        if way.endswith("closed meanwhile"):
            fail_release(owner, coming, "marked as failed")
        patient.rollback()
        if way.endswith("closed meanwhile"):
            with pytest.raises(ReleaseError, match="is failed, not audited"):
                change.result(timeout=30)
        else:
            change.result(timeout=30)
            assert float(list_events(owner)[0].waited_seconds or 0) > 1
    expected = {"publish": 2, "roll back": 0}.get(way, 1)
    assert set(answers) <= {(1,), (expected,)}
    assert reader.execute("select answer from gold.features").fetchone() == (expected,)


def test_autovacuum_leaves_the_tables_of_a_release_alone(
    survivor_warehouse: ConnectionSettings,
) -> None:
    """It would read every one of them again, and hold off their publication meanwhile."""
    with survivor_warehouse.connect() as connection:
        found = connection.execute(
            """
            select nspname, relname, reloptions
            from pg_class
            join pg_namespace on pg_namespace.oid = relnamespace
            where relkind = 'r' and nspname ~ '^(bronze|silver|gold)_r'
            """
        ).fetchall()
    assert {schema for schema, _, _ in found} == {"bronze_r1", "silver_r1", "gold_r1"}
    assert {tuple(options or ()) for _, _, options in found} == {("autovacuum_enabled=false",)}


def test_a_vacuum_of_a_new_table_costs_no_second_try(
    owner: psycopg.Connection,
    warehouse: ConnectionSettings,
    warehouse_admin: ConnectionSettings,
    build: Callable[..., int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Autovacuum, too, still comes to the seeds, and gives way only to who waits for a second."""
    release = build()
    monkeypatch.setattr(publication, "GIVE_UP_AFTER_SECONDS", 0)

    def show() -> None:
        with warehouse.connect(role=schemas.OWNER) as publisher:
            publish_release(publisher, release)

    with (
        ThreadPoolExecutor() as pool,
        warehouse_admin.connect() as vacuum,
        warehouse_admin.connect(autocommit=True) as watcher,
    ):
        vacuum.execute(
            f"lock table gold_r{release}.features in share update exclusive mode"  # type: ignore[arg-type]
        )
        change = pool.submit(show)
        while (
            not change.done()
            and not watcher.execute("select pid from pg_locks where not granted").fetchone()
        ):
            time.sleep(0.05)
        time.sleep(0.5)
        vacuum.rollback()
        change.result(timeout=30)
    assert get_release(owner, release).state == "published"


def test_a_reader_that_began_before_a_release_never_finds_its_tables_empty(
    owner: psycopg.Connection,
    warehouse: ConnectionSettings,
    warehouse_admin: ConnectionSettings,
    build: Callable[..., int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A dump began before a load and came to gold after its publication: it had no rows."""
    publish_release(owner, build("1 as answer"))
    with warehouse_admin.connect(role=schemas.READER) as dump:
        dump.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        dump.execute("select 'its snapshot is taken'")
        coming = build("2 as answer")
        with ThreadPoolExecutor() as pool, warehouse.connect(role=schemas.OWNER) as publisher:
            change = pool.submit(publish_release, publisher, coming)
            time.sleep(2)
            assert not change.done()
            assert dump.execute("select answer from gold.features").fetchall() == [(1,)]
            dump.rollback()
            change.result(timeout=30)
        assert dump.execute("select answer from gold.features").fetchall() == [(2,)]

        # It has no end.
        dump.rollback()
        dump.execute("select 'another snapshot'")
        monkeypatch.setattr(publication, "GIVE_UP_AFTER_SECONDS", 1)
        with pytest.raises(OldSnapshots, match=rf"pid {dump.info.backend_pid} \(login "):
            publish_release(owner, build("3 as answer"))


def test_two_runs_that_build_at_once_do_not_mix_and_the_older_one_comes_too_late(
    owner: psycopg.Connection,
    reader: psycopg.Connection,
    warehouse: ConnectionSettings,
    build: Callable[..., int],
) -> None:
    """A second Airflow opened a release, which closed and dropped the one that was being built."""
    older = build("1 as answer")
    with working_on(warehouse, older, "dbt_build"):
        silent(owner, older)
        newer = open_as_the_pipeline_does(warehouse)
        assert get_release(owner, older).state == "building"
        fail_release(owner, newer, "of no interest")
        newer = build("2 as answer")
        pipeline.publish(warehouse, newer)
        # It can no longer be published, but who works on it is told so by the publication.
        assert close_orphans(owner) == []
    with pytest.raises(ReleaseError, match=f"before release {newer}, which readers saw already"):
        pipeline.publish(warehouse, older)
    assert reader.execute("select answer from gold.features").fetchone() == (2,)


def test_a_living_run_between_two_tasks_is_left_alone_for_a_while(
    owner: psycopg.Connection, warehouse: ConnectionSettings, build: Callable[..., int]
) -> None:
    living = build()
    open_as_the_pipeline_does(warehouse)
    assert get_release(owner, living).state == "building"
    with working_on(warehouse, living, "audit_with_soda", shared=True):
        pass
    silent(owner, living)
    open_as_the_pipeline_does(warehouse)
    assert get_release(owner, living).state == "failed"


def test_a_killed_run_holds_up_nobody_and_its_tables_go_when_the_next_one_has_ended(
    owner: psycopg.Connection, warehouse: ConnectionSettings, build: Callable[..., int]
) -> None:
    """A run died in the middle of dbt: nobody was left to close its release."""
    orphan = build(results=[])
    replay = start(owner, is_replay=True)
    successor = build()
    pipeline.publish(warehouse, successor)
    assert pipeline.close_release(warehouse, successor) is None
    closed = get_release(owner, orphan)
    assert (closed.state, bool(closed.pruned_at)) == ("failed", True)
    assert "interrupted" in str(closed.failure)
    assert not owner.execute(f"select to_regnamespace('gold_r{orphan}')").fetchone()[0]  # type: ignore[index]
    with pytest.raises(ReleaseError, match=r"is failed \(interrupted.*start a new run"):
        pipeline.publish(warehouse, orphan)
    # A replay waits for no turn, so that a newer publication says nothing of it.
    assert get_release(owner, replay).state == "building"
    silent(owner, replay)
    pipeline.close_release(warehouse, successor)
    assert get_release(owner, replay).state == "failed"


def test_a_task_and_its_zombie_do_not_work_on_a_release_at_once(
    owner: psycopg.Connection,
    warehouse: ConnectionSettings,
    build: Callable[..., int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Airflow gave up a task that was cut off, and started it again; both wrote."""
    monkeypatch.setattr(occupancy, "WAIT", "200ms")
    release = build()
    with working_on(warehouse, release, "dbt_build"):
        with pytest.raises(ReleaseBusy, match=rf"pid \d+ \(gamebot dbt_build holds r{release} on "):
            pipeline.publish(warehouse, release)
        # The other releases are free.
        with working_on(warehouse, start(owner), "load_bronze"):
            pass
    with (
        working_on(warehouse, release, "audit_with_soda", shared=True),
        working_on(warehouse, release, "audit_with_great_expectations", shared=True),
        pytest.raises(ReleaseBusy, match="audit_with_soda holds"),
        working_on(warehouse, release, "dbt_build"),
    ):
        pass
    pipeline.publish(warehouse, release)


def test_what_a_killed_task_left_running_ends_before_its_retry_begins(
    warehouse: ConnectionSettings, build: Callable[..., int]
) -> None:
    """The task was killed, its dbt was not, and went on to write into what the retry built."""
    release = build()
    with warehouse.connect(role=schemas.TRANSFORMER) as orphan:
        name_session(orphan, "dbt_build", release)
        orphan.execute(f"lock table gold_r{release}.features")  # type: ignore[arg-type]
        with warehouse.connect() as another:
            name_session(another, "dbt_build", release + 1)
            with working_on(warehouse, release, "dbt_build"):
                pass
            another.execute("select 1")
        with pytest.raises(psycopg.OperationalError):
            orphan.execute("select 1")


def test_a_stage_that_lost_its_hold_is_done_again(
    warehouse: ConnectionSettings, warehouse_admin: ConnectionSettings, build: Callable[..., int]
) -> None:
    """A firewall cut the idle session that held the release, and another task went ahead."""
    release = build()

    def lose_it() -> None:
        with (
            working_on(warehouse, release, "load_bronze"),
            warehouse_admin.connect(autocommit=True) as admin,
        ):
            ended = admin.execute(
                "select pg_terminate_backend(pid, 5000) from pg_stat_activity "
                "where application_name = %s",
                (f"gamebot load_bronze holds r{release}",),
            ).fetchall()
            assert ended == [(True,)]

    with pytest.raises(ReleaseBusy, match=f"held release {release} for load_bronze was lost"):
        lose_it()
