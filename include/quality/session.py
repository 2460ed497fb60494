"""How Soda and Great Expectations reach one release: read-only, as the auditor, without a password.

Both tools connect through libpq, which reads `PG*` variables. Giving it the settings that way keeps
the password out of every configuration that the tools hold, print or write to disk, and lets one
`search_path` name the release, so that checks say `castaways` and not `bronze_r42.castaways`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

import psycopg

from include.warehouse.connection import TLS_SETTINGS, ConnectionSettings
from include.warehouse.schemas import AUDITOR, Layer, release_schema


class AuditError(RuntimeError):
    """An audit could not be carried out; nothing is known about the release."""


@contextmanager
def audit_session(settings: ConnectionSettings, search_path: Sequence[str]) -> Iterator[None]:
    """Let every libpq connection opened inside read `search_path` and nothing be written.

    Args:
        settings: a login that is a member of `gamebot_auditor`.
        search_path: the schemas in which unqualified tables are looked for, in order.
    """
    options = {
        "role": AUDITOR,
        "search_path": ",".join(search_path),
        "default_transaction_read_only": "on",
    }
    variables = {
        "PGHOST": settings.host,
        "PGPORT": str(settings.port),
        "PGDATABASE": settings.dbname,
        "PGUSER": settings.user,
        "PGPASSWORD": settings.password.get_secret_value(),
        "PGSSLMODE": "prefer",
        "PGAPPNAME": "gamebot",
        "PGOPTIONS": " ".join(f"-c {name}={value}" for name, value in options.items()),
    }
    for name in TLS_SETTINGS:
        if value := getattr(settings, name):
            variables[f"PG{name.upper()}"] = value
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def require_layers(
    connection: psycopg.Connection, release_id: int, layers: Sequence[Layer]
) -> None:
    """Make sure that the release and the layers to audit exist.

    Raises:
        AuditError: names the release or schema that does not.
    """
    known = connection.execute(
        "select 1 from ops.releases where release_id = %s", (release_id,)
    ).fetchone()
    if known is None:
        raise AuditError(f"There is no release {release_id} in this warehouse.")
    for layer in layers:
        schema = release_schema(layer, release_id)
        found = connection.execute("select to_regnamespace(%s)", (schema,)).fetchone()
        if found is None or found[0] is None:
            raise AuditError(
                f"Release {release_id} has no schema {schema}: it was pruned, or its {layer} layer "
                "was never built."
            )


def require_tables(
    connection: psycopg.Connection, release_id: int, layer: Layer, tables: Iterable[str]
) -> None:
    """Make sure that the tables to audit exist.

    Raises:
        AuditError: names those that do not.
    """
    schema = release_schema(layer, release_id)
    found = connection.execute("select tablename from pg_tables where schemaname = %s", (schema,))
    if missing := sorted(set(tables) - {table for (table,) in found}):
        raise AuditError(f"{schema} lacks {', '.join(missing)}: its build did not finish.")
