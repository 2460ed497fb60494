"""The rules for upstream's data: each is tested and documented, each exception is one of them."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from include.environments import PROJECT_DIR
from include.quality.soda_audit import AUDITED_LAYERS, check_files, declared_checks

DBT = PROJECT_DIR / "include" / "dbt"
PAGE = PROJECT_DIR / "docs" / "upstream-invariants.md"
LEDGER_TESTS = DBT / "tests" / "ledger"


@pytest.fixture(scope="module")
def known_exceptions() -> list[dict[str, str]]:
    with (DBT / "seeds" / "silver" / "known_exceptions.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def data_tests() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Every dbt test that stands in a file of properties: where, its kind and what it is given."""
    for path in (DBT / "models").rglob("*.yml"):
        for model in yaml.safe_load(path.read_text(encoding="utf-8")).get("models", []):
            places = [(model["name"], model.get("data_tests", []))]
            places += [
                (f"{model['name']}.{column['name']}", column.get("data_tests", []))
                for column in model.get("columns", [])
            ]
            for place, tests in places:
                for test in tests:
                    ((kind, given),) = test.items() if isinstance(test, dict) else [(test, {})]
                    yield place, kind, given


def rules_of_the_models() -> set[str]:
    """Each has the name of its rule."""
    named = {
        (given["name"], given["arguments"]["rule"])
        for _, kind, given in data_tests()
        if kind == "only_known_exceptions"
    }
    assert all(name == rule for name, rule in named)
    return {name for name, _ in named}


def rules_under_test() -> set[str]:
    return {
        given["arguments"]["rule"]
        for _, _, given in data_tests()
        if "rule" in given.get("arguments", {})
    }


def test_every_rule_of_the_models_is_tested_and_every_tested_rule_exists() -> None:
    """A rule that no test reads finds exceptions that nobody hears of."""
    text = "".join(p.read_text() for p in (DBT / "models" / "rules" / "helpers").glob("*.sql"))
    assert rules_of_the_models() == set(re.findall(r"'(\w+)' as rule\b", text))


def test_every_known_exception_is_one_of_a_rule(known_exceptions: list[dict[str, str]]) -> None:
    """A misspelled rule excuses nothing, and looks as if it did."""
    assert {row["rule"] for row in known_exceptions} <= rules_under_test()


def test_known_exceptions_read_well_in_a_diff(known_exceptions: list[dict[str, str]]) -> None:
    """Sorted, so that a rule's exceptions stand together; each with a reason."""
    keys = [(row["rule"], row["row_key"]) for row in known_exceptions]
    assert keys == sorted(keys)
    assert all(len(row["reason"]) > 10 for row in known_exceptions)


def test_the_page_of_rules_names_tests_that_exist() -> None:
    """The page says what is covered; a check that is renamed or dropped leaves a mere promise."""
    existing = {path.stem for path in (DBT / "tests").rglob("*.sql")}
    for place, kind, given in data_tests():
        existing |= {str(given.get("name", kind))}
        if kind in ("accepted_values", "relationships"):
            existing.add(place)
    for layer in AUDITED_LAYERS:
        for path in check_files(layer).values():
            checks = declared_checks(layer, yaml.safe_load(path.read_text(encoding="utf-8")))
            existing |= {f"{check.table}: {check.name}" for check in checks}
    named = {name for row in tables() for name in row.names}
    assert len(named) > 80
    assert sorted(named - existing) == []


def test_the_page_of_rules_lists_every_rule_with_its_exceptions(
    known_exceptions: list[dict[str, str]],
) -> None:
    """The number of exceptions is that of the seed, so that a new one is seen here too."""
    counts = Counter(row["rule"] for row in known_exceptions if not row["last_seen"])
    page = list(tables())
    for row in page:
        if row.exceptions is not None:
            assert row.exceptions == sum(counts[name] for name in row.names), row.names
    assert rules_of_the_models() <= {name for row in page for name in row.names}


class Row:
    """A row of one of the page's tables: what it names as its cover, and how many exceptions."""

    def __init__(self, cells: list[str], headings: list[str]) -> None:
        covered = cells[headings.index("covered by")]
        self.names = [
            name for name in re.findall(r"`([^`]+)`", covered) if not name.endswith(".yml")
        ]
        count = cells[headings.index("exceptions")] if "exceptions" in headings else ""
        self.exceptions = int(count) if count else None


def tables() -> Iterator[Row]:
    headings: list[str] = []
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        if not line.startswith("|"):
            headings = []
            continue
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if not headings:
            headings = cells
        elif "covered by" in headings and not set(line) <= set("|-"):
            yield Row(cells, headings)


@pytest.mark.parametrize("layer", ["silver", "gold"])
def test_the_ledger_counts_every_table_that_readers_see(layer: str) -> None:
    """A model that is missing in the test's list could lose rows without a word."""
    counted = re.findall(
        r"ref\('(\w+)'\)",
        (LEDGER_TESTS / f"{layer}_rows_per_season_are_those_of_the_ledger.sql").read_text(),
    )
    models = sorted(path.stem for path in (DBT / "models" / layer).glob("*.sql"))
    assert counted == models


def test_the_ledger_is_sorted() -> None:
    """By table and season, so that a refresh shows what changed and nothing else."""
    from include.local.ledger import read_ledger

    ledger = read_ledger()
    assert ledger == sorted(ledger)
    tables = {table for table, _, _ in ledger}
    for layer in ("silver", "gold"):
        models = {f"{layer}.{path.stem}" for path in (DBT / "models" / layer).glob("*.sql")}
        assert {table for table in tables if table.startswith(layer)} == models


def test_sources_say_which_tables_have_seasons() -> None:
    """The ledger's test of bronze reads it there; a dataset without it would not be counted."""
    from include.ingestion.catalog import load_catalog

    sources = yaml.safe_load((DBT / "models" / "sources.yml").read_text(encoding="utf-8"))
    tables = sources["sources"][0]["tables"]
    declared = {
        table["name"]
        for table in tables
        if "version_season" in {column["name"] for column in table["columns"]}
    }
    assert declared == {
        name
        for name, dataset in load_catalog().datasets.items()
        if "version_season" in dataset.columns
    }


def test_the_page_of_audits_is_the_list_of_damages() -> None:
    """What it promises is what has been tried."""
    from tests.integration.damages.damages import as_markdown

    page = (PROJECT_DIR / "docs" / "audits.md").read_text(encoding="utf-8")
    tables = page[page.index("## ") :]
    assert tables == as_markdown(), f"docs/audits.md is to end like this:\n{as_markdown()}"
