"""What a person asks the client, over a package: tables, columns, queries, mistakes."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

import gamebot
from tests.client.packages import write_package


@pytest.fixture
def client(tmp_path: Path) -> gamebot.Gamebot:
    return gamebot.open(str(write_package(tmp_path / "package")))


def test_a_table_has_the_types_that_pandas_works_with(client: gamebot.Gamebot) -> None:
    """Unknown ages made all ages floats, unknown flags objects, and dates text."""
    people = client.load_table("silver.castaway_profile")
    assert people["age"].dtype == pd.Int32Dtype()
    assert people["is_winner"].dtype == pd.BooleanDtype()
    assert people["share"].dtype == "float64"
    assert people["born"].dt.year.tolist()[:2] == [1970, 1997]
    assert pd.api.types.is_string_dtype(people["castaway"])
    # An empty text is no unknown one.
    assert people["castaway"].iloc[:2].tolist() == ["Zoë", ""]
    assert people.iloc[2][["castaway", "born", "is_winner"]].isna().all()


def test_columns_come_in_the_order_asked_for_reserved_words_included(
    client: gamebot.Gamebot,
) -> None:
    frame = client.load_table("castaway_profile", columns=["order", "castaway"])
    assert list(frame) == ["order", "castaway"]
    assert frame["order"].tolist() == [1, 2, 3]


def test_a_frame_says_what_it_is(client: gamebot.Gamebot) -> None:
    """A frame that was pickled months ago should still tell its release."""
    said = client.load_table("gold.ml_features", columns=["votes"]).attrs
    assert said["table"] == "gold.ml_features"
    assert said["description"] == "All of ml_features."
    assert said["columns"] == {"votes": "What votes means."}
    assert said["release"].startswith("release 42 of 2026-06-13 (survivoR 80aaf498bf06)")


def test_a_query_takes_names_with_and_without_schema_and_parameters(
    client: gamebot.Gamebot,
) -> None:
    frame = client.query(
        "select castaway, sum(votes) as votes from gold.ml_features "
        "join castaway_profile using (castaway_id) where votes > $least group by all",
        {"least": 1},
    )
    assert frame.to_dict("records") == [{"castaway": "Zoë", "votes": 7}]
    assert frame["votes"].dtype == pd.Int64Dtype()


def test_every_statement_finds_the_tables_that_it_names(client: gamebot.Gamebot) -> None:
    """Tables are made readable when a query names them, however it does."""
    pivot = client.query('pivot "gold"."ml_features" on castaway_id using sum(votes)')
    assert {"US0001", "US0002"} <= set(pivot)
    assert len(client.query("summarize GOLD.ML_FEATURES")) == 3
    assert client.query("with all_of as (from ml_features) from all_of")["votes"].sum() == 7


def test_a_variable_of_the_program_is_no_table(client: gamebot.Gamebot) -> None:
    """DuckDB reads Python's variables as tables: here a list of ours, which it then refuses."""
    with pytest.raises(gamebot.UnknownName, match="no table 'tables'"):
        client.query("select * from tables")


def test_tables_and_columns_are_described(client: gamebot.Gamebot) -> None:
    tables = client.tables().set_index("table")
    assert tables.loc["silver.castaway_profile", "rows"] == 3
    assert tables.loc["gold.ml_features", "description"] == "All of ml_features."
    [*_, votes] = client.describe("ml_features").to_dict("records")
    assert votes == {"column": "votes", "type": "integer", "description": "What votes means."}


def test_the_release_is_named(client: gamebot.Gamebot, tmp_path: Path) -> None:
    release = client.release()
    assert (release.release_id, release.commit) == (42, "80aaf498bf06")
    assert release.published_at and release.published_at.isoformat() == "2026-06-13T03:00:00+00:00"
    assert release.source == str(tmp_path / "package")
    assert "release 42" in repr(client)


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("gold.ml_feature", "gold.ml_features"),
        ("bronze.castaway_profile", "silver.castaway_profile"),
        ("profile", "silver.castaway_profile"),
    ],
)
def test_a_wrong_table_brings_those_with_similar_names(
    client: gamebot.Gamebot, name: str, meant: str
) -> None:
    for ask in (client.load_table, client.describe, lambda table: client.query(f"from {table}")):
        with pytest.raises(gamebot.UnknownName, match=f"Did you mean {meant}"):
            ask(name)


@pytest.mark.parametrize(
    "sql",
    [
        "select target_winer from gold.ml_features",
        "select f.target_winer from gold.ml_features as f",
        "select 1 from gold.ml_features where target_winer = 1",
        "select * from gold.ml_features join silver.castaway_profile using (target_winer)",
    ],
)
def test_a_wrong_column_brings_those_with_similar_names(client: gamebot.Gamebot, sql: str) -> None:
    with pytest.raises(gamebot.UnknownName, match=r"Did you mean gold\.ml_features\.target_winner"):
        client.query(sql)
    with pytest.raises(gamebot.UnknownName, match="Did you mean target_winner"):
        client.load_table("gold.ml_features", columns=["target_winer"])


def test_what_duckdb_refuses_is_told_in_its_words(client: gamebot.Gamebot) -> None:
    with pytest.raises(gamebot.QueryFailed, match="syntax error"):
        client.query("selec 1")
    with pytest.raises(gamebot.QueryFailed, match="Conversion"):
        client.query("select castaway::integer from castaway_profile")
