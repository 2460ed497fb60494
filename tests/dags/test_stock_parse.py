"""DAG files survive the parse test that the Astro CLI generates, however often it brings it back.

`.astro/test_dag_integrity_default.py` is ours, but the CLI owns the name: `astro dev init` and an
upgrade may restore theirs, and `astro deploy` runs whatever is there. That test is stricter in some
ways and stands in for the environment in others; what it does is repeated here, in the words of
somebody who has read it:

* `os.getenv` of a variable that is not set returns its default, else the text MOCKED_<KEY>_VALUE;
* every connection exists and is empty;
* `Variable.get` takes `default_var`, also in the SDK, where it is called `default` otherwise;
* the DAGs are read twice in one process.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from include.environments import PROJECT_DIR
from include.transformation.manifest import manifest_path

pytestmark = pytest.mark.dags

READ_TWICE = """
import json, os, sys

import airflow.models
import airflow.sdk
from airflow.dag_processing.dagbag import DagBag

NOT_GIVEN = object()
getenv = os.getenv


def stock_getenv(key, default=None):
    return getenv(key) or default or f"MOCKED_{key.upper()}_VALUE"


def stock_variable(key, default_var=NOT_GIVEN, deserialize_json=False):
    if default_var is not NOT_GIVEN:
        return default_var
    return {} if deserialize_json else "NON_DEFAULT_MOCKED_VARIABLE_VALUE"


if sys.argv[2] == "mocked":
    os.getenv = stock_getenv
    airflow.sdk.BaseHook.get_connection = lambda key, *_, **__: airflow.sdk.Connection(key)
    airflow.sdk.Variable.get = airflow.models.Variable.get = stock_variable

for bag in (DagBag(sys.argv[1]), DagBag(sys.argv[1])):
    pass
tasks = {
    dag_id: {it.task_id: [it.pool, it.queue, str(it.execution_timeout)] for it in dag.tasks}
    for dag_id, dag in bag.dags.items()
}
schedules = {dag_id: repr(dag.schedule) for dag_id, dag in bag.dags.items()}
print(json.dumps({"errors": bag.import_errors, "tasks": tasks, "schedules": schedules}))
"""


def read_dags(folder: Path, home: Path, how: str) -> dict[str, dict[str, object]]:
    """Return what a new process finds in a folder of DAGs."""
    done = subprocess.run(
        [sys.executable, "-c", READ_TWICE, str(folder), how],
        cwd=PROJECT_DIR,
        env={
            **os.environ,
            "AIRFLOW_HOME": str(home),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "PYTHONPATH": str(PROJECT_DIR),
            "PYTHONDONTWRITEBYTECODE": "1",
        },
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_the_clis_own_parse_test_finds_the_same_dags(tmp_path: Path) -> None:
    """A schedule read with os.getenv would be the cron expression MOCKED_…_VALUE."""
    manifest_path()  # as in the image: reading a DAG file has a time limit
    mocked = read_dags(PROJECT_DIR / "dags", tmp_path, "mocked")
    assert mocked["errors"] == {}
    assert mocked == read_dags(PROJECT_DIR / "dags", tmp_path, "as they are")


@pytest.mark.parametrize(
    "line",
    [
        "airflow.sdk.Variable.get('schedule', default='@daily')",
        "int(os.getenv('GAMEBOT_THREADS') or 4)",
        "airflow.sdk.BaseHook.get_connection('survivor_postgres').host.lower()",
    ],
)
def test_what_the_clis_parse_test_refuses_is_refused_here(tmp_path: Path, line: str) -> None:
    """These three work everywhere else."""
    (tmp_path / "dags").mkdir()
    (tmp_path / "dags" / "own.py").write_text(f"import os\nimport airflow.sdk  # a dag\n{line}\n")
    found = read_dags(tmp_path / "dags", tmp_path / "home", "mocked")
    assert len(found["errors"]) == 1, found
