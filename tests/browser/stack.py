"""An Airflow with a history: two published releases, one run that failed, and who may look at it.

Its runs are real ones, each of a folder of upstream's files.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from include.local.airflow_home import ADMIN
from include.local.api import DagRun
from include.local.state import State, password_of_user
from tests.browser.sources import write_states
from tests.e2e.machine import Machine

DAG = "survivor_medallion_pipeline"
VIEWER = "viewer"
NOBODY = "nobody"
USERS = f"{VIEWER}:viewer,{NOBODY}:"
RUN_TIMEOUT = 600


@dataclass(frozen=True)
class Stack:
    """The Airflow, its two releases, and the runs that it made."""

    machine: Machine
    first: int
    second: int
    published: DagRun
    failed: DagRun
    failed_release: int

    @property
    def url(self) -> str:
        return str(self.machine.api._http.base_url).rstrip("/")

    def password(self, user: str) -> str:
        secrets = self.machine.state.secrets()
        return secrets["airflow_admin" if user == ADMIN else password_of_user(user)]

    def runs(self, dag_id: str) -> list[DagRun]:
        """Return all runs of a DAG, in the order of their beginning."""
        path = f"/api/v2/dags/{dag_id}/dagRuns?order_by=run_after"
        return [DagRun.model_validate(run) for run in self.machine.api._get(path)["dag_runs"]]

    def finished(self, run: DagRun) -> DagRun:
        """Wait for the end of a run."""
        return _finished(self.machine, run)

    def seen_by_readers(self) -> int:
        """Return the number of the release that readers see."""
        ((release,),) = self.machine.query("select distinct _release_id from bronze.castaways")
        return int(release)


@contextmanager
def running_stack(folder: Path, files: Path | None) -> Iterator[Stack]:
    """Start it, and stop it in the end.

    Args:
        folder: an empty one, for the state and the data.
        files: upstream's own, where there are any.
    """
    state = State(folder / "state")
    state.create()
    machine = Machine(state, {"GAMEBOT_USERS": USERS, "GAMEBOT_RETRY_SECONDS": "1"})
    try:
        with ThreadPoolExecutor() as pool:
            started = pool.submit(machine.make, "up")
            sources = write_states(folder, files)
            outcome = started.result()
            assert outcome.code == 0, outcome.output
        first = _run(machine, {"source": "directory", "source_dir": str(sources[0])}, "success")
        second = _run(machine, {"source": "directory", "source_dir": str(sources[1])}, "success")
        # The mistake is one that Soda finds in bronze, so nothing further is built.
        wrong = {"source": "directory", "source_dir": str(sources[2]), "target_layer": "bronze"}
        failed = _run(machine, wrong, "failed")
        _wait_for_artifacts(machine, second)
        yield Stack(
            machine,
            *(machine.api.xcom(run, "open_release") for run in (first, second)),
            published=second,
            failed=failed,
            failed_release=machine.api.xcom(failed, "open_release"),
        )
    finally:
        machine.make("down")


def _run(machine: Machine, conf: Mapping[str, object], expected: str) -> DagRun:
    run = _finished(machine, machine.api.trigger(DAG, conf))
    states = {task.task_id: task.state for task in machine.api.task_instances(run)}
    assert run.state == expected, states
    return run


def _wait_for_artifacts(machine: Machine, run: DagRun) -> None:
    """Wait for the files and pages that a publication brings about."""
    deadline = time.monotonic() + RUN_TIMEOUT
    while True:
        caused, is_more_to_come = machine.api.runs_caused_by(run)
        if caused and not is_more_to_come:
            break
        assert time.monotonic() < deadline, "no run came of the publication"
        time.sleep(0.3)
    for one in caused:
        assert _finished(machine, one).state == "success", one


def _finished(machine: Machine, run: DagRun) -> DagRun:
    deadline = time.monotonic() + RUN_TIMEOUT
    api = machine.api
    while not (run := api.run(run.dag_id, run.dag_run_id)).finished:
        assert time.monotonic() < deadline, f"{run.dag_run_id} is still {run.state}"
        time.sleep(0.3)
    return run
