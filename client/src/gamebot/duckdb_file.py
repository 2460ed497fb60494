"""The file gamebot.duckdb of a data package, by itself."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import duckdb

from gamebot.catalogue import Column, Release, Table
from gamebot.errors import Damaged
from gamebot.package import DESCRIPTION, release_of

ALIAS = "gamebot_file"


class DuckDBFile:
    """A source of tables: one DuckDB file with the schemas bronze, silver and gold."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            with duckdb.connect(str(path), read_only=True) as connection:
                self._tables = _tables(connection)
                self._rows = {
                    name: int(connection.table(table.quoted).shape[0])
                    for name, table in self._tables.items()
                }
        except duckdb.Error as error:
            raise Damaged(f"{path} cannot be read as a DuckDB file: {error}") from error

    def release(self) -> Release:
        """Return what the package's description beside it says: the file holds tables alone."""
        try:
            description = json.loads(self._path.with_name(DESCRIPTION).read_bytes())
        except (OSError, ValueError):
            description = {}
        return release_of(description, str(self._path))

    def tables(self) -> dict[str, Table]:
        """Return the tables by their full names."""
        return self._tables

    def rows(self) -> dict[str, int]:
        """Return how many rows each table has."""
        return self._rows

    def show(self, engine: duckdb.DuckDBPyConnection, tables: Iterable[Table]) -> Release:
        """Make tables readable in DuckDB; return the release that they are of."""
        # An attached file stays the same, also when another one takes its name.
        engine.execute(f"attach if not exists '{_literal(self._path)}' as {ALIAS} (read_only)")
        for table in tables:
            engine.execute(
                f"create view if not exists {table.quoted} as from {ALIAS}.{table.quoted}"
            )
        return self.release()


def _literal(path: Path) -> str:
    return str(path).replace("'", "''")


def _tables(connection: duckdb.DuckDBPyConnection) -> dict[str, Table]:
    found = connection.execute(
        "select schema_name, table_name, comment from duckdb_tables() "
        "where schema_name in ('bronze', 'silver', 'gold') order by all"
    ).fetchall()
    tables = {}
    for layer, name, comment in found:
        columns = connection.execute(
            "select column_name, lower(data_type), comment from duckdb_columns() "
            "where schema_name = ? and table_name = ? order by column_index",
            [layer, name],
        ).fetchall()
        tables[f"{layer}.{name}"] = Table(
            layer=layer,
            name=name,
            columns=tuple(Column(label, kind, said or "") for label, kind, said in columns),
            description=comment or "",
        )
    return tables
