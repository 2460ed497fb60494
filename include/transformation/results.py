"""What one dbt build did: a verdict per model for its task, a check result per test."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import zlib
from collections import Counter, defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from include.warehouse.checks import CheckResult, Outcome
from include.warehouse.definitions import Definition
from include.warehouse.schemas import LAYERS, Layer

RELATIONS = ("model", "seed", "snapshot")
NOT_EVALUATED = "not evaluated, because something that it reads failed"
TOLD: dict[Outcome, str] = {
    "passed": "passed",
    "warned": "warned",
    "failed": "failed",
    "error": "could not be evaluated",
}
OUTCOMES: dict[str, Outcome] = {"pass": "passed", "warn": "warned", "fail": "failed"}


class NodeVerdict(BaseModel):
    """How a model or seed came out, its own tests included."""

    model_config = ConfigDict(frozen=True)

    state: Literal["built", "failed", "skipped"]
    seconds: float
    rows: int | None
    errored: bool
    """dbt could not build it, as opposed to a test of it that failed."""
    tests_passed: int
    problems: tuple[str, ...]
    relation: str
    """Where it is, such as `silver_r42.castaway_profile`."""
    reads: tuple[str, ...] = ()
    """The tables and views that it is made from, ephemeral models looked through."""


class BuildResults(BaseModel):
    """The outcome of one dbt build."""

    model_config = ConfigDict(frozen=True)

    nodes: dict[str, NodeVerdict]
    """By dbt's unique id."""
    checks: tuple[CheckResult, ...]
    queries: dict[str, str] = {}
    """The SQL of every test that failed or could not be evaluated, by the test's description."""
    sql: dict[str, str] = {}
    """What dbt ran for each model, and for each of its tests that did not pass, by unique id."""

    @property
    def problems(self) -> list[str]:
        """What keeps the release from being published: unbuilt models, or else blocking tests."""
        return self._unbuilt or self._broken or self._waiting

    @property
    def failures(self) -> list[str]:
        """Every blocking test that does not hold, and every model that could not be built."""
        return [*self._broken, *self._unbuilt] or self._waiting

    @property
    def _unbuilt(self) -> list[str]:
        return [
            f"{unique_id}: {verdict.problems[0]}"
            for unique_id, verdict in self.nodes.items()
            if verdict.errored
        ]

    @property
    def _broken(self) -> list[str]:
        return [c.description for c in self.checks if c.blocks and c.message != NOT_EVALUATED]

    @property
    def _waiting(self) -> list[str]:
        # Sometimes hundreds, which hide why.
        return [c.description for c in self.checks if c.blocks and c.message == NOT_EVALUATED]

    @property
    def summary(self) -> str:
        """What was built and tested, in a line."""
        states = Counter(verdict.state for verdict in self.nodes.values())
        built = ", ".join(f"{count} {state}" for state, count in sorted(states.items()))
        # Hundreds may wait for one model.
        waiting = sum(check.message == NOT_EVALUATED for check in self.checks)
        outcomes = Counter(c.outcome for c in self.checks if c.message != NOT_EVALUATED)
        tested = [f"{count} {TOLD[outcome]}" for outcome, count in sorted(outcomes.items())]
        if waiting:
            tested.append(f"{waiting} {NOT_EVALUATED}")
        parts = [f"{len(self.nodes)} seeds and models: {built}."] if self.nodes else []
        return " ".join([*parts, f"{len(self.checks)} tests: {', '.join(tested) or 'none'}."])

    @property
    def slowest(self) -> list[tuple[str, float]]:
        """The models that took longest, with seconds."""
        seconds = [(name.split(".")[-1], node.seconds) for name, node in self.nodes.items()]
        return sorted(seconds, key=lambda item: -item[1])[:3]

    @property
    def failed_in_tests_only(self) -> bool:
        """Whether tests failed although dbt could build and evaluate whatever it got to."""
        return any(check.outcome == "failed" and check.blocks for check in self.checks) and not any(
            verdict.errored for verdict in self.nodes.values()
        )

    @property
    def succeeded(self) -> bool:
        """Whether every model was built and no blocking test failed."""
        return not self.problems and all(v.state == "built" for v in self.nodes.values())


def read_build_results(target: Path) -> BuildResults:
    """Read `manifest.json` and `run_results.json` from dbt's target folder.

    Raises:
        FileNotFoundError: dbt ended before it had anything to report.
    """
    manifest = json.loads((target / "manifest.json").read_text(encoding="utf-8"))
    run_results = json.loads((target / "run_results.json").read_text(encoding="utf-8"))["results"]
    nodes = {**manifest["nodes"], **manifest["sources"]}
    results = {result["unique_id"]: result for result in run_results}

    checks: dict[str, CheckResult] = {}
    checks_by_node: dict[str, list[CheckResult]] = defaultdict(list)
    for unique_id, result in results.items():
        if nodes[unique_id]["resource_type"] == "test":
            tested = _tested_node(nodes[unique_id])
            check = _check_result(nodes[unique_id], nodes[tested], result)
            checks[unique_id] = check
            checks_by_node[tested].append(check)

    verdicts = {
        unique_id: _verdict(unique_id, nodes, result, checks_by_node[unique_id])
        for unique_id, result in results.items()
        if nodes[unique_id]["resource_type"] in RELATIONS
    }
    queries = {
        check.description: results[unique_id]["compiled_code"].strip()
        for unique_id, check in checks.items()
        if check.outcome != "passed" and results[unique_id].get("compiled_code")
    }
    sql = {
        unique_id: "\n\n".join(
            [
                results[unique_id]["compiled_code"].strip(),
                *(
                    f"-- {check.outcome}: {check.description}\n{queries[check.description]}"
                    for check in checks_by_node[unique_id]
                    if check.description in queries
                ),
            ]
        )
        for unique_id in verdicts
        if results[unique_id].get("compiled_code")
    }
    return BuildResults(nodes=verdicts, checks=tuple(checks.values()), queries=queries, sql=sql)


def packed(sql: Mapping[str, str]) -> str:
    """Make the SQL of all models small enough for XCom: a tenth of what it is."""
    return base64.b64encode(zlib.compress(json.dumps(dict(sql)).encode())).decode()


def unpacked(sql: str) -> dict[str, str]:
    """Return what was packed."""
    unpacked: dict[str, str] = json.loads(zlib.decompress(base64.b64decode(sql)))
    return unpacked


def read_definitions(target: Path, release_id: int) -> tuple[Definition, ...]:
    """Read from the same files what each table of the release was made by and from.

    Raises:
        FileNotFoundError: dbt ended before it had anything to report.
    """
    manifest = json.loads((target / "manifest.json").read_text(encoding="utf-8"))
    run_results = json.loads((target / "run_results.json").read_text(encoding="utf-8"))["results"]
    nodes = {**manifest["nodes"], **manifest["sources"]}
    suffix = re.compile(rf"_r{release_id}\b")
    return tuple(
        Definition(
            layer=suffix.sub("", node["schema"]),
            table_name=node.get("alias") or node["name"],
            fingerprint=_definition_fingerprint(
                node, suffix.sub("_rN", result.get("compiled_code") or "")
            ),
            reads=tuple(sorted(suffix.sub("", read) for read in _reads(node["unique_id"], nodes))),
            rows=_rows(result),
        )
        for result in run_results
        if (node := nodes.get(result["unique_id"])) and node["resource_type"] in RELATIONS
    )


def _definition_fingerprint(node: dict[str, Any], code: str) -> str:
    """Hash what decides the content, and nothing that differs between releases or databases."""
    types = {name: column.get("data_type") for name, column in node["columns"].items()}
    decisive = [
        node["checksum"]["checksum"] if node["resource_type"] == "seed" else None,
        code.replace(f'"{node["database"]}".', ""),
        types,
        node["config"].get("column_types"),
    ]
    return hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()[:16]


def _tested_node(test: dict[str, Any]) -> str:
    """The model, seed or source that a test is about.

    A generic test is attached to one; a singular test is about the last node that it reads, as a
    relationship test is about its child and not about the parent.
    """
    return test.get("attached_node") or test["depends_on"]["nodes"][-1]


def _check_result(
    test: dict[str, Any], tested: dict[str, Any], result: dict[str, Any]
) -> CheckResult:
    outcome = OUTCOMES.get(result["status"], "error")
    message = NOT_EVALUATED if result["status"] == "skipped" else result["message"]
    return CheckResult(
        tool="dbt",
        check_id=test["unique_id"].split(".", 2)[2],
        layer=_layer(tested),
        table_name=tested["name"],
        column_name=test.get("column_name"),
        description=test.get("description") or test["name"].replace("_", " "),
        severity="warning"
        if test["config"].get("severity", "error").lower() == "warn"
        else "blocking",
        outcome=outcome,
        observed={} if result["failures"] is None else {"failures": result["failures"]},
        message=None if outcome == "passed" else message,
    )


def _layer(node: dict[str, Any]) -> Layer:
    """Sources are bronze; a seed is checked for the sake of silver."""
    if node["resource_type"] == "source":
        return "bronze"
    return next((layer for layer in LAYERS if layer in node["fqn"]), "silver")


def _relation(node: dict[str, Any]) -> str:
    return f"{node['schema']}.{node.get('identifier') or node.get('alias') or node['name']}"


def _reads(unique_id: str, nodes: dict[str, Any]) -> set[str]:
    read = set()
    for parent in nodes[unique_id].get("depends_on", {}).get("nodes", []):
        if nodes[parent].get("config", {}).get("materialized") == "ephemeral":
            read |= _reads(parent, nodes)
        else:
            read.add(_relation(nodes[parent]))
    return read


def _verdict(
    unique_id: str, nodes: dict[str, Any], result: dict[str, Any], checks: list[CheckResult]
) -> NodeVerdict:
    errored = result["status"] == "error"
    evaluated = [check for check in checks if check.message != NOT_EVALUATED]
    problems = [
        f"{check.outcome}: {check.description}" + (f" ({check.message})" if check.message else "")
        for check in evaluated
        if check.outcome != "passed"
    ]
    if errored:
        problems.insert(0, str(result["message"]))
    state: Literal["built", "failed", "skipped"] = "built"
    if errored or any(check.blocks for check in evaluated):
        state = "failed"
    elif result["status"] == "skipped":
        state = "skipped"
    return NodeVerdict(
        state=state,
        seconds=round(result["execution_time"], 3),
        rows=_rows(result),
        errored=errored,
        tests_passed=sum(check.outcome == "passed" for check in checks),
        problems=tuple(problems),
        relation=_relation(nodes[unique_id]),
        reads=tuple(sorted(_reads(unique_id, nodes))),
    )


def _rows(result: dict[str, Any]) -> int | None:
    rows: int | None = result["adapter_response"].get("rows_affected")
    # A view has none of its own, for which dbt says -1.
    return None if rows == -1 else rows
