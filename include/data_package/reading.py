"""Tables as pyarrow holds them: read from the warehouse, and known by a hash of their content."""

from __future__ import annotations

import hashlib
import io

import psycopg
import pyarrow as pa
from psycopg import sql
from pyarrow import csv

from include.data_package.contents import Table


def arrow_schema(table: Table) -> pa.Schema:
    """Return names and types of a table's columns, without their descriptions."""
    return pa.schema(
        (column.name, pa.type_for_alias(column.type.arrow)) for column in table.columns
    )


def read_table(connection: psycopg.Connection, table: Table) -> pa.Table:
    """Read a table from the warehouse in the order of its key, whole."""
    schema = arrow_schema(table)
    text = io.BytesIO()
    with connection.cursor() as cursor, cursor.copy(_query(table)) as copy:
        for block in copy:
            text.write(block)
    if not text.tell():
        return schema.empty_table()
    text.seek(0)
    return csv.read_csv(
        text,
        read_options=csv.ReadOptions(column_names=schema.names),
        # A single column that is null is an empty line.
        parse_options=csv.ParseOptions(newlines_in_values=True, ignore_empty_lines=False),
        # Postgres writes "" for an empty text and nothing for null.
        convert_options=csv.ConvertOptions(
            column_types=schema,
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
            true_values=["t"],
            false_values=["f"],
        ),
    )


def _query(table: Table) -> sql.Composed:
    types = {column.name: column.postgres_type for column in table.columns}
    # The server's locale must not decide the order.
    order = [
        sql.SQL("{} {} nulls first").format(
            sql.Identifier(name), sql.SQL('collate "C"' if types[name] == "text" else "")
        )
        for name in table.order
    ]
    return sql.SQL("copy (select {} from {} order by {}) to stdout (format csv)").format(
        sql.SQL(", ").join(map(sql.Identifier, types)), table.identifier, sql.SQL(", ").join(order)
    )


def content_hash(rows: pa.Table) -> str:
    """Return a hash of every value in its order, however it is stored: of the rows as CSV."""
    digest = _Digest()
    csv.write_csv(
        rows,
        pa.PythonFile(digest, mode="w"),
        csv.WriteOptions(include_header=True, quoting_style="all_valid"),
    )
    return digest.hash.hexdigest()


class _Digest(io.RawIOBase):
    """A file that keeps nothing of what is written but its hash."""

    def __init__(self) -> None:
        self.hash = hashlib.sha256()

    def writable(self) -> bool:
        return True

    def write(self, block: bytes) -> int:  # type: ignore[override]
        self.hash.update(block)
        return len(block)
