"""Every correction of upstream is a row of upstream_repairs, applied where the row says."""

from __future__ import annotations

import csv
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

PROJECT = Path(__file__).resolve().parents[2]
DBT = PROJECT / "include" / "dbt"
SEED = DBT / "seeds" / "silver" / "upstream_repairs.csv"
CALL = re.compile(r"repaired\(\s*'(?P<dataset>\w+)',\s*(?:'(?P<column>\w+)'|(?P<variable>\w+))")


@pytest.fixture(scope="module")
def repairs() -> list[dict[str, str]]:
    with SEED.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_every_repair_is_applied_by_the_model_that_it_names(repairs: list[dict[str, str]]) -> None:
    """A row whose column no model asks for would correct nothing and say that it does."""
    models = {path.stem: path.read_text("utf-8") for path in DBT.glob("models/**/*.sql")}
    asked = {
        (name, call["dataset"], call["column"] or any_column)
        for name, text in models.items()
        for call in CALL.finditer(text)
        # A loop over columns names them in the model.
        for any_column in re.findall(r"'(\w+)'", text)
    }
    applied = {
        (repair["applied_by"], repair["dataset"], repair["column_name"])
        for repair in repairs
        if repair["applied_by"]
    }
    assert applied <= asked


def test_every_dataset_with_repairs_says_how_rows_are_named(repairs: list[dict[str, str]]) -> None:
    project = yaml.safe_load((DBT / "dbt_project.yml").read_text("utf-8"))
    assert {repair["dataset"] for repair in repairs} <= project["vars"]["row_keys"].keys()


def test_the_commits_of_every_repair_are_those_that_hold_its_value(
    survivor_snapshots: Path,
) -> None:
    """A typing error in a key or value repairs nothing. `make repairs` mends the dates."""
    check = [sys.executable, "scripts/date_repairs.py", "--check", str(survivor_snapshots)]
    outcome = subprocess.run(check, cwd=PROJECT, capture_output=True, text=True)
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr
