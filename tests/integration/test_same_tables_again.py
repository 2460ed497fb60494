"""The same commit gives the same tables, whatever the release's number and dbt's threads."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from include.warehouse.connection import ConnectionSettings
from include.warehouse.schemas import LAYERS, REFERENCE, release_schema
from tests.conftest import as_pipeline
from tests.integration.survivor_releases import REFERENCE as COMMIT
from tests.integration.survivor_releases import build_release

# What bronze says of the load and not of survivoR.
OF_THE_LOAD = "_release_id"


def content_hashes(connection: psycopg.Connection, schema: str) -> dict[str, str]:
    """Return a hash of each table: its columns in their order with their types, and all its rows.

    A table has no order of rows, so they are sorted first.
    """
    tables: dict[str, list[tuple[str, str]]] = {}
    for table, column, data_type in connection.execute(
        """
        select table_name, column_name, data_type
        from information_schema.columns
        where table_schema = %s and column_name <> %s
        order by table_name, ordinal_position
        """,
        (schema, OF_THE_LOAD),
    ):
        tables.setdefault(table, []).append((column, data_type))
    hashes = {}
    for table, columns in tables.items():
        query = sql.SQL(
            """
            with hashed_rows as (
                select md5(cast(contents as text)) as hash
                from (select {columns} from {table}) as contents
            )

            select md5({header} || coalesce(string_agg(hash, '' order by hash), ''))
            from hashed_rows
            """
        ).format(
            columns=sql.SQL(", ").join(sql.Identifier(column) for column, _ in columns),
            table=sql.Identifier(schema, table),
            header=sql.Literal(str(columns)),
        )
        [(hashes[table],)] = connection.execute(query).fetchall()
    return hashes


@pytest.mark.slow
def test_the_same_commit_gives_the_same_tables(
    survivor_warehouse: ConnectionSettings, survivor_snapshots: Path, tmp_path: Path
) -> None:
    """Two columns of gold once held the time of the build, so that no two builds were equal."""
    again = build_release(
        as_pipeline(survivor_warehouse), survivor_snapshots / COMMIT, tmp_path, "--threads", "1"
    )
    assert again != 1
    with survivor_warehouse.connect() as connection:
        for layer in (*LAYERS, REFERENCE):
            first = content_hashes(connection, release_schema(layer, 1))
            assert first
            assert content_hashes(connection, release_schema(layer, again)) == first
