"""survivoR's own corrections between three of its commits, as its fans would check them.

Each line was looked up in the files of both commits.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from include.comparison import ReleaseComparison, as_markdown, compare_releases
from include.warehouse.connection import ConnectionSettings
from include.warehouse.schemas import OWNER
from tests.conftest import as_pipeline
from tests.integration.survivor_releases import load_release

pytestmark = pytest.mark.integration

OLDEST, CAST_ONLY, NEWEST = "2025-11-06", "2026-02-11", "2026-06-12"


@pytest.fixture(scope="module")
def comparisons(
    create_warehouse: Callable[[], ConnectionSettings], survivor_snapshots: Path
) -> dict[str, ReleaseComparison]:
    """What each of the two later commits changed in bronze, by its date."""
    pipeline = as_pipeline(create_warehouse())
    releases = [
        load_release(pipeline, survivor_snapshots / date) for date in (OLDEST, CAST_ONLY, NEWEST)
    ]
    with pipeline.connect(role=OWNER) as connection:
        return {
            CAST_ONLY: compare_releases(connection, *releases[:2]),
            NEWEST: compare_releases(connection, *releases[1:]),
        }


def section(comparison: ReleaseComparison, title: str) -> str:
    return as_markdown(comparison).partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def errata(comparison: ReleaseComparison) -> dict[str, list[str]]:
    """Return the lines of each season."""
    found: dict[str, list[str]] = {}
    for block in section(comparison, "Errata").split("### ")[1:]:
        season, *lines = block.splitlines()
        found[season] = [line.removeprefix("- ") for line in lines if line]
    return found


def test_corrections_are_told_with_names(comparisons: dict[str, ReleaseComparison]) -> None:
    found = errata(comparisons[CAST_ONLY])
    assert found["US41"] == [
        "Shan, advantage 2, event 5: `success` is Yes, not Not needed (`advantage_movement`)"
    ]
    assert "advantage 6: `advantage_type` is Bank your Vote, not Extra Vote" in found["US35"][0]
    assert found["US37"] == [
        "Carl, challenge 5 (Blind Barrow): `sit_out` is true, not false (`challenge_results`)"
    ]
    assert (
        "Sami Layadi: was born on 2002-10-13, not 1997-08-26 (`castaway_details`)"
        in found["People"]
    )
    found = errata(comparisons[NEWEST])
    assert found["US47"] == [
        "Andy: `jury_status` is 6th jury member, not 6th jury memmber (`castaways`)"
    ]
    assert (
        "Ozzy, challenge 15 (Coconut Cradle): Won, not Lost; `won_individual_immunity` is 1, not 0 "
        "(`challenge_results`)" in found["US23"]
    )
    assert "Shirin, item 6: `money_remaining` is 180, not -20 (`auction_details`)" in found["US30"]
    assert found["US49"] == [
        "Sage, exit 17; Sophi, exit 18; Savannah, exit 19: `day` is 26, not 16 (`boot_order`)"
    ]
    assert found["UK01"] == ["the season: `location` is Pulau, not Pulua (`season_summary`)"]
    assert (
        "the season: `country` is South Africa, not South Aftrica (`season_summary`)"
        in found["SA09"]
    )


def test_new_seasons_and_episodes_are_no_errata(comparisons: dict[str, ReleaseComparison]) -> None:
    assert {"US49", "US50"}.isdisjoint(errata(comparisons[CAST_ONLY]))
    assert {"US50", "AU12"}.isdisjoint(errata(comparisons[NEWEST]))
    seasons = section(comparisons[CAST_ONLY], "Seasons")
    assert "**US49** (Survivor: 49) went on from episode 6 to 13; Savannah won." in seasons
    assert "(Survivor: In the Hands of the Fans) has no episode yet." in seasons
    seasons = section(comparisons[NEWEST], "Seasons")
    assert "**AU12** (Survivor Australia: Redemption) is new: 24 castaways" in seasons
    assert "(Survivor: In the Hands of the Fans) began: 13 episodes; Aubry won." in seasons


def test_what_was_computed_anew_is_a_line_and_not_a_list(
    comparisons: dict[str, ReleaseComparison],
) -> None:
    """Of 64,000 changed cells between the last two commits, 12,563 are one expectation each."""
    recomputed = section(comparisons[NEWEST], "Recomputed")
    assert "`confessionals`: 20,721 cells in 67 seasons: `exp_count` (12,563)" in recomputed
    assert "`castaway_scores`: " in recomputed
    assert "`challenge_description`: " in recomputed
    for comparison in comparisons.values():
        assert len(as_markdown(comparison).splitlines()) < 200
        assert len(comparison.model_dump_json()) < 1_000_000


def test_columns_that_the_older_files_lacked_are_told_once(
    comparisons: dict[str, ReleaseComparison],
) -> None:
    """Bronze has them, all null: 168,000 flags of challenge_results looked filled in."""
    results = next(one for one in comparisons[CAST_ONLY].tables if one.table == "challenge_results")
    assert len(results.columns_added) == 8
    assert [column.column for column in results.columns] == ["sit_out"]
    assert "`bronze.advantage_timeline` is new: 7,638 rows." in section(
        comparisons[NEWEST], "Tables and columns"
    )


def test_every_difference_of_bronze_is_upstreams(
    comparisons: dict[str, ReleaseComparison],
) -> None:
    for comparison in comparisons.values():
        causes = {one.cause for one in comparison.tables if not one.is_equal}
        assert causes == {"upstream"}
