"""The client on survivoR's real data: package and warehouse, old documentation, the notebook."""

from __future__ import annotations

import json
import re
import sqlite3
from contextlib import closing
from pathlib import Path

import duckdb
import pandas as pd
import pytest

from include.environments import PROJECT_DIR
from include.warehouse.connection import ConnectionSettings
from tests.conftest import as_pipeline

gamebot = pytest.importorskip("gamebot")

pytestmark = [pytest.mark.integration, pytest.mark.slow]

# Only the live warehouse has these: what was loaded when, for every release.
METADATA = {"bronze.ingestion_runs", "bronze.dataset_versions"}


@pytest.fixture(scope="module")
def package(
    survivor_warehouse: ConnectionSettings, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The data package of survivoR of 2026-06-12."""
    from include.data_package.build import build_package
    from include.environments import MissingEnvironment
    from include.transformation.manifest import manifest_path

    folder = tmp_path_factory.mktemp("package")
    try:
        manifest = json.loads(manifest_path().read_bytes())
    except MissingEnvironment as error:
        pytest.skip(str(error))
    pipeline = as_pipeline(survivor_warehouse)
    build_package(pipeline, 1, folder, manifest=manifest, changes="# Changes\n")
    return folder


def test_every_table_is_the_same_in_the_package_its_duckdb_file_and_the_live_warehouse(
    package: Path, survivor_warehouse: ConnectionSettings
) -> None:
    """Whoever moves a notebook from one to the other should notice in no column of any table."""
    live = gamebot.open(survivor_warehouse.uri())
    sources = {"package": gamebot.open(str(package))}
    sources["DuckDB file"] = gamebot.open(str(package / "gamebot.duckdb"))
    tables = set(live.tables()["table"]) - METADATA
    assert len(tables) == 37
    for name in sorted(tables):
        expected = live.load_table(name)
        expected = expected.sort_values(list(expected), ignore_index=True)
        for source, client in sources.items():
            found = client.load_table(name)
            found = found.sort_values(list(found), ignore_index=True)
            pd.testing.assert_frame_equal(found, expected, obj=f"{name} of the {source}")
    assert {each for client in sources.values() for each in client.tables()["table"]} == tables
    for client in sources.values():
        described = client.describe("gold.ml_features_as_of").set_index("column")["description"]
        assert described["sog_id"].startswith("Stage of game that is about to begin")


def test_the_queries_of_the_old_documentation_run_on_our_files_with_the_changes_we_tell(
    package: Path,
) -> None:
    """The page about moving promised it; five famous first boots are the answer."""
    from scripts.queries_of_gamebot_lite import load_documentation

    [query] = load_documentation().queries
    boots = ["David Jelinsky", "Francesca Hogi", "Francesca Hogi", "Reem Daly", "Zane Knight"]
    answer = gamebot.open(str(package)).query(query.here)
    assert answer["castaway_name"].tolist() == boots
    with duckdb.connect(str(package / "gamebot.duckdb"), read_only=True) as connection:
        assert [row[0] for row in connection.execute(query.here).fetchall()] == boots
        with pytest.raises(duckdb.BinderException):
            connection.execute(query.there)
    with closing(sqlite3.connect(package / "gamebot.sqlite")) as connection:
        assert [row[0] for row in connection.execute(query.on_sqlite).fetchall()] == boots
    calls = "\n".join(call.here for call in load_documentation().functions)
    for table in re.findall(r'gamebot\.load_table\("(.*?)"\)', calls):
        assert len(gamebot.open(str(package)).load_table(table))


def test_the_notebook_prints_what_it_is_committed_with(
    package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its text speaks of the figures beneath: neither may change without the other."""
    nbformat = pytest.importorskip("nbformat")
    for needed in ("nbclient", "ipykernel", "matplotlib"):
        pytest.importorskip(needed)
    from scripts.run_notebook import NOTEBOOKS, execute

    monkeypatch.setenv("GAMEBOT_DATA", str(package))
    [path] = NOTEBOOKS.glob("*.ipynb")
    committed = nbformat.read(path, as_version=4)
    executed = nbformat.from_dict(committed.copy())
    execute(executed)
    assert printed(executed) == printed(committed)
    assert pictures(executed) == pictures(committed) == 3
    # Whoever clones the project to read a README should not wait for pictures.
    assert path.stat().st_size < 200_000
    assert str(PROJECT_DIR) not in path.read_text(encoding="utf-8")


def printed(notebook: dict) -> list[str]:
    """What the cells print, without pictures and the addresses of objects."""
    found = []
    for cell in notebook["cells"]:
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            if output["output_type"] == "stream":
                found.append(output["text"])
            elif "image/png" not in data:
                found.append(data["text/plain"])
    return found


def pictures(notebook: dict) -> int:
    outputs = [each for cell in notebook["cells"] for each in cell.get("outputs", [])]
    return sum("image/png" in output.get("data", {}) for output in outputs)
