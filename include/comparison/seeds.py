"""Our own lists that change what silver and gold say: repairs, exceptions, categories."""

from __future__ import annotations

from typing import NamedTuple

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from include.comparison.models import (
    CellChange,
    ColumnComparison,
    SeedChange,
    SeedComparison,
    TableComparison,
)
from include.warehouse.schemas import REFERENCE, release_schema

# Key of each, and what of a row matters.
SEEDS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "upstream_repairs": (
        ("dataset", "row_key", "column_name"),
        ("upstream_value", "our_value", "applied_by", "reason"),
    ),
    "known_exceptions": (("rule", "row_key"), ("reason", "last_seen")),
    "advantage_categories": (("advantage_type",), ("advantage_category",)),
}


# More than ever changed at once, by hand.
ROWS_TOLD = 100


class Repair(NamedTuple):
    """What of a repair tells whether upstream has come round to it."""

    dataset: str
    row_key: str
    column_name: str
    upstream_value: str | None
    our_value: str | None


def compare_seeds(connection: psycopg.Connection, older: int, newer: int) -> list[SeedComparison]:
    """Return those of the lists that are not the same in both releases."""
    compared = []
    for seed, (key, values) in SEEDS.items():
        schemas = [release_schema(REFERENCE, release_id) for release_id in (older, newer)]
        if any(not _has_columns(connection, schema, seed, (*key, *values)) for schema in schemas):
            continue
        changes = _changes(connection, schemas, seed, key, values)
        if changes:
            compared.append(
                SeedComparison(
                    seed=seed,
                    added=sum(change.before is None for change in changes),
                    removed=sum(change.after is None for change in changes),
                    changed=sum(None not in (change.before, change.after) for change in changes),
                    examples=changes[:ROWS_TOLD],
                )
            )
    return compared


def read_repairs(connection: psycopg.Connection, *releases: int) -> frozenset[Repair]:
    """Return the repairs of these releases."""
    found: set[Repair] = set()
    for release_id in releases:
        schema = release_schema(REFERENCE, release_id)
        if _has_columns(connection, schema, "upstream_repairs", Repair._fields):
            query = sql.SQL("select {} from {}").format(
                sql.SQL(", ").join(map(sql.Identifier, Repair._fields)),
                sql.Identifier(schema, "upstream_repairs"),
            )
            found |= {Repair(*row) for row in connection.execute(query)}
    return frozenset(found)


def mark_repaired(table: TableComparison, repairs: frozenset[Repair]) -> TableComparison:
    """Mark the changes by which upstream came to say what our repair said."""

    def is_repair(column: str, change: CellChange) -> bool:
        values = {*change.key.values()}
        return any(
            values <= {*repair.row_key.split("|")}
            for repair in repairs
            if (repair.dataset, repair.column_name) == (table.table, column)
            and (repair.upstream_value, repair.our_value) == (change.before, change.after)
        )

    def marked(column: ColumnComparison) -> ColumnComparison:
        examples = [
            change.model_copy(update={"was_repaired": True})
            if is_repair(column.column, change)
            else change
            for change in column.examples
        ]
        return column.model_copy(update={"examples": examples})

    return table.model_copy(update={"columns": [marked(column) for column in table.columns]})


def _has_columns(
    connection: psycopg.Connection, schema: str, table: str, columns: tuple[str, ...]
) -> bool:
    found = connection.execute(
        "select array_agg(attname::text) from pg_attribute "
        "where attrelid = to_regclass(%s) and attnum > 0 and not attisdropped",
        (f"{schema}.{table}",),
    ).fetchone()
    return found is not None and found[0] is not None and set(columns) <= set(found[0])


def _changes(
    connection: psycopg.Connection,
    schemas: list[str],
    seed: str,
    key: tuple[str, ...],
    values: tuple[str, ...],
) -> list[SeedChange]:
    names = sql.SQL(", ").join(map(sql.Identifier, key))
    query = sql.SQL(
        """
        with before as (select {key}, {values} from {older}),
        after as (select {key}, {values} from {newer})
        select
            {key},
            to_jsonb(before) as before,
            to_jsonb(after) as after
        from before
        full join after using ({key})
        where before is distinct from after
        order by {key}
        """
    ).format(
        key=names,
        values=sql.SQL(", ").join(map(sql.Identifier, values)),
        older=sql.Identifier(schemas[0], seed),
        newer=sql.Identifier(schemas[1], seed),
    )
    with connection.cursor(row_factory=dict_row) as cursor:
        return [
            SeedChange(
                key={column: row[column] for column in key},
                before=row["before"],
                after=row["after"],
            )
            for row in cursor.execute(query)
        ]
