"""Airflow's API server with the console, behind a base URL, on a metadata database of its own.

Run as a program, its DAG files are read once and there is no scheduler: what is started stays
queued. As a module, what the tests need to start and ask it.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from include.environments import NO_TELEMETRY, PROJECT_DIR
from include.warehouse.connection import CONNECTION_VARIABLE, ConnectionSettings

PREFIX = "/airflow"
USERS = {"admin": "admin", "uwe": "user", "ana": "viewer"}

# The real DAG of the rollback; of the others only what the console asks Airflow about.
STAND_INS = """
from airflow.sdk import Param, dag, task

@dag(dag_id="survivor_medallion_pipeline", schedule=None)
def pipeline():
    @task
    def load_bronze(): ...
    load_bronze()

RELEASE = {"release_id": Param(None, type=["null", "integer"])}

@dag(dag_id="survivor_release_audit", schedule=None, params=RELEASE)
def audit():
    @task
    def audit_with_soda(): ...
    audit_with_soda()

pipeline()
audit()
"""


class Server:
    """A running server."""

    def __init__(self, url: str) -> None:
        """Sign everybody in."""
        self.url = url
        self.tokens = {name: self._token(name) for name in USERS}

    def _token(self, name: str) -> str:
        answer = httpx.post(
            f"{self.url}/auth/token", json={"username": name, "password": name}, timeout=30
        )
        token: str = answer.raise_for_status().json()["access_token"]
        return token

    def browser(self, name: str | None = "admin") -> httpx.Client:
        """Return what stands for somebody's browser: a cookie, and no redirect followed."""
        cookies = {"_token": self.tokens[name]} if name else {}
        # A trailing slash, so that paths are below the base URL.
        return httpx.Client(
            base_url=f"{self.url}/gamebot/", cookies=cookies, timeout=60, trust_env=False
        )

    def api(self, name: str = "admin") -> httpx.Client:
        """Return a client of Airflow's own API."""
        headers = {"Authorization": f"Bearer {self.tokens[name]}"}
        return httpx.Client(
            base_url=f"{self.url}/api/v2/", headers=headers, timeout=60, trust_env=False
        )


@contextmanager
def console_server(
    folder: Path, airflow: ConnectionSettings, warehouse: ConnectionSettings
) -> Iterator[Server]:
    """Start one and stop it again."""
    from include.local.state import free_port

    port = free_port(None)
    url = f"http://127.0.0.1:{port}"
    dags = folder / "dags"
    dags.mkdir()
    (dags / "stand_ins.py").write_text(STAND_INS)
    shutil.copy(PROJECT_DIR / "dags" / "survivor_release_rollback.py", dags)
    (folder / "passwords.json").write_text(json.dumps({name: name for name in USERS}))
    login = f"{airflow.user}:{airflow.password.get_secret_value()}"
    place = f"{airflow.host}:{airflow.port}/{airflow.dbname}"
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")},
        **NO_TELEMETRY,
        "AIRFLOW_HOME": str(folder),
        "AIRFLOW__API__BASE_URL": f"{url}{PREFIX}",
        "AIRFLOW__API__SECRET_KEY": "the key of a test",  # pragma: allowlist secret
        "AIRFLOW__API_AUTH__JWT_SECRET": "another key of a test",  # pragma: allowlist secret
        "AIRFLOW__CORE__DAGS_FOLDER": str(dags),
        "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(PROJECT_DIR / "plugins"),
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": ",".join(map(":".join, USERS.items())),
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(folder / "passwords.json"),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"postgresql+psycopg2://{login}@{place}",
        "AIRFLOW__LOGGING__COLORED_CONSOLE_LOG": "False",
        CONNECTION_VARIABLE: warehouse.as_airflow_connection(),
        "GAMEBOT_ARTIFACTS_URL": (folder / "artifacts").as_uri(),
        "PYTHONPATH": str(PROJECT_DIR),
        "NO_PROXY": "*",
    }
    log = folder / "server.log"
    with log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, __file__, str(port)],
            env=environment,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        _wait(process, f"{url}{PREFIX}/api/v2/version", log)
        yield Server(f"{url}{PREFIX}")
    finally:
        process.terminate()
        process.wait(30)


def _wait(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + 180
    while True:
        try:
            if httpx.get(url, timeout=10, trust_env=False).is_success:
                return
        except httpx.TransportError:
            pass
        assert process.poll() is None, log.read_text()[-3000:]
        assert time.monotonic() < deadline, f"no answer; {log.read_text()[-3000:]}"
        time.sleep(0.2)


def token_of(page: str) -> str:
    """Return the token in the form of a page."""
    found = re.search(r'name="token" value="([^"]+)"', page)
    assert found, page
    return found[1]


def main() -> None:
    import uvicorn
    from airflow.dag_processing.bundles.manager import DagBundlesManager
    from airflow.dag_processing.dagbag import DagBag, sync_bag_to_db
    from airflow.utils.db import initdb

    initdb()
    DagBundlesManager().sync_bundles_to_db()
    bag = DagBag(os.environ["AIRFLOW__CORE__DAGS_FOLDER"], bundle_name="dags-folder")
    assert not bag.import_errors, bag.import_errors
    sync_bag_to_db(bag, "dags-folder", bundle_version=None)

    from airflow.api_fastapi.app import cached_app

    uvicorn.run(cached_app(), host="127.0.0.1", port=int(sys.argv[1]), log_level="warning")


if __name__ == "__main__":
    main()
