"""DAG files apart from `include/`: where a hosted Airflow has them, and of another deploy than it.

Astro unpacks dags/ of every deploy into a folder of its own, while include/ and plugins/ stay where
the image has them; `astro deploy --dags` replaces the former alone.
"""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.dags

PROJECT = Path(__file__).resolve().parents[2]
DAGS = {file.stem for file in (PROJECT / "dags").glob("*.py")}
NOTING_BACKEND = "tests.dags.noting_backend.NotingBackend"
BUNDLE = "dag_bundles/astro/main/dags/2026-11-26T00-00-00.000000"

# What the DAG processor does with a file, and what it must not do while it reads one.
READ_DAGS = """
import json, sys
from pathlib import Path
from airflow.dag_processing.dagbag import BundleDagBag
from tests.dags.noting_backend import ASKED

bundle = Path(sys.argv[1])
bag = BundleDagBag(dag_folder=bundle / "dags", bundle_path=bundle, bundle_name="astro")
print(json.dumps({
    "errors": bag.import_errors,
    "tasks": {dag_id: sorted(dag.task_ids) for dag_id, dag in bag.dags.items()},
    "asked": ASKED,
}))
"""


def read_dags(bundle: Path, home: Path, **variables: str) -> dict:
    """Read a bundle's DAGs in a process that knows include/ from its module path alone."""
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("DB_", "AIRFLOW_CONN_"))
    }
    done = subprocess.run(
        [sys.executable, "-c", READ_DAGS, str(bundle)],
        cwd=home,
        env={
            **environment,
            "AIRFLOW_HOME": str(home / "airflow"),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__SECRETS__BACKEND": NOTING_BACKEND,
            "PYTHONPATH": str(PROJECT),
            "PYTHONDONTWRITEBYTECODE": "1",
            **variables,
        },
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout.splitlines()[-1]))


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """The DAG files as a deploy unpacks them, with nothing else of the project around."""
    folder = tmp_path / BUNDLE
    shutil.copytree(PROJECT / "dags", folder / "dags")
    return folder


@pytest.mark.parametrize("beside", ["nothing", "a link", "an old copy"])
def test_dags_are_read_wherever_a_deploy_unpacks_them(
    bundle: Path, tmp_path: Path, beside: str
) -> None:
    """A path that started at a DAG file's own led nowhere on a hosted Airflow."""
    if beside == "a link":
        (bundle / "include").symlink_to(PROJECT / "include")
    elif beside == "an old copy":
        (bundle / "include").mkdir()
        (bundle / "include" / "__init__.py").write_text("raise RuntimeError('not the image\\'s')")

    found = read_dags(bundle, tmp_path)

    assert found["errors"] == {}
    assert found["tasks"].keys() == DAGS
    assert "models.castaway_profile" in found["tasks"]["survivor_medallion_pipeline"]
    # Every reading of the file would cost a call, and an outage of the backend all DAGs.
    assert found["asked"] == []


def test_newer_dag_files_than_the_image_say_what_to_deploy(bundle: Path, tmp_path: Path) -> None:
    """`astro deploy --dags` after a change of both showed a bare ImportError in the UI."""
    dag = bundle / "dags" / "survivor_medallion_pipeline.py"
    dag.write_text(dag.read_text().replace("    note_failure,\n", "    a_newer_task,\n", 1))

    found = read_dags(bundle, tmp_path)

    (error,) = found["errors"].values()
    assert "has no 'a_newer_task'" in error
    assert "astro deploy, without --dags" in error
    assert found["tasks"].keys() == DAGS - {"survivor_medallion_pipeline"}


def test_dag_files_use_nothing_but_the_interface() -> None:
    """Whatever else of include/ they imported could change with the image under their feet."""
    from include import interface

    for file in (PROJECT / "dags").glob("**/*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                assert not any(name.name.startswith("include") for name in node.names), file.name
            elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("include"):
                assert node.module == "include.interface", f"{file.name} imports {node.module}"
                assert {name.name for name in node.names} <= set(interface.__all__), file.name


def test_the_interface_offers_nothing_that_no_dag_file_uses() -> None:
    """A name that is kept for nobody can never be changed."""
    from include import interface

    used = "\n".join(file.read_text() for file in (PROJECT / "dags").glob("**/*.py"))
    assert [name for name in interface.__all__ if name not in used] == []
