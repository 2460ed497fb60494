"""The history of the releases: what took how long, and what a slow drift looks like."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from include.console.history import charts, drifts, floor_of, read_history
from include.console.pages import history as page
from include.warehouse.connection import CONNECTION_VARIABLE, ConnectionSettings
from include.warehouse.schemas import AUDITOR
from tests.integration.console_pages import Browse, signed_in

BEGAN = datetime(2026, 1, 1, tzinfo=UTC)


def add(
    superuser: psycopg.Connection,
    state: str = "superseded",
    *,
    load: float | None = 10,
    dbt: float | None = 20,
    audits: float | None = 30,
    publish: float | None = 1,
    rows: int | None = 1000,
    not_passed: dict[str, int] | None = None,
    is_replay: bool = False,
    ended: float = 0,
) -> int:
    """Add a release whose stages took these seconds; None: it did not get there."""
    moments = {"opened_at": BEGAN}
    now = BEGAN
    for name, took in {
        "loaded_at": load,
        "built_at": dbt,
        "audited_at": audits,
        "published_at": publish,
    }.items():
        if took is not None:
            now += timedelta(seconds=took)
            moments[name] = now
    values = {
        "loaded_at": None,
        "built_at": None,
        "audited_at": None,
        "published_at": None,
        "state": state,
        "is_replay": is_replay,
        "active_at": now + timedelta(seconds=ended),
        **moments,
    }
    (release,) = superuser.execute(
        """
        insert into ops.releases (
            state, source_kind, source_version, source_location, source_fingerprint,
            code_fingerprint, target_layer, triggered_by, is_replay, opened_at, built_at,
            audited_at, published_at, active_at
        )
        values (
            %(state)s, 'directory', 'v1', 'a test', 'v1', 'code', 'gold', 'a run',
            %(is_replay)s, %(opened_at)s, %(built_at)s, %(audited_at)s, %(published_at)s,
            %(active_at)s
        )
        returning release_id
        """,
        values,
    ).fetchall()[0]
    if values["loaded_at"]:
        superuser.execute(
            "insert into ops.ingestion_runs (release_id, source_kind, source_version, "
            "source_location, status, datasets, rows, started_at, finished_at) "
            "values (%s, 'directory', 'v1', 'a test', 'succeeded', 1, 1, %s, %s)",
            (release, BEGAN, values["loaded_at"]),
        )
    if rows is not None:
        superuser.execute(
            "insert into ops.dataset_versions (release_id, dataset, source_kind, "
            "source_version, file_name, sha256, size_bytes, rows, columns) "
            "values (%s, 'castaways', 'directory', 'v1', 'f', 's', 1, %s, 1)",
            (release, rows),
        )
    for outcome, count in ({"passed": 3} | (not_passed or {})).items():
        superuser.execute(
            "insert into ops.check_results (release_id, tool, check_id, layer, table_name, "
            "description, severity, outcome, observed) "
            "select %s, 'dbt', %s || number, 'gold', 't', 'd', 'warning', %s, '{}' "
            "from generate_series(1, %s) as number",
            (release, outcome, outcome, count),
        )
    return int(release)


@pytest.fixture
def superuser(warehouse_admin: ConnectionSettings) -> Iterator[psycopg.Connection]:
    with warehouse_admin.connect(autocommit=True) as connection:
        yield connection


@pytest.fixture
def auditor(warehouse: ConnectionSettings) -> Iterator[psycopg.Connection]:
    with warehouse.connect(role=AUDITOR, autocommit=True) as connection:
        yield connection


def never(run_ids: object) -> dict[str, datetime]:
    return {}


def test_a_release_is_divided_into_its_stages(
    superuser: psycopg.Connection, auditor: psycopg.Connection
) -> None:
    add(superuser)
    began = {"a run": BEGAN - timedelta(seconds=5)}
    (release,) = read_history(auditor, 10, lambda run_ids: began)
    assert release.durations() == {"detect": 5, "load": 10, "dbt": 20, "audits": 30, "publish": 1}
    assert release.total() == 66


def test_a_failed_release_is_marked_with_the_time_until_it_failed(
    superuser: psycopg.Connection, auditor: psycopg.Connection
) -> None:
    add(superuser, not_passed={"warned": 1})
    failed = add(
        superuser, "failed", dbt=None, audits=None, publish=None, ended=7, rows=3,
        not_passed={"failed": 2, "error": 1},
    )  # fmt: skip
    found = read_history(auditor, 10, never)
    assert found[-1].durations() == {"load": 10, "unfinished": 7}
    durations, rows, checks = charts(found)
    assert f"failed: {failed}" in durations.summary
    for chart in (durations, rows, checks):
        crosses = chart.option["series"][-1]
        assert [release for release, _ in crosses["data"]] == [str(failed)]
    # The few rows of a failed load neither bend the line nor move its axis.
    assert rows.option["series"][0]["data"] == [1000, None]
    assert rows.option["yAxis"]["min"] == floor_of([1000])
    assert checks.rows == [[2, "failed", 3, 0, 2, 1], [1, "superseded", 3, 1, 0, 0]]


def test_what_is_at_work_or_was_never_published_has_no_such_stage(
    superuser: psycopg.Connection, auditor: psycopg.Connection
) -> None:
    """A replay that somebody showed a month later did not take a month."""
    add(superuser, "building", dbt=None, audits=None, publish=None)
    add(superuser, "superseded", publish=86400 * 30, is_replay=True)
    building, replay = read_history(auditor, 10, never)
    assert (building.durations(), building.total()) == ({"load": 10}, None)
    assert replay.total() == 60


def test_a_slow_drift_is_told_per_stage(
    superuser: psycopg.Connection, auditor: psycopg.Connection
) -> None:
    for release in range(24):
        add(superuser, dbt=20 + release)
    told = {
        drift.stage: round(drift.change, 2) for drift in drifts(read_history(auditor, 50, never))
    }
    assert told == {"all of it": 0.21, "load": 0, "dbt": 0.57, "audits": 0, "publish": 0}
    assert drifts(read_history(auditor, 3, never)) == []


def test_one_night_of_mending_does_not_flatten_the_others(
    superuser: psycopg.Connection, auditor: psycopg.Connection
) -> None:
    for _ in range(5):
        add(superuser)
    mended = add(superuser, audits=7200)
    durations, *_ = charts(read_history(auditor, 10, never))
    assert durations.option["yAxis"]["max"] < 200
    assert f"beyond the axis: {mended} (2 h)" in durations.summary
    # The table has it all the same.
    assert durations.rows[0][2] == 7231


@pytest.fixture
def browse(warehouse: ConnectionSettings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Browse]:
    monkeypatch.setenv(CONNECTION_VARIABLE, warehouse.as_airflow_connection())
    # Airflow's own database is not part of these tests.
    monkeypatch.setattr(page, "run_starts", never)
    with signed_in() as browse:
        yield browse


def test_the_page_shows_as_many_as_asked_for(superuser: psycopg.Connection, browse: Browse) -> None:
    assert "No release was built yet" in browse("/history").text
    for _ in range(3):
        add(superuser)
    newest = browse("/history?last=2").text
    assert "Releases 2 to 3." in newest
    assert newest.count("<figure") == newest.count("data-chart=") == 3
    assert "Releases 1 to 3." in browse("/history").text
    for wrong in ("0", "all", "-1"):
        assert browse(f"/history?last={wrong}").status_code == 404
