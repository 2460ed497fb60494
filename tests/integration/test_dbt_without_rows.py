"""What dbt does in a release that has all tables and no row: its unit tests, its page."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from include.environments import CommandFailed
from include.transformation.docs import read_catalog, write_release_docs
from include.warehouse.connection import ConnectionSettings
from include.warehouse.schemas import AUDITOR
from tests.conftest import as_pipeline
from tests.integration.survivor_releases import run_dbt
from tests.integration.survivor_world import create_bronze


@dataclass(frozen=True)
class EmptyRelease:
    """A release that dbt built, unit tests included, and dbt's files about it."""

    warehouse: ConnectionSettings
    release_id: int
    folder: Path
    said: str
    """Why dbt failed, if it did."""

    def read(self, name: str) -> Any:
        """Return what a file of dbt holds."""
        return json.loads((self.folder / "target" / name).read_text())


@pytest.fixture(scope="module")
def empty_release(
    create_warehouse: Callable[[], ConnectionSettings], tmp_path_factory: pytest.TempPathFactory
) -> EmptyRelease:
    """An empty release; unit tests bring their rows, and need the columns of what they read."""
    warehouse = as_pipeline(create_warehouse())
    release_id = create_bronze(warehouse)
    folder = tmp_path_factory.mktemp("dbt")
    said = ""
    try:
        run_dbt(
            warehouse, release_id, folder, "--quiet", "build",
            "--exclude-resource-type", "test",
        )  # fmt: skip
    except CommandFailed as error:
        said = str(error)
    return EmptyRelease(warehouse, release_id, folder, said)


def test_every_unit_test_of_dbt_passes(empty_release: EmptyRelease) -> None:
    """A release leaves them out: they ask our SQL and would say the same of every release."""
    results = empty_release.read("run_results.json")["results"]
    passed = {result["unique_id"] for result in results if result["status"] == "pass"}
    assert passed == empty_release.read("manifest.json")["unit_tests"].keys(), empty_release.said
    assert len(passed) > 30


def test_the_page_knows_of_the_tables_what_dbt_would(
    empty_release: EmptyRelease, tmp_path: Path
) -> None:
    warehouse, release_id = empty_release.warehouse, empty_release.release_id
    run_dbt(
        warehouse, release_id, empty_release.folder, "--quiet", "docs", "generate", "--no-compile"
    )
    manifest = empty_release.read("manifest.json")
    with warehouse.connect(role=AUDITOR) as connection:
        ours = read_catalog(connection, release_id, manifest)
    dbts = empty_release.read("catalog.json")
    assert len(ours["nodes"]) > 20 and len(ours["sources"]) > 20
    for kind, found in ours.items():
        for one in dbts[kind].values():
            # "Has stats: no", and comments, which no table of ours has.
            del one["stats"], one["metadata"]["comment"]
            for column in one["columns"].values():
                del column["comment"]
        assert {name: {**one, "stats": None} for name, one in found.items()} == {
            name: {**one, "stats": None} for name, one in dbts[kind].items()
        }
    write_release_docs(warehouse, release_id, tmp_path, json.dumps(manifest).encode())
    page = (tmp_path / "index.html").read_text()
    assert "INLINE DATA" not in page
    assert json.dumps(ours) in page and json.dumps(manifest) in page
