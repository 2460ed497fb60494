"""What every DAG of the project must be, whichever DAGs there are.

No metadata database is needed: `astro dev pytest` runs these in the image without one.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from airflow.dag_processing.dagbag import BundleDagBag
    from airflow.sdk import DAG

pytestmark = pytest.mark.dags

PROJECT = Path(__file__).resolve().parents[2]
DAGS = PROJECT / "dags"

# Seconds and megabytes that each belong into a task, not into every reading of a DAG file.
HEAVY = ("dbt", "duckdb", "great_expectations", "pandas", "pyarrow", "soda")

# DAGs that must not run again by themselves: dag_id -> reason.
MAY_RETRY_LESS: dict[str, str] = {}


@cache
def dag_bag() -> BundleDagBag:
    """Return every DAG of the project and the errors of those that cannot be read."""
    from airflow.dag_processing.dagbag import BundleDagBag

    return BundleDagBag(dag_folder=DAGS, bundle_path=PROJECT, bundle_name="project")


@pytest.fixture(scope="module")
def dags() -> list[DAG]:
    """The project's DAGs."""
    found = list(dag_bag().dags.values())
    assert found, f"no DAG in {DAGS}"
    return found


def test_every_dag_file_can_be_read() -> None:
    """A file that cannot be imported takes its DAGs out of the UI without another word."""
    assert dag_bag().import_errors == {}


def test_every_dag_says_what_it_is_and_whose(dags: list[DAG]) -> None:
    """Whoever is called at night finds the DAG by its tags and reads there what to do."""
    for dag in dags:
        assert dag.tags, f"{dag.dag_id} has no tags"
        assert dag.description, f"{dag.dag_id} has no description"
        assert len(dag.doc_md or "") > 100, f"{dag.dag_id} has no doc_md worth reading"
        owner = dag.default_args.get("owner")
        assert owner not in (None, "", "airflow"), f"{dag.dag_id} has no owner"


def test_every_dag_survives_a_passing_fault(dags: list[DAG]) -> None:
    """A network that fails for a minute at night must not cost the day's release."""
    for dag in dags:
        if dag.dag_id not in MAY_RETRY_LESS:
            assert dag.default_args.get("retries", 0) >= 2, f"{dag.dag_id} gives up too soon"
            assert dag.default_args.get("retry_delay"), f"{dag.dag_id} retries at once"


def test_no_task_may_hang_for_ever(dags: list[DAG]) -> None:
    """One run at a time: a hanging task would stop every later release."""
    for dag in dags:
        for task in dag.tasks:
            assert task.execution_timeout, f"{dag.dag_id}.{task.task_id} has no execution_timeout"


def test_runs_never_overlap_and_never_pile_up(dags: list[DAG]) -> None:
    """Two runs at once would race for the public schemas; a backfill would publish old data."""
    for dag in dags:
        assert dag.max_active_runs == 1, dag.dag_id
        assert dag.catchup is False, dag.dag_id


def test_no_dag_file_is_named_after_a_package() -> None:
    """Cosmos takes a DAG file called dbt_*.py for something of dbt's."""
    assert list(DAGS.glob("dbt*.py")) == []


def test_reading_the_dags_imports_nothing_heavy(tmp_path: Path) -> None:
    """The DAG processor reads every file again and again; Great Expectations alone takes 5 s."""
    program = (
        "import json, sys; from pathlib import Path\n"
        "from airflow.dag_processing.dagbag import BundleDagBag\n"
        f"bag = BundleDagBag(dag_folder=Path({str(DAGS)!r}), bundle_path=Path({str(PROJECT)!r}),"
        " bundle_name='project')\n"
        "assert bag.dags, bag.import_errors\n"
        f"print(json.dumps(sorted(set(sys.modules) & set({HEAVY!r}))))"
    )
    outcome = run_python(["-c", program], tmp_path, cwd=PROJECT)
    assert outcome.returncode == 0, outcome.stderr
    assert json.loads(outcome.stdout.splitlines()[-1]) == []


@pytest.mark.parametrize("where", ["project", "elsewhere"])
def test_astro_dev_parse_would_pass(tmp_path: Path, where: str) -> None:
    """The CLI's own test, as the CLI runs it; standalone mode has its Airflow home elsewhere."""
    test = PROJECT / ".astro" / "test_dag_integrity_default.py"
    cwd = PROJECT if where == "project" else tmp_path
    outcome = run_python(["-m", "pytest", "-v", "-p", "no:cacheprovider", test], tmp_path, cwd)
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr
    for file in DAGS.glob("*.py"):
        assert f"test_file_imports[dags/{file.name}] PASSED" in outcome.stdout


def test_astro_dev_parse_would_name_a_broken_file(tmp_path: Path) -> None:
    """The generated test stops at collection on Airflow 3.3 and names no file at all."""
    project = tmp_path / "project"
    (project / ".astro").mkdir(parents=True)
    test = project / ".astro" / "test_dag_integrity_default.py"
    test.write_text((PROJECT / ".astro" / test.name).read_text())
    (project / "dags").mkdir()
    (project / "dags" / "good.py").write_text(GOOD_DAG)
    (project / "dags" / "broken.py").write_text("import airflow, a_dag_module_that_is_not_there\n")

    outcome = run_python(["-m", "pytest", "-q", test], tmp_path, project)
    assert outcome.returncode == 1, outcome.stdout + outcome.stderr
    assert "dags/broken.py cannot be imported" in outcome.stdout
    assert "a_dag_module_that_is_not_there" in outcome.stdout
    assert "1 failed, 2 passed" in outcome.stdout

    (project / ".astro" / "dag_integrity_exceptions.txt").write_text("dags/broken.py\n")
    excepted = run_python(["-m", "pytest", "-q", test], tmp_path, project)
    assert excepted.returncode == 0, excepted.stdout


# Asks for everything that a deployment has and a parse has not.
GOOD_DAG = """
import os
from airflow.sdk import BaseHook, Connection, Variable, dag, task
from airflow.models import Variable as ModelVariable

assert os.getenv("A_SETTING_THAT_IS_NOT_SET") == "MOCKED_A_SETTING_THAT_IS_NOT_SET_VALUE"
assert os.getenv("A_SETTING_THAT_IS_NOT_SET", "default") == "default"
assert Variable.get("v", default=None) is None
assert ModelVariable.get("v", default_var="x") == ModelVariable.get("v", "x") == "x"
assert Variable.get("v", deserialize_json=True)["key"] == "MOCKED_KEY_VALUE"
assert BaseHook.get_connection("c").conn_id == Connection.get("c").conn_id == "c"


@dag(schedule=None)
def good():
    @task
    def nothing():
        pass

    nothing()


good()
"""


def run_python(
    arguments: list[str | Path], home: Path, cwd: Path
) -> subprocess.CompletedProcess[str]:
    """Run this interpreter with a new Airflow home and nothing written beside the sources."""
    environment = {
        **os.environ,
        "AIRFLOW_HOME": str(home / "airflow"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    command = [sys.executable, *map(str, arguments)]
    return subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=300
    )
