"""The SQL that a dbt build left behind, for running it without dbt."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.compiled_sql import sql_of_relations, sql_of_tests

SEED = (
    'create table "s"."words" (word text, sense text);\ninsert into s.words values (%s,%s),(%s,%s)'
)

VOTES = 'create  table "s"."votes__dbt_tmp"\n(id int)'


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project of a seed, a model and a test of each kind, in which a build has ended."""
    files = {
        "seeds/words.csv": 'word,sense\nmerge,"two tribes, one"\njury,\n',
        "target/run/survivor/seeds/words.csv": SEED,
        "target/run/survivor/models/silver/votes.sql": VOTES,
        "target/run/survivor/models/gold/voters.sql": 'create view "s"."voters" as select 1',
        "target/run/survivor/models/silver/votes.yml/unique_id.sql": "select 'data test'",
        "target/run/survivor/models/silver/votes.yml/models/silver/ties.sql": "select 'unit test'",
        "target/run/survivor/tests/one_winner.sql": "select 'singular test'",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    write_results(tmp_path, *RELATIONS, *TESTS)
    return tmp_path


RELATIONS = ("seed.survivor.words", "model.survivor.votes", "model.survivor.voters")
TESTS = (
    "test.survivor.unique_id.a1b2",
    "unit_test.survivor.votes.ties",
    "test.survivor.one_winner",
)


def write_results(project: Path, *unique_ids: str) -> None:
    results = [{"unique_id": unique_id} for unique_id in unique_ids]
    (project / "target/run_results.json").write_text(json.dumps({"results": results}))


def test_seeds_and_models_are_built_in_dbts_order_under_their_final_names(project: Path) -> None:
    assert sql_of_relations(project) == [
        'create table "s"."words" (word text, sense text);\n'
        "insert into s.words values ('merge','two tribes, one'),('jury',null)",
        'analyze "s"."words"',
        'create  table "s"."votes"\n(id int)',
        'analyze "s"."votes"',
        'create view "s"."voters" as select 1',
    ]


def test_a_model_without_its_sql_is_an_error_that_names_it(project: Path) -> None:
    (project / "target/run/survivor/models/silver/votes.sql").unlink()
    with pytest.raises(LookupError, match="votes"):
        sql_of_relations(project)


def test_a_seed_with_other_values_than_its_sql_takes_is_an_error(project: Path) -> None:
    (project / "seeds/words.csv").write_text("word,sense\nmerge,one\n")
    with pytest.raises(LookupError, match=r"2 values.*takes 4"):
        sql_of_relations(project)


def test_every_test_is_asked_unit_tests_included(project: Path) -> None:
    expected = ["select 'data test'", "select 'singular test'", "select 'unit test'"]
    assert sorted(sql_of_tests(project)) == expected


def test_a_test_without_its_sql_is_an_error(project: Path) -> None:
    (project / "target/run/survivor/tests/one_winner.sql").unlink()
    with pytest.raises(LookupError, match="3 tests, but left the SQL of 2"):
        sql_of_tests(project)
