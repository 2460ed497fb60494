"""Airflow on this machine: api-server, scheduler and DAG processor as background processes."""

from __future__ import annotations

import json
import sys
import time
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Literal

from include.local.airflow_home import (
    ADMIN,
    AirflowError,
    airflow_environment,
    configuration_key,
    prepare_airflow,
)
from include.local.api import AirflowApi
from include.local.databases import LocalDatabases
from include.local.processes import Processes
from include.local.state import State, free_port, read_json, write_atomically

Starter = Literal["up", "run"]

# Logs are read from disk, so nothing needs to serve them (and the servers of logs would listen on
# every network interface).
COMMANDS = {
    "api-server": ["api-server"],
    "scheduler": ["scheduler", "--skip-serve-logs"],
    "dag-processor": ["dag-processor"],
    "triggerer": ["triggerer", "--skip-serve-logs"],
}
NEEDED = ("api-server", "scheduler", "dag-processor")
START_TIMEOUT = 180
DEFAULT_PORT = 8080


class AirflowStack:
    """The Airflow of one checkout."""

    def __init__(self, state: State, databases: LocalDatabases) -> None:
        """Describe it; nothing is started yet."""
        self._state = state
        self._databases = databases
        self._record = state.folder / "airflow.json"
        self._processes = Processes(state.folder / "processes.json", state.logs)

    @property
    def port(self) -> int:
        """The api-server's port, of this start or the last one."""
        return int(read_json(self._record).get("port", DEFAULT_PORT))

    @property
    def url(self) -> str:
        """Where the UI and the API are."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def started_by(self) -> Starter | None:
        """Which command started what runs now."""
        return read_json(self._record).get("started_by") if self._processes.running() else None

    def api(self) -> AirflowApi:
        """Return a client of the api-server."""
        return AirflowApi(self.url, ADMIN, self._state.secrets()["airflow_admin"])

    @property
    def reads_dags_since(self) -> datetime:
        """When the DAG processor that runs now was started."""
        return self._processes.started_at("dag-processor")

    def running(self) -> list[str]:
        """Return the names of the processes that are alive."""
        return self._processes.running()

    def start(self, started_by: Starter) -> bool:
        """Start what is missing and wait until it works; returns whether Airflow was not running.

        The triggerer, which only DAGs of one's own would need, comes with `up`.

        Raises:
            AirflowError: a process ended or nothing was healthy in time; names the log.
        """
        wanted = (*NEEDED, "triggerer") if started_by == "up" else NEEDED
        with self._locked():
            prepare_airflow(self._state, self._databases)
            if self._is_current():
                for name in set(wanted) - set(self.running()):
                    self._launch(name)
                if started_by == "up":
                    self._note(started_by="up")
                self._wait(wanted)
                return False
            self._processes.stop()
            try:
                self._start_all(wanted, started_by)
            except _PortTaken:
                # Somebody was faster between the choice of the port and its use.
                self._processes.stop()
                self._start_all(wanted, started_by)
            except BaseException:
                self._processes.stop()
                raise
        return True

    def stop(self, started_by: Starter | None = None) -> list[str]:
        """Stop all processes; returns the names of those that were alive.

        Args:
            started_by: leave them alone unless it was this command that started them.
        """
        with self._locked():
            if started_by and self.started_by != started_by:
                return []
            return self._processes.stop()

    def _locked(self) -> AbstractContextManager[None]:
        # `make up`, `make run` and `make down` at once would stop what another has half started.
        return self._state.locked("airflow")

    def _start_all(self, wanted: tuple[str, ...], started_by: Starter) -> None:
        self._note(port=free_port(self.port), started_by=started_by)
        self._note(configuration=configuration_key(self._environment()))
        orphans = self._has_active_runs()
        first = wanted[:1] if orphans else wanted
        for name in first:
            self._launch(name)
        self._wait(first)
        if orphans:
            # Before the scheduler can take them up again: whoever started them is gone.
            api = self.api()
            for run in api.active_runs():
                api.fail(run)
            for name in wanted[1:]:
                self._launch(name)
            self._wait(wanted)

    def _wait(self, names: tuple[str, ...]) -> None:
        api = self.api()
        components = tuple(name.replace("-", "_") for name in names if name in NEEDED[1:])
        deadline = time.monotonic() + START_TIMEOUT
        # Another clone that started at the same moment may have been given the same port: what
        # answers there counts only when it is ours.
        while not (self._processes.listens("api-server", self.port) and api.is_healthy(components)):
            alive = self.running()
            for name in names:
                if name not in alive:
                    self._explain_death(name)
            if time.monotonic() > deadline:
                raise AirflowError(
                    f"Airflow was not healthy after {START_TIMEOUT} s. Its logs are in "
                    f"{self._state.logs}."
                )
            time.sleep(0.2)
        api.warm_up()

    def _explain_death(self, name: str) -> None:
        log = self._processes.log(name)
        lines = log.read_text(errors="replace").splitlines() if log.exists() else []
        if any("address already in use" in line for line in lines):
            raise _PortTaken
        tail = "\n".join(lines[-10:])
        raise AirflowError(f"Airflow's {name} ended while starting. Its log, {log}, ends:\n{tail}")

    def _has_active_runs(self) -> bool:
        with self._databases.airflow.connect() as connection:
            row = connection.execute(
                "select exists (select from dag_run where state in ('queued', 'running'))"
            ).fetchone()
        return bool(row and row[0])

    def _is_current(self) -> bool:
        alive = self.running()
        return all(name in alive for name in NEEDED) and read_json(self._record).get(
            "configuration"
        ) == configuration_key(self._environment())

    def _launch(self, name: str) -> None:
        self._processes.start(
            name,
            [sys.executable, "-m", "airflow", *COMMANDS[name]],
            env=self._environment(),
            cwd=self._state.airflow_home,
        )

    def _environment(self) -> dict[str, str]:
        return airflow_environment(self._state, self._databases, self.port)

    def _note(self, **facts: object) -> None:
        write_atomically(self._record, json.dumps(read_json(self._record) | facts))


class _PortTaken(AirflowError):
    """The api-server's port was taken."""

    def __init__(self) -> None:
        super().__init__("The port chosen for Airflow was taken twice in a row: try again.")
