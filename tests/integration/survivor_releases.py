"""Builds releases of survivoR's real data, for tests of what the numbers are."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from include.environments import PROJECT_DIR, MissingEnvironment, executable, run
from include.ingestion.load import load_bronze
from include.ingestion.sources import SourceRequest, resolve_source
from include.warehouse.connection import ConnectionSettings
from include.warehouse.publication import publish_when_free, show_release
from include.warehouse.releases import open_release
from include.warehouse.schemas import LAYERS, LOADER, OWNER, TRANSFORMER

# survivoR's commit of 2026-06-12: the facts of the tests are those of this folder.
REFERENCE = "2026-06-12"


def load_release(warehouse: ConnectionSettings, folder: Path) -> int:
    """Open a release and load the folder's files into its bronze. Returns its number."""
    source = resolve_source(SourceRequest(source="directory", directory=str(folder)))
    with warehouse.connect(role=OWNER) as connection:
        release_id = open_release(
            connection,
            source,
            code_fingerprint="code",
            target_layer="gold",
            triggered_by="a test",
        )
    with warehouse.connect(role=LOADER) as connection:
        load_bronze(connection, release_id, source, on_progress=lambda line: None)
    return release_id


def run_dbt(
    warehouse: ConnectionSettings, release_id: int, folder: Path, *arguments: str
) -> list[str]:
    """Run dbt on a release, with its files in `folder`. Returns what it printed.

    Raises:
        CommandFailed: a model or a test failed.
    """
    try:
        dbt = executable("dbt", "dbt")
    except MissingEnvironment as error:
        pytest.skip(str(error))
    environment = warehouse.as_environment() | {
        "DB_ROLE": TRANSFORMER,
        "GAMEBOT_RELEASE_ID": str(release_id),
        "DBT_TARGET_PATH": str(folder / "target"),
        "DBT_LOG_PATH": str(folder / "logs"),
    }
    lines: list[str] = []
    run(
        [dbt, *arguments, "--profiles-dir", os.curdir],
        environment,
        lines.append,
        cwd=PROJECT_DIR / "include" / "dbt",
    )
    return lines


def build_release(
    warehouse: ConnectionSettings, source: Path, folder: Path, *arguments: str
) -> int:
    """Load and transform a release, without tests and audits. Returns its number."""
    release_id = load_release(warehouse, source)
    run_dbt(
        warehouse, release_id, folder, "--quiet", "build",
        "--exclude-resource-type", "test", "--exclude-resource-type", "unit_test", *arguments,
    )  # fmt: skip
    return release_id


def show(warehouse: ConnectionSettings, release_id: int) -> None:
    """Point the public schemas at a release, audited or not, and keep it from being cleaned up."""
    with warehouse.connect(role=OWNER, autocommit=True) as connection:
        publish_when_free(connection, lambda: show_release(connection, release_id, LAYERS))
        connection.execute(
            "update ops.releases set state = 'superseded' where release_id = %s", (release_id,)
        )
