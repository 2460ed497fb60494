"""What every model has to say of itself: key, types, meaning."""

from __future__ import annotations

import fnmatch
import json
import re
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from include.environments import MissingEnvironment
from include.transformation.manifest import DBT_PROJECT_DIR, manifest_path

Node = dict[str, Any]

# What differs between two builds of the same data.
UNSTABLE = re.compile(
    r"\b(current_(date|time|timestamp)|local(time|timestamp)|now\(|clock_timestamp|random\(|"
    r"gen_random_uuid|setseed|invocation_id|run_started_at)",
    re.IGNORECASE,
)
# Rules that somebody got wrong once, or would, each with the unit test that tells its story.
UNIT_TESTS = {
    "a boot vote with two rounds": "a_boot_vote_counts_once_over_its_rounds",
    "an extra vote": "copied_rows_count_once_and_extra_votes_twice",
    "a lost vote, a shot in the dark": "what_costs_a_vote_and_what_does_not",
    "an idol against the plurality": "an_idol_turns_the_plurality_to_nothing",
    "a rock draw": "nobody_is_right_about_a_rock",
    "a joint council, a split vote": "two_tribes_at_a_joint_council_vote_together",
    "two councils in an episode": "alignment_stays_inside_a_round_of_a_boot_vote",
    "a return from the Edge": "going_to_the_edge_and_coming_back",
    "winners who sat out": "sitting_out_known_and_unknown",
    "mixed challenges": "formats_phases_and_odds",
    "prizes for a team and for a person": "wins_by_kind_of_prize",
    "a beware advantage": "a_beware_advantage_is_obtained_once",
    "nothing to divide by": "averages_over_known_stages_in_the_game",
    "unknown, not false": "unknown_and_nonbinary_members",
    "not yet, not false": "outcomes_stay_unknown_while_a_season_runs",
    "two seasons of a person": "each_season_of_a_person_is_a_row_of_its_own",
}
LINK = re.compile(r"docs/definitions\.md#([\w-]*)")


@pytest.fixture(scope="module")
def manifest() -> dict[str, Any]:
    """What dbt knows of the project."""
    try:
        return json.loads(manifest_path().read_text())
    except MissingEnvironment as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def models(manifest: dict[str, Any]) -> list[Node]:
    """All models."""
    return [node for node in manifest["nodes"].values() if node["resource_type"] == "model"]


@pytest.fixture(scope="module")
def relations(models: list[Node]) -> list[Node]:
    """The models that are in the warehouse: tables and views."""
    return [model for model in models if model["config"]["materialized"] != "ephemeral"]


@pytest.fixture(scope="module")
def decided_in(project: Path) -> dict[str, set[str]]:
    """The sections of docs/definitions.md by the columns, or patterns of them, that they decide."""
    sections: dict[str, set[str]] = defaultdict(set)
    section = ""
    text = (project / "docs" / "definitions.md").read_text()
    for entry in re.finditer(r"^## (.+)$|^- \*\*[^*]+\*\*\s+\(([^)]*)\)", text, re.MULTILINE):
        if entry[1]:
            section = re.sub(r"[^\w -]", "", entry[1].lower()).replace(" ", "-")
        else:
            for column in re.findall(r"`([^`]+)`", entry[2]):
                sections[column].add(section)
    return sections


def test_every_column_is_described(manifest: dict[str, Any], relations: list[Node]) -> None:
    """Seeds too: a reader of the warehouse has nothing else to go by."""
    seeds = [node for node in manifest["nodes"].values() if node["resource_type"] == "seed"]
    assert seeds and relations
    undescribed = [
        f"{node['name']}.{column['name']}"
        for node in [*relations, *seeds]
        for column in node["columns"].values()
        if not column["description"].strip()
    ]
    assert undescribed == []
    for seed in seeds:
        header = (DBT_PROJECT_DIR / seed["original_file_path"]).read_text().splitlines()[0]
        assert list(seed["columns"]) == header.split(","), seed["name"]


def test_every_model_stands_beside_its_description(models: list[Node]) -> None:
    for model in models:
        sql = Path(model["original_file_path"])
        assert model["patch_path"] == f"survivor://{sql.with_suffix('.yml')}", model["name"]
        assert model["description"].strip(), model["name"]


def test_every_relation_has_a_contract(relations: list[Node]) -> None:
    """With it a column that changes its type, or is not described, fails the build."""
    assert [it["name"] for it in relations if not it["config"]["contract"]["enforced"]] == []


def test_every_table_has_a_natural_primary_key(relations: list[Node]) -> None:
    """Three silver tables had keys that repeat; two rows of one key multiply in every join."""
    for table in relations:
        if table["config"]["materialized"] == "table":
            keys = [it["columns"] for it in table["constraints"] if it["type"] == "primary_key"]
            assert len(keys) == 1, table["name"]
            assert f"{table['name']}_key" not in keys[0], table["name"]


def test_every_table_for_readers_is_tested_for_its_hash_and_for_empty_columns(
    manifest: dict[str, Any], relations: list[Node]
) -> None:
    tested = {
        (test["attached_node"], test["test_metadata"]["name"])
        for test in manifest["nodes"].values()
        if test["resource_type"] == "test" and test.get("test_metadata")
    }
    for table in relations:
        config = table["config"]
        if config["materialized"] == "table" and config["schema"] in ("silver", "gold"):
            for test in ("unique", "no_constant_column"):
                assert (table["unique_id"], test) in tested, f"{table['name']}: {test}"


def test_every_rule_that_is_easy_to_get_wrong_has_a_unit_test(manifest: dict[str, Any]) -> None:
    unit_tests = {test["name"]: test["description"] for test in manifest["unit_tests"].values()}
    assert {rule: name for rule, name in UNIT_TESTS.items() if name not in unit_tests} == {}
    assert [name for name, description in unit_tests.items() if not description] == []


def test_no_model_depends_on_when_it_is_built(project: Path) -> None:
    """created_at and updated_at made every build differ, so that no two could be compared."""
    found = [
        f"{path.relative_to(project)}: {match[0]}"
        for folder in ("models", "macros")
        for path in sorted((DBT_PROJECT_DIR / folder).rglob("*.sql"))
        for match in UNSTABLE.finditer(path.read_text())
    ]
    assert found == []


def test_a_column_that_a_definition_decides_links_to_it(
    relations: list[Node], decided_in: dict[str, set[str]]
) -> None:
    for relation in relations:
        for column in relation["columns"].values():
            name = column["name"]
            sections = {
                section
                for pattern, found in decided_in.items()
                if fnmatch.fnmatchcase(name, pattern)
                for section in found
            }
            links = set(LINK.findall(column["description"]))
            if sections:
                assert links and links <= sections, (
                    f"{relation['name']}.{name}: its description ends with "
                    f"'Definition: docs/definitions.md#{' or #'.join(sorted(sections))}'"
                )
            else:
                assert not links, f"{relation['name']}.{name}: no entry of {links} names it"


def test_a_definition_decides_columns_that_exist(
    relations: list[Node], decided_in: dict[str, set[str]]
) -> None:
    columns = {name for relation in relations for name in relation["columns"]}
    assert len(decided_in) > 50
    assert [it for it in decided_in if not fnmatch.filter(columns, it)] == []


def test_data_docs_rest_on_every_table_with_expectations(
    manifest: dict[str, Any], relations: list[Node], project: Path
) -> None:
    exposures = {it["name"]: it["depends_on"]["nodes"] for it in manifest["exposures"].values()}
    suites = {path.stem for path in (project / "include/quality/expectations").glob("*.py")}
    assert set(exposures["great_expectations_data_docs"]) == {
        relation["unique_id"] for relation in relations if relation["name"] in suites
    }
