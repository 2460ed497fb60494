"""The check files say what the audit, the report and the console rely on."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
import yaml

from include.environments import PROJECT_DIR
from include.ingestion.catalog import load_catalog
from include.quality.soda_audit import (
    AUDITED_LAYERS,
    DeclaredCheck,
    check_files,
    declared_checks,
)
from include.warehouse.schemas import Layer

QUALITY = PROJECT_DIR / "include" / "quality"
FILES = [(layer, path) for layer in AUDITED_LAYERS for path in check_files(layer).values()]


def checks_of(layer: Layer, path: Path) -> list[DeclaredCheck]:
    return list(declared_checks(layer, yaml.safe_load(path.read_text(encoding="utf-8"))))


@pytest.mark.parametrize(("layer", "path"), FILES, ids=lambda value: getattr(value, "stem", value))
def test_a_file_checks_the_table_that_it_is_named_for(layer: Layer, path: Path) -> None:
    """A table that a source lacks is skipped by its file."""
    checks = checks_of(layer, path)
    assert checks
    assert {check.table for check in checks} == {path.stem}


@pytest.mark.parametrize(("layer", "path"), FILES, ids=lambda value: getattr(value, "stem", value))
def test_the_checks_of_other_tables_need_no_table_that_may_be_absent(
    layer: Layer, path: Path
) -> None:
    """Where a dataset is unavailable, only its own checks are skipped."""
    optional = {
        name
        for name, dataset in load_catalog().datasets.items()
        if not dataset.required or "all" in dataset.unavailable_in.values()
    }
    assert optional >= {"advantage_timeline", "tribe_colours"}
    words = set(re.findall(r"\w+", path.read_text(encoding="utf-8")))
    assert not words & (optional - {path.stem})


def test_every_dataset_and_every_silver_model_has_its_checks() -> None:
    assert set(check_files("bronze")) == set(load_catalog().datasets)
    models = PROJECT_DIR / "include" / "dbt" / "models" / "silver"
    assert set(check_files("silver")) == {path.stem for path in models.glob("*.sql")}


def test_a_table_name_means_one_table_whatever_the_layer() -> None:
    """Checks leave the schema out: the search path finds it."""
    assert not set(check_files("bronze")) & set(check_files("silver"))


def test_every_check_has_an_id_of_its_own() -> None:
    ids = [check.check_id for layer, path in FILES for check in checks_of(layer, path)]
    assert len(ids) >= 45
    assert len(ids) == len(set(ids))
    assert all(re.fullmatch(r"(bronze|silver)\.[a-z_]+\.[a-z0-9_]+", name) for name in ids)


def test_most_checks_block_and_some_only_warn() -> None:
    checks = [check for layer, path in FILES for check in checks_of(layer, path)]
    warnings = [check for check in checks if check.severity == "warning"]
    assert 0 < len(warnings) < len(checks) / 5


@pytest.mark.parametrize(
    ("rule", "configuration", "severity"),
    [
        ("row_count > 0", {}, "blocking"),
        ("failed rows", {}, "blocking"),
        ("failed rows", {"warn": "when > 2"}, "warning"),
        ("failed rows", {"warn": "when > 2", "fail": "when > 9"}, "blocking"),
    ],
)
def test_a_check_blocks_unless_it_can_only_warn(
    rule: str, configuration: dict[str, str], severity: str
) -> None:
    document = {"checks for castaways": [{rule: {"name": "all is well", **configuration}}]}
    (check,) = declared_checks("bronze", document)
    assert check.severity == severity
    assert check.check_id == "bronze.castaways.all_is_well"


@pytest.mark.parametrize("path", sorted(QUALITY.glob("*.py")), ids=lambda path: path.stem)
def test_importing_the_audits_costs_nothing(path: Path) -> None:
    """Airflow imports them, and its environment has neither Soda nor Great Expectations."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    imported = [
        (node.module or "") if isinstance(node, ast.ImportFrom) else alias.name
        for node in tree.body
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    ]
    heavy = (
        "soda",
        "great_expectations",
        "ruamel",
        "pandas",
        "airflow",
        "include.quality.expectations",
    )
    assert not [name for name in imported if name.startswith(heavy)]
