"""What it takes to find out that nothing changed: a run of the pipeline, the look of `make run`."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.airflow import BenchmarkAirflow, RunFailed, airflow_of
from benchmarks.measure import PROJECT, Case, Sample, measured_command
from include.local.run import DAG_ID, RunOptions
from include.warehouse.releases import list_releases, published_release
from include.warehouse.schemas import OWNER

if TYPE_CHECKING:
    from benchmarks.workspace import Workspace

# The others are skipped without a process of their own.
TASKS = {"detect_changes", "close_release"}


def suite(workspace: Workspace, quick: bool) -> list[Case]:
    """Return both."""
    skip = Skip.prepared(workspace)
    return [
        Case(
            "skip", "run", "a run that finds nothing new: its tasks' time", skip.run_scheduled,
            repetitions=3, most_seconds=5,
        ),
        Case(
            "skip", "make_run", "`make run` when there is nothing new", skip.run_make,
            repetitions=3,
        ),
    ]  # fmt: skip


@dataclass(frozen=True)
class Skip:
    """A warehouse in which readers see what the source holds."""

    airflow: BenchmarkAirflow
    options: RunOptions

    @classmethod
    def prepared(cls, workspace: Workspace) -> Skip:
        """Start Airflow, and publish a release of bronze unless an earlier suite published one."""
        airflow = airflow_of(workspace)
        airflow.start([DAG_ID])
        with airflow.databases.pipeline.connect(role=OWNER) as connection:
            published = published_release(connection)
        options = RunOptions(
            source="directory",
            source_dir=workspace.source_folder,
            target_layer=published.target_layer if published else "bronze",
        )
        if not published:
            airflow.run(DAG_ID, options.conf())
        return cls(airflow, options)

    def run_scheduled(self) -> Sample:
        """Let the scheduler run it; what counts is the time of its tasks together."""
        before = self._newest()
        run = self.airflow.run(DAG_ID, self.options.conf())
        self._expect(before)
        if run.stages != TASKS:
            raise RunFailed(
                f"A run with nothing new ran {', '.join(sorted(run.stages))}: benchmarks/skip.py "
                f"knows {', '.join(sorted(TASKS))}."
            )
        tasks = {task.task_id: task.seconds for task in run.tasks}
        phases = {f"both, {phase}": seconds for phase, seconds in run.phases().items()}
        return run.sample(sum(tasks.values()), **tasks, **phases, **{"the whole run": run.wall})

    def run_make(self) -> Sample:
        """Run what `make run` runs; Postgres is up already."""
        before = self._newest()
        sample = measured_command(
            [sys.executable, "-m", "include.local", "run"],
            {
                "GAMEBOT_STATE_DIR": str(self.airflow.state.folder),
                "GAMEBOT_SOURCE": self.options.source,
                "GAMEBOT_SOURCE_DIR": str(self.options.source_dir),
                "GAMEBOT_TARGET_LAYER": self.options.target_layer,
                "PYTHONPATH": str(PROJECT),
            },
        )
        self._expect(before)
        return sample

    def _newest(self) -> int:
        with self.airflow.databases.pipeline.connect(role=OWNER) as connection:
            return max(release.release_id for release in list_releases(connection))

    def _expect(self, newest: int) -> None:
        if self._newest() != newest:
            raise RunFailed("A release was built though nothing had changed.")
