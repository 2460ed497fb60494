"""What dbt does in a release that has all tables and no row: its unit tests."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from include.environments import CommandFailed
from include.warehouse.connection import ConnectionSettings
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
