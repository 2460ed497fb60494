"""A local stack of its own, driven as a person drives it: through `python -m include.local`."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field

import psutil
import psycopg

from include.environments import PROJECT_DIR
from include.local.api import AirflowApi, DagRun
from include.local.databases import LocalDatabases
from include.local.stack import AirflowStack
from include.local.state import State, read_json

COMMAND_TIMEOUT = 900


@dataclass
class Outcome:
    """What a command left behind."""

    code: int
    output: str


@dataclass
class Machine:
    """One checkout's local stack, in a folder of its own."""

    state: State
    settings: Mapping[str, str] = field(default_factory=dict)
    """Environment variables of its shell."""
    program: str = "include.local"
    """The module that its Makefile runs."""

    def make(self, command: str, **options: str) -> Outcome:
        """Run what a target of the Makefile runs, with its variables."""
        done = subprocess.run(
            [sys.executable, "-m", self.program, *command.split()],
            env={**self._environment(), **{f"GAMEBOT_{k.upper()}": v for k, v in options.items()}},
            cwd=PROJECT_DIR,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=COMMAND_TIMEOUT,
            check=False,
        )
        if command != "dsn":
            print(done.stdout)
        return Outcome(done.returncode, done.stdout)

    @property
    def api(self) -> AirflowApi:
        return AirflowStack(self.state, LocalDatabases.of(self.state)).api()

    def clear(self, run: DagRun, task_id: str) -> None:
        """Let a task and all after it run again, as the button in the UI does."""
        body = {
            "dry_run": False,
            "dag_run_id": run.dag_run_id,
            "task_ids": [task_id],
            "include_downstream": True,
            "only_failed": False,
            "reset_dag_runs": True,
        }
        self.api._request("POST", f"/api/v2/dags/{run.dag_id}/clearTaskInstances", json=body)

    def airflow_processes(self) -> list[psutil.Process]:
        """Return Airflow's processes and everything that they started."""
        leaders = [
            psutil.Process(entry["pid"])
            for entry in read_json(self.state.folder / "processes.json").values()
        ]
        return [p for leader in leaders for p in (leader, *leader.children(recursive=True))]

    def builds_models(self) -> bool:
        """Whether dbt is at work in one of Airflow's tasks."""
        ours = {process.pid for process in self.airflow_processes()}
        return any(
            process.pid in ours
            and {"build", "--profiles-dir"} <= set(process.info["cmdline"] or ())
            for process in psutil.process_iter(["cmdline"])
        )

    def query(self, sql: str) -> list[tuple]:
        """Ask the warehouse as a reader does, with the URI that `make dsn` prints."""
        uri = self.make("dsn").output.strip()
        with psycopg.connect(uri) as connection:
            return connection.execute(sql).fetchall()  # type: ignore[arg-type]

    def rows(self, layer: str) -> dict[str, int]:
        """Return the number of rows of every public table of a layer."""
        names = self.query(
            f"select table_name from information_schema.tables where table_schema = '{layer}'"
        )
        counts = " union all ".join(
            f"select '{name}', count(*) from {layer}.{name}" for (name,) in names
        )
        return dict(self.query(counts))

    def contents(self, layer: str) -> dict[str, str]:
        """Return a hash of the whole content of every public table of a layer."""
        hashes = " union all ".join(
            f"select '{name}', md5(string_agg(t::text, '|' order by t::text)) from {layer}.{name} t"
            for name in self.rows(layer)
        )
        return dict(self.query(hashes))

    def _environment(self) -> dict[str, str]:
        return {
            **os.environ,
            **self.settings,
            "GAMEBOT_STATE_DIR": str(self.state.folder),
            "PYTHONPATH": str(PROJECT_DIR),
            "PYTHONDONTWRITEBYTECODE": "1",
            "COLUMNS": "160",
        }
