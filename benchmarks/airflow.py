"""An Airflow of the benchmark's own: the local stack in another folder, and what a run in it cost.

The stack is the one that `make run` starts: the same settings, processes and metadata database.
What a run cost is read where Airflow keeps it: the times of each task in the metadata database, and
in the task's log where our code began and ended.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
from psycopg.rows import class_row

from benchmarks.measure import Sample
from include import pipeline
from include.ingestion.sources import SourceRequest
from include.local.airflow_home import prepare_manifest
from include.local.api import DagRun
from include.local.databases import LocalDatabases
from include.local.stack import AirflowStack
from include.local.state import State, read_json
from include.warehouse.connection import ConnectionSettings

if TYPE_CHECKING:
    from benchmarks.workspace import Workspace

RUN_TIMEOUT = 900
DAG_TIMEOUT = 120
POLL_SECONDS = 0.2
MEMORY_SECONDS = 0.5

# What Airflow's task runner logs, in this order, in each task that succeeded or skipped itself.
FORKED = "::group::Pre Execute"
PARSED = "Worker startup parse complete"
BEGINS = "::endgroup::"
ENDED = "::group::Post Execute"

# What lies between the moments of a task: its queueing, its start in the database, those lines, its
# end in the database.
PHASES = ("queued", "fork", "read the DAG file", "prepare", "our code", "finish")


class RunFailed(RuntimeError):
    """What was to be measured did not come about; the message names it."""


@dataclass(frozen=True)
class Task:
    """One task that a process was started for, and when it got how far."""

    task_id: str
    state: str
    log: Path
    queued: datetime
    started: datetime
    ended: datetime

    @property
    def stage(self) -> str:
        """Its group, where it has one."""
        return self.task_id.split(".")[0]

    @property
    def seconds(self) -> float:
        """How long it ran, in Airflow's eyes."""
        return (self.ended - self.started).total_seconds()

    def phases(self) -> dict[str, float]:
        """Divide the time from its queueing to its end.

        Raises:
            RunFailed: its log lacks one of the lines that Airflow writes between the phases.
        """
        forked, parsed, begins, ended = self._marks()
        moments = [self.queued, self.started, forked, parsed, begins, ended, self.ended]
        return {
            name: (after - before).total_seconds()
            for name, (before, after) in zip(PHASES, pairwise(moments), strict=True)
        }

    def _marks(self) -> list[datetime]:
        wanted = [FORKED, PARSED, BEGINS, ENDED]
        found: list[datetime] = []
        for line in self.log.read_text(errors="replace").splitlines():
            with suppress(ValueError):
                entry = json.loads(line)
                if str(entry.get("event", "")).startswith(wanted[len(found)]):
                    found.append(datetime.fromisoformat(entry["timestamp"]))
            if len(found) == len(wanted):
                return found
        raise RunFailed(
            f"The log of {self.task_id} has no line {wanted[len(found)]!r}: Airflow tells its "
            "phases in another way than benchmarks/airflow.py knows."
        )


@dataclass(frozen=True)
class Run:
    """A finished run of a DAG, and what the stack spent on it."""

    dag_run: DagRun
    queued: datetime
    ended: datetime
    tasks: tuple[Task, ...]
    cpu: float
    peak_mib: float

    @property
    def wall(self) -> float:
        """Seconds from the request for it to its end."""
        return (self.ended - self.queued).total_seconds()

    @property
    def stages(self) -> set[str]:
        """Its tasks, of which a group is one."""
        return {task.stage for task in self.tasks}

    def span(self, *stages: str) -> float:
        """Return the seconds from the first start to the last end among these tasks and groups.

        Raises:
            RunFailed: the run had no such task.
        """
        if missing := set(stages) - self.stages:
            raise RunFailed(
                f"The run of {self.dag_run.dag_id} had no {', '.join(sorted(missing))}, but "
                f"{', '.join(sorted(self.stages))}: the benchmark knows another DAG."
            )
        tasks = [task for task in self.tasks if task.stage in stages]
        return (max(t.ended for t in tasks) - min(t.started for t in tasks)).total_seconds()

    def idle(self) -> float:
        """Return the seconds in which none of its tasks ran."""
        idle, busy_until = 0.0, self.queued
        for task in sorted(self.tasks, key=lambda task: task.started):
            idle += max(0.0, (task.started - busy_until).total_seconds())
            busy_until = max(busy_until, task.ended)
        return idle + max(0.0, (self.ended - busy_until).total_seconds())

    def phases(self) -> dict[str, float]:
        """Return the seconds that all its tasks together spent in each phase."""
        total: dict[str, float] = {}
        for task in self.tasks:
            for name, seconds in task.phases().items():
                total[name] = total.get(name, 0.0) + seconds
        return total

    def sample(self, wall: float | None = None, **parts: float) -> Sample:
        """Return what is reported of it."""
        return Sample(
            wall=self.wall if wall is None else wall,
            cpu=self.cpu,
            peak_mib=self.peak_mib,
            parts=parts,
        )


def airflow_of(workspace: Workspace, dags: Path | None = None) -> BenchmarkAirflow:
    """Return an Airflow for these DAG files, with the state in which an earlier suite left it.

    It is stopped when the suite ends.
    """
    folder = workspace.folder / ("airflow_with_other_dags" if dags else "airflow")
    airflow = BenchmarkAirflow(folder, dags)
    workspace.after_suite(airflow.stop)
    return airflow


def load_release(warehouse: ConnectionSettings, source_folder: Path) -> int:
    """Open a release and load its bronze, as a run does."""
    request = SourceRequest(source="directory", directory=str(source_folder))
    source = pipeline.detect_changes(warehouse, request, target_layer="gold", force=True).source
    release_id = pipeline.open_release(
        warehouse, source, target_layer="gold", triggered_by="make bench"
    )
    pipeline.load_bronze(warehouse, release_id, source, on_progress=lambda line: None)
    return release_id


class BenchmarkAirflow:
    """Airflow, its metadata database and a warehouse, all in a folder of their own."""

    def __init__(self, folder: Path, dags: Path | None = None) -> None:
        """Describe it.

        Args:
            folder: its own, where the user that Postgres runs as may enter the folder above.
            dags: DAG files to run in place of the project's.
        """
        self.state = State(folder)
        self.state.create()
        self.databases = LocalDatabases.of(self.state)
        self._stack = _Stack(self.state, self.databases, dags)

    def start_databases(self) -> None:
        """Start Postgres and prepare its databases."""
        self.databases.start()

    def start(self, dag_ids: Sequence[str]) -> None:
        """Start Airflow as `make run` does, and wait until it has read these DAGs.

        Raises:
            RunFailed: a DAG file cannot be read, or was not in time.
        """
        self.start_databases()
        prepare_manifest(self.state)
        self._stack.start("run")
        api = self._stack.api()
        since = self._stack.reads_dags_since
        deadline = time.monotonic() + DAG_TIMEOUT
        while missing := [dag_id for dag_id in dag_ids if not api.dag(dag_id)]:
            for file, trace in api.import_errors(since).items():
                raise RunFailed(f"Airflow cannot read the DAG file {file}:\n{trace}")
            if time.monotonic() > deadline:
                raise RunFailed(f"Airflow has not read {', '.join(missing)} in {DAG_TIMEOUT} s.")
            time.sleep(POLL_SECONDS)

    def environment(self) -> dict[str, str]:
        """Return the environment of Airflow's processes."""
        return self._stack.environment()

    def run(self, dag_id: str, conf: Mapping[str, Any]) -> Run:
        """Let the scheduler run a DAG to its end.

        Raises:
            RunFailed: it did not succeed; names the tasks that failed and where their logs are.
        """
        api = self._stack.api()
        before = self._cpu()
        with self._peak_memory() as peak:
            run = api.trigger(dag_id, conf)
            deadline = time.monotonic() + RUN_TIMEOUT
            while not (run := api.run(dag_id, run.dag_run_id)).finished:
                if time.monotonic() > deadline:
                    api.fail(run)
                    raise RunFailed(f"{dag_id} has not come to its end in {RUN_TIMEOUT} s.")
                time.sleep(POLL_SECONDS)
        cpu = self._cpu() - before
        if run.state != "success":
            failed = [t.task_id for t in api.task_instances(run) if t.state == "failed"]
            raise RunFailed(
                f"{dag_id} failed at {', '.join(failed)}: see the logs in {self.state.logs}."
            )
        return self._read(run, cpu, peak[0])

    def caused_by(self, run: Run) -> list[Run]:
        """Wait for the runs that a run's asset events started.

        Raises:
            RunFailed: there were none, or one of them failed.
        """
        api = self._stack.api()
        deadline = time.monotonic() + RUN_TIMEOUT
        while True:
            caused, more = api.runs_caused_by(run.dag_run)
            caused = list({one.dag_run_id: one for one in caused}.values())
            if caused and not more and all(one.finished for one in caused):
                break
            if time.monotonic() > deadline:
                raise RunFailed(f"Nothing came of {run.dag_run.dag_id} in {RUN_TIMEOUT} s.")
            time.sleep(POLL_SECONDS)
        for one in caused:
            if one.state != "success":
                raise RunFailed(f"{one.dag_id} failed: see the logs in {self.state.logs}.")
        return [self._read(one, 0.0, 0.0) for one in caused]

    def pause(self, dag_id: str, *, paused: bool) -> None:
        """Let a DAG start no runs, or again."""
        self._stack.api()._request("PATCH", f"/api/v2/dags/{dag_id}", json={"is_paused": paused})

    def stop(self) -> None:
        """Stop everything that was started."""
        self._stack.stop()
        self.databases.server.stop()

    def _read(self, run: DagRun, cpu: float, peak_mib: float) -> Run:
        with self.databases.airflow.connect() as connection:
            found = connection.execute(
                "select queued_at, end_date from dag_run where dag_id = %s and run_id = %s",
                (run.dag_id, run.dag_run_id),
            ).fetchone()
            assert found is not None
            # What no process was started for has no number of one.
            rows = connection.cursor(row_factory=class_row(_Row)).execute(
                """
                select task_id, try_number, state, queued_dttm, start_date, end_date
                from task_instance
                where dag_id = %s and run_id = %s and pid is not null
                order by start_date
                """,
                (run.dag_id, run.dag_run_id),
            )
            tasks = tuple(self._task(run, row) for row in rows)
        again = [task.task_id for task in tasks if task.log.name != "attempt=1.log"]
        if again:
            raise RunFailed(f"{run.dag_id} had to try {', '.join(again)} again.")
        return Run(run, found[0], found[1], tasks, cpu, peak_mib)

    def _task(self, run: DagRun, row: _Row) -> Task:
        folder = self.state.logs / "tasks" / f"dag_id={run.dag_id}" / f"run_id={run.dag_run_id}"
        return Task(
            task_id=row.task_id,
            state=row.state,
            log=folder / f"task_id={row.task_id}" / f"attempt={row.try_number}.log",
            queued=row.queued_dttm,
            started=row.start_date,
            ended=row.end_date,
        )

    def _processes(self) -> Iterator[psutil.Process]:
        for entry in read_json(self.state.folder / "processes.json").values():
            with suppress(psutil.NoSuchProcess):
                leader = psutil.Process(int(entry["pid"]))
                yield leader
                yield from leader.children(recursive=True)

    def _cpu(self) -> float:
        """Return the CPU seconds of all Airflow's processes and of those that they waited for."""
        total = 0.0
        for process in self._processes():
            with suppress(psutil.NoSuchProcess):
                total += sum(process.cpu_times()[:4])
        return total

    @contextmanager
    def _peak_memory(self) -> Iterator[list[float]]:
        peak, done = [0.0], threading.Event()

        def watch() -> None:
            while not done.wait(MEMORY_SECONDS):
                for process in self._processes():
                    with suppress(psutil.NoSuchProcess):
                        peak[0] = max(peak[0], process.memory_info().rss / 2**20)

        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            yield peak
        finally:
            done.set()
            watcher.join()


@dataclass(frozen=True)
class _Row:
    task_id: str
    try_number: int
    state: str
    queued_dttm: datetime
    start_date: datetime
    end_date: datetime


class _Stack(AirflowStack):
    """The local stack, on other DAG files where they are named."""

    def __init__(self, state: State, databases: LocalDatabases, dags: Path | None) -> None:
        super().__init__(state, databases)
        self._dags = dags

    def environment(self) -> dict[str, str]:
        return self._environment()

    def _environment(self) -> dict[str, str]:
        environment = super()._environment()
        if self._dags:
            environment["AIRFLOW__CORE__DAGS_FOLDER"] = str(self._dags)
        return environment
