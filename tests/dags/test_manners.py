"""What a person sees of the DAGs in Airflow: words for everything, links that lead somewhere."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.sdk import DAG
from airflow.sdk.exceptions import ParamValidationError
from structlog.contextvars import bind_contextvars, clear_contextvars

from include.ingestion.catalog import load_catalog
from include.log_groups import GROUP
from include.parameters import PARAMS
from include.transformation.manifest import manifest_path
from include.transformation.rendering import ModelReportOperator
from tests.conftest import PROJECT

pytestmark = pytest.mark.dags

DOCUMENT = re.compile(r"docs/[\w./-]+\.md")
LINK = re.compile(r"\]\(([^)]+)\)")


@pytest.fixture(scope="module")
def dags() -> dict[str, DAG]:
    bag = DagBag(PROJECT / "dags")
    assert not bag.import_errors
    return bag.dags


@pytest.fixture(scope="module")
def words(dags: dict[str, DAG]) -> dict[str, str]:
    """All Markdown of the DAGs, their tasks and their forms."""
    found = {dag_id: dag.doc_md or "" for dag_id, dag in dags.items()}
    for dag_id, dag in dags.items():
        found |= {f"{dag_id}.{task.task_id}": task.doc_md or "" for task in dag.tasks}
        for name in dag.params:
            schema = dag.params.get_param(name).schema
            found[f"{dag_id}:{name}"] = schema.get("description_md") or ""
    return found


def test_every_task_says_what_it_does_and_has_a_name_for_people(dags: dict[str, DAG]) -> None:
    for dag in dags.values():
        assert dag.dag_display_name != dag.dag_id
        for task in dag.tasks:
            assert len(task.doc_md or "") > 40, f"{dag.dag_id}.{task.task_id} says too little"
            assert "." not in task.task_display_name, task.task_id
            if not task.task_id.startswith("models."):
                assert "_" not in task.task_display_name, task.task_id


def test_a_model_is_described_in_the_words_of_its_yml(dags: dict[str, DAG]) -> None:
    nodes = json.loads(manifest_path().read_text(encoding="utf-8"))["nodes"].values()
    pipeline = dags["survivor_medallion_pipeline"]
    for node in nodes:
        if node["resource_type"] in ("model", "seed"):
            doc = pipeline.get_task(f"models.{node['name']}").doc_md or ""
            assert node["description"] in doc
            assert f"`include/dbt/{node['original_file_path']}`" in doc


@pytest.mark.skipif(not (PROJECT / "docs").exists(), reason="the image has no documents")
def test_documents_and_their_sections_are_there(words: dict[str, str]) -> None:
    """Whoever is called at night follows them."""
    named = {path for text in words.values() for path in DOCUMENT.findall(text)}
    assert "docs/runbooks/failed-run.md" in named
    assert [path for path in named if not (PROJECT / path).exists()] == []
    for where, text in words.items():
        for path, section in re.findall(r"`(docs/[\w./-]+\.md)`, \"([^\"]+)\"", text):
            headings = re.findall(r"^#+ (.+)$", (PROJECT / path).read_text(), re.MULTILINE)
            assert any(section in heading.replace("`", "") for heading in headings), where


def test_links_work_wherever_airflow_is(dags: dict[str, DAG], words: dict[str, str]) -> None:
    """Its pages may lie below a path; one that begins with a slash would leave it."""
    links = [link for text in words.values() for link in LINK.findall(text)]
    assert links
    for link in links:
        known = [f"dags/{dag_id}" for dag_id in dags]
        assert link.startswith(("https://github.com/doehm/survivoR", "gamebot/")) or link in known


def test_every_field_of_a_form_is_titled_and_explained(dags: dict[str, DAG]) -> None:
    for dag in dags.values():
        for name in dag.params:
            schema = dag.params.get_param(name).schema
            assert schema["title"] and len(schema["description_md"]) > 40, name
            # Airflow would show it instead, without its links.
            assert dag.params.get_param(name).description is None, name
            assert set(schema.get("values_display", {})) == set(
                schema.get("enum", ()) if "values_display" in schema else ()
            )


def test_the_form_offers_the_datasets_that_there_are() -> None:
    schema = PARAMS["accept_falls"].schema
    assert schema["examples"] == sorted(load_catalog().datasets)


@pytest.mark.parametrize(
    ("name", "value", "is_valid"),
    [
        # What the form sends once the last one was taken out again.
        ("accept_falls", None, True),
        ("accept_falls", ["boot_mapping"], True),
        ("source", None, False),
        ("source", "github", False),
        ("target_layer", "platinum", False),
        ("ref", None, True),
        ("force", "yes", False),
    ],
)
def test_the_form_takes_what_it_can_send_and_nothing_else(
    name: str, value: Any, is_valid: bool
) -> None:
    if is_valid:
        assert PARAMS[name].resolve(value) == value
    else:
        with pytest.raises(ParamValidationError):
            PARAMS[name].resolve(value)


def test_a_models_state_waits_for_the_build_alone(dags: dict[str, DAG]) -> None:
    """An ephemeral model has no state while the build is red, and would have hidden a good one."""
    dag = dags["survivor_medallion_pipeline"]
    reports = [task for task in dag.tasks if isinstance(task, ModelReportOperator)]
    assert reports
    for task in reports:
        assert task.trigger_rule == "one_done"
        assert any(
            parent.task_id == "dbt_build" or isinstance(parent, ModelReportOperator)
            for parent in task.upstream_list
        ), task.task_id


def test_the_audit_changes_nothing_and_ends_with_a_verdict(dags: dict[str, DAG]) -> None:
    dag = dags["survivor_release_audit"]
    assert {task.task_id for task in dag.get_task("conclude_audit").upstream_list} >= {
        "dbt_test",
        "audit_with_soda",
        "audit_with_great_expectations",
    }
    assert dag.get_task("conclude_audit").trigger_rule == "all_done"
    assert not [task.task_id for task in dag.tasks if task.outlets]
    assert dag.get_task("dbt_test").base_cmd == ["test"]


def test_what_works_on_a_release_leads_to_its_page(dags: dict[str, DAG]) -> None:
    for dag_id, first in (
        ("survivor_medallion_pipeline", "dbt_build"),
        ("survivor_release_audit", "dbt_test"),
    ):
        for task_id in (first, "audit_with_soda", "audit_with_great_expectations"):
            task = dags[dag_id].get_task(task_id)
            bind_contextvars(release_id=7)
            try:
                links = {
                    link.name: link.get_link(task, ti_key=None)
                    for link in task.operator_extra_links
                }
            finally:
                clear_contextvars()
            assert links.pop("Release") == "gamebot/releases/7"
            docs = {"Data Docs": "gamebot/releases/7/artefacts/great_expectations"}
            assert links == (docs if task_id == "audit_with_great_expectations" else {})


OWNERS = """
import json
from airflow.dag_processing.dagbag import DagBag
print(json.dumps({dag_id: dag.owner_links for dag_id, dag in DagBag("dags").dags.items()}))
"""


@pytest.mark.parametrize("link", ["mailto:night@example.org", None])
def test_the_owner_can_be_reached_where_a_deployment_says_how(link: str | None) -> None:
    settings = {"GAMEBOT_OWNER_LINK": link} if link else {}
    printed = subprocess.run(
        [sys.executable, "-c", OWNERS],
        env={**os.environ, "PYTHONPATH": str(PROJECT), **settings},
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    for links in json.loads(printed.splitlines()[-1]).values():
        assert links == ({"gamebot": link} if link else {})


def test_airflow_folds_what_we_fold() -> None:
    """The page of a log knows these markers and no others."""
    import airflow

    pages = Path(airflow.__file__).parent / "ui" / "dist" / "assets"
    assert any(GROUP in script.read_text("utf-8") for script in pages.glob("index-*.js"))
