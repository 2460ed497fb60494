"""Readers see whole, audited releases and nothing else."""

from __future__ import annotations

from collections.abc import Callable

import psycopg
import pytest
from pydantic import SecretStr

from include.pipeline import close_release, publish
from include.warehouse import schemas
from include.warehouse.bootstrap import NotBootstrapped, bootstrap, ensure_bootstrapped
from include.warehouse.checks import CheckResult
from include.warehouse.connection import ConnectionSettings
from include.warehouse.definitions import Definition, record_definitions
from include.warehouse.history import list_events
from include.warehouse.publication import PublicationBlocked
from include.warehouse.releases import (
    ReleaseError,
    fail_release,
    get_release,
    newest_release,
    note_failure,
    publish_release,
    publish_replay,
    published_release,
    resume_release,
    roll_back,
)
from include.warehouse.summary import release_summary
from tests.integration.small_releases import AUDITED, check, start

pytestmark = pytest.mark.integration


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


def test_rows_are_told_as_recorded_and_counted_only_in_releases_of_old(
    owner: psycopg.Connection, build: Callable[..., int]
) -> None:
    """Counting every table made a publication of many seasons take ten times as long."""
    release = build()
    counted = {"bronze": {"things": 1}, "silver": {"things": 1}, "gold": {"features": 1}}
    assert release_summary(owner, release).rows == counted

    written = [
        Definition(layer=layer, table_name=table, fingerprint="any", rows=rows)
        for layer, table, rows in (("silver", "things", 7), ("gold", "features", None))
    ]
    record_definitions(owner, release, written)
    assert release_summary(owner, release).rows == counted | {"silver": {"things": 7}}


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


def test_what_readers_saw_when_can_be_read_afterwards(
    owner: psycopg.Connection, warehouse: ConnectionSettings, build: Callable[..., int]
) -> None:
    """Somebody rolled back on a Sunday, and on Monday nobody knew who or when."""
    first, second = build(), None
    publish_release(owner, first)
    second = build(target_layer="silver")
    publish_release(owner, second)
    roll_back(owner, first, done_by="ana")
    assert [
        (event.release_id, event.event, event.layers, event.done_by) for event in list_events(owner)
    ] == [
        (first, "rolled_back", ["bronze", "silver", "gold"], "ana"),
        (second, "published", ["bronze", "silver"], "a test"),
        (first, "published", ["bronze", "silver", "gold"], "a test"),
    ]
    assert {event.login for event in list_events(owner)} == {warehouse.user}


def test_a_replay_is_built_and_audited_and_disturbs_nobody(
    owner: psycopg.Connection,
    reader: psycopg.Connection,
    warehouse: ConnectionSettings,
    build: Callable[..., int],
) -> None:
    """An old commit was rebuilt to look at it; the next night took it for the newest data."""
    good = build()
    publish_release(owner, good)
    replay = build(is_replay=True)

    assert publish(warehouse, replay)["layers"] == []
    assert close_release(warehouse, replay) is None

    assert reader.execute("select release from bronze.things").fetchall() == [(good,)]
    newest = newest_release(owner)
    assert newest and newest.release_id == good
    start(owner)
    assert get_release(owner, replay).state == "audited"
    assert not get_release(owner, replay).pruned_at


def test_a_replay_is_published_on_purpose_and_only_with_its_audits(
    owner: psycopg.Connection,
    reader: psycopg.Connection,
    warehouse: ConnectionSettings,
    build: Callable[..., int],
) -> None:
    newest = build()
    publish_release(owner, newest)
    replay = build(is_replay=True)
    with pytest.raises(ReleaseError, match="is building, not audited"):
        publish_replay(owner, replay)
    publish(warehouse, replay)
    publish_replay(owner, replay, done_by="ana")
    assert reader.execute("select release from bronze.things").fetchall() == [(replay,)]
    # The next night still knows the newest data, and leaves the choice alone.
    known = newest_release(owner)
    assert known and known.release_id == newest
    roll_back(owner, newest)
    roll_back(owner, replay)

    unaudited = build(is_replay=True, results=[])
    with pytest.raises(ReleaseError, match="not audited by"):
        publish_replay(owner, unaudited)
    with pytest.raises(ReleaseError, match="is superseded and no replay"):
        publish_replay(owner, newest)


def test_a_replay_that_fails_is_closed_like_any_other(
    owner: psycopg.Connection, warehouse: ConnectionSettings, build: Callable[..., int]
) -> None:
    replay = build(is_replay=True, results=[check(tool, layer) for tool, layer in AUDITED[1:]])
    with pytest.raises(ReleaseError, match="soda on bronze"):
        publish(warehouse, replay)
    assert close_release(warehouse, replay) == "its run ended before it was published"
    assert get_release(owner, replay).state == "failed"


def test_a_cleared_audit_of_a_replay_goes_on_with_it(
    owner: psycopg.Connection, warehouse: ConnectionSettings, build: Callable[..., int]
) -> None:
    replay = build(is_replay=True)
    publish(warehouse, replay)
    resume_release(owner, replay)
    assert get_release(owner, replay).state == "building"
    publish(warehouse, replay)
    assert get_release(owner, replay).closed_at
