"""The tables of a release's layer as Postgres knows them: columns, types and natural keys."""

from __future__ import annotations

from dataclasses import dataclass

import psycopg

from include.ingestion.catalog import load_catalog
from include.ingestion.load import RELEASE_ID, ROW_NUMBER
from include.warehouse.publication import Columns, relations
from include.warehouse.schemas import Layer, release_schema


@dataclass(frozen=True)
class Relation:
    """A table or view of one release."""

    schema: str
    name: str
    columns: Columns
    """Type by name, without what differs in every release."""
    key: tuple[str, ...]
    """Its natural key, as far as the warehouse knows one."""
    key_is_unique: bool
    """Else rows with the same key are matched in the order of their values."""


def layer_relations(
    connection: psycopg.Connection, layer: Layer, release_id: int
) -> dict[str, Relation]:
    """Return the tables and views of one layer of a release by name."""
    schema = release_schema(layer, release_id)
    lacking = _columns_without_source(connection, release_id) if layer == "bronze" else set()
    datasets = load_catalog().datasets
    keys = _bronze_keys() if layer == "bronze" else _primary_keys(connection, schema)
    found = {}
    for name, columns in relations(connection, schema).items():
        key = tuple(column for column in keys.get(name, ()) if column in columns)
        told = {
            column: kind
            for column, kind in columns.items()
            if column not in (ROW_NUMBER, RELEASE_ID)
            and (name, column) not in lacking
            # A hash of the key says nothing that the key does not.
            and not (layer != "bronze" and key and column.endswith("_key") and column not in key)
        }
        unique = layer != "bronze" or bool(name in datasets and datasets[name].key)
        found[name] = Relation(schema, name, told, key, unique)
    return found


def _columns_without_source(
    connection: psycopg.Connection, release_id: int
) -> set[tuple[str, str]]:
    """Return the columns that bronze has and that upstream's files of the release had not."""
    found = connection.execute(
        "select dataset, column_name from ops.schema_drift where release_id = %s "
        "and kind in ('missing_column', 'unavailable_column')",
        (release_id,),
    )
    return {(dataset, column) for dataset, column in found}


def _bronze_keys() -> dict[str, list[str]]:
    datasets = load_catalog().datasets
    return {name: dataset.key or dataset.near_key for name, dataset in datasets.items()}


def _primary_keys(connection: psycopg.Connection, schema: str) -> dict[str, list[str]]:
    """Return those of tables, from dbt's contracts; a view has the longest that it shows whole.

    It is that of the table whose rows the view is about: seasons, say, are only joined to it.
    """
    found = connection.execute(
        """
        with keys as (
            select
                conrelid,
                array_agg(attname::text order by position) as key
            from pg_constraint
            cross join unnest(conkey) with ordinality as part (attnum, position)
            join pg_attribute on attrelid = conrelid and pg_attribute.attnum = part.attnum
            where contype = 'p'
            group by conrelid
        ),
        readers as (
            select oid as reader, oid as table_oid from pg_class where relkind = 'r'
            union all
            select distinct ev_class, refobjid
            from pg_rewrite
            join pg_depend on classid = 'pg_rewrite'::regclass and objid = pg_rewrite.oid
            where refclassid = 'pg_class'::regclass
        )
        select distinct on (relname) relname, key
        from pg_class
        join readers on reader = pg_class.oid
        join keys on conrelid = table_oid
        where
            relnamespace = to_regnamespace(%(schema)s)
            and key <@ array(
                select attname::text from pg_attribute where attrelid = pg_class.oid and attnum > 0
            )
        order by relname, cardinality(key) desc, key
        """,
        {"schema": schema},
    )
    return {name: list(key) for name, key in found}
