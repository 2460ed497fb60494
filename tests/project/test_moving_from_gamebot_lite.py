"""The page for people who come from gamebot-lite names every column there and here, no other."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml

from include.ingestion.sources import (
    SourceRequest,
    SourceUnavailable,
    fetch,
    resolve_source,
    snapshot,
)
from scripts.moving_from_gamebot_lite import DOCUMENT, contradictions, load_verdicts
from scripts.moving_from_gamebot_lite import Comparison as Found
from scripts.queries_of_gamebot_lite import load_documentation, render_documentation

SECTION = re.compile(r"^## (silver|gold)\.(\w+)$", re.MULTILINE)
VERDICT = re.compile(r"^\| `(\w+)` \| (?:repaired|dropped|renamed `(\w+)`) \|", re.MULTILINE)


class Section(NamedTuple):
    """What the page says of one table."""

    layer: str
    there: set[str]
    here: set[str]


def listed(text: str, word: str) -> set[str]:
    found = re.search(rf"^{word}: (.*)\.$", text, re.MULTILINE)
    return set(re.findall(r"`(\w+)`", found[1])) if found else set()


@pytest.fixture(scope="module")
def page() -> dict[str, Section]:
    """The page's sections by table."""
    _, *parts = SECTION.split(DOCUMENT.read_text(encoding="utf-8").partition("\n## New tables")[0])
    sections = {}
    for layer, table, text in zip(parts[::3], parts[1::3], parts[2::3], strict=True):
        same = listed(text, "Same")
        judged = {match[1]: match[2] or match[1] for match in VERDICT.finditer(text)}
        dropped = set(re.findall(r"^\| `(\w+)` \| dropped", text, re.MULTILINE))
        kept = {here for there, here in judged.items() if there not in dropped}
        here = same | kept | listed(text, "New")
        sections[table] = Section(layer, same | judged.keys(), here)
    return sections


@pytest.fixture(scope="module")
def contracts(project: Path) -> dict[str, tuple[str, set[str]]]:
    """Layer and columns of our published models."""
    found = {}
    for layer in ("silver", "gold"):
        for file in (project / "include/dbt/models" / layer).glob("*.yml"):
            for model in yaml.safe_load(file.read_text()).get("models", []):
                columns = {column["name"] for column in model["columns"]}
                found[model["name"]] = (layer, columns)
    return found


def test_the_page_says_what_the_verdicts_say(page: dict[str, Section]) -> None:
    """A verdict that was changed without make moving leaves the page behind."""
    verdicts = load_verdicts()
    assert {table: section.there for table, section in page.items()} == {
        table: verdict.columns for table, verdict in verdicts.items()
    }


def test_the_page_names_every_column_of_ours(
    page: dict[str, Section], contracts: dict[str, tuple[str, set[str]]]
) -> None:
    """A column that is renamed or added here needs make moving."""
    assert {table: (section.layer, section.here) for table, section in page.items()} == {
        table: contracts[table] for table in page
    }
    new_tables = DOCUMENT.read_text(encoding="utf-8").partition("\n## New tables")[2]
    new_tables = new_tables.partition("\n## ")[0]
    assert set(re.findall(r"`\w+\.(\w+)`", new_tables)) == contracts.keys() - page.keys()


def test_a_verdict_that_the_rows_contradict_is_refused() -> None:
    """Else the page would promise equal values that are not, or name defects that never were."""
    verdict = load_verdicts()["castaway_profile"]
    counts = dict.fromkeys(verdict.kept, 0)
    found = Found(
        layer="silver", rows_there=1, rows_here=1, without_match_there=0, sharing_a_match=0,
        without_match_here=0, changed=counts | {"age": 1}, new=[],
    )  # fmt: skip
    assert list(contradictions("castaway_profile", verdict, found)) == [
        "castaway_profile.age is said to be the same, but 1 rows differ",
        "castaway_profile.occupation is said to be repaired, but no row differs",
    ]


@pytest.fixture(scope="module")
def lite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the package is installed in."""
    pytest.importorskip("uv")
    folder = tmp_path_factory.mktemp("lite")
    try:
        fetch(resolve_source(SourceRequest(source="snapshot")), [], folder, lambda line: None)
    except SourceUnavailable as error:
        pytest.skip(str(error))
    return folder


def test_the_page_tells_what_to_change_in_the_code_of_its_documentation() -> None:
    assert DOCUMENT.read_text(encoding="utf-8").endswith(render_documentation(load_documentation()))


@pytest.mark.registry
def test_the_code_that_is_changed_is_that_of_its_documentation(lite: Path) -> None:
    """What nobody has written needs no change, and what somebody has written needs one."""
    [metadata] = lite.glob("gamebot_lite-*.dist-info/METADATA")
    text = " ".join(metadata.read_text(encoding="utf-8").split())
    documentation = load_documentation()
    for query in documentation.queries:
        assert " ".join(query.there.split()) in text
    assert text.count("duckdb_query(") == len(documentation.queries)
    told = {call.there for call in documentation.functions}
    assert set(re.findall(r'load_table\("\w+"\)', text)) <= told


@pytest.mark.registry
def test_every_column_of_the_package_has_a_verdict(lite: Path) -> None:
    """Another version of the package may bring columns that nobody has judged."""
    verdicts = load_verdicts()
    with closing(sqlite3.connect(lite / snapshot.DATABASE)) as package:
        columns_of = "select name from pragma_table_info(?)"
        tables = {
            table: {column for (column,) in package.execute(columns_of, (table,))}
            for (table,) in package.execute("select name from sqlite_master where type = 'table'")
        }
    transformed = {
        # Bronze has the number of the run that loaded it, or says of runs itself.
        table: columns
        for table, columns in tables.items()
        if not columns & {"ingest_run_id", "run_id", "dataset_name"}
    }
    assert transformed == {table: verdict.columns for table, verdict in verdicts.items()}
