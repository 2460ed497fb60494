"""What the dag-processor pays for a DAG file of ours, besides importing Airflow.

It forks a process for every reading, from one that has imported Airflow and nothing of ours. So a
file's own price is what it costs in a new process that has read another project's file before.
"""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.measure import PROJECT, Case, Sample, measured_child, stopwatch

if TYPE_CHECKING:
    from benchmarks.workspace import Workspace

MOST_SECONDS = 1

SOMEBODY_ELSES = """
from airflow.sdk import dag, task


@dag
def somebody_elses():
    @task
    def nothing():
        pass

    nothing()


somebody_elses()
"""

STARTS_A_PROGRAM = ("subprocess.Popen", "os.posix_spawn", "os.exec", "os.system")


def suite(workspace: Workspace, quick: bool) -> list[Case]:
    """Return a case per DAG file."""
    from include.local.airflow_home import airflow_environment, prepare_manifest

    # As in the image, which has it: a DAG file must not wait for dbt.
    prepare_manifest(workspace.state)
    environment = airflow_environment(workspace.state, workspace.databases, api_port=0)
    other = workspace.temporary_folder() / "somebody_elses.py"
    other.write_text(SOMEBODY_ELSES)
    return [
        Case(
            "parsing", file.stem, "read in a new process",
            partial(_parse, workspace, environment, other, file),
            repetitions=3, quick_repetitions=1, most_seconds=MOST_SECONDS,
        )
        for file in sorted((PROJECT / "dags").glob("*.py"))
    ]  # fmt: skip


def _parse(workspace: Workspace, environment: dict[str, str], other: Path, file: Path) -> Sample:
    before = _sessions(workspace)
    sample = measured_child(
        "benchmarks.parsing:parse", environment=environment, other=str(other), file=str(file)
    )
    # One is ours, which counts.
    if (opened := _sessions(workspace) - before - 1) > 0:
        raise RuntimeError(f"reading {file.name} opened {opened} connections to a database")
    return sample


def _sessions(workspace: Workspace) -> int:
    """Count the sessions that any database of the server has had, as it says itself."""
    with workspace.server.settings().connect() as connection:
        found = connection.execute("select sum(sessions)::bigint from pg_stat_database").fetchall()
    return int(found[0][0])


def parse(other: str, file: str) -> Sample:
    """Read a file as the dag-processor's child does, and once more."""
    with stopwatch() as imports:
        # What the processor itself has imported when it forks.
        import airflow.dag_processing.manager
        import airflow.sdk.execution_time.task_runner  # noqa: F401
    with stopwatch() as elses:
        _read(other)
    started: list[str] = []
    sys.addaudithook(
        lambda event, arguments: (
            started.append(str(arguments[:2])) if event in STARTS_A_PROGRAM else None
        )
    )
    with stopwatch() as first:
        _read(file)
    with stopwatch() as again:
        _read(file)
    if started:
        raise RuntimeError(f"reading {Path(file).name} started {started}")
    return first.sample(
        **{
            "again, in the same process": again.wall,
            "importing Airflow": imports.wall,
            "a file of one empty task, before": elses.wall,
        }
    )


def _read(file: str) -> None:
    import structlog
    from airflow.dag_processing.processor import (
        DagFileParseRequest,
        _parse_file,
        _pre_import_airflow_modules,
    )

    log: Any = structlog.get_logger()
    # In the processor, before it forks.
    _pre_import_airflow_modules(file, log)
    request = DagFileParseRequest(
        file=file, bundle_path=Path(file).parent, bundle_name="dags-folder", callback_requests=[]
    )
    result = _parse_file(request, log)
    if result is None or result.import_errors or not result.serialized_dags:
        raise RuntimeError(f"{file} cannot be read: {result and result.import_errors}")
