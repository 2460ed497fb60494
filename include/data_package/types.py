"""What a type of Postgres is called in each of the package's formats."""

from __future__ import annotations

from typing import NamedTuple


class FieldType(NamedTuple):
    """One type, four times."""

    arrow: str
    """Parquet's, as pyarrow's aliases spell it."""
    duckdb: str
    sqlite: str
    """As declared. SQLite has neither dates nor yes and no: it keeps 2000-05-31, and 1 or 0."""
    frictionless: str


TYPES = {
    "text": FieldType("string", "VARCHAR", "TEXT", "string"),
    "integer": FieldType("int32", "INTEGER", "INTEGER", "integer"),
    "bigint": FieldType("int64", "BIGINT", "INTEGER", "integer"),
    "double precision": FieldType("float64", "DOUBLE", "REAL", "number"),
    "boolean": FieldType("bool", "BOOLEAN", "BOOLEAN", "boolean"),
    "date": FieldType("date32", "DATE", "DATE", "date"),
}
