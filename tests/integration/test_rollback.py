"""Readers see an earlier release again, by whatever means an operator has."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from tests.conftest import PROJECT

if TYPE_CHECKING:
    import psycopg

    from include.warehouse.connection import ConnectionSettings


@pytest.fixture
def releases(build: Callable[..., int], owner: psycopg.Connection) -> list[int]:
    """Two releases that readers saw, the second of them now, and a replay."""
    from include.warehouse.releases import publish_release

    numbers = []
    for is_replay in (False, False, True):
        numbers.append(build(is_replay=is_replay))
        publish_release(owner, numbers[-1])
        owner.commit()
    return numbers


def seen(reader: psycopg.Connection) -> int:
    ((release,),) = reader.execute("select release from bronze.things").fetchall()
    return int(release)


def command(
    folder: Path, variables: dict[str, str], *arguments: str
) -> subprocess.CompletedProcess[str]:
    """Run `python -m include.warehouse` with these variables and no others of the pipeline."""
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("DB_", "AIRFLOW_CONN_", "GAMEBOT_"))
    }
    return subprocess.run(
        [sys.executable, "-m", "include.warehouse", *arguments],
        env={
            **environment,
            "AIRFLOW_HOME": str(folder / "airflow"),
            "PYTHONPATH": str(PROJECT),
            "PYTHONDONTWRITEBYTECODE": "1",
            **variables,
        },
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("where", ["a machine with DB_*", "a shell inside Airflow"])
def test_from_a_shell_without_make(
    where: str,
    tmp_path: Path,
    warehouse: ConnectionSettings,
    releases: list[int],
    reader: psycopg.Connection,
) -> None:
    """Whoever had no local stack had to type Python in the middle of the night."""
    variables = (
        warehouse.as_environment()
        if where == "a machine with DB_*"
        else {"AIRFLOW_CONN_SURVIVOR_POSTGRES": warehouse.as_airflow_connection()}
    )
    first, second, replay = releases
    listed = command(tmp_path, variables, "releases")
    assert listed.returncode == 0, listed.stderr
    lines = listed.stdout.splitlines()
    assert [line.split()[0] for line in lines[:3]] == [str(replay), str(second), str(first)]
    assert "published" in lines[1] and "readers see bronze, silver, gold" in lines[1]
    assert "audited, replay" in lines[0]

    for show, release in (("rollback", first), ("publish", replay), ("rollback", second)):
        done = command(tmp_path, variables, show, str(release))
        assert done.returncode == 0, done.stderr
        assert seen(reader) == release
    assert f"rolled back: release {second}" in command(tmp_path, variables, "releases").stdout


def test_what_cannot_be_is_said_without_a_stack_trace(
    tmp_path: Path, warehouse: ConnectionSettings, releases: list[int], reader: psycopg.Connection
) -> None:
    wrong = command(tmp_path, warehouse.as_environment(), "rollback", "4711")
    assert (wrong.returncode, wrong.stdout) == (1, "")
    assert wrong.stderr.startswith("error: There is no release 4711")
    nowhere = command(tmp_path, {}, "rollback", "1")
    assert nowhere.returncode == 1
    assert "no connection 'survivor_postgres'" in nowhere.stderr
    assert "DB_HOST" in nowhere.stderr
    assert seen(reader) == releases[1]


def show_by_dag(release_id: int | None) -> list[Any]:
    """Run the task of DAG survivor_release_rollback with what Airflow hands it."""
    from include.airflow_tasks import show_release

    run = SimpleNamespace(run_id="manual__1", triggering_user_name="night shift")
    return list(show_release.function(params={"release_id": release_id}, dag_run=run))


def test_from_airflow_by_whoever_may_trigger_a_dag(
    warehouse: ConnectionSettings,
    releases: list[int],
    owner: psycopg.Connection,
    reader: psycopg.Connection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """On a hosted Airflow there is no shell to type into."""
    from include.warehouse.history import list_events

    monkeypatch.setenv("AIRFLOW_CONN_SURVIVOR_POSTGRES", warehouse.as_airflow_connection())
    first, second, replay = releases
    for release in (first, replay, second):
        warehouse_event, *layer_events = show_by_dag(release)
        assert seen(reader) == release
        assert warehouse_event.extra["release_id"] == release
        # Whoever waits for a layer is told of a rollback as of a publication.
        told = {event.asset.name: event.extra["release_id"] for event in layer_events}
        assert told == dict.fromkeys(
            ("survivor_bronze", "survivor_silver", "survivor_gold"), release
        )
    newest = list_events(owner)[0]
    assert (newest.event, newest.release_id) == ("rolled_back", second)
    assert newest.done_by == "night shift"

    # The task died after its commit and is tried again.
    show_by_dag(second)
    assert seen(reader) == second


@pytest.mark.parametrize("release_id", [None, 4711])
def test_the_dag_says_which_releases_there_are_and_does_not_try_again(
    warehouse: ConnectionSettings,
    releases: list[int],
    reader: psycopg.Connection,
    monkeypatch: pytest.MonkeyPatch,
    release_id: int | None,
) -> None:
    from airflow.sdk.exceptions import AirflowFailException

    monkeypatch.setenv("AIRFLOW_CONN_SURVIVOR_POSTGRES", warehouse.as_airflow_connection())
    first, second, replay = releases
    with pytest.raises(AirflowFailException) as caught:
        show_by_dag(release_id)
    shown = str(caught.value).split("These can be shown: ")[1]
    assert [f"{release} (" in shown for release in (first, second, replay)] == [True, False, True]
    assert seen(reader) == second
