"""`make run`: from whatever state the machine is in to a published release, and a summary."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from rich.console import Console
from rich.markup import escape

from include.ingestion.sources import SourceRequest
from include.local.airflow_home import AirflowError, prepare_airflow, prepare_manifest
from include.local.api import AirflowApi, DagRun, TaskInstance
from include.local.databases import LocalDatabases
from include.local.follow import error_lines, follow, follow_caused, log_file
from include.local.stack import AirflowStack, Starter
from include.local.state import State
from include.local.summary import render_places, render_summary
from include.pipeline import detect_changes
from include.warehouse.schemas import OWNER, Layer
from include.warehouse.summary import release_summary

DAG_ID = "survivor_medallion_pipeline"
DAG_TIMEOUT = 120
CANCEL_TIMEOUT = 20
FAILED_TASKS_SHOWN = 5


class RunOptions(BaseModel):
    """What a person may choose; the params of the DAG."""

    source: str = "auto"
    ref: str | None = None
    source_dir: Path | None = None
    target_layer: Layer = "gold"
    accept_falls: list[str] = []
    force: bool = False
    publish: bool = True

    def request(self) -> SourceRequest:
        """Return the part that says where the data comes from."""
        directory = str(self.source_dir) if self.source_dir else None
        return SourceRequest(source=self.source, ref=self.ref, directory=directory)

    def conf(self) -> dict[str, Any]:
        """Return the params to trigger the DAG with."""
        return self.model_dump(mode="json")


@dataclass(frozen=True)
class Outcome:
    """How the pipeline's run ended, and the runs that its publication started."""

    tasks: dict[DagRun, list[TaskInstance]]
    release_id: int | None

    @property
    def succeeded(self) -> bool:
        """Whether every one of them did."""
        return all(run.state == "success" for run in self.tasks)

    @property
    def published(self) -> bool:
        """Whether the pipeline's own run succeeded, whatever became of the others."""
        return any(run.dag_id == DAG_ID and run.state == "success" for run in self.tasks)


class LocalRun:
    """One `make run`."""

    def __init__(self, state: State, console: Console) -> None:
        """Describe it; nothing happens before `execute`."""
        self._state = state
        self._console = console
        self._databases = LocalDatabases.of(state)
        self._stack = AirflowStack(state, self._databases)
        self._task_logs = state.logs / "tasks"
        self._stages: dict[str, float] = {}

    def execute(self, options: RunOptions) -> int:
        """Run the pipeline and show the outcome; returns the exit code, 0 when all is well."""
        started = time.monotonic()
        with self._state.locked("run", wait=False):
            start_postgres(self._databases, self._console)
            with step("Look for something new", self._console):
                detection = detect_changes(
                    self._databases.pipeline,
                    options.request(),
                    target_layer=options.target_layer,
                    force=options.force or not options.publish,
                )
            self._console.print(escape(detection.summary))
            if not detection.changed:
                self._console.print("FORCE=1 builds a release all the same.")
                self._show_places()
                return 0
            try:
                self._prepare()
                self._stages["set up"] = time.monotonic() - started
                outcome = self._run_pipeline(options)
            finally:
                # Also what a killed `make run` left behind, but never what `make up` started.
                if self._stack.started_by == "run":
                    with step("Stop Airflow", self._console):
                        self._stack.stop(started_by="run")
            self._report(outcome)
            return 0 if outcome.succeeded else 1

    def _prepare(self) -> None:
        # Both take seconds on a fresh machine and neither needs the other.
        name = "Prepare Airflow's database and the dbt manifest"
        with step(name, self._console), ThreadPoolExecutor() as pool:
            migration = pool.submit(prepare_airflow, self._state, self._databases)
            manifest = pool.submit(prepare_manifest, self._state)
            migration.result()
            manifest.result()
        start_airflow(self._stack, "run", self._console)

    def _run_pipeline(self, options: RunOptions) -> Outcome:
        api = self._stack.api()
        for other in api.active_runs(DAG_ID):
            self._console.print(f"Run {other.dag_run_id} is under way; this one comes after it.")
        run = api.trigger(DAG_ID, options.conf())
        try:
            runs = [follow(api, run, self._task_logs, self._console)]
            runs += follow_caused(api, run, self._task_logs, self._console)
        except KeyboardInterrupt:
            self._console.print(
                "[yellow]Interrupted: ending the run.[/] Readers keep what they see."
            )
            cancel(api, run)
            raise
        return Outcome(
            tasks={other: api.task_instances(other) for other in runs},
            release_id=api.xcom(run, "open_release"),
        )

    def _report(self, outcome: Outcome) -> None:
        for tasks in outcome.tasks.values():
            self._stages |= _stage_times(tasks)
        if outcome.release_id is not None:
            with self._databases.pipeline.connect(role=OWNER) as connection:
                summary = release_summary(connection, outcome.release_id)
            self._console.print(render_summary(summary, self._stages))
        for run, tasks in outcome.tasks.items():
            if run.state != "success":
                self._explain(run, tasks)
        if outcome.published and not outcome.succeeded:
            self._console.print(
                f"\nRelease {outcome.release_id} is good all the same: what failed makes files and "
                "pages from it. make export tries its data package again."
            )
        if outcome.published:
            self._show_places()

    def _explain(self, run: DagRun, tasks: list[TaskInstance]) -> None:
        failed = sorted(
            (task for task in tasks if task.state == "failed"), key=lambda task: str(task.end_date)
        )
        self._console.print(f"\n[bold red]Failed: {run.dag_id}[/]")
        for task in failed[:FAILED_TASKS_SHOWN]:
            log = log_file(task, self._task_logs)
            self._console.print(f"[red]✗ {task.task_id}[/]")
            for line in error_lines(log):
                self._console.print(f"    {line}", markup=False, highlight=False, soft_wrap=True)
            self._console.print(f"    Log: {log}", markup=False, highlight=False, soft_wrap=True)
        if len(failed) > FAILED_TASKS_SHOWN:
            self._console.print(f"and {len(failed) - FAILED_TASKS_SHOWN} more tasks")
        if not_run := sum(task.state == "upstream_failed" for task in tasks):
            self._console.print(f"Not run because of that: {not_run} tasks.")

    def _show_places(self) -> None:
        ui_is_running = self._stack.started_by == "up"
        self._console.print(render_places(self._state.artifacts, ui_is_running=ui_is_running))
        self._console.print("[dim]Postgres keeps running for you; make down stops it.[/]")


@contextmanager
def step(name: str, console: Console) -> Iterator[None]:
    """Show that a step is under way, and that it is done with its time when it took any."""
    started = time.monotonic()
    if console.is_terminal:
        with console.status(name):
            yield
    else:
        yield
    elapsed = time.monotonic() - started
    if elapsed > 0.1:
        console.print(f"[green]✓[/] {name:<48} [dim]{elapsed:6.1f} s[/]")


def cancel(api: AirflowApi, run: DagRun) -> None:
    """End a run and those that it caused; runs that somebody else started go on."""
    caused, _ = api.runs_caused_by(run)
    active = _unfinished(api, [run, *caused])
    for one in active:
        api.fail(one)
    # A run still has its own clearing up to do; what it cannot, the next release does.
    deadline = time.monotonic() + CANCEL_TIMEOUT
    while _unfinished(api, active) and time.monotonic() < deadline:
        time.sleep(0.5)


def _unfinished(api: AirflowApi, runs: Sequence[DagRun]) -> list[DagRun]:
    return [run for run in runs if not api.run(run.dag_id, run.dag_run_id).finished]


def start_postgres(databases: LocalDatabases, console: Console) -> None:
    """Start the embedded Postgres and prepare its databases."""
    with step("Start Postgres and prepare the warehouse", console):
        databases.start()


def start_airflow(stack: AirflowStack, started_by: Starter, console: Console) -> None:
    """Start Airflow and wait until it has read the DAG file as it is now.

    Raises:
        AirflowError: Airflow does not start, or the file cannot be read, or was not in time.
    """
    asked_at = datetime.now(UTC)
    with step("Start Airflow", console):
        just_started = stack.start(started_by)
    with step("Read the DAG", console):
        _wait_for_dag(stack.api(), since=stack.reads_dags_since if just_started else asked_at)


def _wait_for_dag(api: AirflowApi, since: datetime) -> None:
    known = api.dag(DAG_ID)
    if known and _parsed_at(known) < since:
        api.reparse(known["file_token"])
    deadline = time.monotonic() + DAG_TIMEOUT
    while not (known and _parsed_at(known) >= since):
        for file, trace in api.import_errors(since).items():
            raise AirflowError(f"Airflow cannot read the DAG file {file}:\n{trace}")
        if time.monotonic() > deadline:
            raise AirflowError(f"Airflow has not read the DAG {DAG_ID} within {DAG_TIMEOUT} s.")
        time.sleep(0.3)
        known = api.dag(DAG_ID)


def _parsed_at(dag: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(dag["last_parsed_time"])


def _stage_times(tasks: list[TaskInstance]) -> dict[str, float]:
    """Return seconds per task in the order of their start; a group of tasks is one stage."""
    spans: dict[str, tuple[datetime, datetime]] = {}
    for task in tasks:
        ran = task.state in ("success", "failed") and not task.is_empty
        if ran and task.start_date and task.end_date:
            stage = task.task_id.split(".")[0]
            start, end = spans.get(stage, (task.start_date, task.end_date))
            spans[stage] = min(start, task.start_date), max(end, task.end_date)
    ordered = sorted(spans.items(), key=lambda span: span[1])
    return {stage: (end - start).total_seconds() for stage, (start, end) in ordered}
