"""What a whole run takes: its functions bare, under `dag.test()`, and under the real scheduler.

Bare is one Python process that calls what the tasks call. It keeps no files of dbt and the audits,
which needs Airflow's object storage.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from psycopg import sql

from benchmarks.airflow import BenchmarkAirflow, Run, RunFailed, airflow_of
from benchmarks.dbt import DbtCommand, dbt_command
from benchmarks.measure import PROJECT, Case, Sample, measured_child
from include.local.airflow_home import prepare_airflow
from include.local.databases import AIRFLOW
from include.local.run import DAG_ID, RunOptions

if TYPE_CHECKING:
    from benchmarks.workspace import Workspace
    from include.warehouse.connection import ConnectionSettings

ARTIFACTS = "survivor_release_artifacts"

# Every task of the pipeline belongs to one of these: a task that none of them counts is an error.
STAGES = (
    "detect_changes",
    "open_release",
    "load_bronze",
    "dbt_build",
    "models",
    "audit_with_soda",
    "audit_with_great_expectations",
    "publish_release",
    "close_release",
)
DATABASE = "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"


def suite(workspace: Workspace, quick: bool) -> list[Case]:
    """Return the ways to run it."""
    pipeline = Pipeline.prepared(workspace, with_dag_test=not quick)
    bare = Case(
        "pipeline", "bare", "bare: one Python process, the two audits at once",
        pipeline.run_bare, repetitions=3,
    )  # fmt: skip
    once = partial(Case, "pipeline", repetitions=1, quick_repetitions=0, baseline=bare.name)
    return [
        bare,
        Case(
            "pipeline", "scheduler", "the scheduler with LocalExecutor", pipeline.run_scheduled,
            repetitions=3, baseline=bare.name, target=1.7,
        ),
        once("dag_test", "`dag.test()`", pipeline.run_dag_test),
        once(
            "with_artifacts", "the scheduler, and the artefacts that follow",
            pipeline.run_with_artifacts,
        ),
    ]  # fmt: skip


@dataclass(frozen=True)
class Pipeline:
    """The pipeline of this checkout, its Airflow and its warehouse."""

    airflow: BenchmarkAirflow
    source_folder: Path

    @classmethod
    def prepared(cls, workspace: Workspace, *, with_dag_test: bool) -> Pipeline:
        """Start Airflow with the project's DAGs; what follows a publication waits to be asked."""
        pipeline = cls(airflow_of(workspace), workspace.source_folder)
        if with_dag_test:
            pipeline._copy_metadata()
        pipeline.airflow.start([DAG_ID, ARTIFACTS])
        pipeline.airflow.pause(ARTIFACTS, paused=True)
        return pipeline

    @property
    def conf(self) -> dict[str, Any]:
        """Return the parameters of a run that builds a release whatever is there already."""
        return RunOptions(source="directory", source_dir=self.source_folder, force=True).conf()

    def run_bare(self) -> Sample:
        """Run it without Airflow."""
        build = dbt_command(self.airflow)
        build.forget()
        folder = self.airflow.state.folder / "bare_audit"
        folder.mkdir(exist_ok=True)
        return measured_child(
            "benchmarks.pipeline:bare",
            warehouse=self.airflow.databases.pipeline.as_environment(),
            source_folder=str(self.source_folder),
            build=asdict(build),
            folder=str(folder),
        )

    def run_scheduled(self) -> Sample:
        """Let the scheduler run it."""
        run = self.airflow.run(DAG_ID, self.conf)
        return run.sample(**shares(run))

    def run_with_artifacts(self) -> Sample:
        """Let the scheduler run it and what its publication starts; the time is that of all."""
        self.airflow.pause(ARTIFACTS, paused=False)
        try:
            run = self.airflow.run(DAG_ID, self.conf)
            caused = self.airflow.caused_by(run)
        finally:
            self.airflow.pause(ARTIFACTS, paused=True)
        ended = max(one.ended for one in caused)
        return run.sample(
            (ended - run.queued).total_seconds(),
            **{"until the pipeline's end": run.wall},
            **{one.dag_run.dag_id: one.wall for one in caused},
        )

    def run_dag_test(self) -> Sample:
        """Run it as a developer does, with a metadata database that no scheduler looks at."""
        environment = self.airflow.environment()
        environment[DATABASE] = _of_dag_test(environment[DATABASE])
        return measured_child(
            "benchmarks.pipeline:dag_test", environment=environment, conf=self.conf
        )

    def _copy_metadata(self) -> None:
        """Make that database."""
        databases = self.airflow.databases
        self.airflow.start_databases()
        prepare_airflow(self.airflow.state, databases)
        with databases.server.settings().connect(autocommit=True) as connection:
            connection.execute(
                sql.SQL("create database {} template {} owner {}").format(
                    *map(sql.Identifier, (_of_dag_test(AIRFLOW), AIRFLOW, AIRFLOW))
                )
            )


def _of_dag_test(database: str) -> str:
    return f"{database}_of_dag_test"


def shares(run: Run) -> dict[str, float]:
    """Divide a run: the span of each stage, what lies between tasks, and what lies in them.

    Raises:
        RunFailed: the run lacked a stage, or had a task of none.
    """
    if unknown := run.stages - set(STAGES):
        raise RunFailed(
            f"The tasks {', '.join(sorted(unknown))} belong to no stage of benchmarks/pipeline.py."
        )
    return {
        **{stage: run.span(stage) for stage in STAGES},
        "dbt_build and models": run.span("dbt_build", "models"),
        "no task ran": run.idle(),
        **{f"all tasks, {phase}": seconds for phase, seconds in run.phases().items()},
    }


def bare(
    warehouse: Mapping[str, str],
    source_folder: str,
    build: Mapping[str, Any],
    folder: str,
) -> dict[str, float]:
    """Do what the tasks do, the audits at once; returns the seconds of each stage.

    Raises:
        RuntimeError: the release was not published.
    """
    from include import pipeline
    from include.ingestion.sources import SourceRequest
    from include.quality import run as quality
    from include.warehouse.connection import ConnectionSettings
    from include.warehouse.occupancy import working_on

    settings = ConnectionSettings.from_environment(warehouse)
    request = SourceRequest(source="directory", directory=source_folder)
    parts: dict[str, float] = {}
    with _timed(parts, "detect_changes"):
        source = pipeline.detect_changes(settings, request, "gold", force=True).source
    with _timed(parts, "open_release"):
        release_id = pipeline.open_release(settings, source, "gold", triggered_by="make bench")
    with _timed(parts, "load_bronze"):
        pipeline.load_bronze(settings, release_id, source, on_progress=print)
    with _timed(parts, "dbt_build"), working_on(settings, release_id, "dbt_build"):
        _build(settings, release_id, DbtCommand(**build))

    def audit_with_soda() -> None:
        stage = "audit_with_soda"
        with _timed(parts, stage), working_on(settings, release_id, stage, shared=True):
            quality.audit_with_soda(release_id, settings, ["bronze", "silver"], on_line=print)

    def audit_with_great_expectations() -> None:
        stage = "audit_with_great_expectations"
        with _timed(parts, stage), working_on(settings, release_id, stage, shared=True):
            quality.audit_with_great_expectations(release_id, settings, Path(folder), on_line=print)

    with ThreadPoolExecutor(2) as pool:
        audits = (audit_with_soda, audit_with_great_expectations)
        for audit in [pool.submit(audit) for audit in audits]:
            audit.result()
    with _timed(parts, "publish_release"):
        pipeline.publish(settings, release_id)
    with _timed(parts, "close_release"):
        failure = pipeline.close_release(settings, release_id)
        pipeline.release_note(settings, release_id)
    if failure:
        raise RuntimeError(f"Release {release_id} is not published: {failure}")
    return parts


def _build(settings: ConnectionSettings, release_id: int, build: DbtCommand) -> None:
    """Run dbt and record what it found, as `rendering.record_build` does."""
    from include.environments import run
    from include.transformation.results import read_build_results, read_definitions
    from include.warehouse.checks import record_check_results
    from include.warehouse.definitions import record_definitions
    from include.warehouse.releases import mark_built
    from include.warehouse.schemas import AUDITOR, OWNER

    run(build.command, build.environment(release_id), on_line=print, cwd=Path(build.cwd))
    target = Path(build.cwd, "target")
    with settings.connect(role=AUDITOR) as connection:
        record_check_results(connection, release_id, "dbt", read_build_results(target).checks)
    with settings.connect(role=OWNER) as connection:
        record_definitions(connection, release_id, read_definitions(target, release_id))
        mark_built(connection, release_id)


def dag_test(conf: Mapping[str, Any]) -> dict[str, float]:
    """Run the DAG in this process; returns the seconds of each stage.

    Raises:
        RunFailed: the run did not succeed, or lacked a stage.
    """
    from airflow.dag_processing.dagbag import DagBag

    dag = DagBag(PROJECT / "dags").dags[DAG_ID]
    # Airflow 3.3 looks a deadline up by itself, where a run that is stored has the number of one.
    dag.deadline = None
    run = dag.test(run_conf=dict(conf))
    if run.state != "success":
        raise RunFailed(f"dag.test() ended as {run.state}.")
    spans: dict[str, tuple[Any, Any]] = {}
    for task in run.get_task_instances():
        if task.operator != "EmptyOperator" and task.start_date and task.end_date:
            stage = task.task_id.split(".")[0]
            start, end = spans.get(stage, (task.start_date, task.end_date))
            spans[stage] = min(start, task.start_date), max(end, task.end_date)
    if missing := set(STAGES) - spans.keys():
        raise RunFailed(f"dag.test() ran no {', '.join(sorted(missing))}.")
    return {stage: (spans[stage][1] - spans[stage][0]).total_seconds() for stage in STAGES}


@contextmanager
def _timed(parts: dict[str, float], name: str) -> Iterator[None]:
    started = time.perf_counter()
    yield
    parts[name] = time.perf_counter() - started
