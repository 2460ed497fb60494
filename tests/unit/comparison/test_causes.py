"""Nobody is blamed for what another did, and what cannot be known is not said."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import pytest
import yaml

from include.comparison.causes import (
    ACROSS_SEASONS,
    BronzeChange,
    Evidence,
    attribute,
    changed_seasons,
)
from include.comparison.models import CellChange, ColumnComparison, TableComparison
from include.environments import PROJECT_DIR
from include.warehouse.definitions import Definition


def changed(table: str, **seasons_by_column: Collection[str]) -> TableComparison:
    columns = [
        ColumnComparison(
            column=column,
            cells=len(seasons),
            filled=0,
            emptied=0,
            seasons=dict.fromkeys(seasons, 1),
            systematic=False,
            examples=[
                CellChange(season=season, label="", key={}, before="1", after="2")
                for season in seasons
            ],
        )
        for column, seasons in seasons_by_column.items()
    ]
    return TableComparison(
        layer="silver", table=table, key=[], rows_before=1, rows_after=1, rows_changed=1,
        columns=columns,
    )  # fmt: skip


def evidence(
    bronze: Mapping[str, Collection[str] | None], redefined: Collection[str] = ()
) -> Evidence:
    reads = {
        "profile": ("bronze.castaways", "silver.helper"),
        "helper": ("bronze.votes",),
        "edit": ("bronze.confessionals",),
    }

    def definitions(version: str) -> dict[str, Definition]:
        made = [
            Definition(
                layer="silver",
                table_name=name,
                fingerprint=version if name in redefined else "1",
                reads=read,
            )
            for name, read in reads.items()
        ]
        return {one.name: one for one in made}

    return Evidence(
        bronze={
            name: BronzeChange("upstream", None if seasons is None else frozenset(seasons))
            for name, seasons in bronze.items()
        },
        before=definitions("1"),
        after=definitions("2"),
        same_code=False,
        repaired=frozenset(),
    )


def test_only_what_stands_behind_the_table_counts() -> None:
    """A new episode changes confessionals every week, and was blamed for every other table."""
    ours = attribute(
        changed("profile", place=["US01"]), evidence({"confessionals": ["US01"]}, ["helper"])
    )
    assert (ours.cause, ours.definitions_changed) == ("definition", ["silver.helper"])
    theirs = attribute(
        changed("edit", share=["US01"]), evidence({"confessionals": ["US01"]}, ["helper"])
    )
    assert (theirs.cause, theirs.definitions_changed) == ("upstream", [])
    deep = attribute(changed("profile", place=["US01"]), evidence({"votes": ["US01"]}))
    assert deep.cause == "upstream"


def test_a_column_that_came_can_have_changed_every_season() -> None:
    both = attribute(
        changed("profile", place=["US01", "US02"]), evidence({"votes": None}, ["profile"])
    )
    assert both.cause == "both"
    assert both.causes_by_season == {}


def test_a_column_that_looks_at_other_seasons_is_not_laid_at_our_door() -> None:
    """A new season makes all others of its franchise less recent, with no change in their rows."""
    behind = evidence({"votes": ["AU12"]}, ["profile"])
    both = attribute(
        changed("profile", recency_in_version=["AU01", "AU02"], place=["AU02", "AU12"]), behind
    )
    assert both.causes_by_season == {"AU01": "both", "AU02": "definition", "AU12": "both"}
    recency, place = both.columns
    assert {change.cause for change in recency.examples} == {"both"}
    assert [change.cause for change in place.examples] == ["definition", "both"]


@pytest.mark.parametrize("side", ["rows_before", "rows_after"])
def test_a_table_that_came_or_went_is_our_doing(side: str) -> None:
    one = changed("profile").model_copy(update={side: None})
    assert attribute(one, evidence({"votes": ["US01"]})).cause == "definition"


def test_what_did_not_change_has_no_cause() -> None:
    same = changed("profile").model_copy(update={"rows_changed": 0})
    assert attribute(same, evidence({"votes": ["US01"]}, ["profile"])).cause is None
    assert changed_seasons(same) == set()


def test_the_columns_that_look_at_other_seasons_exist() -> None:
    """One that is renamed would be laid at our door again."""
    columns = {
        column["name"]
        for path in (PROJECT_DIR / "include" / "dbt" / "models").rglob("*.yml")
        for model in yaml.safe_load(path.read_text(encoding="utf-8")).get("models", [])
        for column in model.get("columns", [])
    }
    assert columns >= ACROSS_SEASONS
