"""What a release holds and what it means: tables, columns, types, keys and descriptions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import psycopg
from psycopg import sql
from pydantic import BaseModel, ConfigDict

from include.data_package.errors import ExportError
from include.data_package.types import TYPES, FieldType
from include.ingestion.catalog import load_catalog
from include.warehouse.releases import Release
from include.warehouse.schemas import Layer, layers_up_to, release_schema

# The loader adds these to every table of bronze.
ADDED_TO_BRONZE = {
    "_row_number": "Number of the row in survivoR's file",
    "_release_id": "Release of the warehouse that the row belongs to",
}
UNIQUE_TESTS = ("unique", "unique_combination")


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True)


class Column(_Frozen):
    """One column of a table."""

    name: str
    postgres_type: str
    required: bool
    description: str

    @property
    def type(self) -> FieldType:
        """What the type is called elsewhere."""
        return TYPES[self.postgres_type]


class ForeignKey(_Frozen):
    """A column whose every value occurs in a key of another table."""

    column: str
    layer: Layer
    table: str
    field: str


class Table(_Frozen):
    """One table, or view, of the release."""

    layer: Layer
    name: str
    schema_name: str
    description: str
    columns: tuple[Column, ...]
    key: tuple[str, ...] = ()
    """Its primary key, where one holds in this release."""
    unique: tuple[str, ...] = ()
    """Columns that tell rows apart each by itself, besides."""
    foreign_keys: tuple[ForeignKey, ...] = ()
    order: tuple[str, ...]
    """What rows are sorted by, so that the same release makes the same file."""

    @property
    def full_name(self) -> str:
        """Such as `gold.ml_features_as_of`."""
        return f"{self.layer}.{self.name}"

    @property
    def identifier(self) -> sql.Identifier:
        """What it is called in Postgres."""
        return sql.Identifier(self.schema_name, self.name)


class SourceFile(_Frozen):
    """The file of upstream behind a table of bronze."""

    dataset: str
    file_name: str
    sha256: str


class Contents(_Frozen):
    """A release, described."""

    release: Release
    tables: tuple[Table, ...]
    source_files: dict[str, SourceFile]
    """By dataset."""


def read_contents(
    connection: psycopg.Connection, release: Release, manifest: Mapping[str, Any]
) -> Contents:
    """Describe a release.

    Args:
        connection: acting as `gamebot_auditor`, in autocommit mode.
        release: has its tables still.
        manifest: dbt's, of the code that built it.

    Raises:
        ExportError: the release has no tables, two of one name, or a column of an unknown type.
    """
    models = {
        node["name"]: node
        for node in manifest["nodes"].values()
        if node["resource_type"] == "model"
    }
    tests = _tests(manifest)
    found: list[Table] = []
    for layer in layers_up_to(release.target_layer):
        for name, columns in _columns(connection, layer, release.release_id).items():
            if layer == "bronze":
                found.append(_bronze_table(connection, name, release.release_id, columns))
            else:
                model = models.get(name, {})
                keys = _declared_keys(connection, layer, name, release.release_id, models, tests)
                found.append(
                    _model_table(connection, layer, name, release.release_id, columns, model, keys)
                )
    _refuse_same_names(found)
    if not found:
        raise ExportError(
            f"Release {release.release_id} has no tables: choose one that make releases lists "
            "without 'its tables are gone'."
        )
    tables = {table.name: table for table in found}
    return Contents(
        release=release,
        tables=tuple(_with_foreign_keys(connection, table, tables, tests) for table in found),
        source_files=_source_files(connection, release.release_id),
    )


def _bronze_table(
    connection: psycopg.Connection, name: str, release_id: int, columns: list[Column]
) -> Table:
    catalog = load_catalog()
    dataset = catalog.datasets.get(name)
    described = []
    for column in columns:
        description = ADDED_TO_BRONZE.get(column.name, "")
        if dataset and column.name in dataset.columns:
            description = catalog.description_of(name, column.name) or ""
        described.append(column.model_copy(update={"description": description}))
    key = tuple(dataset.key) if dataset else ()
    table = Table(
        layer="bronze",
        name=name,
        schema_name=release_schema("bronze", release_id),
        description=dataset.description if dataset else "A data set that the catalogue lacks.",
        columns=tuple(described),
        order=(*key, "_row_number"),
    )
    return _with_key(connection, table, [key] if key else [])


def _model_table(
    connection: psycopg.Connection,
    layer: Layer,
    name: str,
    release_id: int,
    columns: list[Column],
    model: Mapping[str, Any],
    keys: list[tuple[str, ...]],
) -> Table:
    described = model.get("columns", {})
    table = Table(
        layer=layer,
        name=name,
        schema_name=release_schema(layer, release_id),
        description=_paragraphs(model.get("description", "")),
        columns=tuple(
            column.model_copy(
                update={
                    "description": _paragraphs(described.get(column.name, {}).get("description"))
                }
            )
            for column in columns
        ),
        order=tuple(column.name for column in columns),
    )
    return _with_key(connection, table, keys)


def _with_key(
    connection: psycopg.Connection, table: Table, keys: Iterable[tuple[str, ...]]
) -> Table:
    """Give a table the first of these keys that holds as its primary key, the others if single."""
    names = {column.name for column in table.columns}
    holding = [
        key
        for key in dict.fromkeys(keys)
        if names.issuperset(key) and _holds(connection, table, key)
    ]
    if not holding:
        return table
    key = holding[0]
    order = (*key, "_row_number") if table.layer == "bronze" else key
    columns = tuple(
        column.model_copy(update={"required": True}) if column.name in key else column
        for column in table.columns
    )
    unique = tuple(other[0] for other in holding[1:] if len(other) == 1)
    return table.model_copy(
        update={"key": key, "order": order, "columns": columns, "unique": unique}
    )


def _holds(connection: psycopg.Connection, table: Table, key: tuple[str, ...]) -> bool:
    """Whether these columns are never null and tell all rows apart."""
    columns = sql.SQL(", ").join(map(sql.Identifier, key))
    found = connection.execute(
        sql.SQL(
            "select exists (select from {table} where num_nulls({columns}) > 0) "
            "or exists (select from {table} group by {columns} having count(*) > 1)"
        ).format(table=table.identifier, columns=columns)
    ).fetchone()
    return found == (False,)


def _declared_keys(
    connection: psycopg.Connection,
    layer: Layer,
    name: str,
    release_id: int,
    models: Mapping[str, Any],
    tests: list[dict[str, Any]],
) -> list[tuple[str, ...]]:
    """Return what should tell a model's rows apart: its contract's key first, then its tests'.

    A view that selects rows of another model of its layer has that model's key.
    """
    keys = _primary_key(connection, layer, name, release_id)
    for test in tests:
        if test["model"] == name and test["name"] in UNIQUE_TESTS:
            given = test["arguments"]
            keys.append(tuple(given.get("columns") or [given["column_name"]]))
    for parent in models.get(name, {}).get("depends_on", {}).get("nodes", []):
        keys += _primary_key(connection, layer, parent.split(".")[-1], release_id)
    return keys


def _primary_key(
    connection: psycopg.Connection, layer: Layer, name: str, release_id: int
) -> list[tuple[str, ...]]:
    found = connection.execute(
        """
        select array_agg(attname::text order by position)
        from pg_constraint
        cross join unnest(conkey) with ordinality as part (number, position)
        join pg_attribute on attrelid = conrelid and attnum = number
        where contype = 'p' and conrelid = to_regclass(%s)
        group by pg_constraint.oid
        """,
        (sql.Identifier(release_schema(layer, release_id), name).as_string(connection),),
    ).fetchall()
    return [tuple(columns) for (columns,) in found]


def _tests(manifest: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the tests whose failure keeps a release unpublished: what they say, holds."""
    return [
        {
            "name": node["test_metadata"]["name"],
            "model": (node.get("attached_node") or "").split(".")[-1],
            "arguments": node["test_metadata"]["kwargs"],
        }
        for node in manifest["nodes"].values()
        if node["resource_type"] == "test"
        and node.get("test_metadata")
        and node["config"].get("severity", "ERROR").upper() == "ERROR"
        and not node["config"].get("where")
    ]


def _with_foreign_keys(
    connection: psycopg.Connection,
    table: Table,
    tables: Mapping[str, Table],
    tests: list[dict[str, Any]],
) -> Table:
    foreign_keys = []
    for test in tests:
        if test["name"] != "relationships" or test["model"] != table.name:
            continue
        given = test["arguments"]
        other = tables.get(given["to"].split("'")[1])
        if other and other.key == (given["field"],):
            foreign_keys.append(
                ForeignKey(
                    column=given["column_name"],
                    layer=other.layer,
                    table=other.name,
                    field=given["field"],
                )
            )
    holding = [key for key in foreign_keys if _leads_somewhere(connection, table, tables, key)]
    return table.model_copy(update={"foreign_keys": tuple(holding)})


def _leads_somewhere(
    connection: psycopg.Connection, table: Table, tables: Mapping[str, Table], key: ForeignKey
) -> bool:
    found = connection.execute(
        sql.SQL(
            "select exists (select from {child} where {column} is not null "
            "and not exists (select from {parent} where {parent}.{field} = {child}.{column}))"
        ).format(
            child=table.identifier,
            parent=tables[key.table].identifier,
            column=sql.Identifier(key.column),
            field=sql.Identifier(key.field),
        )
    ).fetchone()
    return found == (False,)


def _columns(
    connection: psycopg.Connection, layer: Layer, release_id: int
) -> dict[str, list[Column]]:
    columns: dict[str, list[Column]] = {}
    for table, name, kind, required in connection.execute(
        """
        select pg_class.relname, attname, format_type(atttypid, atttypmod), attnotnull
        from pg_class
        join pg_namespace on pg_namespace.oid = relnamespace
        join pg_attribute on attrelid = pg_class.oid and attnum > 0 and not attisdropped
        where nspname = %s and relkind in ('r', 'v', 'm')
        order by pg_class.relname collate "C", attnum
        """,
        (release_schema(layer, release_id),),
    ):
        if kind not in TYPES:
            raise ExportError(
                f"{layer}.{table}.{name} is of type {kind}, which the data package does not know: "
                "say in include/data_package/types.py what it is in the files."
            )
        columns.setdefault(table, []).append(
            Column(name=name, postgres_type=kind, required=required, description="")
        )
    return columns


def _refuse_same_names(tables: list[Table]) -> None:
    """SQLite has no schemas: each table needs a name of its own, whatever its layer."""
    seen: dict[str, Table] = {}
    for table in tables:
        if other := seen.get(table.name.lower()):
            raise ExportError(
                f"{other.full_name} and {table.full_name} have one name, and SQLite no schemas to "
                "tell them apart: rename one of them."
            )
        seen[table.name.lower()] = table


def _source_files(connection: psycopg.Connection, release_id: int) -> dict[str, SourceFile]:
    found = connection.execute(
        "select dataset, file_name, sha256 from ops.dataset_versions where release_id = %s "
        'order by dataset collate "C"',
        (release_id,),
    ).fetchall()
    return {
        dataset: SourceFile(dataset=dataset, file_name=file, sha256=sha256)
        for dataset, file, sha256 in found
    }


def _paragraphs(text: str | None) -> str:
    """Return a description with each paragraph on one line."""
    paragraphs = (text or "").strip().split("\n\n")
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)
