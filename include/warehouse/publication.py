"""Point the public schemas at a release: plain views, replaced in one transaction.

Views are replaced in place, so that what analysts built on top of them keeps working; a view is
dropped and made anew only when a column went away or changed its type, and Postgres refuses that
while something depends on it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import psycopg
from psycopg import sql
from tenacity import (
    Retrying,
    retry_if_exception_type,
    stop_after_delay,
    wait_random,
)

from include.warehouse.schemas import Layer, release_schema

# A query that reads a public view holds off its replacement, and a waiting replacement holds off
# every later query: so wait briefly, step aside, and try again.
LOCK_TIMEOUT = "250ms"
RETRY_PAUSE_SECONDS = (0.5, 2.0)
GIVE_UP_AFTER_SECONDS = 600

# Metadata views of the bootstrap: they belong to no release.
PERMANENT_VIEWS = {"bronze": {"ingestion_runs", "dataset_versions"}}

Columns = dict[str, str]


class PublicationBlocked(RuntimeError):
    """A dependent view needs what the release no longer has."""


def point_layers_at(
    connection: psycopg.Connection,
    release_id: int,
    layers: Sequence[Layer],
    and_record: Callable[[], None],
) -> None:
    """Make every table of the release visible in its public schema, all or nothing.

    Args:
        connection: acting as `gamebot_owner`, outside a transaction.
        release_id: the release to show.
        layers: the public schemas to move.
        and_record: runs in the same transaction, to record the publication.

    Raises:
        PublicationBlocked: names the dependent views and the public view that would have to go.
        psycopg.errors.LockNotAvailable: readers held a view for ten minutes on end.
    """
    for attempt in Retrying(
        retry=retry_if_exception_type(psycopg.errors.LockNotAvailable),
        wait=wait_random(*RETRY_PAUSE_SECONDS),
        stop=stop_after_delay(GIVE_UP_AFTER_SECONDS),
        reraise=True,
    ):
        with attempt, connection.transaction():
            connection.execute("select pg_advisory_xact_lock(hashtext('gamebot.publish'))")
            connection.execute(f"set local lock_timeout = '{LOCK_TIMEOUT}'")
            for layer in layers:
                _replace_views(connection, layer, release_schema(layer, release_id))
            and_record()


def _replace_views(connection: psycopg.Connection, public: str, source: str) -> None:
    tables = _columns(connection, source)
    views = _columns(connection, public)
    for name in views.keys() - tables.keys() - PERMANENT_VIEWS.get(public, set()):
        _drop_view(connection, public, name, "the release has no such table")
    for name, columns in sorted(tables.items()):
        shown = views.get(name, {})
        gone = [column for column, kind in shown.items() if columns.get(column) != kind]
        if gone:
            _drop_view(connection, public, name, f"columns gone or retyped: {', '.join(gone)}")
            shown = {}
        # `create or replace` keeps the columns that are there, in their order, and adds the rest.
        selected = [*shown, *(column for column in columns if column not in shown)]
        connection.execute(
            sql.SQL("create or replace view {} as select {} from {}").format(
                sql.Identifier(public, name),
                sql.SQL(", ").join(map(sql.Identifier, selected)),
                sql.Identifier(source, name),
            )
        )


def _drop_view(connection: psycopg.Connection, schema: str, name: str, reason: str) -> None:
    try:
        connection.execute(sql.SQL("drop view {}").format(sql.Identifier(schema, name)))
    except psycopg.errors.DependentObjectsStillExist as error:
        raise PublicationBlocked(
            f"{schema}.{name} must be made anew ({reason}), but {error.diag.message_detail}. "
            "Change or drop the dependent view, then run again."
        ) from error


def _columns(connection: psycopg.Connection, schema: str) -> dict[str, Columns]:
    """Return the tables or views of a schema with their columns and types, in order."""
    relations: dict[str, Columns] = {}
    for relation, column, kind in connection.execute(
        """
        select pg_class.relname, attname, format_type(atttypid, atttypmod)
        from pg_class
        join pg_namespace on pg_namespace.oid = relnamespace
        join pg_attribute on attrelid = pg_class.oid and attnum > 0 and not attisdropped
        where nspname = %s and relkind in ('r', 'v')
        order by pg_class.relname, attnum
        """,
        (schema,),
    ):
        relations.setdefault(relation, {})[column] = kind
    return relations
