"""What `ops` and the releases' own tables say, in as few statements as a page needs."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import class_row, dict_row
from pydantic import BaseModel, ConfigDict

from include.warehouse.checks import CheckResult
from include.warehouse.history import ReleaseEvent
from include.warehouse.releases import Release
from include.warehouse.schemas import LAYERS, REFERENCE, Layer, release_schema

PAGE_LENGTH = 50

Rows = dict[Layer, dict[str, int]]
"""Rows per table, per layer."""


class Checks(BaseModel):
    """How many checks came out how."""

    model_config = ConfigDict(frozen=True)

    passed: int
    warned: int
    failed: int
    """Also those that could not be evaluated."""


class ListedRelease(Release):
    """A release with what its line in a list says besides."""

    checks: Checks
    shown_by: str | None
    """Who or what let readers see it last."""

    @property
    def finished_at(self) -> datetime | None:
        """When its run had done with it, as far as that is known."""
        if self.state == "failed" or (self.is_replay and not self.published_at):
            return self.closed_at
        return self.published_at

    @property
    def seconds(self) -> float | None:
        """How long its run took."""
        return (self.finished_at - self.opened_at).total_seconds() if self.finished_at else None


def list_page(
    connection: psycopg.Connection, before: int | None = None, length: int = PAGE_LENGTH
) -> list[ListedRelease]:
    """Return the newest releases, or the newest of those opened before one; newest first."""
    return _listed(
        connection,
        sql.SQL("where %(before)s::integer is null or release_id < %(before)s"),
        {"before": before, "length": length},
    )


def get_listed(connection: psycopg.Connection, release_id: int) -> ListedRelease | None:
    """Return one release."""
    found = _listed(
        connection, sql.SQL("where release_id = %(release)s"), {"release": release_id, "length": 1}
    )
    return found[0] if found else None


def list_those_with_tables(connection: psycopg.Connection) -> list[ListedRelease]:
    """Return the releases that can still be read, newest first: a handful."""
    return _listed(connection, sql.SQL("where pruned_at is null"), {"length": 100})


def _listed(
    connection: psycopg.Connection, which: sql.SQL, parameters: dict[str, Any]
) -> list[ListedRelease]:
    query = sql.SQL(
        """
        with chosen as (
            select * from ops.releases {which} order by release_id desc limit %(length)s
        )

        select
            chosen.*,
            array(
                select layer from ops.published_layers
                where published_layers.release_id = chosen.release_id
                order by array_position(%(layers)s, layer)
            ) as shown_layers,
            (
                select json_build_object(
                    'passed', count(*) filter (where outcome = 'passed'),
                    'warned', count(*) filter (where outcome = 'warned'),
                    'failed', count(*) filter (where outcome in ('failed', 'error'))
                )
                from ops.check_results
                where check_results.release_id = chosen.release_id
            ) as checks,
            (
                select done_by from ops.release_events
                where
                    release_events.release_id = chosen.release_id
                    and event in ('published', 'rolled_back')
                order by event_id desc
                limit 1
            ) as shown_by
        from chosen
        order by release_id desc
        """
    ).format(which=which)
    with connection.cursor(row_factory=class_row(ListedRelease)) as cursor:
        return cursor.execute(query, parameters | {"layers": list(LAYERS)}).fetchall()


def release_before(connection: psycopg.Connection, release_id: int) -> int | None:
    """Return the newest release that readers saw and that was opened before this one."""
    found = connection.execute(
        "select max(release_id) from ops.releases "
        "where release_id < %s and published_at is not null and not is_replay",
        (release_id,),
    ).fetchone()
    return found[0] if found else None


def count_rows(
    connection: psycopg.Connection, release_ids: Collection[int | None]
) -> dict[int, Rows]:
    """Return the rows of every table that readers see or saw of these releases.

    Bronze's are known for good; of silver and gold as long as the tables are there.
    """
    wanted = [release_id for release_id in release_ids if release_id is not None]
    counts: dict[int, Rows] = {release_id: {} for release_id in wanted}
    for release_id, dataset, rows in connection.execute(
        "select release_id, dataset, rows from ops.dataset_versions "
        "where release_id = any(%s) order by dataset",
        (wanted,),
    ):
        counts[release_id].setdefault("bronze", {})[dataset] = rows
    layers = {
        release_schema(layer, release_id): (layer, release_id)
        for layer in LAYERS
        if layer != "bronze"
        for release_id in wanted
    }
    tables = connection.execute(
        "select schemaname, tablename from pg_tables where schemaname = any(%s) "
        "order by schemaname, tablename",
        (list(layers),),
    ).fetchall()
    for schema, table, rows in _counted(connection, tables):
        layer, release_id = layers[schema]
        counts[release_id].setdefault(layer, {})[table] = rows
    return counts


def _counted(
    connection: psycopg.Connection, tables: Iterable[tuple[str, str]]
) -> list[tuple[str, str, int]]:
    counting = [
        sql.SQL("select {}, {}, count(*) from {}").format(
            sql.Literal(schema), sql.Literal(table), sql.Identifier(schema, table)
        )
        for schema, table in tables
    ]
    return connection.execute(sql.SQL(" union all ").join(counting)).fetchall() if counting else []


class TableRows(BaseModel):
    """A table's rows, beside those of an earlier release."""

    layer: Layer
    table: str
    rows: int | None
    change: int | None
    """None: there is nothing to compare with."""


def with_change(now: Rows, before: Rows) -> list[TableRows]:
    """Return every table of either, lowest layer first."""
    return [
        TableRows(
            layer=layer,
            table=table,
            rows=now[layer].get(table),
            change=now[layer].get(table, 0) - before[layer].get(table, 0)
            if before.get(layer)
            else None,
        )
        for layer in LAYERS
        if now.get(layer)
        for table in sorted({**before.get(layer, {}), **now[layer]})
    ]


class RecordedCheck(CheckResult):
    """A check result with its moment."""

    checked_at: datetime


def checks_of(connection: psycopg.Connection, release_id: int) -> list[RecordedCheck]:
    """Return all check results of a release, by layer and table, the worst of a table first."""
    with connection.cursor(row_factory=class_row(RecordedCheck)) as cursor:
        return cursor.execute(
            """
            select *
            from ops.check_results
            where release_id = %s
            order by
                array_position(%s, layer),
                table_name,
                array_position(array['error', 'failed', 'warned', 'passed'], outcome),
                tool,
                column_name nulls first,
                check_id
            """,
            (release_id, list(LAYERS)),
        ).fetchall()


def events_of(connection: psycopg.Connection, release_id: int) -> list[ReleaseEvent]:
    """Return what happened to a release, in order."""
    with connection.cursor(row_factory=class_row(ReleaseEvent)) as cursor:
        return cursor.execute(
            "select * from ops.release_events where release_id = %s order by event_id",
            (release_id,),
        ).fetchall()


def rows_of(
    connection: psycopg.Connection, query: sql.SQL | sql.Composed, *parameters: object
) -> list[dict[str, Any]]:
    """Return the rows of a query by the names of its columns."""
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(query, parameters).fetchall()


def drift_of(connection: psycopg.Connection, release_id: int) -> list[dict[str, Any]]:
    """Return the differences between upstream and the dataset catalogue, blocking ones first."""
    return rows_of(
        connection,
        sql.SQL(
            "select severity, dataset, column_name, kind, detail from ops.schema_drift "
            "where release_id = %s order by severity, dataset, column_name, kind"
        ),
        release_id,
    )


def datasets_of(connection: psycopg.Connection, release_id: int) -> list[dict[str, Any]]:
    """Return the exact files behind bronze."""
    return rows_of(
        connection,
        sql.SQL(
            "select dataset, file_name, sha256, size_bytes, rows, columns, seasons "
            "from ops.dataset_versions where release_id = %s order by dataset"
        ),
        release_id,
    )


def seeds_of(connection: psycopg.Connection, release_id: int) -> dict[str, list[dict[str, Any]]]:
    """Return the repairs and known exceptions that a release was built with.

    They go with its tables.
    """
    schema = release_schema(REFERENCE, release_id)
    there = {
        table
        for (table,) in connection.execute(
            "select tablename from pg_tables where schemaname = %s", (schema,)
        )
    }
    return {
        name: rows_of(
            connection,
            sql.SQL("select * from {} order by 1, 2, 3").format(sql.Identifier(schema, name)),
        )
        for name in ("upstream_repairs", "known_exceptions")
        if name in there
    }
