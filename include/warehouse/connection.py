"""One way to reach the warehouse, whatever the context.

Inside an Airflow task the settings come from the connection `survivor_postgres`; in every other
process (dbt, Soda, Great Expectations, a person's shell) from the variables `DB_HOST`, `DB_PORT`,
`DB_NAME`, `DB_USER`, `DB_PASSWORD` and, where the server asks for it, `DB_SSL*`. No other module
builds a connection string.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlencode

import psycopg
from psycopg import sql
from pydantic import BaseModel, ConfigDict, SecretStr

CONNECTION_ID = "survivor_postgres"

TLS_SETTINGS = ("sslmode", "sslrootcert", "sslcert", "sslkey")


class MissingSetting(RuntimeError):
    """A setting that the warehouse connection needs is absent or malformed."""


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
    def from_airflow(cls, conn_id: str = CONNECTION_ID) -> ConnectionSettings:
        """Read an Airflow connection, from whichever backend this deployment keeps it in.

        Raises:
            MissingSetting: the connection exists but lacks its host, schema or login.
        """
        from airflow.sdk import Connection

        connection = Connection.get(conn_id)
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
        )

    def connect(self, role: str | None = None, **options: Any) -> psycopg.Connection:
        """Open a connection (no autocommit unless asked for), acting as `role` when one is named.

        Raises:
            psycopg.OperationalError: the server cannot be reached or refuses the login.
            psycopg.errors.InsufficientPrivilege: the login is not a member of `role`.
        """
        tls = {name: value for name in TLS_SETTINGS if (value := getattr(self, name))}
        connection = psycopg.connect(
            host=self.host,
            port=self.port,
            dbname=self.dbname,
            user=self.user,
            password=self.password.get_secret_value(),
            connect_timeout=10,
            application_name="gamebot",
            **tls,
            **options,
        )
        if role:
            connection.execute(sql.SQL("set role {}").format(sql.Identifier(role)))
            if not connection.autocommit:
                connection.commit()
        return connection

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

    def uri(self) -> str:
        """Return a libpq URI with the password in it: for a person's terminal, never for a log."""
        login = f"{quote(self.user, safe='')}:{quote(self.password.get_secret_value(), safe='')}"
        tls = {name: value for name in TLS_SETTINGS if (value := getattr(self, name))}
        query = f"?{urlencode(tls)}" if tls else ""
        return f"postgresql://{login}@{self.host}:{self.port}/{quote(self.dbname, safe='')}{query}"
