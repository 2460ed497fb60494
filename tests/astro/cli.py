"""What the Astro CLI does with a project in a container, said in podman's commands.

After the source of its version 1.45. The CLI itself is not run: it is not on a package registry.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import yaml

from tests.astro.podman import create, podman

HOME = "/usr/local/airflow"
TESTED = ("dags", "tests", "plugins", "include", ".astro")


def dev_pytest(
    image: str, project: Path, target: str, env_file: Path
) -> subprocess.CompletedProcess[str]:
    """Do what `astro dev pytest` does after its build; `astro dev parse` is this with one file.

    A bare container: no variable of the dev stack, none of its networks, and the project's folders
    copied over those of the image, as root's.
    """
    container = create("--interactive", "--env-file", env_file, image, "pytest", target)
    try:
        for folder in TESTED:
            podman("cp", project / folder, f"{container}:{HOME}/")
        return podman("start", "--attach", container, check=False)
    finally:
        podman("rm", "--force", container)


# What `astro dev start` sets, whatever .env says. Its credentials open its own containers only.
FERNET_KEY = "d6Vefz3G9U_ynXB3cr7y_Ak35tAHkEGAVxuz_B-jzWw="  # pragma: allowlist secret
DATABASE = "postgres:postgres@postgres:5432"  # pragma: allowlist secret
ENVIRONMENT = {
    "AIRFLOW__API__BASE_URL": "http://localhost:8080",
    "AIRFLOW__API__PORT": "8080",
    "AIRFLOW__API__SECRET_KEY": "gamebot_000000",  # pragma: allowlist secret
    "AIRFLOW__API_AUTH__JWT_SECRET": "gamebot_000000",  # pragma: allowlist secret
    "AIRFLOW__CORE__AUTH_MANAGER": "airflow.api_fastapi.auth.managers.simple.simple_auth_manager."
    "SimpleAuthManager",
    "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
    "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": "http://api-server:8080/execution/",
    "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
    "AIRFLOW__CORE__FERNET_KEY": FERNET_KEY,
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"postgresql://{DATABASE}",
    "AIRFLOW__SCHEDULER__STANDALONE_DAG_PROCESSOR": "True",
    "ASTRONOMER_ENVIRONMENT": "local",
}
MOUNTED = {
    "scheduler": ("dags", "plugins", "include", "tests"),
    "dag-processor": ("dags", "plugins", "include", "tests"),
    "api-server": ("dags", "plugins", "include", "tests"),
    "triggerer": ("dags", "plugins", "include"),
}


def services(image: str, postgres: str, project: Path, api_port: int) -> dict[str, dict[str, Any]]:
    """Return the services of `astro dev start`, as a compose file has them.

    Its mounts can be written; here they cannot, so that whatever tries to is found out.
    """
    found: dict[str, dict[str, Any]] = {
        "postgres": {
            "image": postgres,
            "environment": {
                "POSTGRES_USER": "postgres",
                "POSTGRES_PASSWORD": "postgres",  # pragma: allowlist secret
            },
            "volumes": ["postgres_data:/var/lib/postgresql/data"],
            # The CLI's has none; there, what starts too early is started again.
            "healthcheck": {
                "test": ["CMD-SHELL", "pg_isready --host localhost"],
                "interval": "1s",
                "timeout": "3s",
                "retries": 60,
            },
        },
        "db-migration": {
            "image": image,
            "command": ["airflow", "db", "migrate"],
            "depends_on": {"postgres": {"condition": "service_healthy"}},
            "environment": dict(ENVIRONMENT),
        },
    }
    for name, folders in MOUNTED.items():
        found[name] = {
            "image": image,
            "command": ["airflow", name],
            "user": "astro",
            "environment": dict(ENVIRONMENT),
            "volumes": [
                *(f"{project / folder}:{HOME}/{folder}:ro" for folder in folders),
                f"airflow_logs:{HOME}/logs",
            ],
        }
    found["api-server"]["ports"] = [f"127.0.0.1:{api_port}:8080"]
    return found


def import_settings(url: str, file: Path, wait: float = 180) -> list[tuple[str, int]]:
    """Write airflow_settings.yaml into Airflow by its API, in the CLI's order; returns the answers.

    The first refusal ends it, as it ends the CLI's.
    """
    content = yaml.safe_load(file.read_text(encoding="utf-8"))["airflow"]
    with httpx.Client(base_url=url, timeout=30, trust_env=False) as http:
        _wait_until_healthy(http, wait)
        login = http.post("/auth/token", json={"username": "admin", "password": "admin"})
        login.raise_for_status()
        http.headers["Authorization"] = f"Bearer {login.json()['access_token']}"
        answers = []
        for kind, key, body in _entries(content):
            answer = http.post(f"/api/v2/{kind}", json=body)
            if answer.status_code == httpx.codes.CONFLICT:
                if kind == "pools":
                    # The API's own name for it in a change.
                    body = {**body, "pool": body["name"]}
                    del body["name"]
                    key = "pool"
                answer = http.patch(f"/api/v2/{kind}/{body[key]}", json=body)
            assert answer.is_success, f"{kind}/{body[key]}: {answer.text}"
            answers.append((f"{kind}/{body[key]}", answer.status_code))
    return answers


def _entries(content: Mapping[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    """Return path, key and body of every request; what has no value is left out unsaid."""
    pools = [
        {
            "name": it["pool_name"],
            "slots": it["pool_slot"],
            "description": it["pool_description"],
            "include_deferred": False,
        }
        for it in content.get("pools") or []
        if it["pool_slot"]
    ]
    variables = [
        {"key": it["variable_name"], "value": it["variable_value"]}
        for it in content.get("variables") or []
        if it["variable_value"]
    ]
    connections = [
        {
            "connection_id": it["conn_id"],
            "conn_type": it["conn_type"],
            "host": it.get("conn_host"),
            "schema": it.get("conn_schema"),
            "login": it.get("conn_login"),
            "password": it.get("conn_password"),
            "port": it.get("conn_port"),
            "extra": it.get("conn_extra"),
        }
        for it in content.get("connections") or []
    ]
    return [
        *(("pools", "name", body) for body in pools),
        *(("variables", "key", body) for body in variables),
        *(("connections", "connection_id", body) for body in connections),
    ]


def _wait_until_healthy(http: httpx.Client, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            if http.get("/api/v2/monitor/health").status_code == httpx.codes.OK:
                return
        except httpx.HTTPError:
            pass
        assert time.monotonic() < deadline, f"the api-server was not healthy after {seconds} s"
        time.sleep(1)
