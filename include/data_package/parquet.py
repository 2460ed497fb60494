"""One Parquet file per table, which says itself what is in it."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
from pyarrow import parquet

from include.data_package.contents import Contents, Table
from include.data_package.facts import release_facts

FOLDER = "parquet"
ROWS_PER_GROUP = 100_000


def path_of(table: Table) -> str:
    """Return where in the package a table's file is."""
    return f"{FOLDER}/{table.layer}/{table.name}.parquet"


def write(folder: Path, contents: Contents, table: Table, rows: pa.Table) -> None:
    """Write a table with the descriptions of its columns and what is known of its release."""
    fields = [
        field.with_nullable(not column.required).with_metadata({"description": column.description})
        for field, column in zip(rows.schema, table.columns, strict=True)
    ]
    metadata = {
        "table": table.full_name,
        "description": table.description,
        "primary_key": json.dumps(table.key),
        # Beside pyarrow's own, which other readers do not look into.
        "columns": json.dumps({column.name: column.description for column in table.columns}),
        **{name: str(value) for name, value in release_facts(contents.release).items()},
    }
    path = folder / path_of(table)
    path.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(
        rows.cast(pa.schema(fields, metadata)),
        path,
        compression="zstd",
        row_group_size=ROWS_PER_GROUP,
    )


def read(folder: Path, table: Table) -> pa.Table:
    """Read a table's file."""
    return parquet.read_table(folder / path_of(table))
