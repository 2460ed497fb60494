"""What a monitor is told of a warehouse in each of its states, and what it is never told."""

from __future__ import annotations

import asyncio
import importlib
import time
from collections.abc import Callable
from typing import Any

import httpx
import psycopg
import pytest

from include.console import app as console
from include.console import health
from include.console.health import HealthProbe
from include.environments import PROJECT_DIR
from include.warehouse.connection import CONNECTION_VARIABLE, ConnectionSettings
from include.warehouse.releases import publish_release
from include.warehouse.schemas import AUDITOR
from tests.integration.logins import login_of


@pytest.fixture(autouse=True)
def connection(warehouse: ConnectionSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Airflow has the pipeline's connection, and nobody has asked before."""
    monkeypatch.setenv(CONNECTION_VARIABLE, warehouse.as_airflow_connection())
    monkeypatch.setattr(console, "probe", HealthProbe())
    # How long an answer may take is another test's matter, of a machine that is not busy.
    monkeypatch.setattr(health, "ANSWER_SECONDS", 60)
    # An API server has this already; it takes seconds.
    importlib.import_module("airflow.sdk.execution_time.supervisor")


def ask(settings: ConnectionSettings) -> tuple[int, Any]:
    """Return what the page answers; it never names the server, the login or the database."""

    async def get() -> httpx.Response:
        transport = httpx.ASGITransport(console.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://airflow") as client:
            return await client.get("/health")

    response = asyncio.run(get())
    private = {settings.host, settings.user, settings.dbname, settings.password.get_secret_value()}
    assert not [it for it in private if it in response.text]
    assert response.headers["Cache-Control"] == "no-store"
    return response.status_code, response.json()


def test_a_warehouse_without_a_release_is_well(warehouse: ConnectionSettings) -> None:
    assert ask(warehouse) == (200, {"warehouse": {"status": "healthy"}, "published": {}})


def test_the_published_release_is_told_with_its_age(
    warehouse: ConnectionSettings, owner: psycopg.Connection, build: Callable[..., int]
) -> None:
    release_id = build()
    publish_release(owner, release_id)
    build()
    status, told = ask(warehouse)
    assert (status, list(told["published"])) == (200, ["bronze", "silver", "gold"])
    for layer in told["published"].values():
        assert layer["release_id"] == release_id
        assert 0 <= layer["age_seconds"] < 60
        assert layer["published_at"].startswith("20")


def test_an_empty_database_is_not_prepared(
    warehouse_admin: ConnectionSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    empty = warehouse_admin.model_copy(update={"dbname": "postgres"})
    monkeypatch.setenv(CONNECTION_VARIABLE, empty.as_airflow_connection())
    assert ask(empty) == (503, {"warehouse": {"status": "unprepared"}, "published": {}})


@pytest.mark.parametrize(
    "change",
    [
        {"port": 9},
        {"password": "of yesterday"},  # pragma: allowlist secret
        {"dbname": "elsewhere"},
        {"host": "warehouse.invalid"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_what_cannot_be_reached_is_told_without_the_reason(
    warehouse: ConnectionSettings, monkeypatch: pytest.MonkeyPatch, change: dict[str, Any]
) -> None:
    wrong = ConnectionSettings.model_validate(warehouse.model_dump() | change)
    monkeypatch.setenv(CONNECTION_VARIABLE, wrong.as_airflow_connection())
    assert ask(wrong) == (503, {"warehouse": {"status": "unreachable"}, "published": {}})


def test_a_deployment_without_a_connection_is_unreachable(
    warehouse: ConnectionSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(CONNECTION_VARIABLE)
    assert ask(warehouse)[0] == 503


def test_a_table_that_somebody_has_locked_makes_nobody_wait(
    warehouse: ConnectionSettings, warehouse_admin: ConnectionSettings
) -> None:
    with warehouse_admin.connect() as connection:
        connection.execute("lock table ops.published_layers")
        started = time.monotonic()
        assert ask(warehouse)[0] == 503
        assert time.monotonic() - started < 20


def test_with_a_connection_per_role_the_auditors_is_used(
    warehouse_admin: ConnectionSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    auditor = login_of(warehouse_admin, AUDITOR)
    monkeypatch.delenv(CONNECTION_VARIABLE)
    monkeypatch.setenv("GAMEBOT_CONNECTION_PER_ROLE", "true")
    monkeypatch.setenv(f"{CONNECTION_VARIABLE}_AUDITOR", auditor.as_airflow_connection())
    assert ask(auditor)[0] == 200


def test_airflow_finds_the_plugin() -> None:
    from airflow._shared.plugins_manager import plugins_manager

    folder = str(PROJECT_DIR / "plugins")
    plugins, errors = plugins_manager._load_plugins_from_plugin_directory(folder)
    assert errors == {}
    apps = [it for plugin in plugins for it in plugin.fastapi_apps]
    assert [it["url_prefix"] for it in apps] == ["/gamebot"]
