"""A model's task tells the truth about that model, and about no other."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from include.transformation.results import (
    BuildResults,
    packed,
    read_build_results,
    read_definitions,
    unpacked,
)
from include.warehouse.definitions import Definition

CHILD, PARENT, SEED, SOURCE = (
    "model.survivor.votes",
    "model.survivor.people",
    "seed.survivor.repairs",
    "source.survivor.bronze.castaways",
)
REFERENCE_TEST = "test.survivor.votes_refer_to_people.abc"
PARENT_TEST = "test.survivor.people_are_told_apart.def"
SINGULAR_TEST = "test.survivor.one_winner"


def node(kind: str, name: str, folder: str) -> dict[str, Any]:
    return {
        "resource_type": kind,
        "name": name,
        "schema": f"{folder}_r7",
        "fqn": ["survivor", folder, name],
    }


MANIFEST = {
    "nodes": {
        CHILD: node("model", "votes", "gold"),
        PARENT: node("model", "people", "silver"),
        SEED: node("seed", "repairs", "reference"),
        REFERENCE_TEST: {
            **node("test", "votes_refer_to_people", "gold"),
            "unique_id": REFERENCE_TEST,
            "attached_node": CHILD,
            "column_name": "person_id",
            "description": "every voter is a person",
            "config": {"severity": "ERROR"},
            "depends_on": {"nodes": [PARENT, CHILD]},
        },
        PARENT_TEST: {
            **node("test", "people_are_told_apart", "silver"),
            "unique_id": PARENT_TEST,
            "attached_node": PARENT,
            "config": {},
            "depends_on": {"nodes": [PARENT]},
        },
        SINGULAR_TEST: {
            **node("test", "one_winner", "silver"),
            "unique_id": SINGULAR_TEST,
            "config": {"severity": "warn"},
            "depends_on": {"nodes": [PARENT]},
        },
    },
    "sources": {SOURCE: node("source", "castaways", "bronze")},
}


def result(
    unique_id: str, status: str, message: str | None = None, failures: int | None = None
) -> dict[str, Any]:
    return {
        "unique_id": unique_id,
        "status": status,
        "message": message,
        "failures": failures,
        "execution_time": 0.25,
        "adapter_response": {"rows_affected": 7} if status == "success" else {},
    }


@pytest.fixture
def read(tmp_path: Path) -> Any:
    def read(**changes: dict[str, Any]) -> BuildResults:
        results = {
            SEED: result(SEED, "success"),
            PARENT: result(PARENT, "success"),
            PARENT_TEST: result(PARENT_TEST, "pass", failures=0),
            CHILD: result(CHILD, "success"),
            REFERENCE_TEST: result(REFERENCE_TEST, "pass", failures=0),
            SINGULAR_TEST: result(SINGULAR_TEST, "pass", failures=0),
        }
        results.update({one["unique_id"]: one for one in changes.values()})
        (tmp_path / "manifest.json").write_text(json.dumps(MANIFEST))
        (tmp_path / "run_results.json").write_text(json.dumps({"results": list(results.values())}))
        return read_build_results(tmp_path)

    return read


def test_a_good_build_is_built_everywhere(read: Any) -> None:
    results = read()
    assert results.succeeded
    assert {verdict.state for verdict in results.nodes.values()} == {"built"}
    assert results.nodes[CHILD].rows == 7
    assert results.nodes[PARENT].tests_passed == 2
    assert {check.outcome for check in results.checks} == {"passed"}


def test_a_failed_reference_is_the_childs_failure_and_not_the_parents(read: Any) -> None:
    """Tests that read two models were shown as failures of both of them."""
    results = read(changed=result(REFERENCE_TEST, "fail", "Got 3 results", 3))
    assert results.nodes[CHILD].state == "failed"
    assert results.nodes[CHILD].problems == ("failed: every voter is a person (Got 3 results)",)
    assert results.nodes[PARENT].state == "built"
    assert not results.succeeded
    assert results.failed_in_tests_only
    assert results.problems == ["every voter is a person"]


def test_a_warning_is_reported_and_blocks_nothing(read: Any) -> None:
    results = read(changed=result(SINGULAR_TEST, "warn", "Got 1 result", 1))
    check = next(check for check in results.checks if check.check_id == "one_winner")
    assert (check.severity, check.outcome, check.blocks) == ("warning", "warned", False)
    assert check.observed == {"failures": 1}
    assert results.nodes[PARENT].state == "built"
    assert results.succeeded


def test_a_model_that_broke_may_be_tried_again_and_its_children_were_skipped(read: Any) -> None:
    results = read(
        parent=result(PARENT, "error", "connection lost"),
        child=result(CHILD, "skipped"),
        test=result(REFERENCE_TEST, "skipped"),
        own=result(PARENT_TEST, "skipped"),
        one=result(SINGULAR_TEST, "skipped"),
    )
    assert results.nodes[PARENT].state == "failed"
    assert results.nodes[CHILD].state == "skipped"
    assert not results.failed_in_tests_only
    assert results.problems == [f"{PARENT}: connection lost"]
    skipped = next(check for check in results.checks if check.column_name == "person_id")
    assert skipped.outcome == "error" and skipped.blocks


def test_a_failed_test_fails_its_model_and_keeps_others_from_being_built(read: Any) -> None:
    results = read(
        own=result(PARENT_TEST, "fail", "Got 1 result", 1),
        child=result(CHILD, "skipped"),
        test=result(REFERENCE_TEST, "skipped"),
    )
    assert results.nodes[PARENT].state == "failed"
    assert results.nodes[CHILD].state == "skipped"
    assert not results.succeeded
    assert results.failed_in_tests_only
    # Six tests had failed; the message named 380 that were not evaluated because of them.
    assert results.problems == ["people are told apart"]


@pytest.mark.parametrize(
    ("unique_id", "layer"), [(REFERENCE_TEST, "gold"), (SINGULAR_TEST, "silver")]
)
def test_checks_are_filed_under_the_layer_of_what_they_test(
    read: Any, unique_id: str, layer: str
) -> None:
    check_id = unique_id.split(".", 2)[2]
    assert next(c for c in read().checks if c.check_id == check_id).layer == layer


def test_a_model_is_made_from_tables_and_not_from_the_models_that_are_none(tmp_path: Path) -> None:
    """An ephemeral model is text in the query of another: in lineage it would lead nowhere."""
    helper = "model.survivor.helper"
    manifest = json.loads(json.dumps(MANIFEST))
    nodes = manifest["nodes"]
    nodes[helper] = {
        **node("model", "helper", "gold"),
        "config": {"materialized": "ephemeral"},
        "depends_on": {"nodes": [SOURCE]},
    }
    nodes[CHILD]["depends_on"] = {"nodes": [PARENT, helper]}
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    (tmp_path / "run_results.json").write_text(json.dumps({"results": [result(CHILD, "success")]}))
    verdict = read_build_results(tmp_path).nodes[CHILD]
    assert verdict.relation == "gold_r7.votes"
    assert verdict.reads == ("bronze_r7.castaways", "silver_r7.people")


def test_the_query_of_a_failed_test_is_kept_for_the_log(read: Any) -> None:
    failed = {**result(SINGULAR_TEST, "fail", "Got 1 result", 1), "compiled_code": "\nselect 1"}
    passed = {**result(REFERENCE_TEST, "pass", failures=0), "compiled_code": "select 2"}
    assert read(failed=failed, passed=passed).queries == {"one winner": "select 1"}


@pytest.fixture
def define(tmp_path: Path) -> Any:
    """Reads the definitions of a release whose model is compiled from a seed and a source."""

    def define(release: int, changes: dict[str, Any] | None = None) -> dict[str, Definition]:
        changed = {
            "code": 'select vote::integer from "warehouse"."bronze_r{r}"."castaways"',
            "type": "integer",
            "seed": "a hash",
            "database": "warehouse",
        } | (changes or {})
        nodes: dict[str, dict[str, Any]] = {
            CHILD: {
                "columns": {"vote": {"data_type": changed["type"], "description": "any"}},
                "depends_on": {"nodes": [SEED, SOURCE]},
            },
            SEED: {"columns": {}, "checksum": {"name": "sha256", "checksum": changed["seed"]}},
        }
        manifest = json.loads(json.dumps(MANIFEST).replace("_r7", f"_r{release}"))
        for unique_id, more in nodes.items():
            manifest["nodes"][unique_id] |= more | {
                "unique_id": unique_id,
                "database": changed["database"],
                "config": {},
            }
        code = changed["code"].format(r=release).replace("warehouse", changed["database"])
        results = [
            {
                "unique_id": CHILD,
                "status": "success",
                "compiled_code": code,
                "adapter_response": {"_message": "INSERT 0 870", "rows_affected": 870},
            },
            # As of a view.
            {
                "unique_id": SEED,
                "status": "success",
                "compiled_code": None,
                "adapter_response": {"rows_affected": -1},
            },
            {"unique_id": SINGULAR_TEST, "status": "pass", "compiled_code": "select 1"},
        ]
        (tmp_path / "manifest.json").write_text(json.dumps(manifest))
        (tmp_path / "run_results.json").write_text(json.dumps({"results": results}))
        return {one.name: one for one in read_definitions(tmp_path, release)}

    return define


def test_a_definition_is_the_same_in_every_release_and_database(define: Any) -> None:
    """Else every table of every release would be one that we had defined otherwise."""
    definitions = define(7)
    assert definitions == define(42) == define(7, {"database": "warehouse_of_staging"})
    assert definitions["gold.votes"].reads == ("bronze.castaways", "reference.repairs")
    assert {name: one.rows for name, one in definitions.items()} == {
        "gold.votes": 870,
        "reference.repairs": None,
    }


@pytest.mark.parametrize(
    ("change", "redefined"),
    [
        ({"code": "select 2"}, {"gold.votes"}),
        ({"type": "text"}, {"gold.votes"}),
        ({"seed": "another"}, {"reference.repairs"}),
    ],
)
def test_what_decides_the_content_makes_another_definition(
    define: Any, change: dict[str, str], redefined: set[str]
) -> None:
    before, after = define(7), define(7, change)
    assert {name for name in before if before[name] != after[name]} == redefined


def test_the_sql_of_all_models_survives_its_packing() -> None:
    sql = {CHILD: "select 'ü' from votes\n" * 200, PARENT: "select 1"}
    assert unpacked(packed(sql)) == sql
    assert len(packed(sql)) < len(sql[CHILD]) / 10


def test_a_models_sql_brings_that_of_its_tests_that_did_not_pass(read: Any) -> None:
    model = {**result(CHILD, "success"), "compiled_code": "select * from silver_r7.people\n"}
    failed = {**result(REFERENCE_TEST, "fail", "Got 3 results", 3), "compiled_code": "select 3"}
    assert read(model=model, failed=failed).sql == {
        CHILD: "select * from silver_r7.people\n\n-- failed: every voter is a person\nselect 3"
    }


def test_a_build_is_told_in_a_line_and_what_only_waited_is_counted_apart(read: Any) -> None:
    assert read().summary == "3 seeds and models: 3 built. 3 tests: 3 passed."
    broken = read(
        parent=result(PARENT, "error", "connection lost"),
        one=result(SINGULAR_TEST, "warn", "Got 1 result", 1),
        child=result(CHILD, "skipped"),
        test=result(REFERENCE_TEST, "skipped"),
        own=result(PARENT_TEST, "fail", "Got 1 result", 1),
    )
    assert broken.summary == (
        "3 seeds and models: 1 built, 1 failed, 1 skipped. 3 tests: 1 failed, 1 warned, 1 not "
        "evaluated, because something that it reads failed."
    )
    assert broken.failures == ["people are told apart", f"{PARENT}: connection lost"]
