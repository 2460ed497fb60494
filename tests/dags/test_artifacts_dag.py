"""The second DAG: when it runs, and that its failure stays its own."""

from __future__ import annotations

import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.sdk import DAG, Asset

from include.airflow_tasks import WAREHOUSE
from include.environments import PROJECT_DIR

pytestmark = pytest.mark.dags


@pytest.fixture(scope="module")
def dag() -> DAG:
    bag = DagBag(PROJECT_DIR / "dags")
    assert not bag.import_errors
    return bag.dags["survivor_release_artifacts"]


def test_every_publication_and_rollback_starts_it(dag: DAG) -> None:
    """Its file names the asset anew, since a DAG file imports tasks only: one letter is enough."""
    assert isinstance(dag.schedule, Asset)
    assert (dag.schedule.name, dag.schedule.uri) == (WAREHOUSE.name, WAREHOUSE.uri)
    # Else a package would start the next one.
    assert not any(task.outlets for task in dag.tasks)


def test_the_package_has_the_changes_and_waits_for_no_page(dag: DAG) -> None:
    before = {task.task_id for task in dag.get_task("build_data_package").upstream_list}
    assert before == {"choose_release", "compare_with_previous"}
    assert {task.task_id for task in dag.tasks} - before == {
        "build_data_package",
        "document_models",
        "show_soda_results",
    }
