"""Upstream's data keeps its rules: known exceptions pass, a new one is named, no row is lost."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import psycopg

from include.environments import CommandFailed
from include.local.ledger import count_rows, read_ledger
from include.transformation.results import read_build_results
from tests.integration.survivor_releases import run_dbt
from tests.integration.survivor_world import open_world

if TYPE_CHECKING:
    from include.warehouse.connection import ConnectionSettings

RULES = "reference_r1.rule_exceptions"
LEDGER_OF_BRONZE = "bronze_rows_per_season_are_those_of_the_ledger"
# What the made-up show has of its own: other seasons, and other numbers of rows, than the real one.
OF_THE_LEDGER = {
    LEDGER_OF_BRONZE,
    "bronze_has_nearly_all_rows_of_the_ledger",
    "every_season_of_the_ledger_is_there",
}

# What to do to the made-up show, in which everything goes by the book, and what has to notice.
PLANTED = {
    "nobody_votes_for_themselves": (
        "update vote_history set vote_id = castaway_id"
        " where version_season = 'US31' and \"order\" = 2 and castaway_id like '%89'"
    ),
    "a_merged_council_has_someone_immune": (
        "update vote_history set immunity = 'Advantage'"
        " where version_season = 'US32' and \"order\" = 8 and immunity = 'Individual'"
    ),
    "who_is_voted_out_leaves_by_that_number": (
        'update boot_order set "order" = "order" + 1'
        " where version_season = 'US33' and \"order\" >= 10"
    ),
    "a_challenge_is_described": (
        "delete from challenge_description where version_season = 'US34' and challenge_id = 3"
    ),
    "tribes_compete_in_equal_numbers": (
        "update challenge_results set sit_out = false"
        " where version_season = 'US35' and challenge_id = 2"
    ),
    "only_castaways_of_the_season_play": (
        "update journeys set castaway_id = 'US9999' where version_season = 'US36'"
    ),
    "a_castaway_has_one_name_in_a_season": (
        "update jury_votes set castaway = 'Coach' where version_season = 'US37' and castaway = 'C6'"
    ),
    "who_votes_in_the_jury_is_flagged_as_juror": (
        "update castaways set jury = false where version_season = 'US38' and place = 7"
    ),
    "a_juror_votes_once": (
        "update jury_votes set vote = 1 where version_season = 'US39' and castaway = 'C8'"
    ),
    "events_of_an_advantage_are_numbered_without_gaps": (
        "delete from advantage_movement"
        " where version_season = 'US40' and advantage_id = 1 and sequence_id = 1"
    ),
    "who_acts_at_a_stage_is_mapped_there": (
        "update advantage_movement set sog_id = 17"
        " where version_season = 'US41' and advantage_id = 3 and sequence_id = 1"
    ),
    "a_tribe_has_a_colour": "delete from tribe_colours where version_season = 'US42'",
    "an_episode_with_events_exists": (
        "delete from episodes where version_season = 'US43' and episode = 7"
    ),
    "a_season_has_one_id": "update tribe_mapping set season = 3 where version_season = 'US44'",
}


def test_known_exceptions_are_those_of_the_data_and_no_others(
    survivor_warehouse: ConnectionSettings,
) -> None:
    """Upstream expects numbers: 1 self-vote, 5 councils without immunity, 35 winners without
    theirs, 146 tribes (of 70 challenges) in unequal numbers. The list has the same rows by name."""
    with survivor_warehouse.connect() as connection:
        new = connection.execute(
            f"select rule, row_key from {RULES} where is_broken and known_reason is null"
        ).fetchall()
        listed = connection.execute(
            "select count(*) from reference_r1.known_exceptions"
            f" where last_seen is null and rule in (select rule from {RULES})"
        ).fetchone()
        occurring = connection.execute(
            f"select count(*) from {RULES} where is_broken and known_reason is not null"
        ).fetchone()
        counts = dict(
            connection.execute(
                f"select rule, count(*) from {RULES} where is_broken group by rule"
            ).fetchall()
        )
    assert new == []
    assert listed == occurring
    assert counts["nobody_votes_for_themselves"] == 1
    assert counts["a_merged_council_has_someone_immune"] == 5
    assert counts["who_won_immunity_is_immune"] == 35
    assert counts["tribes_compete_in_equal_numbers"] == 70


def test_the_ledger_has_the_rows_of_every_season(analyst: psycopg.Connection) -> None:
    """A model that drops rows of a season, or a join that repeats them, changes a reviewed file."""
    assert count_rows(analyst) == read_ledger()


def test_a_new_exception_is_named_by_its_rule(
    warehouse: ConnectionSettings, warehouse_admin: ConnectionSettings, tmp_path: Path
) -> None:
    """Each planted fault fails or warns by its own rule; whatever else is checked still holds."""
    release_id = open_world(warehouse)
    with warehouse_admin.connect() as connection:
        connection.execute(f"set search_path = bronze_r{release_id}")  # type: ignore[arg-type]
        for statement in PLANTED.values():
            assert connection.execute(statement).rowcount > 0, statement  # type: ignore[arg-type]
    selected = ["known_exceptions", "rule_exceptions", "row_count_ledger", LEDGER_OF_BRONZE]
    try:
        run_dbt(warehouse, release_id, tmp_path, "--quiet", "build", "--select", *selected)
    except CommandFailed:
        results = read_build_results(tmp_path / "target")
    noticed = {check.check_id.split(".")[0]: check for check in results.checks}
    found = {name for name, check in noticed.items() if check.outcome in ("failed", "warned")}
    # The list and the ledger are those of the real show: what the made-up one keeps, and its other
    # numbers of rows, are noticed too. And who is called Coach has the name of another.
    assert found == {
        *PLANTED,
        *OF_THE_LEDGER,
        "known_exceptions_still_occur",
        "no_castaway_has_the_name_of_another",
    }
    assert noticed["a_juror_votes_once"].outcome == "failed"
    assert noticed["a_juror_votes_once"].blocks
    assert noticed["tribes_compete_in_equal_numbers"].outcome == "warned"
