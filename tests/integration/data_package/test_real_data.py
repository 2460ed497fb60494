"""survivoR's real data comes out of every file as it is in the warehouse."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from psycopg import sql

pytest.importorskip("duckdb")
pytest.importorskip("pyarrow")

import duckdb

from include.data_package.build import build_package
from include.transformation.manifest import manifest_path
from include.warehouse.connection import ConnectionSettings
from include.warehouse.schemas import AUDITOR
from tests.conftest import as_pipeline

# A sum that no reordering changes, and every lost or changed value does.
SUMS = {
    "bronze.vote_history": 'count(*), sum("order"), count(castaway_id), count(vote_id)',
    "silver.season_context": "count(*), count(version_season), min(version_season)",
    "gold.ml_features_hybrid": "count(*), sum(appearance_number), count(castaway_id)",
    "gold.ml_features_as_of": "count(*), sum(sog_id), count(occupation), sum(target_winner)",
}


@pytest.fixture(scope="module")
def package(
    survivor_warehouse: ConnectionSettings, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    folder = tmp_path_factory.mktemp("real") / "package"
    folder.mkdir()
    build_package(
        as_pipeline(survivor_warehouse),
        1,
        folder,
        manifest=json.loads(manifest_path().read_text()),
        changes="",
    )
    return folder


@pytest.fixture(scope="module")
def expected(survivor_warehouse: ConnectionSettings) -> dict[str, tuple[Any, ...]]:
    with survivor_warehouse.connect(role=AUDITOR) as connection:
        return {
            name: tuple(connection.execute(f"select {sums} from {_released(name)}").fetchall()[0])  # type: ignore[arg-type]
            for name, sums in SUMS.items()
        }


def _released(name: str) -> str:
    layer, table = name.split(".")
    return f"{layer}_r1.{table}"


def test_every_value_that_the_driver_reads_is_in_the_parquet_file(
    package: Path, survivor_warehouse: ConnectionSettings
) -> None:
    """The package reads the warehouse as CSV: psycopg, which does not, must find the same."""
    from pyarrow import parquet

    descriptor = json.loads((package / "datapackage.json").read_text())
    tables = [resource for resource in descriptor["resources"] if "schema" in resource]
    assert len(tables) == 37
    cells = 0
    with survivor_warehouse.connect(role=AUDITOR) as connection:
        for resource in tables:
            names = [field["name"] for field in resource["schema"]["fields"]]
            rows = connection.execute(
                sql.SQL("select {} from {}").format(
                    sql.SQL(", ").join(map(sql.Identifier, names)),
                    sql.Identifier(f"{resource['layer']}_r1", resource["table"]),
                )
            ).fetchall()
            table = parquet.read_table(package / resource["path"])
            found = zip(*(table.column(name).to_pylist() for name in names), strict=True)
            assert sorted(map(repr, found)) == sorted(map(repr, rows)), resource["name"]
            cells += len(rows) * len(names)
    assert cells > 5_000_000


def test_pandas_and_duckdb_find_the_same(package: Path, expected: dict[str, Any]) -> None:
    pandas = pytest.importorskip("pandas")
    with duckdb.connect(str(package / "gamebot.duckdb"), read_only=True) as connection:
        for name, sums in SUMS.items():
            assert connection.execute(f"select {sums} from {name}").fetchone() == expected[name]
    features = pandas.read_parquet(package / "parquet/gold/ml_features_as_of.parquet")
    assert (
        len(features),
        features.sog_id.sum(),
        features.occupation.count(),
        features.target_winner.sum(),
    ) == expected["gold.ml_features_as_of"]


def test_sqlites_shell_finds_the_same(package: Path, expected: dict[str, Any]) -> None:
    if not shutil.which("sqlite3"):
        pytest.skip("needs the shell of SQLite: apt-get install sqlite3")
    for name, sums in SUMS.items():
        query = f"select {sums} from {name.split('.')[1]}"
        done = run(["sqlite3", "-readonly", "-separator", "|", "gamebot.sqlite", query], package)
        assert done == "|".join(map(str, expected[name]))


def test_r_finds_the_same(package: Path, expected: dict[str, Any]) -> None:
    if not shutil.which("Rscript"):
        pytest.skip("needs R and RSQLite: apt-get install r-base-core r-cran-rsqlite")
    if run(["Rscript", "-e", "cat(requireNamespace('RSQLite', quietly=TRUE))"], package) != "TRUE":
        pytest.skip("needs RSQLite: apt-get install r-cran-rsqlite")
    program = (
        "connection <- DBI::dbConnect(RSQLite::SQLite(), 'gamebot.sqlite',"
        " flags = RSQLite::SQLITE_RO);"
        "rows <- DBI::dbReadTable(connection, 'ml_features_as_of');"
        "cat(nrow(rows), sum(rows$sog_id), sum(!is.na(rows$occupation)),"
        " sum(rows$target_winner, na.rm = TRUE))"
    )
    found = run(["Rscript", "-e", program], package)
    assert tuple(map(int, found.split())) == expected["gold.ml_features_as_of"]


def run(command: list[str], folder: Path) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()
