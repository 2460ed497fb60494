"""The local Airflow listens to this checkout's settings, not to whatever else the shell holds."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from include.local.airflow_home import (
    AirflowError,
    airflow_environment,
    configuration_key,
    own_environment,
    passwords,
    roles,
)
from include.local.databases import LocalDatabases
from include.local.postgres import PostgresServer
from include.local.state import State


@pytest.fixture
def state(tmp_path: Path) -> State:
    state = State(tmp_path / "state")
    state.create()
    return state


@pytest.fixture
def environment(state: State) -> dict[str, str]:
    secrets = state.secrets()
    databases = LocalDatabases(PostgresServer(state.postgres, "superuser"), secrets)
    return airflow_environment(state, databases, api_port=8099)


def test_settings_of_another_airflow_or_postgres_do_not_leak_in() -> None:
    foreign = {
        "AIRFLOW_HOME": "/other",
        "AIRFLOW__CORE__EXECUTOR": "CeleryExecutor",
        "AIRFLOW_CONN_SURVIVOR_POSTGRES": "postgres://production",
        "PGSERVICE": "production",
        "VIRTUAL_ENV": "/other/.venv",
        "GAMEBOT_TARGET_LAYER": "bronze",
        "GAMEBOT_POOL": "one_that_does_not_exist_here",
        "DB_HOST": "production",
        "DB_SSLMODE": "require",
    }
    kept = {
        "PATH": "/bin",
        "HTTPS_PROXY": "http://proxy",
        "GITHUB_TOKEN": "token",
        "GAMEBOT_DBT_ENV": "/opt/dbt",
        "GAMEBOT_SCHEDULE": "@daily",
        "GAMEBOT_UPSTREAM_API_URL": "http://mirror/api",
        "GAMEBOT_UPSTREAM_RAW_URL": "http://mirror/raw",
    }
    assert own_environment(foreign | kept) == kept


def test_nothing_listens_beyond_this_machine(environment: dict[str, str]) -> None:
    assert environment["AIRFLOW__API__HOST"] == "127.0.0.1"
    assert environment["AIRFLOW__API__PORT"] == "8099"
    assert (
        environment["AIRFLOW__CORE__EXECUTION_API_SERVER_URL"] == "http://127.0.0.1:8099/execution/"
    )


def test_nothing_phones_home(environment: dict[str, str]) -> None:
    assert environment["DO_NOT_TRACK"] == "1"
    assert environment["DBT_SEND_ANONYMOUS_USAGE_STATS"] == "false"
    assert environment["AIRFLOW__USAGE_DATA_COLLECTION__ENABLED"] == "False"
    assert environment["AIRFLOW__COSMOS__ENABLE_TELEMETRY"] == "False"


def test_everything_that_airflow_writes_goes_to_the_state_folder(
    state: State, environment: dict[str, str]
) -> None:
    for name in (
        "AIRFLOW_HOME",
        "AIRFLOW__COSMOS__CACHE_DIR",  # its default failed for the second user of a machine
        "AIRFLOW__LOGGING__BASE_LOG_FOLDER",
        "GAMEBOT_MANIFEST_DIR",
    ):
        assert Path(environment[name]).is_relative_to(state.folder)
    assert environment["GAMEBOT_ARTIFACTS_URL"] == state.artifacts.as_uri()


def test_the_pipeline_connects_as_its_own_login_with_a_generated_password(
    state: State, environment: dict[str, str]
) -> None:
    connection = json.loads(environment["AIRFLOW_CONN_SURVIVOR_POSTGRES"])
    assert connection["login"] == "gamebot_pipeline"
    assert connection["password"] == state.secrets()["postgres_pipeline"]


def test_everybody_named_may_sign_in_with_a_password_of_their_own(
    state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GAMEBOT_USERS", "viewer:viewer, anna:op,nobody:")
    databases = LocalDatabases(PostgresServer(state.postgres, "superuser"), state.secrets())
    environment = airflow_environment(state, databases, api_port=8099)
    users = environment["AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS"]
    assert users == "admin:admin,viewer:viewer,anna:op,nobody:"
    first = passwords(state)
    assert list(first) == ["admin", "viewer", "anna", "nobody"]
    assert len(set(first.values())) == 4
    # Whoever is named again later signs in with the same password.
    monkeypatch.delenv("GAMEBOT_USERS")
    assert passwords(state) == {"admin": first["admin"]}
    monkeypatch.setenv("GAMEBOT_USERS", "anna:viewer")
    assert passwords(state) == {"admin": first["admin"], "anna": first["anna"]}


@pytest.mark.parametrize("users", ["anna", "anna:boss", "a:op:team", "admin:op", "a:op,a:op"])
def test_a_user_that_airflow_would_not_understand_is_refused_by_name(users: str) -> None:
    """Airflow's api-server would end at its start, with a stack trace."""
    with pytest.raises(AirflowError, match=f"GAMEBOT_USERS.*{users.split(',')[0]}.*viewer"):
        roles({"GAMEBOT_USERS": users})


@pytest.mark.parametrize("proxied", [True, False])
def test_a_proxy_never_stands_between_airflow_and_itself(
    state: State, monkeypatch: pytest.MonkeyPatch, proxied: bool
) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    if proxied:
        monkeypatch.setenv("HTTPS_PROXY", "http://proxy:3128")
        monkeypatch.setenv("NO_PROXY", "intranet")
    databases = LocalDatabases(PostgresServer(state.postgres, "superuser"), state.secrets())
    exempt = airflow_environment(state, databases, api_port=8099)["NO_PROXY"]
    assert exempt == ("intranet,127.0.0.1,localhost" if proxied else "*")


def test_airflow_is_restarted_when_the_warehouse_moved_to_another_port(
    environment: dict[str, str],
) -> None:
    key = configuration_key(environment)
    assert configuration_key(environment | {"SHELL": "/bin/zsh"}) == key
    moved = environment["AIRFLOW_CONN_SURVIVOR_POSTGRES"].replace('"port": 0', '"port": 5433')
    assert configuration_key(environment | {"AIRFLOW_CONN_SURVIVOR_POSTGRES": moved}) != key


@pytest.mark.parametrize(
    "name",
    [
        "GAMEBOT_UPSTREAM_API_URL",
        "GAMEBOT_UPSTREAM_RAW_URL",
        "GAMEBOT_SCHEDULE",
        "GITHUB_TOKEN",
        "HTTPS_PROXY",
        "https_proxy",
        "PIP_INDEX_URL",
        "SSL_CERT_FILE",
    ],
)
def test_airflow_is_restarted_when_the_way_to_the_data_changed_and_nobody_can_read_it_back(
    environment: dict[str, str], name: str
) -> None:
    changed = configuration_key(environment | {name: "another"})
    assert changed != configuration_key(environment)
    assert "another" not in changed
