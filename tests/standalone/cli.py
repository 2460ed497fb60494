"""A stand-in for the Astro CLI: what `astro dev start --standalone` and `kill` do, step by step.

Written from the CLI's source, version 1.45. It differs in what a machine without the internet
lacks: the packages come from this machine's index, no list of Astronomer's constrains their
versions, and where the image's Python is not installed, that of the tests stands in.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import yaml

from include.local.api import AirflowApi
from include.local.env_file import settings

PORT = 8080
URL = f"http://localhost:{PORT}"
FERNET_KEY = "d6Vefz3G9U_ynXB3cr7y_Ak35tAHkEGAVxuz_B-jzWw="  # pragma: allowlist secret
HEALTHY_WITHIN = 300


@dataclass
class StandaloneCli:
    """The CLI at work in one project."""

    project: Path
    uv: str
    airflow: str
    """The version that the image's tag stands for, which the CLI asks Astronomer."""
    in_network: Sequence[str] = ()
    """What goes before a command that is to run in a network of its own."""
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    @property
    def home(self) -> Path:
        return self.project / ".astro" / "standalone"

    @property
    def log(self) -> Path:
        return self.home / "airflow.log"

    def install(self) -> None:
        """Build `.venv` as the CLI does: from requirements.txt and nothing else of ours."""
        self.home.mkdir(parents=True, exist_ok=True)
        airflow = f"apache-airflow=={self.airflow}"
        into = ["--python", str(self.project / ".venv/bin/python")]
        for command in (
            ["venv", "--python", self._python(), "--allow-existing", ".venv"],
            ["pip", "install", *into, airflow],
            ["pip", "install", *into, "-r", "requirements.txt", airflow],
        ):
            done = self._uv(*command)
            assert done.returncode == 0, done.stdout

    def environment(self) -> dict[str, str]:
        """Return what its processes get: the shell's, below .env, below what is forced."""
        root = str(self.project)
        dotenv = self.project / ".env"
        # Of the shell, what a person has; the tests' own settings are none of it.
        inherited = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("AIRFLOW", "GAMEBOT_", "DB_", "PG", "PYTHON", "VIRTUAL_ENV"))
        }
        return {
            **inherited,
            **(settings(dotenv.read_text()) if dotenv.exists() else {}),
            "PATH": f"{root}/.venv/bin:{os.environ['PATH']}",
            "PYTHONPATH": root,
            "AIRFLOW_HOME": str(self.home),
            "ASTRONOMER_ENVIRONMENT": "local",
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__DAGS_FOLDER": f"{root}/dags",
            "AIRFLOW__CORE__FERNET_KEY": FERNET_KEY,
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{URL}/execution/",
            "AIRFLOW__API__SECRET_KEY": "gamebot_123456",  # pragma: allowlist secret
            "AIRFLOW__API_AUTH__JWT_SECRET": "gamebot_123456",  # pragma: allowlist secret
            "NO_PROXY": "*",
        }

    def start(self) -> AirflowApi:
        """Start `airflow standalone`, wait until it is healthy, and apply the settings file."""
        with self.log.open("w") as log:
            self._process = subprocess.Popen(
                [*self.in_network, str(self.project / ".venv/bin/airflow"), "standalone"],
                cwd=self.project,
                env=self.environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        api = AirflowApi(URL, "admin", "admin")
        # SQLite lets one process write at a time, and the others wait.
        api._http.timeout = 120
        deadline = time.monotonic() + HEALTHY_WITHIN
        while not api.is_healthy(("scheduler", "dag_processor", "triggerer")):
            assert self._process.poll() is None, self.log.read_text()[-3000:]
            assert time.monotonic() < deadline, self.log.read_text()[-3000:]
            time.sleep(0.5)
        self._apply_settings(api)
        return api

    def run(self, *command: str) -> str:
        """Run one of the project's programs, as `astro dev run` and `astro dev pytest` do."""
        done = subprocess.run(
            [*self.in_network, f"{self.project}/.venv/bin/{command[0]}", *command[1:]],
            cwd=self.project,
            env=self.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout[-5000:]
        return done.stdout

    def stop(self) -> None:
        """End Airflow and all that it started."""
        if self._process is None:
            return
        leader = psutil.Process(self._process.pid) if self._process.poll() is None else None
        members = [leader, *leader.children(recursive=True)] if leader else []
        for member in members:
            member.terminate()
        _, alive = psutil.wait_procs(members, timeout=20)
        for member in alive:
            member.kill()
        self._process.wait()
        self._process = None

    def kill(self) -> None:
        """Do as `astro dev kill`."""
        self.stop()
        shutil.rmtree(self.project / ".venv")
        shutil.rmtree(self.home)

    def _python(self) -> str:
        tag = re.search(r"-python-(3\.\d+)", (self.project / "Dockerfile").read_text())
        assert tag is not None
        return tag[1] if self._uv("python", "find", tag[1]).returncode == 0 else sys.executable

    def _uv(self, *command: str) -> subprocess.CompletedProcess[str]:
        # As scripts/build_environments.sh does: pip's mirror and the machine's certificates.
        index = os.environ.get("UV_DEFAULT_INDEX") or os.environ.get("PIP_INDEX_URL")
        own = {"UV_PYTHON_DOWNLOADS": "never", "UV_NO_PROGRESS": "1", "UV_SYSTEM_CERTS": "true"}
        return subprocess.run(
            [self.uv, *command],
            cwd=self.project,
            env={**os.environ, **own, **({"UV_DEFAULT_INDEX": index} if index else {})},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )

    def _apply_settings(self, api: AirflowApi) -> None:
        wanted = yaml.safe_load((self.project / "airflow_settings.yaml").read_text())["airflow"]
        for pool in wanted["pools"]:
            _put(
                api,
                "pools",
                pool["pool_name"],
                {
                    "name": pool["pool_name"],
                    "slots": pool["pool_slot"],
                    "description": pool["pool_description"],
                },
            )
        for each in wanted["connections"]:
            connection = {
                "connection_id": each["conn_id"],
                "conn_type": each["conn_type"],
                "host": each["conn_host"],
                "schema": each["conn_schema"],
                "login": each["conn_login"],
                "password": each["conn_password"],
                "port": each["conn_port"],
                "extra": each["conn_extra"],
            }
            _put(api, "connections", each["conn_id"], connection)


def _put(api: AirflowApi, kind: str, name: str, body: dict[str, Any]) -> None:
    if api._request("POST", f"/api/v2/{kind}", json=body, ok=(409,)) is None:
        api._request("PATCH", f"/api/v2/{kind}/{name}", json=body)
