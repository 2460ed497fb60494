"""The two ways to more seasons, in files and in the database, give the same bronze."""

from __future__ import annotations

from pathlib import Path

import psycopg
from psycopg import sql

from benchmarks.seasons import CODE, multiply_bronze, rekeyed_codes, write_seasons
from include.ingestion.catalog import load_catalog
from include.warehouse.connection import ConnectionSettings
from tests.integration.survivor_releases import load_release
from tests.survivor_files import write_minimal_survivor

COPIES = 12  # two digits, among them 1 and 11, which could be confused


def test_files_and_database_agree(
    warehouse: ConnectionSettings, warehouse_admin: ConnectionSettings, tmp_path: Path
) -> None:
    real = write_minimal_survivor(tmp_path / "real")
    rows = write_seasons(real, tmp_path / "more", COPIES)
    multiplied, loaded = load_release(warehouse, real), load_release(warehouse, tmp_path / "more")
    with warehouse_admin.connect() as connection:
        assert multiply_bronze(connection, multiplied, COPIES) == rows
        for name in load_catalog().datasets:
            assert _differing_rows(connection, name, multiplied, loaded) == 0, name
        counted = "select dataset, rows, seasons from ops.dataset_versions where release_id = %s"
        one, other = (
            set(connection.execute(counted, (release,)).fetchall())
            for release in (multiplied, loaded)
        )
        assert one == other
        listed = "US0701, US0698"
        assert connection.execute(
            r"select regexp_replace(%s, %s, '\1' || 7 || '\2', 'g')", (listed, CODE)
        ).fetchone() == (rekeyed_codes(listed, 7),)


def _differing_rows(connection: psycopg.Connection, name: str, one: int, other: int) -> int:
    # Each knows its own release.
    rows = [
        sql.SQL("select to_jsonb(t) - '_release_id' from {} as t").format(
            sql.Identifier(f"bronze_r{release}", name)
        )
        for release in (one, other)
    ]
    query = sql.SQL(
        "select count(*) from ({a} except all {b}) as a full join ({b} except all {a}) as b on true"
    )
    ((count,),) = connection.execute(query.format(a=rows[0], b=rows[1])).fetchall()
    return int(count)
