"""Readers see whole, audited releases and nothing else."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest
from pydantic import SecretStr

from include.ingestion.sources import ResolvedSource
from include.pipeline import close_release
from include.warehouse import schemas
from include.warehouse.bootstrap import NotBootstrapped, bootstrap, ensure_bootstrapped
from include.warehouse.checks import CheckResult, record_check_results
from include.warehouse.connection import ConnectionSettings
from include.warehouse.publication import PublicationBlocked
from include.warehouse.releases import (
    ReleaseError,
    fail_release,
    get_release,
    list_releases,
    newest_release,
    note_failure,
    open_release,
    prune_releases,
    publish_release,
    published_release,
    resume_release,
    roll_back,
)
from include.warehouse.summary import release_summary

pytestmark = pytest.mark.integration

AUDITED = [
    ("soda", "bronze"),
    ("soda", "silver"),
    ("dbt", "silver"),
    ("dbt", "gold"),
    ("great_expectations", "gold"),
]


@pytest.fixture
def owner(warehouse: ConnectionSettings) -> Iterator[psycopg.Connection]:
    with warehouse.connect(role=schemas.OWNER) as connection:
        yield connection


@pytest.fixture
def reader(warehouse_admin: ConnectionSettings) -> Iterator[psycopg.Connection]:
    with warehouse_admin.connect(role=schemas.READER, autocommit=True) as connection:
        yield connection


def start(owner: psycopg.Connection, target_layer: schemas.Layer = "gold") -> int:
    return open_release(
        owner,
        ResolvedSource(kind="directory", version="v1", location="a test", fingerprint="v1"),
        code_fingerprint="code",
        target_layer=target_layer,
        triggered_by="a test",
    )


def check(tool: Any, layer: Any, **changes: Any) -> CheckResult:
    values: dict[str, Any] = {
        "tool": tool,
        "check_id": f"{layer}.holds",
        "layer": layer,
        "table_name": "things",
        "description": "things are in order",
        "severity": "blocking",
        "outcome": "passed",
    }
    return CheckResult(**{**values, **changes})


@pytest.fixture
def build(warehouse: ConnectionSettings, owner: psycopg.Connection) -> Callable[..., int]:
    """Build a release of one table per layer, audited unless told otherwise."""

    def build(
        gold: str = "1 as answer",
        target_layer: schemas.Layer = "gold",
        results: list[CheckResult] | None = None,
    ) -> int:
        release = start(owner, target_layer)
        with warehouse.connect(role=schemas.LOADER) as loader:
            loader.execute(f"create table bronze_r{release}.things as select {release} as release")
        with warehouse.connect(role=schemas.TRANSFORMER) as transformer:
            transformer.execute(
                f"create table silver_r{release}.things as select * from bronze_r{release}.things"
            )
            transformer.execute(f"create table gold_r{release}.features as select {gold}")
        if results is None:
            results = [check(tool, layer) for tool, layer in AUDITED]
        with warehouse.connect(role=schemas.AUDITOR) as auditor:
            for tool in {result.tool for result in results}:
                record_check_results(
                    auditor, release, tool, [one for one in results if one.tool == tool]
                )
        return release

    return build


def test_bootstrap_may_be_repeated_and_costs_nothing_when_current(
    warehouse: ConnectionSettings, warehouse_admin: ConnectionSettings
) -> None:
    bootstrap(warehouse_admin, warehouse.user)
    ensure_bootstrapped(warehouse)


def test_an_unprepared_database_is_refused_with_the_command_that_prepares_it(
    warehouse: ConnectionSettings, warehouse_admin: ConnectionSettings
) -> None:
    with warehouse_admin.connect(autocommit=True) as admin:
        admin.execute("drop database if exists unprepared")
        admin.execute("create database unprepared")
    with pytest.raises(NotBootstrapped, match=r"python -m include\.warehouse"):
        ensure_bootstrapped(warehouse.model_copy(update={"dbname": "unprepared"}))


def test_a_managed_database_without_a_superuser_can_be_prepared(
    warehouse_admin: ConnectionSettings,
) -> None:
    """On a managed Postgres the best login there is may create roles and owns its database."""
    with warehouse_admin.connect(autocommit=True) as admin:
        for statement in (
            "drop database if exists managed",
            "drop role if exists managed_admin",
            "create role managed_admin login createrole password 'managed'",
            "create database managed owner managed_admin",
        ):
            admin.execute(statement)  # type: ignore[arg-type]
        # Its own cluster's roles would be new: here they exist, so it may at least hand them on.
        for role in (schemas.OWNER, schemas.LOADER, schemas.TRANSFORMER, schemas.AUDITOR):
            admin.execute(f"grant {role} to managed_admin with admin option, set false")  # type: ignore[arg-type]
    managed = warehouse_admin.model_copy(
        update={"dbname": "managed", "user": "managed_admin", "password": SecretStr("managed")}
    )
    bootstrap(managed)
    ensure_bootstrapped(managed)


def test_a_schema_of_somebody_elses_is_named(warehouse_admin: ConnectionSettings) -> None:
    """The database of another warehouse had a schema `bronze` of its own."""
    with warehouse_admin.connect(autocommit=True) as admin:
        admin.execute("drop database if exists taken")
        admin.execute("create database taken")
    taken = warehouse_admin.model_copy(update={"dbname": "taken"})
    with taken.connect(autocommit=True) as admin:
        admin.execute("create schema bronze")
    with pytest.raises(NotBootstrapped, match="schema 'bronze' already"):
        bootstrap(taken)


def test_readers_see_a_release_only_once_it_is_published(
    owner: psycopg.Connection, reader: psycopg.Connection, build: Callable[..., int]
) -> None:
    release = build()
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        reader.execute(f"select * from gold_r{release}.features")
    with pytest.raises(psycopg.errors.UndefinedTable):
        reader.execute("select * from gold.features")

    assert publish_release(owner, release) == ("bronze", "silver", "gold")

    assert reader.execute("select answer from gold.features").fetchall() == [(1,)]
    assert reader.execute("select release from silver.things").fetchall() == [(release,)]


def test_readers_cannot_write_nor_see_how_the_warehouse_is_run(
    owner: psycopg.Connection, reader: psycopg.Connection, build: Callable[..., int]
) -> None:
    publish_release(owner, build())
    for statement in (
        "insert into gold.features values (2)",
        "create table gold.mine (x int)",
        "select * from ops.releases",
        "drop view gold.features",
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            reader.execute(statement)


@pytest.mark.parametrize(
    ("results", "reason"),
    [
        ([check(tool, layer) for tool, layer in AUDITED if tool != "soda"], "not audited by soda"),
        ([check(tool, layer) for tool, layer in AUDITED[:-1]], "great_expectations on gold"),
        (
            [check(*AUDITED[0], outcome="failed")] + [check(*audit) for audit in AUDITED[1:]],
            "failed 1 checks: bronze.holds",
        ),
        (
            [check(*AUDITED[0], outcome="error", severity="warning")]
            + [check(*audit) for audit in AUDITED[1:]],
            "failed 1 checks: bronze.holds",
        ),
    ],
    ids=["a whole tool missing", "one layer missing", "a blocking failure", "a check that broke"],
)
def test_a_release_without_every_audit_passed_is_not_published(
    owner: psycopg.Connection,
    reader: psycopg.Connection,
    build: Callable[..., int],
    results: list[CheckResult],
    reason: str,
) -> None:
    good = build()
    publish_release(owner, good)
    with pytest.raises(ReleaseError, match=reason):
        publish_release(owner, build(results=results))
    assert reader.execute("select release from bronze.things").fetchall() == [(good,)]


def test_publishing_again_after_a_lost_answer_changes_nothing(
    owner: psycopg.Connection, build: Callable[..., int]
) -> None:
    """The worker died between the commit and its report, so Airflow ran the task again."""
    release = build()
    publish_release(owner, release)
    before = get_release(owner, release)
    assert publish_release(owner, release) == ("bronze", "silver", "gold")
    assert get_release(owner, release) == before


def test_what_a_retry_overcame_is_not_held_against_the_release(
    owner: psycopg.Connection, warehouse: ConnectionSettings, build: Callable[..., int]
) -> None:
    release = build()
    note_failure(owner, release, "dbt: connection lost")
    publish_release(owner, release)
    assert get_release(owner, release).failure is None
    assert close_release(warehouse, release) is None


def test_an_unpublished_release_is_closed_with_the_first_reason(
    owner: psycopg.Connection, warehouse: ConnectionSettings, build: Callable[..., int]
) -> None:
    release = build()
    note_failure(owner, release, "load_bronze: boot_mapping fell to 14 rows")
    note_failure(owner, release, "publish_release: something later")
    for _ in range(2):
        assert close_release(warehouse, release) == "load_bronze: boot_mapping fell to 14 rows"
    assert get_release(owner, release).state == "failed"


def test_a_warning_does_not_hold_a_release_back(
    owner: psycopg.Connection, build: Callable[..., int]
) -> None:
    results = [check(tool, layer) for tool, layer in AUDITED]
    results.append(
        check("soda", "bronze", check_id="stale", severity="warning", outcome="warned", message="!")
    )
    release = build(results=results)
    publish_release(owner, release)
    assert release_summary(owner, release).checks["soda"] == {"passed": 2, "warned": 1}


def test_a_lower_target_layer_moves_only_the_layers_that_were_built(
    owner: psycopg.Connection, reader: psycopg.Connection, build: Callable[..., int]
) -> None:
    full = build()
    publish_release(owner, full)
    partial = build(target_layer="silver")
    assert publish_release(owner, partial) == ("bronze", "silver")
    assert reader.execute("select release from silver.things").fetchall() == [(partial,)]
    gold, silver = published_release(owner, "gold"), published_release(owner, "silver")
    assert gold and gold.release_id == full
    assert silver and silver.release_id == partial


def test_rolling_back_and_forth_changes_what_readers_see(
    owner: psycopg.Connection, reader: psycopg.Connection, build: Callable[..., int]
) -> None:
    first, second = build(), None
    publish_release(owner, first)
    second = build()
    publish_release(owner, second)
    for release in (first, second):
        roll_back(owner, release)
        assert reader.execute("select release from bronze.things").fetchall() == [(release,)]
        assert get_release(owner, release).state == "published"
    assert get_release(owner, first).state == "superseded"
    with pytest.raises(ReleaseError, match="is published, not superseded"):
        roll_back(owner, second)
    with pytest.raises(ReleaseError, match="There is no release 4711"):
        roll_back(owner, 4711)


def test_views_that_analysts_built_survive_a_publish_that_adds_and_reorders_columns(
    owner: psycopg.Connection, warehouse_admin: ConnectionSettings, build: Callable[..., int]
) -> None:
    publish_release(owner, build("1 as answer, 2 as question"))
    with warehouse_admin.connect(autocommit=True) as analyst:
        analyst.execute("create schema if not exists analysis")
        analyst.execute("create view analysis.answers as select answer from gold.features")
        publish_release(owner, build("5 as question, 6 as more, 7 as answer"))
        assert analyst.execute("select * from analysis.answers").fetchall() == [(7,)]


def test_a_column_that_somebody_uses_cannot_vanish_unnoticed(
    owner: psycopg.Connection,
    reader: psycopg.Connection,
    warehouse_admin: ConnectionSettings,
    build: Callable[..., int],
) -> None:
    publish_release(owner, build("1 as answer, 2 as question"))
    with warehouse_admin.connect(autocommit=True) as analyst:
        analyst.execute("create schema if not exists analysis")
        analyst.execute("create view analysis.questions as select question from gold.features")
        with pytest.raises(PublicationBlocked, match=r"view analysis\.questions depends on"):
            publish_release(owner, build("1 as answer"))
        assert reader.execute("select question from gold.features").fetchall() == [(2,)]
        analyst.execute("drop view analysis.questions")
    publish_release(owner, build("1 as answer"))
    assert [column.name for column in reader.execute("table gold.features").description or ()] == [
        "answer"
    ]


def test_what_others_keep_in_a_public_schema_is_theirs(
    owner: psycopg.Connection, warehouse_admin: ConnectionSettings, build: Callable[..., int]
) -> None:
    publish_release(owner, build())
    with warehouse_admin.connect(autocommit=True) as analyst:
        analyst.execute("create view gold.my_summary as select 1 as one")
        publish_release(owner, build())
        assert analyst.execute("select one from gold.my_summary").fetchall() == [(1,)]
        analyst.execute("drop view gold.features")
        analyst.execute("create table gold.features (mine integer)")
    with pytest.raises(PublicationBlocked, match=r"gold\.features exists already"):
        publish_release(owner, build())


def test_no_stage_can_touch_what_readers_see(
    owner: psycopg.Connection,
    reader: psycopg.Connection,
    warehouse: ConnectionSettings,
    build: Callable[..., int],
) -> None:
    """dbt was run again for a release that was live, and dropped the tables behind the views."""
    release = build()
    publish_release(owner, release)
    with pytest.raises(ReleaseError, match="is published and cannot be worked on"):
        resume_release(owner, release)
    with warehouse.connect(role=schemas.TRANSFORMER, autocommit=True) as transformer:
        for statement in (
            f"drop table silver_r{release}.things cascade",
            f"create table silver_r{release}.more (x integer)",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                transformer.execute(statement)  # type: ignore[arg-type]
    assert reader.execute("select release from silver.things").fetchall() == [(release,)]


def test_a_release_without_tables_replaces_nothing(
    owner: psycopg.Connection,
    reader: psycopg.Connection,
    warehouse: ConnectionSettings,
    build: Callable[..., int],
) -> None:
    good = build()
    publish_release(owner, good)
    empty = build()
    with warehouse.connect(role=schemas.TRANSFORMER) as transformer:
        transformer.execute(f"drop table gold_r{empty}.features")
    with pytest.raises(PublicationBlocked, match=f"gold_r{empty} holds no table"):
        publish_release(owner, empty)
    assert reader.execute("select release from bronze.things").fetchall() == [(good,)]


@pytest.mark.parametrize("meanwhile", ["closed", "published"])
def test_a_publish_waits_for_readers_and_looks_again_before_it_goes_on(
    owner: psycopg.Connection,
    reader: psycopg.Connection,
    warehouse: ConnectionSettings,
    build: Callable[..., int],
    meanwhile: str,
) -> None:
    """A long query held the publish off; before it ended, somebody marked the run as failed."""
    good = build()
    publish_release(owner, good)
    waiting = build()
    with ThreadPoolExecutor() as pool, warehouse.connect(role=schemas.OWNER) as publisher:
        with reader.transaction():
            reader.execute("select * from gold.features")
            publication = pool.submit(publish_release, publisher, waiting)
            while get_release(owner, waiting).state != "audited":
                time.sleep(0.05)
            # The waiting publish must not hold off other readers.
            time.sleep(1)
            with warehouse.connect(role=schemas.OWNER) as other:
                other.execute("set lock_timeout = '2s'")
                assert other.execute("select answer from gold.features").fetchall() == [(1,)]
            if meanwhile == "closed":
                fail_release(owner, waiting, "marked as failed")
        if meanwhile == "closed":
            with pytest.raises(ReleaseError, match="is failed, not audited"):
                publication.result(timeout=30)
        else:
            publication.result(timeout=30)
    expected = good if meanwhile == "closed" else waiting
    assert reader.execute("select release from bronze.things").fetchall() == [(expected,)]


def test_a_failed_release_goes_on_when_its_task_is_cleared(
    owner: psycopg.Connection, build: Callable[..., int]
) -> None:
    """An audit was killed for memory; its task was cleared instead of the whole run repeated."""
    release = build()
    fail_release(owner, release, "audit_with_soda: killed")
    resume_release(owner, release)
    assert get_release(owner, release).state == "building"
    publish_release(owner, release)
    assert get_release(owner, release).failure is None


def test_only_the_newest_release_is_taken_up_again(
    owner: psycopg.Connection, build: Callable[..., int]
) -> None:
    older = build()
    fail_release(owner, older, "first")
    start(owner)
    with pytest.raises(ReleaseError, match="start a new run"):
        resume_release(owner, older)


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
        assert prune_releases(owner, keep=1) == []
    assert prune_releases(owner, keep=1) == [releases[0]]


def test_what_was_rolled_away_stays_the_newest(
    owner: psycopg.Connection, build: Callable[..., int]
) -> None:
    """The next night rebuilt the release that an operator had just rolled away."""
    first, second = build(), None
    publish_release(owner, first)
    second = build()
    publish_release(owner, second)
    roll_back(owner, first)
    newest = newest_release(owner, "gold")
    assert newest and newest.release_id == second


def test_the_last_three_releases_stay_and_older_ones_go(
    owner: psycopg.Connection, build: Callable[..., int]
) -> None:
    releases = []
    for _ in range(5):
        releases.append(build())
        publish_release(owner, releases[-1])
    assert prune_releases(owner, keep=3) == releases[:2]
    assert prune_releases(owner, keep=3) == []
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
        prune_releases(owner, keep=1)
    assert reader.execute("select answer from gold.features").fetchall() == [(1,)]


def test_a_killed_run_is_closed_and_cleared_by_the_next_one(
    owner: psycopg.Connection, build: Callable[..., int]
) -> None:
    """A run died in the middle of dbt: nobody was left to close its release."""
    orphan = build(results=[])
    successor = start(owner)
    closed = get_release(owner, orphan)
    assert (closed.state, bool(closed.pruned_at)) == ("failed", True)
    assert "interrupted" in str(closed.failure)
    with pytest.raises(ReleaseError, match="is failed and cannot be worked on"):
        resume_release(owner, orphan)
    assert get_release(owner, successor).state == "building"
    assert not owner.execute(f"select to_regclass('gold_r{orphan}.features')").fetchone()[0]  # type: ignore[index]


def test_the_evidence_of_the_newest_failure_is_kept(
    owner: psycopg.Connection, build: Callable[..., int]
) -> None:
    older, newer = build(results=[]), None
    fail_release(owner, older, "first")
    newer = build(results=[])
    fail_release(owner, newer, "second")
    assert prune_releases(owner) == [older]
    assert [release.failure for release in list_releases(owner)][:2] == ["second", "first"]


def test_each_role_may_touch_only_its_own_stage(
    owner: psycopg.Connection, warehouse: ConnectionSettings, build: Callable[..., int]
) -> None:
    release = build()
    forbidden = {
        schemas.LOADER: [f"select * from gold_r{release}.features", "create schema mine"],
        schemas.TRANSFORMER: [
            f"insert into bronze_r{release}.things values (0)",
            "update ops.releases set state = 'published'",
        ],
        schemas.AUDITOR: [
            f"delete from silver_r{release}.things",
            "update ops.releases set state = 'published'",
        ],
    }
    for role, statements in forbidden.items():
        with warehouse.connect(role=role, autocommit=True) as connection:
            for statement in statements:
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    connection.execute(statement)  # type: ignore[arg-type]
