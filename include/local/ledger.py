"""The row-count ledger: how many rows each season has in each published table, kept in git.

It is a seed of dbt, whose tests warn when a release differs from it, so that whoever changes a
model, or takes over what upstream changed, changes a file that somebody reviews.
"""

from __future__ import annotations

import csv
from pathlib import Path

import psycopg
from psycopg import sql

from include.environments import PROJECT_DIR
from include.warehouse.schemas import LAYERS

LEDGER = PROJECT_DIR / "include" / "dbt" / "seeds" / "silver" / "row_count_ledger.csv"
SEASON = "version_season"

RowCount = tuple[str, str, int]
"""Layer and table, season, rows."""


def count_rows(connection: psycopg.Connection) -> list[RowCount]:
    """Count the rows of every season in every public table that has seasons, in a stable order."""
    tables = connection.execute(
        """
        select table_schema, table_name from information_schema.columns
        where table_schema = any(%s) and column_name = %s
        """,
        (list(LAYERS), SEASON),
    ).fetchall()
    counts: list[RowCount] = []
    for layer, table in tables:
        counts += connection.execute(
            sql.SQL("select {}, {season}, count(*) from {} group by {season}").format(
                sql.Literal(f"{layer}.{table}"),
                sql.Identifier(layer, table),
                season=sql.Identifier(SEASON),
            )
        ).fetchall()
    return sorted(counts)


def read_ledger() -> list[RowCount]:
    """Return what the ledger says."""
    with LEDGER.open(encoding="utf-8", newline="") as file:
        return [
            (row["table_name"], row[SEASON], int(row["row_count"])) for row in csv.DictReader(file)
        ]


def write_ledger(counts: list[RowCount], path: Path = LEDGER) -> None:
    """Replace the ledger, a line per table and season."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("table_name", SEASON, "row_count"))
        writer.writerows(counts)
