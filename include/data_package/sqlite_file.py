"""All tables in one SQLite file, with declared types, keys, indexes and comments."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pyarrow as pa
from pyarrow import compute

from include.data_package.contents import Contents, Table
from include.data_package.reading import arrow_schema

NAME = "gamebot.sqlite"

BATCH = 10_000

# People join and filter by these, whichever table they are in.
INDEXED = ("version_season", "castaway_id")


class SQLiteFile:
    """The file while it is written; complete once it is closed."""

    def __init__(self, folder: Path, contents: Contents) -> None:
        """Create it with all its tables, still empty."""
        self._connection = sqlite3.connect(folder / NAME, isolation_level=None)
        # Nobody reads it before it is complete, so it need not survive a crash in between.
        for setting in (
            "journal_mode = off",
            "synchronous = off",
            "encoding = 'UTF-8'",
            "page_size = 4096",
            f"user_version = {contents.release.release_id}",
        ):
            self._connection.execute(f"pragma {setting}")
        self._connection.execute("begin")
        for table in contents.tables:
            self._connection.execute(_definition(table))

    def insert(self, table: Table, rows: pa.Table) -> None:
        """Fill one table."""
        rows = storable(rows)
        slots = ", ".join("?" * len(table.columns))
        dates = [column.name for column in table.columns if column.type.arrow == "date32"]
        for name in dates:
            position = rows.schema.get_field_index(name)
            rows = rows.set_column(position, name, rows[name].cast(pa.string()))
        for batch in rows.to_batches(max_chunksize=BATCH):
            self._connection.executemany(
                f"insert into {_quoted(table.name)} values ({slots})",  # noqa: S608
                zip(*(column.to_pylist() for column in batch.columns), strict=True),
            )

    def close(self, tables: Iterable[Table]) -> None:
        """Index what was inserted and write what is still in memory."""
        for table in tables:
            for statement in _indexes(table):
                self._connection.execute(statement)
        self._connection.execute("commit")
        self._connection.close()


def storable(rows: pa.Table) -> pa.Table:
    """Return rows as SQLite can hold them: it has no "not a number", and no zero below zero."""
    for position, field in enumerate(rows.schema):
        if pa.types.is_floating(field.type):
            values = compute.add(rows.column(position), 0.0)
            values = compute.if_else(compute.is_nan(values), None, values)
            rows = rows.set_column(position, field, values)
    return rows


@contextmanager
def opened(folder: Path) -> Iterator[sqlite3.Connection]:
    """Open the file for reading, after SQLite itself has looked for damage."""
    # Immutable: no other file is made beside it, also where the folder cannot be written.
    uri = f"{(folder / NAME).absolute().as_uri()}?mode=ro&immutable=1"
    with closing(sqlite3.connect(uri, uri=True)) as connection:
        yield connection


def damage(connection: sqlite3.Connection) -> list[str]:
    """Return what SQLite finds wrong with the file, foreign keys that lead nowhere included."""
    found = [row[0] for row in connection.execute("pragma integrity_check") if row[0] != "ok"]
    broken = connection.execute("pragma foreign_key_check").fetchall()
    return found + [f"{child}: a row without its {parent}" for child, _, parent, _ in broken]


def read(connection: sqlite3.Connection, table: Table) -> pa.Table:
    """Read a table, in the order in which it was written."""
    schema = arrow_schema(table)
    cursor = connection.execute(f"select * from {_quoted(table.name)} order by rowid")  # noqa: S608
    batches = []
    while rows := cursor.fetchmany(BATCH):
        columns = [
            _array(values, field.type)
            for values, field in zip(zip(*rows, strict=True), schema, strict=True)
        ]
        batches.append(pa.record_batch(columns, schema=schema))
    return pa.Table.from_batches(batches, schema)


def _array(values: tuple[object, ...], kind: pa.DataType) -> pa.Array:
    if pa.types.is_date(kind):
        return pa.array(values, pa.string()).cast(kind)
    if pa.types.is_boolean(kind):
        return pa.array(values, pa.int8()).cast(kind)
    return pa.array(values, kind)


def _definition(table: Table) -> str:
    lines = []
    for column in table.columns:
        required = " not null" if column.required else ""
        comment = " ".join(column.description.split())
        lines.append((f"  {_quoted(column.name)} {column.type.sqlite}{required}", comment))
    if table.key:
        lines.append((f"  primary key ({', '.join(map(_quoted, table.key))})", ""))
    lines += [
        (
            f"  foreign key ({_quoted(key.column)}) "
            f"references {_quoted(key.table)} ({_quoted(key.field)})",
            "",
        )
        for key in table.foreign_keys
    ]
    # SQLite keeps the text of the statement, so its comments are what `.schema` shows.
    body = "\n".join(
        line + ("," if number < len(lines) else "") + (f" -- {comment}" if comment else "")
        for number, (line, comment) in enumerate(lines, 1)
    )
    about = "\n".join(f"  -- {line}" for line in table.description.splitlines() if line)
    return f"create table {_quoted(table.name)} ( -- {table.layer}\n{about}\n{body}\n)"


def _indexes(table: Table) -> Iterator[str]:
    for column in table.unique:
        yield _index(table, column, "unique index")
    names = {column.name for column in table.columns}
    for column in INDEXED:
        # The first column of a key has the key's own index.
        if column in names and column not in (*table.key[:1], *table.unique):
            yield _index(table, column, "index")


def _index(table: Table, column: str, kind: str) -> str:
    name = _quoted(f"{table.name}_by_{column}")
    return f"create {kind} {name} on {_quoted(table.name)} ({_quoted(column)})"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
