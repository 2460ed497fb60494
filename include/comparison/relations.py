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


def layer_relations(
    connection: psycopg.Connection, layer: Layer, release_id: int
) -> dict[str, Relation]:
    """Return the tables and views of one layer of a release by name."""
    schema = release_schema(layer, release_id)
    keys = _bronze_keys() if layer == "bronze" else _primary_keys(connection, schema)
    found = {}
    for name, columns in relations(connection, schema).items():
        key = tuple(column for column in keys.get(name, ()) if column in columns)
        told = {
            column: kind
            for column, kind in columns.items()
            if column not in (ROW_NUMBER, RELEASE_ID)
            # A hash of the key says nothing that the key does not.
            and not (layer != "bronze" and key and column.endswith("_key") and column not in key)
        }
        found[name] = Relation(schema, name, told, key)
    return found


def _bronze_keys() -> dict[str, list[str]]:
    datasets = load_catalog().datasets
    return {name: dataset.key or dataset.near_key for name, dataset in datasets.items()}


def _primary_keys(connection: psycopg.Connection, schema: str) -> dict[str, list[str]]:
    """dbt's contracts give tables theirs; a view on one table with a key has rows of that table."""
    found = connection.execute(
        """
        with keys as (
            select
                pg_class.oid,
                pg_class.relname,
                array_agg(attname::text order by position) as key
            from pg_constraint
            join pg_class on pg_class.oid = conrelid
            cross join unnest(conkey) with ordinality as part (attnum, position)
            join pg_attribute on attrelid = conrelid and pg_attribute.attnum = part.attnum
            where contype = 'p' and relnamespace = to_regnamespace(%(schema)s)
            group by pg_class.oid
        ),
        views as (
            select view.oid, view.relname, min(refobjid) as table_oid
            from pg_class as view
            join pg_rewrite on ev_class = view.oid
            join pg_depend on classid = 'pg_rewrite'::regclass and objid = pg_rewrite.oid
            where
                view.relkind = 'v'
                and relnamespace = to_regnamespace(%(schema)s)
                and refclassid = 'pg_class'::regclass
                and refobjid <> view.oid
            group by view.oid
            having count(distinct refobjid) = 1
        )
        select relname, key from keys
        union all
        select views.relname, key from views join keys on keys.oid = table_oid
        """,
        {"schema": schema},
    )
    return {name: list(key) for name, key in found}
