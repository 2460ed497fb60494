"""The DAGs that benchmarks run, and what they know of the pipeline's."""

from __future__ import annotations

import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.providers.standard.operators.empty import EmptyOperator

from benchmarks.dbt import COSMOS, DAGS, OURS
from benchmarks.pipeline import STAGES
from include.environments import PROJECT_DIR

pytestmark = pytest.mark.dags


def test_every_task_of_the_pipeline_is_measured_as_part_of_a_stage() -> None:
    dag = DagBag(PROJECT_DIR / "dags").dags["survivor_medallion_pipeline"]
    assert {task_id.split(".")[0] for task_id in dag.task_ids} == set(STAGES)


def test_every_mode_has_a_task_for_each_seed_and_model() -> None:
    bag = DagBag(DAGS)
    assert not bag.import_errors
    assert set(bag.dags) == {OURS, *COSMOS}
    ours = bag.dags[OURS]
    models = {
        task.task_id.removeprefix("models.")
        for task in ours.tasks
        if task.task_id.startswith("models.") and not isinstance(task, EmptyOperator)
    }
    for name in COSMOS:
        known = " ".join(bag.dags[name].task_ids)
        assert all(f".{model}" in known for model in models), name
