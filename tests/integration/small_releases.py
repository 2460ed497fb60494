"""Releases of one table per layer, for tests of what happens to releases and not to data."""

from __future__ import annotations

from typing import Any

import psycopg

from include.ingestion.sources import ResolvedSource
from include.warehouse import schemas
from include.warehouse.checks import CheckResult, record_check_results
from include.warehouse.connection import ConnectionSettings
from include.warehouse.releases import open_release

AUDITED = [
    ("soda", "bronze"),
    ("soda", "silver"),
    ("dbt", "silver"),
    ("dbt", "gold"),
    ("great_expectations", "gold"),
]


def start(
    owner: psycopg.Connection, target_layer: schemas.Layer = "gold", *, is_replay: bool = False
) -> int:
    return open_release(
        owner,
        ResolvedSource(kind="directory", version="v1", location="a test", fingerprint="v1"),
        code_fingerprint="code",
        target_layer=target_layer,
        triggered_by="a test",
        is_replay=is_replay,
    )


def check(tool: Any, layer: Any, **changes: Any) -> CheckResult:
    values: dict[str, Any] = {
        "tool": tool,
        "check_id": f"{layer}.holds",
        "layer": layer,
        "table_name": "things",
        "description": "things are in order",
        "severity": "blocking",
        "outcome": "passed",
    }
    return CheckResult(**{**values, **changes})


def build_release(
    warehouse: ConnectionSettings,
    owner: psycopg.Connection,
    gold: str = "1 as answer",
    target_layer: schemas.Layer = "gold",
    results: list[CheckResult] | None = None,
    *,
    is_replay: bool = False,
) -> int:
    """Build a release of one table per layer, audited unless told otherwise."""
    release = start(owner, target_layer, is_replay=is_replay)
    with warehouse.connect(role=schemas.LOADER) as loader:
        loader.execute(f"create table bronze_r{release}.things as select {release} as release")  # type: ignore[arg-type]
    with warehouse.connect(role=schemas.TRANSFORMER) as transformer:
        transformer.execute(
            f"create table silver_r{release}.things as select * from bronze_r{release}.things"  # type: ignore[arg-type]
        )
        transformer.execute(f"create table gold_r{release}.features as select {gold}")  # type: ignore[arg-type]
    if results is None:
        results = [check(tool, layer) for tool, layer in AUDITED]
    with warehouse.connect(role=schemas.AUDITOR) as auditor:
        for tool in {result.tool for result in results}:
            record_check_results(
                auditor, release, tool, [one for one in results if one.tool == tool]
            )
    return release
