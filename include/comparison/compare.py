"""Compares two releases that are in the warehouse, or says why it cannot."""

from __future__ import annotations

import psycopg

from include.comparison.models import ReleaseComparison, ReleaseFacts, TableComparison
from include.comparison.relations import Relation, layer_relations
from include.comparison.tables import Reading, compare_tables, count_rows
from include.warehouse.releases import Release, get_release
from include.warehouse.schemas import LAYERS, Layer, layers_up_to

EXAMPLES = 40

# Enough to sort a table of today in memory, whatever the server gives; what is larger goes to its
# disk. Compiling queries of a hundred columns would take longer than they do.
SETTINGS = "set local work_mem = '64MB'; set local jit = off; set local cursor_tuple_fraction = 1"


def compare_releases(
    connection: psycopg.Connection, older: int, newer: int, *, examples: int = EXAMPLES
) -> ReleaseComparison:
    """Compare two releases, cell by cell.

    Args:
        connection: may read both releases' schemas, as `gamebot_owner` may; outside a transaction.
        older: number of the release that stands for "before"; it need not be the lower one.
        newer: number of the other.
        examples: how many different changes of a column, and how many rows that came or went, are
            told one by one.

    Raises:
        ReleaseError: there is no such release.
    """
    with connection.transaction():
        connection.execute("set transaction isolation level repeatable read, read only")
        connection.execute(SETTINGS)
        before, after = get_release(connection, older), get_release(connection, newer)
        tables: list[TableComparison] = []
        for layer in LAYERS:
            tables += _compare_layer(connection, layer, before, after, examples)
        return ReleaseComparison(older=_facts(before), newer=_facts(after), tables=tables)


def _compare_layer(
    connection: psycopg.Connection, layer: Layer, older: Release, newer: Release, examples: int
) -> list[TableComparison]:
    if layer not in layers_up_to(older.target_layer) or layer not in layers_up_to(
        newer.target_layer
    ):
        return []
    reading = Reading(label=_label, examples=examples)
    before = layer_relations(connection, layer, older.release_id)
    after = layer_relations(connection, layer, newer.release_id)
    return [
        compare_tables(connection, layer, before[name], after[name], reading)
        if name in before and name in after
        else _one_side(connection, layer, name, before.get(name), after.get(name))
        for name in sorted(before.keys() | after.keys())
    ]


def _one_side(
    connection: psycopg.Connection,
    layer: Layer,
    name: str,
    before: Relation | None,
    after: Relation | None,
) -> TableComparison:
    return TableComparison(
        layer=layer,
        table=name,
        key=list((before or after).key) if before or after else [],
        rows_before=count_rows(connection, before) if before else None,
        rows_after=count_rows(connection, after) if after else None,
    )


def _label(season: str | None, row: object) -> str:
    return str(row)


def _facts(release: Release) -> ReleaseFacts:
    return ReleaseFacts.model_validate(release.model_dump())
