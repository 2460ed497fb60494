"""All tables in one DuckDB file: schemas bronze, silver and gold, with comments and keys."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb
import pyarrow as pa

from include.data_package.contents import Table
from include.data_package.reading import arrow_schema

NAME = "gamebot.duckdb"

# DuckDB writes for its own version unless told otherwise, which older ones refuse. Versions before
# 1.1 cannot read a primary key of this one, whatever the storage version.
STORAGE_VERSION = "v1.1.0"

# Nothing is fetched from the internet when a file is opened.
CONFIG = {"autoinstall_known_extensions": "false", "autoload_known_extensions": "false"}


class DuckDBFile:
    """The file while it is written; complete once it is closed."""

    def __init__(self, folder: Path, tables: Iterable[Table]) -> None:
        """Create it with all its tables, still empty."""
        # Spilled parts of large sorts would else lie in the working directory.
        self._connection = duckdb.connect(config=CONFIG | {"temp_directory": f"{folder}/.duckdb"})
        self._connection.execute(
            f"attach {_text(str(folder / NAME))} as package (storage_version '{STORAGE_VERSION}')"
        )
        self._connection.execute("begin")
        tables = tuple(tables)
        for layer in dict.fromkeys(table.layer for table in tables):
            self._connection.execute(f"create schema package.{layer}")
        for table in tables:
            for statement in _definition(table):
                self._connection.execute(statement)
        self._connection.execute("commit")

    def insert(self, table: Table, rows: pa.Table) -> None:
        """Fill one table."""
        self._connection.register("rows", rows)
        self._connection.execute(f"insert into {_name(table)} select * from rows")  # noqa: S608
        self._connection.unregister("rows")

    def close(self) -> None:
        """Write what is still in memory."""
        self._connection.execute("detach package")
        self._connection.close()


@contextmanager
def opened(folder: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open the file for reading."""
    connection = duckdb.connect(config=CONFIG)
    try:
        connection.execute(f"attach {_text(str(folder / NAME))} as package (read_only)")
        yield connection
    finally:
        connection.close()


def read(connection: duckdb.DuckDBPyConnection, table: Table) -> pa.Table:
    """Read a table, in the order in which it was written."""
    rows = connection.sql(f"select * from {_name(table)}").to_arrow_table()  # noqa: S608
    return rows.cast(arrow_schema(table))


def _definition(table: Table) -> Iterator[str]:
    parts = [
        f"{_quoted(column.name)} {column.type.duckdb}{' not null' if column.required else ''}"
        for column in table.columns
    ]
    if table.key:
        parts.append(f"primary key ({', '.join(map(_quoted, table.key))})")
    yield f"create table {_name(table)} ({', '.join(parts)})"
    yield f"comment on table {_name(table)} is {_text(table.description)}"
    for column in table.columns:
        if column.description:
            yield (
                f"comment on column {_name(table)}.{_quoted(column.name)} "
                f"is {_text(column.description)}"
            )


def _name(table: Table) -> str:
    return f"package.{table.layer}.{_quoted(table.name)}"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _text(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
