"""The made-up show as survivoR would publish it: a folder of .rda files."""

from __future__ import annotations

from pathlib import Path

from psycopg import sql

from include.ingestion.catalog import load_catalog
from include.warehouse.connection import ConnectionSettings
from include.warehouse.schemas import release_schema
from tests.integration.survivor_world import open_world
from tests.survivor_files import R_TYPES, write_columns


def write_world(warehouse: ConnectionSettings, folder: Path) -> Path:
    """Write what the made-up show has in a warehouse of its own; returns the folder."""
    schema = release_schema("bronze", open_world(warehouse))
    folder.mkdir()
    with warehouse.connect() as connection:
        for name, dataset in load_catalog().datasets.items():
            columns = sql.SQL(", ").join(map(sql.Identifier, dataset.columns))
            rows = connection.execute(
                sql.SQL("select {} from {} order by _row_number").format(
                    columns, sql.Identifier(schema, name)
                )
            ).fetchall()
            values = zip(*rows, strict=True) if rows else [()] * len(dataset.columns)
            write_columns(
                folder / f"{name}.rda",
                name,
                {
                    label: (R_TYPES[column.type], each)
                    for (label, column), each in zip(dataset.columns.items(), values, strict=True)
                },
            )
    return folder
