"""Logins that are each a member of one role and of nothing else, as careful operators make them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from pydantic import SecretStr

from include.warehouse.bootstrap import bootstrap

if TYPE_CHECKING:
    from include.warehouse.connection import ConnectionSettings

# Every character that a configuration file, a shell or a URL would stumble over.
PASSWORD = "pa$${DB_HOST} w'ord/%40&\"@:#"


def login_of(admin: ConnectionSettings, role: str) -> ConnectionSettings:
    """Make a login for one role, as an administrator does; returns its way into the warehouse."""
    from include.local.databases import ensure_login

    login = f"only_{role.removeprefix('gamebot_')}"
    with admin.connect(autocommit=True) as connection:
        ensure_login(connection, login, PASSWORD)
    bootstrap(admin, login, [role])
    return admin.model_copy(update={"user": login, "password": SecretStr(PASSWORD)})


def airflow_connection(settings: ConnectionSettings) -> str:
    """Return the settings as the value of an `AIRFLOW_CONN_*` variable."""
    from include.warehouse.connection import TLS_SETTINGS

    return json.dumps(
        {
            "conn_type": "postgres",
            "host": settings.host,
            "port": settings.port,
            "schema": settings.dbname,
            "login": settings.user,
            "password": settings.password.get_secret_value(),
            "extra": {name: value for name in TLS_SETTINGS if (value := getattr(settings, name))},
        }
    )
