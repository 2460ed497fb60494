"""What a person wants to know about a release, in numbers."""

from __future__ import annotations

import psycopg
from psycopg import sql
from pydantic import BaseModel

from include.warehouse.releases import Release, get_release
from include.warehouse.schemas import Layer, layers_up_to, release_schema


class ReleaseSummary(BaseModel):
    """A release with its exact row counts and what its checks said."""

    release: Release
    rows: dict[Layer, dict[str, int]]
    """Rows per table, per layer; empty once the release was pruned."""
    checks: dict[str, dict[str, int]]
    """Number of checks per outcome, per tool."""
    problems: list[str]
    """Every check that did not pass, blocking ones first."""
    drift: list[str]
    """Differences between upstream and the dataset catalogue."""


def release_summary(connection: psycopg.Connection, release_id: int) -> ReleaseSummary:
    """Count and collect what `ReleaseSummary` holds.

    Args:
        connection: acting as `gamebot_owner`.

    Raises:
        ReleaseError: there is no such release.
    """
    release = get_release(connection, release_id)
    with connection.transaction():
        rows = {
            layer: _rows_per_table(connection, layer, release_id)
            for layer in layers_up_to(release.target_layer)
        }
        checks = count_checks(connection, release_id)
        problems = [
            f"{outcome}: {table} - {description}" + (f" ({message})" if message else "")
            for outcome, table, description, message in connection.execute(
                "select outcome, table_name, description, message from ops.check_results "
                "where release_id = %s and outcome <> 'passed' "
                "order by severity = 'warning', tool, table_name, check_id",
                (release_id,),
            )
        ]
        drift = [
            f"{dataset}{'.' + column if column else ''}: {kind.replace('_', ' ')} ({detail})"
            for dataset, column, kind, detail in connection.execute(
                "select dataset, column_name, kind, detail from ops.schema_drift "
                "where release_id = %s order by severity, dataset, column_name, kind",
                (release_id,),
            )
        ]
    return ReleaseSummary(release=release, rows=rows, checks=checks, problems=problems, drift=drift)


def count_checks(connection: psycopg.Connection, release_id: int) -> dict[str, dict[str, int]]:
    """Return the number of a release's checks per outcome, per tool."""
    checks: dict[str, dict[str, int]] = {}
    with connection.transaction():
        for tool, outcome, count in connection.execute(
            "select tool, outcome, count(*) from ops.check_results where release_id = %s "
            "group by tool, outcome order by tool, outcome",
            (release_id,),
        ):
            checks.setdefault(tool, {})[outcome] = count
    return checks


def _rows_per_table(
    connection: psycopg.Connection, layer: Layer, release_id: int
) -> dict[str, int]:
    """Return what the stages recorded when they wrote the tables, which do not change after that.

    Counting would take the longer, the larger the release. Only what was built before the rows were
    recorded is counted.
    """
    schema = release_schema(layer, release_id)
    recorded = connection.execute(
        """
        select tables.tablename, coalesce(loaded.rows, built.rows)
        from pg_tables as tables
        left join ops.dataset_versions as loaded
            on loaded.release_id = %(release_id)s
            and loaded.dataset = tables.tablename
            and %(layer)s = 'bronze'
        left join ops.model_definitions as built
            on built.release_id = %(release_id)s
            and built.layer = %(layer)s
            and built.table_name = tables.tablename
        where tables.schemaname = %(schema)s
        order by tables.tablename
        """,
        {"release_id": release_id, "layer": layer, "schema": schema},
    ).fetchall()
    counts = {}
    for table, rows in recorded:
        counts[table] = _count(connection, schema, table) if rows is None else rows
    return counts


def _count(connection: psycopg.Connection, schema: str, table: str) -> int:
    query = sql.SQL("select count(*) from {}").format(sql.Identifier(schema, table))
    return int((connection.execute(query).fetchone() or (0,))[0])
