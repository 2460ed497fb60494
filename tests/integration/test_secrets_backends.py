"""The warehouse's connection, wherever a deployment keeps its secrets.

Airflow's servers ask the backend themselves, as here; tasks ask through them, as in
tests/e2e/test_hosted.py.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("moto", reason="make test installs it")

from include.warehouse.connection import ConnectionSettings
from tests.conftest import PROJECT
from tests.object_store import SECRET_KEY, ObjectStore, object_store

SETTINGS = ConnectionSettings.model_validate(
    {
        "host": "db.example.org",
        "port": 6543,
        "dbname": "warehouse",
        "user": "gamebot_pipeline",
        "password": "planted w'ord/%40&\"@:# ü",
        "sslmode": "verify-full",
    }
)
URI = (
    "postgres://gamebot_pipeline:planted%20w%27ord%2F%2540%26%22%40%3A%23%20%C3%BC"
    "@db.example.org:6543/warehouse?sslmode=verify-full"
)
MANAGER = "airflow.providers.amazon.aws.secrets.secrets_manager.SecretsManagerBackend"
FILE = "airflow.secrets.local_filesystem.LocalFilesystemBackend"

RESOLVE = """
import json
from include.warehouse.connection import ConnectionSettings
print(json.dumps(ConnectionSettings.from_airflow().as_environment()))
"""


@pytest.fixture(scope="module")
def aws() -> Iterator[ObjectStore]:
    """AWS, as far as moto is it: its Secrets Manager has the connection in both spellings."""
    with object_store() as store:
        manager = store.client("secretsmanager")
        for prefix, value in {"json": SETTINGS.as_airflow_connection(), "uri": URI}.items():
            manager.create_secret(Name=f"{prefix}/survivor_postgres", SecretString=value)
        yield store


def resolve(folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Ask for the connection in a process like the API server, with nothing else to find it in."""
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("DB_", "AIRFLOW_", "AWS_", "GAMEBOT_"))
    }
    return subprocess.run(
        [sys.executable, "-c", RESOLVE],
        env={
            **environment,
            "AIRFLOW_HOME": str(folder / "airflow"),
            "PYTHONPATH": str(PROJECT),
            "PYTHONDONTWRITEBYTECODE": "1",
            "_AIRFLOW_PROCESS_CONTEXT": "server",
            **variables,
        },
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


def backend(kind: str, **options: object) -> dict[str, str]:
    return {
        "AIRFLOW__SECRETS__BACKEND": kind,
        "AIRFLOW__SECRETS__BACKEND_KWARGS": json.dumps(options),
    }


@pytest.mark.parametrize("where", ["a file", "AWS as JSON", "AWS as URI"])
def test_the_connection_is_found(where: str, aws: ObjectStore, tmp_path: Path) -> None:
    """Whole: a backend that splits the password or drops the extras connects elsewhere, or bare."""
    file = tmp_path / "connections.json"
    parts = json.loads(SETTINGS.as_airflow_connection())
    file.write_text(json.dumps({"survivor_postgres": parts}))
    variables = {
        "a file": backend(FILE, connections_file_path=str(file)),
        "AWS as JSON": backend(MANAGER, connections_prefix="json") | aws.as_environment(),
        "AWS as URI": backend(MANAGER, connections_prefix="uri") | aws.as_environment(),
    }[where]

    done = resolve(tmp_path, **variables)

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == SETTINGS.as_environment()


def test_a_connection_that_is_nowhere_is_named_with_what_to_do(
    aws: ObjectStore, tmp_path: Path
) -> None:
    done = resolve(
        tmp_path, **backend(MANAGER, connections_prefix="elsewhere"), **aws.as_environment()
    )
    assert done.returncode == 1
    assert "MissingSetting: Airflow has no connection 'survivor_postgres'" in done.stderr
    assert SECRET_KEY not in done.stdout + done.stderr
