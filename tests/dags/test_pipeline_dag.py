"""The DAG's shape: what runs after what, and what can reach a publish."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG, TriggerRule

from include.airflow_tasks import name_release_in_log
from include.environments import PROJECT_DIR
from include.transformation.manifest import manifest_path

pytestmark = pytest.mark.dags


@pytest.fixture(scope="module")
def dag() -> DAG:
    bag = DagBag(PROJECT_DIR / "dags")
    assert not bag.import_errors
    return bag.dags["survivor_medallion_pipeline"]


def upstream(dag: DAG, task_id: str) -> set[str]:
    return {task.task_id for task in dag.get_task(task_id).get_flat_relatives(upstream=True)}


def test_every_model_and_seed_has_a_task_of_its_own(dag: DAG) -> None:
    nodes = json.loads(manifest_path().read_text(encoding="utf-8"))["nodes"].values()
    expected = {
        f"models.{node['name']}" for node in nodes if node["resource_type"] in ("model", "seed")
    }
    assert {task_id for task_id in dag.task_ids if task_id.startswith("models.")} == expected


def test_nothing_is_published_before_every_audit_and_the_whole_build(dag: DAG) -> None:
    before = upstream(dag, "publish_release")
    assert {
        "detect_changes",
        "open_release",
        "load_bronze",
        "dbt_build",
        "audit_with_soda",
        "audit_with_great_expectations",
    } <= before
    assert {task_id for task_id in dag.task_ids if task_id.startswith("models.")} <= before


@pytest.mark.parametrize(
    "task_id", ["audit_with_soda", "audit_with_great_expectations", "publish_release"]
)
def test_a_failure_before_it_stops_a_task_and_a_skipped_layer_does_not(
    dag: DAG, task_id: str
) -> None:
    task = dag.get_task(task_id)
    assert task.trigger_rule == TriggerRule.NONE_FAILED
    if task_id != "publish_release":
        assert "dbt_build" in task.upstream_task_ids


def test_a_release_is_closed_however_the_run_ends(dag: DAG) -> None:
    close = dag.get_task("close_release")
    assert close.is_teardown
    assert close.on_failure_fail_dagrun
    # No setup: clearing a task of a failed run must not open another, empty release.
    assert not any(task.is_setup for task in dag.tasks)


def test_every_log_names_its_release_and_no_worker_runs_what_does_nothing(dag: DAG) -> None:
    """With the callback Airflow sends an empty task, an ephemeral model's, to a worker: 25 more."""
    for task in dag.tasks:
        runs = not isinstance(task, EmptyOperator)
        assert (name_release_in_log in task.on_execute_callback) is runs, task.task_id


def test_no_model_is_green_in_a_run_that_built_none(dag: DAG) -> None:
    """Twenty ephemeral models once succeeded after the source could not be reached."""
    empty = [task for task in dag.tasks if isinstance(task, EmptyOperator)]
    assert empty
    assert {task.trigger_rule for task in empty} == {TriggerRule.ALL_SUCCESS}


def test_one_run_at_a_time_and_no_catching_up(dag: DAG) -> None:
    assert dag.max_active_runs == 1
    assert not dag.catchup


def test_the_form_has_a_field_for_every_parameter(dag: DAG) -> None:
    assert set(dag.params) == {
        "source",
        "ref",
        "source_dir",
        "accept_falls",
        "target_layer",
        "force",
        "publish",
    }
    for name in dag.params:
        assert dag.params.get_param(name).schema["title"], name


QUEUES = """
import json
from airflow.dag_processing.dagbag import DagBag
dag = DagBag("dags").dags["survivor_medallion_pipeline"]
print(json.dumps({task.task_id: task.queue for task in dag.tasks}))
"""


@pytest.mark.parametrize(
    ("settings", "light", "heavy"),
    [
        ({"AIRFLOW__OPERATORS__DEFAULT_QUEUE": "theirs"}, "theirs", "theirs"),
        ({"GAMEBOT_QUEUE": "gamebot", "GAMEBOT_HEAVY_QUEUE": "large"}, "gamebot", "large"),
    ],
)
def test_every_task_waits_in_a_queue_that_some_worker_serves(
    settings: dict[str, str], light: str, heavy: str
) -> None:
    """One that nobody serves is never begun; dbt on a small worker is killed for its memory."""
    printed = subprocess.run(
        [sys.executable, "-c", QUEUES],
        env={**os.environ, "PYTHONPATH": str(PROJECT_DIR), **settings},
        cwd=PROJECT_DIR,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    queues = json.loads(printed.splitlines()[-1])
    for task_id in ("load_bronze", "dbt_build", "audit_with_soda", "audit_with_great_expectations"):
        assert queues.pop(task_id) == heavy
    assert set(queues.values()) == {light}
