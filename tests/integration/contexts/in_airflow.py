"""Runs in Airflow's environment: which warehouse do its consumers reach and hand on?"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import psycopg
import yaml

IDENTITY = (
    "select system_identifier::text, current_database()::text, inet_server_port()::text"
    " from pg_control_system()"
)

opened: list[tuple[Any, ...] | None] = []


def noted(*arguments: Any, **options: Any) -> psycopg.Connection:
    """Connect as psycopg does, and note to whom."""
    connection = connect(*arguments, **options)
    opened.append(connection.execute(IDENTITY).fetchone())
    if not connection.autocommit:
        connection.rollback()
    return connection


def apply_settings_file(path: str) -> None:
    """Put the connections of airflow_settings.yaml into the metadata database, as the CLI does."""
    from airflow import settings
    from airflow.models import Connection

    assert settings.engine is not None and settings.Session is not None
    Connection.metadata.create_all(settings.engine)
    wanted = yaml.safe_load(Path(path).read_text())["airflow"]["connections"]
    session = settings.Session()
    for each in wanted:
        fields = {name.removeprefix("conn_"): value for name, value in each.items()}
        session.add(Connection(conn_id=fields.pop("id"), conn_type=fields.pop("type"), **fields))
    session.commit()


def main() -> None:
    """Ask each consumer once."""
    if path := os.environ.get("APPLY_SETTINGS_FILE"):
        apply_settings_file(path)

    from include.console.health import examine_warehouse
    from include.transformation.rendering import profile_config
    from include.warehouse.connection import ConnectionSettings
    from include.warehouse.schemas import LOADER
    from include.warehouse.variables import connection_variables

    variables = connection_variables()
    ConnectionSettings.from_airflow(LOADER).connect(role=LOADER).close()
    health = examine_warehouse()
    assert health.is_healthy, health
    with profile_config().ensure_profile() as (profile, secrets):
        cosmos = {"profile": profile.read_text(), "variables": secrets}
    loader, monitor = opened
    json.dump(
        {
            "identities": {"loader": loader, "health": monitor},
            "variables": variables,
            "cosmos": cosmos,
        },
        sys.stdout,
    )


connect = psycopg.connect
psycopg.connect = noted  # type: ignore[assignment]
main()
