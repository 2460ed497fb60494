"""One way to reach the warehouse, whatever the context.

Inside an Airflow task the settings come from the connection `survivor_postgres`, or from one per
role; in every other process (dbt, Soda, Great Expectations, a person's shell) from the variables
`DB_HOST`, `DB_PORT`, `DB_NAME`, `DB_USER`, `DB_PASSWORD` and, where the server asks for it,
`DB_SSL*`. No other module builds a connection string.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from typing import Any, Self
from urllib.parse import quote, urlencode

import psycopg
from psycopg import sql
from pydantic import BaseModel, ConfigDict, SecretStr, model_validator

from include.warehouse.schemas import OWNER

CONNECTION_ID = "survivor_postgres"
CONNECTION_VARIABLE = f"AIRFLOW_CONN_{CONNECTION_ID.upper()}"

CONNECT_SECONDS = 10

TLS_SETTINGS = ("sslmode", "sslrootcert", "sslcert", "sslkey")

# Login and password of the dev stack's warehouse: everybody knows them.
DEV_STACK_LOGIN = ("gamebot", "gamebot-dev")
DEV_STACK_HOSTS = ("warehouse", "localhost", "127.0.0.1", "::1", "host.docker.internal")

# What libpq says, and which setting is to be looked at. The first that fits counts.
ADVICE = {
    r"password authentication failed": "Correct login and password (DB_USER, DB_PASSWORD).",
    r"no password supplied": "The password (DB_PASSWORD) is missing.",
    r"invalid sslmode": "sslmode (DB_SSLMODE) should be verify-full.",
    r"root certificate file .* does not exist": "sslrootcert (DB_SSLROOTCERT) must name the file "
    "of the CA that signed the server's certificate.",
    r"does not match host name": "sslmode verify-full wants the host (DB_HOST) spelled as in the "
    "server's certificate.",
    r"certificate verify failed": "Either sslrootcert (DB_SSLROOTCERT) is not the CA that signed "
    "the server's certificate, or that certificate has expired.",
    r"no encryption": "The server takes encrypted connections only: set sslmode (DB_SSLMODE) to "
    "verify-full.",
    r"does not support SSL": "sslmode (DB_SSLMODE) asks for encryption, which this server does not "
    "offer.",
    r"requires a valid client certificate": "sslcert and sslkey (DB_SSLCERT, DB_SSLKEY) must name "
    "a client certificate and its key.",
    r"certificate authentication failed": "The client certificate, sslcert (DB_SSLCERT), is made "
    "out to another login than this one (DB_USER).",
    r"private key file": "Look at sslkey (DB_SSLKEY): the file must be there, be readable by the "
    "user that runs this and by nobody else, and belong to sslcert (DB_SSLCERT).",
    r"certificate file": "Look at sslcert (DB_SSLCERT): the file must be there and be a "
    "certificate.",
    r"alert (unknown ca|certificate|bad certificate|decrypt)": "The server refused the client "
    "certificate, sslcert (DB_SSLCERT): it has expired, or another CA signed it.",
    r"User does not have CONNECT privilege": "Make the login a member of its role: "
    "`python -m include.warehouse --grant-to LOGIN`, as an administrator.",
    r"too many (connections|clients)|connection slots": "End sessions that nobody needs "
    "(pg_stat_activity), or raise the limit: connection limit of the login, max_connections of the "
    "server.",
    r"session is read-only": "The pipeline must write: name the primary as host (DB_HOST), or turn "
    "default_transaction_read_only off.",
    r"database system is (starting up|shutting down|in recovery)": "Nothing to mend: try again "
    "when the server is up.",
    r"database .* does not exist": "Correct the database: schema in an Airflow connection, "
    "DB_NAME elsewhere.",
    r"translate host name|resolve|refused|timeout|unreachable": "Correct host and port (DB_HOST, "
    "DB_PORT), or start the server.",
}


class MissingSetting(RuntimeError):
    """A setting that the warehouse connection needs is absent or malformed."""


class ConnectionFailed(psycopg.OperationalError):
    """The server cannot be reached or refuses the login; the message names the setting to mend."""


def connection_id(role: str) -> str:
    """Return the Airflow connection that acts as `role`.

    It is `survivor_postgres`, or with `GAMEBOT_CONNECTION_PER_ROLE` one such as
    `survivor_postgres_loader`.
    """
    chosen = os.environ.get("GAMEBOT_CONNECTION_PER_ROLE", "").lower()
    if chosen not in ("", "0", "1", "false", "true"):
        raise MissingSetting(f"GAMEBOT_CONNECTION_PER_ROLE must be true or false, not {chosen!r}.")
    if chosen in ("1", "true"):
        return f"{CONNECTION_ID}_{role.removeprefix('gamebot_')}"
    return CONNECTION_ID


class ConnectionSettings(BaseModel):
    """Where the warehouse is and who connects; the password never shows in a repr or a log."""

    model_config = ConfigDict(frozen=True)

    host: str
    port: int = 5432
    dbname: str
    user: str
    password: SecretStr = SecretStr("")
    sslmode: str | None = None
    sslrootcert: str | None = None
    sslcert: str | None = None
    sslkey: str | None = None
    role: str | None = None
    """The one role of this login, where each has a connection of its own; None: all of them."""

    @model_validator(mode="after")
    def _refuse_what_everybody_knows(self) -> Self:
        login = (self.user, self.password.get_secret_value())
        if login == DEV_STACK_LOGIN and self.host not in DEV_STACK_HOSTS:
            raise MissingSetting(
                f"{self.user!r} has the password of the dev stack, which everybody knows, on host "
                f"{self.host!r}. Give it a password of its own."
            )
        return self

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> ConnectionSettings:
        """Read the `DB_*` variables.

        Raises:
            MissingSetting: names the variable that is absent or not a port number.
        """
        required = {"host": "DB_HOST", "dbname": "DB_NAME", "user": "DB_USER"}
        for variable in required.values():
            if not environ.get(variable):
                raise MissingSetting(
                    f"{variable} is not set. Set DB_HOST, DB_PORT, DB_NAME, DB_USER and "
                    "DB_PASSWORD, or run the command through make, which sets them for the local "
                    "warehouse."
                )
        port = environ.get("DB_PORT") or "5432"
        if not port.isdigit():
            raise MissingSetting(f"DB_PORT must be a port number, not {port!r}.")
        return cls(
            **{field: environ[variable] for field, variable in required.items()},
            port=int(port),
            password=SecretStr(environ.get("DB_PASSWORD", "")),
            **{name: environ.get(f"DB_{name.upper()}") or None for name in TLS_SETTINGS},
        )

    @classmethod
    def from_airflow(cls, role: str = OWNER) -> ConnectionSettings:
        """Read the Airflow connection that acts as `role`, from wherever this deployment keeps it.

        Nothing is remembered, so a password that was changed there counts from the next task on.

        Raises:
            MissingSetting: there is no such connection, or it lacks its host, schema or login.
        """
        from airflow.sdk import Connection
        from airflow.sdk.exceptions import AirflowNotFoundException

        conn_id = connection_id(role)
        try:
            connection = Connection.get(conn_id)
        except AirflowNotFoundException as error:
            raise MissingSetting(
                f"Airflow has no connection {conn_id!r}: create it with host, schema (the "
                "database), login and password."
            ) from error
        parts = {"host": connection.host, "schema": connection.schema, "login": connection.login}
        missing = [name for name, value in parts.items() if not value]
        if missing:
            raise MissingSetting(
                f"Airflow connection {conn_id!r} lacks {', '.join(missing)}: "
                "fill in host, schema (the database), login and password."
            )
        extra = connection.extra_dejson
        return cls(
            host=connection.host,
            port=connection.port or 5432,
            dbname=connection.schema,
            user=connection.login,
            password=SecretStr(connection.password or ""),
            **{name: extra.get(name) for name in TLS_SETTINGS},
            role=None if conn_id == CONNECTION_ID else role,
        )

    def acting_as(self, role: str) -> ConnectionSettings:
        """Return the login that may act as `role`: this one, unless each role has its own."""
        return self if self.role in (None, role) else self.from_airflow(role)

    def connect(self, role: str | None = None, **options: Any) -> psycopg.Connection:
        """Open a connection (no autocommit unless asked for), acting as `role` when one is named.

        Raises:
            ConnectionFailed: the server cannot be reached or refuses the login.
            psycopg.errors.InsufficientPrivilege: the login is not a member of `role`.
        """
        login = self.acting_as(role) if role else self
        if role:
            # Every role but the reader's is there to write: a standby is found out at once.
            options = {"target_session_attrs": "read-write"} | options
        connection = login._open(**options)
        if role:
            login._set_role(connection, role)
            if not connection.autocommit:
                connection.commit()
        return connection

    def _set_role(self, connection: psycopg.Connection, role: str) -> None:
        try:
            connection.execute(sql.SQL("set role {}").format(sql.Identifier(role)))
        # In turn: not a member, no such role.
        except (
            psycopg.errors.InsufficientPrivilege,
            psycopg.errors.InvalidParameterValue,
        ) as error:
            connection.close()
            raise type(error)(
                f"Login {self.user!r} may not act as {role} ({error.diag.message_primary}). As an "
                f"administrator: `python -m include.warehouse --grant-to {self.user}`."
            ) from error

    def _open(self, **options: Any) -> psycopg.Connection:
        options = {"connect_timeout": CONNECT_SECONDS} | options
        tls = {name: value for name in TLS_SETTINGS if (value := getattr(self, name))}
        try:
            return psycopg.connect(
                host=self.host,
                port=self.port,
                dbname=self.dbname,
                user=self.user,
                password=self.password.get_secret_value(),
                application_name="gamebot",
                **tls,
                **options,
            )
        except psycopg.OperationalError as error:
            said = str(error)
            advice = next((ADVICE[words] for words in ADVICE if re.search(words, said)), None)
            if advice is None:
                raise
            raise ConnectionFailed(f"{said}\n{advice}") from error

    def as_environment(self) -> dict[str, str]:
        """Return the `DB_*` variables for a subprocess."""
        settings = {
            "DB_HOST": self.host,
            "DB_PORT": str(self.port),
            "DB_NAME": self.dbname,
            "DB_USER": self.user,
            "DB_PASSWORD": self.password.get_secret_value(),
        }
        tls = {
            f"DB_{name.upper()}": value for name in TLS_SETTINGS if (value := getattr(self, name))
        }
        return settings | tls

    def as_airflow_connection(self) -> str:
        """Return the value of a variable `AIRFLOW_CONN_*`."""
        return json.dumps(
            {
                "conn_type": "postgres",
                "host": self.host,
                "port": self.port,
                "schema": self.dbname,
                "login": self.user,
                "password": self.password.get_secret_value(),
                "extra": {name: value for name in TLS_SETTINGS if (value := getattr(self, name))},
            }
        )

    def uri(self) -> str:
        """Return a libpq URI with the password in it: for a person's terminal, never for a log."""
        login = f"{quote(self.user, safe='')}:{quote(self.password.get_secret_value(), safe='')}"
        tls = {name: value for name in TLS_SETTINGS if (value := getattr(self, name))}
        query = f"?{urlencode(tls)}" if tls else ""
        return f"postgresql://{login}@{self.host}:{self.port}/{quote(self.dbname, safe='')}{query}"
