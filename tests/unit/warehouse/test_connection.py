"""The password goes where it is needed and nowhere else."""

from __future__ import annotations

import pytest
from pydantic import SecretStr

from include.warehouse.connection import ConnectionSettings, MissingSetting, connection_id

ENVIRONMENT = {
    "DB_HOST": "db.internal",
    "DB_PORT": "6543",
    "DB_NAME": "warehouse",
    "DB_USER": "loader",
    "DB_PASSWORD": "hunter/2 @",  # pragma: allowlist secret
    "DB_SSLMODE": "verify-full",
}


def test_settings_survive_the_way_through_an_environment() -> None:
    settings = ConnectionSettings.from_environment(ENVIRONMENT)
    assert settings.as_environment() == ENVIRONMENT


def test_a_uri_escapes_what_a_password_may_hold() -> None:
    uri = ConnectionSettings.from_environment(ENVIRONMENT).uri()
    assert uri.startswith("postgresql://loader:hunter%2F2%20%40@")  # pragma: allowlist secret
    assert uri.endswith("@db.internal:6543/warehouse?sslmode=verify-full")


def test_no_representation_shows_the_password() -> None:
    settings = ConnectionSettings.from_environment(ENVIRONMENT)
    dumped = settings.model_dump()
    for text in (repr(settings), str(settings), str(dumped), settings.model_dump_json()):
        assert "hunter" not in text


@pytest.mark.parametrize("variable", ["DB_HOST", "DB_NAME", "DB_USER"])
def test_a_missing_variable_is_named(variable: str) -> None:
    environment = {name: value for name, value in ENVIRONMENT.items() if name != variable}
    with pytest.raises(MissingSetting, match=f"{variable} is not set"):
        ConnectionSettings.from_environment(environment)


def test_a_port_that_is_no_number_is_named() -> None:
    with pytest.raises(MissingSetting, match="DB_PORT must be a port number, not 'http'"):
        ConnectionSettings.from_environment({**ENVIRONMENT, "DB_PORT": "http"})


def test_an_airflow_connection_gives_the_same_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(
        "AIRFLOW_CONN_SURVIVOR_POSTGRES",
        '{"conn_type": "postgres", "host": "db.internal", "port": 6543, "schema": "warehouse",'
        ' "login": "loader", "password": "hunter/2 @", "extra": {"sslmode": "verify-full"}}',
    )
    settings = ConnectionSettings.from_airflow()
    assert settings == ConnectionSettings.from_environment(ENVIRONMENT)
    assert settings.password == SecretStr("hunter/2 @")


def test_an_airflow_connection_without_a_database_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(
        "AIRFLOW_CONN_SURVIVOR_POSTGRES", '{"conn_type": "postgres", "host": "h", "login": "l"}'
    )
    with pytest.raises(MissingSetting, match="'survivor_postgres' lacks schema"):
        ConnectionSettings.from_airflow()


def test_each_role_has_a_connection_of_its_own_only_when_a_setting_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for chosen in ("", "false", "0"):
        monkeypatch.setenv("GAMEBOT_CONNECTION_PER_ROLE", chosen)
        assert connection_id("gamebot_loader") == "survivor_postgres"
    for chosen in ("true", "True", "1"):
        monkeypatch.setenv("GAMEBOT_CONNECTION_PER_ROLE", chosen)
        assert connection_id("gamebot_loader") == "survivor_postgres_loader"
    monkeypatch.setenv("GAMEBOT_CONNECTION_PER_ROLE", "yes please")
    with pytest.raises(MissingSetting, match="GAMEBOT_CONNECTION_PER_ROLE must be true or false"):
        connection_id("gamebot_loader")


def test_the_password_that_everybody_knows_opens_the_dev_stack_only() -> None:
    login = {"DB_USER": "gamebot", "DB_PASSWORD": "gamebot-dev"}  # pragma: allowlist secret
    login = ENVIRONMENT | login
    for host in ("warehouse", "localhost"):
        ConnectionSettings.from_environment({**login, "DB_HOST": host})
    with pytest.raises(MissingSetting, match="password of the dev stack"):
        ConnectionSettings.from_environment(login)
