"""The databases and logins of the local server: the warehouse's and Airflow's own."""

from __future__ import annotations

import getpass
import re
from collections.abc import Mapping

import psycopg
from psycopg import sql
from pydantic import SecretStr

from include.local.postgres import PostgresServer
from include.local.state import State
from include.warehouse.bootstrap import bootstrap
from include.warehouse.connection import ConnectionSettings
from include.warehouse.schemas import READER, TRANSFORMER

WAREHOUSE = "warehouse"
AIRFLOW = "airflow"
PIPELINE_LOGIN = "gamebot_pipeline"


class LocalDatabases:
    """How each login reaches its database on the local server."""

    def __init__(self, server: PostgresServer, secrets: Mapping[str, str]) -> None:
        """Describe the logins of `server`; `secrets` are those of the state folder."""
        self._server = server
        self._secrets = secrets

    @classmethod
    def of(cls, state: State) -> LocalDatabases:
        """Return those of a checkout."""
        secrets = state.secrets()
        return cls(PostgresServer(state.postgres, secrets["postgres_superuser"]), secrets)

    @property
    def server(self) -> PostgresServer:
        """The server that holds them."""
        return self._server

    @property
    def pipeline(self) -> ConnectionSettings:
        """The warehouse as the pipeline's login, which may act as every role."""
        return self._login(PIPELINE_LOGIN, "postgres_pipeline", WAREHOUSE)

    @property
    def reader(self) -> ConnectionSettings:
        """The warehouse as an analyst, who sees what is published."""
        return self._login(READER, "postgres_reader", WAREHOUSE)

    @property
    def airflow(self) -> ConnectionSettings:
        """Airflow's metadata database."""
        return self._login(AIRFLOW, "postgres_airflow", AIRFLOW)

    def start(self, port: int | None = None) -> None:
        """Start the server if need be, on `port` if one is named, and complete what is in it."""
        self._server.start(port)
        self.prepare()

    def prepare(self) -> None:
        """Create logins, databases, roles, schemas and `ops` tables that are not there yet."""
        with self._server.settings().connect(autocommit=True) as connection:
            # Two commands that start at once must not both create the logins.
            connection.execute("select pg_advisory_lock(hashtext('gamebot.local'))")
            for login in (PIPELINE_LOGIN, READER, AIRFLOW):
                ensure_login(connection, login, self._secrets[_SECRET_OF[login]])
            _ensure_database(connection, WAREHOUSE, owner="postgres")
            _ensure_database(connection, AIRFLOW, owner=AIRFLOW)
        bootstrap(self._server.settings(WAREHOUSE), PIPELINE_LOGIN)

    def prepare_for_development(self, schema: str) -> None:
        """Create the schemas into which a person's own `dbt build` writes as the transformer."""
        with self._server.settings(WAREHOUSE).connect() as connection:
            for layer in ("silver", "gold", "reference"):
                connection.execute(
                    sql.SQL("create schema if not exists {} authorization {}").format(
                        sql.Identifier(f"{schema}_{layer}"), sql.Identifier(TRANSFORMER)
                    )
                )

    def _login(self, user: str, secret: str, dbname: str) -> ConnectionSettings:
        return self._server.settings(dbname).model_copy(
            update={"user": user, "password": SecretStr(self._secrets[secret])}
        )


_SECRET_OF = {
    PIPELINE_LOGIN: "postgres_pipeline",
    READER: "postgres_reader",
    AIRFLOW: "postgres_airflow",
}


def development_schema() -> str:
    """Return the schema prefix of the person at the keyboard: `dev_` and a safe user name."""
    return "dev_" + (re.sub(r"[^a-z0-9_]", "_", getpass.getuser().lower()) or "local")


def ensure_login(connection: psycopg.Connection, login: str, password: str) -> None:
    """Create a login, or let an existing role log in; an existing login keeps its password."""
    known = connection.execute(
        "select rolcanlogin from pg_roles where rolname = %s", (login,)
    ).fetchone()
    if known and known[0]:
        return
    # Hashed here, so that the server's log cannot show it even when the statement fails.
    hashed = connection.pgconn.encrypt_password(password.encode(), login.encode(), b"scram-sha-256")
    connection.execute(
        sql.SQL("{} role {} login password {}").format(
            sql.SQL("alter" if known else "create"),
            sql.Identifier(login),
            sql.Literal(hashed.decode()),
        )
    )


def _ensure_database(connection: psycopg.Connection, name: str, owner: str) -> None:
    if connection.execute("select 1 from pg_database where datname = %s", (name,)).fetchone():
        return
    connection.execute(
        sql.SQL("create database {} owner {}").format(sql.Identifier(name), sql.Identifier(owner))
    )
