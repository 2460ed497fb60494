"""Builds the release of a made-up show, small and complete, for tests of what runs on a release."""

from __future__ import annotations

import os
from pathlib import Path

from psycopg import sql

from include.environments import PROJECT_DIR, executable, run
from include.ingestion.catalog import POSTGRES_TYPES, load_catalog
from include.ingestion.sources import ResolvedSource
from include.warehouse.connection import ConnectionSettings
from include.warehouse.releases import open_release
from include.warehouse.schemas import LOADER, OWNER, TRANSFORMER, release_schema

WORLD = Path(__file__).with_suffix(".sql")


def open_test_release(warehouse: ConnectionSettings) -> int:
    """Open a release without tables. Returns its number."""
    with warehouse.connect(role=OWNER) as connection:
        return open_release(
            connection,
            ResolvedSource(kind="directory", version="v1", location="a test", fingerprint="v1"),
            code_fingerprint="code",
            target_layer="gold",
            triggered_by="a test",
        )


def open_world(warehouse: ConnectionSettings) -> int:
    """Open a release whose bronze holds the made-up show. Returns its number."""
    release_id = open_test_release(warehouse)
    schema = release_schema("bronze", release_id)
    with warehouse.connect(role=LOADER) as connection:
        connection.execute(sql.SQL("set local search_path = {}").format(sql.Identifier(schema)))
        for name, dataset in load_catalog().datasets.items():
            columns = {
                name: POSTGRES_TYPES[column.type] for name, column in dataset.columns.items()
            }
            columns |= {"_row_number": "integer generated always as identity"}
            columns |= {"_release_id": f"integer default {release_id}"}
            connection.execute(
                sql.SQL("create table {} ({})").format(
                    sql.Identifier(name),
                    sql.SQL(", ").join(
                        sql.SQL("{} {}").format(sql.Identifier(column), sql.SQL(definition))  # type: ignore[arg-type]
                        for column, definition in columns.items()
                    ),
                )
            )
        connection.execute(WORLD.read_bytes())
    return release_id


def transform_world(warehouse: ConnectionSettings, release_id: int, folder: Path) -> None:
    """Build silver and gold of the release with dbt, without its tests."""
    environment = warehouse.as_environment() | {
        "DB_ROLE": TRANSFORMER,
        "GAMEBOT_RELEASE_ID": str(release_id),
        "DBT_TARGET_PATH": str(folder / "target"),
        "DBT_LOG_PATH": str(folder / "logs"),
    }
    for command in ("seed", "run"):
        run(
            [executable("dbt", "dbt"), "--quiet", command, "--profiles-dir", os.curdir],
            environment,
            print,
            cwd=PROJECT_DIR / "include" / "dbt",
        )
