"""Logins that are each a member of one role and of nothing else, as careful operators make them."""

from __future__ import annotations

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
