"""What `make run` starts, ends when interrupted, and tells of in the end."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import cast

from include.local.api import AirflowApi, DagRun
from include.local.run import DAG_ID, Outcome, cancel


def queued(run_id: str, dag_id: str = DAG_ID) -> DagRun:
    return DagRun(dag_id=dag_id, dag_run_id=run_id, state="queued")


@dataclass
class Airflow:
    """As much of one as canceling talks to."""

    runs: dict[str, DagRun]
    caused: list[str] = field(default_factory=list)

    def run(self, _dag_id: str, run_id: str) -> DagRun:
        return self.runs[run_id]

    def fail(self, run: DagRun) -> None:
        self.runs[run.dag_run_id] = run.model_copy(update={"state": "failed"})

    def runs_caused_by(self, _run: DagRun) -> tuple[list[DagRun], bool]:
        return [self.runs[run_id] for run_id in self.caused], False

    def states(self) -> dict[str, str]:
        return {run_id: run.state for run_id, run in self.runs.items()}


def test_a_run_that_somebody_started_in_the_ui_goes_on() -> None:
    airflow = Airflow({"ours": queued("ours"), "theirs": queued("theirs")})
    cancel(cast("AirflowApi", airflow), airflow.runs["ours"])
    assert airflow.states() == {"ours": "failed", "theirs": "queued"}


def test_what_a_finished_run_caused_ends_and_the_run_stays_what_it_was() -> None:
    ours = queued("ours").model_copy(update={"state": "success"})
    airflow = Airflow({"ours": ours, "export": queued("export", "another_dag")}, caused=["export"])
    cancel(cast("AirflowApi", airflow), ours)
    assert airflow.states() == {"ours": "success", "export": "failed"}


def test_a_failed_export_is_a_failure_and_the_release_is_published_all_the_same() -> None:
    """What was told as failed once sent people to look for a fault of the data."""
    ours = queued("ours").model_copy(update={"state": "success"})
    export = queued("export", "another_dag").model_copy(update={"state": "failed"})
    outcome = Outcome(tasks={ours: [], export: []}, release_id=7)
    assert (outcome.published, outcome.succeeded) == (True, False)
    unpublished = Outcome(
        tasks={ours.model_copy(update={"state": "failed"}): [], export: []}, release_id=7
    )
    assert not unpublished.published
