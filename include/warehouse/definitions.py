"""What built each table of a release, kept in `ops.model_definitions`."""

from __future__ import annotations

from collections.abc import Sequence

import psycopg
from psycopg.rows import class_row
from pydantic import BaseModel, ConfigDict


class Definition(BaseModel):
    """One row of `ops.model_definitions`: a model or seed as dbt built it."""

    model_config = ConfigDict(frozen=True)

    layer: str
    table_name: str
    fingerprint: str
    reads: tuple[str, ...] = ()
    """The tables that it is made from, such as `bronze.castaways`."""
    rows: int | None = None
    """How many dbt wrote; None for a view, and where that was not kept."""

    @property
    def name(self) -> str:
        """Layer and table, as `reads` names them."""
        return f"{self.layer}.{self.table_name}"


def record_definitions(
    connection: psycopg.Connection, release_id: int, definitions: Sequence[Definition]
) -> None:
    """Replace what an earlier attempt recorded for the release, in one transaction.

    Args:
        connection: acting as `gamebot_owner`.
    """
    with connection.transaction(), connection.cursor() as cursor:
        cursor.execute("delete from ops.model_definitions where release_id = %s", (release_id,))
        cursor.executemany(
            """
            insert into ops.model_definitions (
                release_id, layer, table_name, fingerprint, reads, rows
            )
            values (%s, %s, %s, %s, %s, %s)
            """,
            [
                (release_id, one.layer, one.table_name, one.fingerprint, list(one.reads), one.rows)
                for one in definitions
            ],
        )


def list_definitions(connection: psycopg.Connection, release_id: int) -> dict[str, Definition]:
    """Return what built the tables of a release, by `layer.table`; nothing if it was not kept."""
    with (
        connection.transaction(),
        connection.cursor(row_factory=class_row(Definition)) as cursor,
    ):
        # Whoever only reads may come before the first run of this code, which makes the table.
        if connection.execute("select to_regclass('ops.model_definitions')").fetchone() == (None,):
            return {}
        found = cursor.execute(
            "select layer, table_name, fingerprint, reads from ops.model_definitions "
            "where release_id = %s order by layer, table_name",
            (release_id,),
        ).fetchall()
    return {one.name: one for one in found}
