"""Commits of survivoR from before today's columns build, and so do seasons that are not over.

Each is loaded and built once, with all of dbt's data tests: a failing one fails every test here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from psycopg import sql

from include.quality.run import audit_with_great_expectations, audit_with_soda
from include.transformation.results import read_build_results
from include.warehouse.connection import ConnectionSettings
from tests.conftest import as_pipeline
from tests.integration.survivor_releases import load_release, run_dbt

# Before the won flags; US49 up to its seventh episode, the cast of US50 announced.
OLDEST = "2025-11-06"
# Before rounds got its name; the cast of US50 announced, on tribes that are not known yet.
CAST_ONLY = "2026-02-11"
# US50 up to its ninth episode.
IN_PROGRESS = "2026-04-23-season-in-progress"

FLAGS = (
    "won", "won_tribal_reward", "won_tribal_immunity", "won_team_reward", "won_team_immunity",
    "won_individual_reward", "won_individual_immunity", "won_duel",
)  # fmt: skip
SCORES = (
    "score_challenge", "threat_challenge", "threat_challenge_cat", "threat_strategic",
    "threat_strategic_cat", "r_score_result", "r_score_jury", "r_score_challenge", "r_score_inf",
    "p_score_result", "p_score_jury", "p_score_challenge", "p_score_inf",
)  # fmt: skip
FORMER_SCORES = (
    "n_votes_received", "n_successful_boots", "p_successful_boot", "n_tribals",
    "n_tribals_with_vote", "n_adv_played", "n_adv_not_played", "n_adv_found", "n_idols_found",
    "n_voted_out_with_adv", "n_voted_out_with_idol",
)  # fmt: skip


def columns(dataset: str, *names: str) -> set[tuple[str, str | None]]:
    return {(dataset, name) for name in names}


# What ops.schema_drift must say of every commit here, and besides of one of them.
MISSING = columns("confessionals", "index_count", "index_time") | columns(
    "castaway_scores", *SCORES
)
NEW = columns("castaway_scores", *FORMER_SCORES)
MISSING_BESIDES = {
    OLDEST: columns("challenge_results", *FLAGS)
    | columns("challenge_summary", "sog_id")
    | columns("challenge_description", "all_names", "rounds", "maze")
    | columns("season_summary", "description"),
    CAST_ONLY: columns("challenge_description", "rounds", "maze")
    | columns("season_summary", "description"),
    IN_PROGRESS: set(),
}
# What differs from ledger, exceptions and repairs, which are those of the newest commit.
DBT_WARNINGS = {
    OLDEST: {
        "a_challenge_is_described",
        "a_described_challenge_has_results",
        "a_finished_season_has_scores",
        "a_named_castaway_has_an_id",
        "a_person_has_one_full_name",
        "an_idol_nullifies_the_votes_that_are_nullified",
        "bronze_rows_per_season_are_those_of_the_ledger",
        "every_season_of_the_ledger_is_there",
        "known_exceptions_still_occur",
        "names_share_a_word_with_details",
        "repairs_are_still_needed",
        "silver_rows_per_season_are_those_of_the_ledger",
    },
    CAST_ONLY: {
        "a_finished_season_has_scores",
        "bronze_rows_per_season_are_those_of_the_ledger",
        "every_season_of_the_ledger_is_there",
        "known_exceptions_still_occur",
        "not_null_social_positioning_tribe",
    },
    IN_PROGRESS: {"a_person_has_one_full_name", "known_exceptions_still_occur"},
}
AUDIT_WARNINGS: dict[str, set[str]] = {
    OLDEST: {
        "bronze.castaways.the_places_of_a_season_that_is_over_run_from_1_to_the_size_of_its_cast",
        "bronze.confessionals.every_row_counts_confessionals",
        # US43 has an age that upstream has since corrected.
        "silver.castaway_profile.ages_agree_with_the_dates_of_birth",
    },
    CAST_ONLY: set(),
    IN_PROGRESS: set(),
}
NEW_BESIDES = {
    OLDEST: columns("challenge_description", "turn_based"),
    CAST_ONLY: columns("challenge_description", "turn_based"),
    IN_PROGRESS: set(),
}


class Release(NamedTuple):
    """Release 1 of a warehouse of its own."""

    folder: str
    superuser: ConnectionSettings
    number: int
    dbt_folder: Path
    dbt_warnings: frozenset[str]
    """Of the data tests, when it was built."""

    def run_dbt(self, *arguments: str) -> list[str]:
        """Run dbt on the release as the pipeline does."""
        return run_dbt(as_pipeline(self.superuser), self.number, self.dbt_folder, *arguments)

    def query(self, statement: str) -> list[tuple[Any, ...]]:
        """Run a statement with the release's schemas as search path."""
        schemas = [f"{layer}_r{self.number}" for layer in ("gold", "silver", "bronze")]
        with self.superuser.connect() as connection:
            connection.execute(
                sql.SQL("set search_path to {}").format(
                    sql.SQL(", ").join(map(sql.Identifier, schemas))
                )
            )
            cursor = connection.execute(statement)  # type: ignore[arg-type]
            return cursor.fetchall() if cursor.description else []


@pytest.fixture(scope="module")
def build(
    create_warehouse: Callable[[], ConnectionSettings],
    survivor_snapshots: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[[str], Release]:
    """Builds a folder's release when it is first asked for; dbt's data tests must pass."""
    built: dict[str, Release] = {}
    # One for all, so that dbt parses the project once.
    dbt_folder = tmp_path_factory.mktemp("dbt")

    def release(folder: str) -> Release:
        if folder not in built:
            superuser = create_warehouse()
            number = load_release(as_pipeline(superuser), survivor_snapshots / folder)
            run_dbt(
                as_pipeline(superuser), number, dbt_folder,
                "--quiet", "build",
                "--exclude-resource-type", "unit_test", "--exclude-resource-type", "exposure",
            )  # fmt: skip
            checks = read_build_results(dbt_folder / "target").checks
            warnings = {c.check_id.split(".")[0] for c in checks if c.outcome == "warned"}
            built[folder] = Release(folder, superuser, number, dbt_folder, frozenset(warnings))
        return built[folder]

    return release


@pytest.fixture(params=[OLDEST, CAST_ONLY, IN_PROGRESS])
def past(request: pytest.FixtureRequest, build: Callable[[str], Release]) -> Release:
    return build(request.param)


def test_every_difference_from_the_catalogue_is_recorded_by_name(past: Release) -> None:
    """Bronze of an old commit has columns full of nulls: the record says which, and why."""
    drift: Mapping[str, set[tuple[str, str | None]]] = {
        kind: set(map(tuple, names))
        for kind, names in past.query(
            """
            select kind, jsonb_agg(jsonb_build_array(dataset, column_name))
            from ops.schema_drift
            group by kind
            """
        )
    }
    assert drift == {
        "missing_dataset": {("advantage_timeline", None)},
        "retired_dataset": {("screen_time", None), ("season_palettes", None), ("viewers", None)},
        "missing_column": MISSING | MISSING_BESIDES[past.folder],
        "new_column": NEW | NEW_BESIDES[past.folder],
    }


def test_a_good_commit_passes_both_audits_and_warns_of_what_it_lacks(
    past: Release, tmp_path: Path
) -> None:
    """No false alarm: not of mixed challenges told twice, seasons without places or unknown tribes.

    What later commits have, and exceptions that a past one keeps, are warnings, each by name.
    """
    pipeline = as_pipeline(past.superuser)
    audit_with_soda(past.number, pipeline, ["bronze", "silver"], print)
    audit_with_great_expectations(past.number, pipeline, tmp_path / "docs", print)
    warned = past.query("select check_id from ops.check_results where outcome = 'warned'")
    # How long ago the newest episode aired is a matter of today.
    late = {"bronze.episodes.the_newest_episode_aired_in_the_last_240_days"}
    assert {check for (check,) in warned} - late == AUDIT_WARNINGS[past.folder]
    assert past.dbt_warnings == DBT_WARNINGS[past.folder]


def test_gold_holds_complete_seasons_only(past: Release) -> None:
    """Rows of a running season used to be there, as losers, for those who had left."""
    assert past.query("select distinct season_status from season_context order by 1") != [
        ("complete",)
    ]
    for table in ("ml_features_non_edit", "ml_features_hybrid"):
        assert (
            past.query(
                f"""
            select version_season, season_status
            from (select version_season, count(*) as rows from {table} group by 1) as gold
            full join (
                select version_season, season_status, total_cast
                from season_context where season_status = 'complete'
            ) as season using (version_season)
            where rows is distinct from total_cast
            """
            )
            == []
        )


def test_old_commits_have_true_wins(build: Callable[[str], Release]) -> None:
    """Without upstream's flags nobody would have won anything before 2025-11-16.

    Tom Westman's five individual immunities are facts of 2005, Ozzy's duels of 2011.
    """
    oldest = build(OLDEST)
    assert oldest.query("select count(won), count(won_duel) from challenge_results") == [(0, 0)]
    assert oldest.query(
        """
        select castaway, sum(won_individual_immunity), sum(won_duel)
        from challenge_performance
        join castaway_profile using (version_season, castaway_id)
        where (castaway, version_season) in (('Tom', 'US10'), ('Ozzy', 'US23'), ('Mike', 'US30'))
        group by castaway order by castaway
        """
    ) == [("Mike", 5, 0), ("Ozzy", 2, 6), ("Tom", 5, 0)]


def test_flags_made_from_the_summary_are_upstreams(build: Callable[[str], Release]) -> None:
    """Where both exist they agree in every row, the 201 of unknown line-up included."""
    release = build(CAST_ONLY)
    wins = "version_season, challenge_id, castaway_id, won_flag, " + ", ".join(FLAGS[1:])
    release.query(f"create table upstreams_wins as select {wins} from challenge_performance")
    emptied = ", ".join(f"{flag} = null" for flag in FLAGS)
    release.query(f"update challenge_results set {emptied}")
    release.run_dbt("--quiet", "run", "-s", "challenge_performance")
    assert release.query("select count(*) - count(won_duel) from challenge_performance") == [(201,)]
    assert (
        release.query(
            f"""
            (select {wins} from challenge_performance except select * from upstreams_wins)
            union all
            (select * from upstreams_wins except select {wins} from challenge_performance)
            """
        )
        == []
    )


def test_a_cast_without_a_season_has_no_outcomes(build: Callable[[str], Release]) -> None:
    """US50 was announced with its cast in November 2025: nobody has won, lost or left."""
    for folder in (OLDEST, CAST_ONLY):
        release = build(folder)
        assert release.query(
            """
            select season_status, total_cast, boot_vote_count, last_episode_with_data,
                has_tribe_swap, winner_castaway_id, jury_count
            from season_context where version_season = 'US50'
            """
        ) == [("scheduled", 24, 0, None, None, None, None)]
        assert release.query(
            """
            select count(*), sum(n_boots), count(result), count(exit_type), count(place),
                count(exit_episode), count(is_juror), count(is_finalist), count(is_winner)
            from castaway_profile where version_season = 'US50'
            """
        ) == [(24, 0, 0, 0, 0, 0, 0, 0, 0)]
        assert release.query(
            """
            select count(*), count(gender) > 0, count(target_winner), count(target_placement)
            from as_of_pre_season where version_season = 'US50'
            """
        ) == [(24, True, 0, 0)]


def test_a_running_season_knows_who_left_and_not_who_wins(build: Callable[[str], Release]) -> None:
    """In a running season boot_order also lists who is still in the game: that is no exit."""
    for folder, season, episode, cast, left in (
        (OLDEST, "US49", 7, 18, 7),
        (IN_PROGRESS, "US50", 9, 24, 14),
    ):
        release = build(folder)
        assert release.query(
            f"""
            select season_status, last_episode_with_data, winner_castaway_id
            from season_context where version_season = '{season}'
            """
        ) == [("in_progress", episode, None)]
        assert release.query(
            f"""
            select count(*), count(result), count(*) filter (where n_boots = 1),
                count(is_finalist), count(is_winner)
            from castaway_profile where version_season = '{season}'
            """
        ) == [(cast, left, left, 0, 0)]
        assert release.query(
            f"""
            select distinct on (version_season)
                castaways_left, total_votes_received is not null, count(*) over everyone,
                sum(total_votes_cast) over everyone > 0, count(target_winner) over everyone,
                count(target_finalist) over everyone, count(target_placement) over everyone
            from ml_features_as_of where version_season = '{season}'
            window everyone as (partition by version_season, sog_id)
            order by version_season, sog_id desc
            """
        ) == [(cast - left, True, cast - left, True, 0, 0, 0)]


def test_a_value_that_upstream_changed_is_reported_by_name(
    build: Callable[[str], Release],
) -> None:
    """A repair that no longer applies would else be forgotten, right or wrong."""
    release = build(IN_PROGRESS)
    release.query(
        "update season_summary set premiered = '2002-05-21' where version_season = 'UK01'"
    )
    lines = release.run_dbt("show", "-s", "repairs_are_still_needed")
    reported = [line for line in lines if line.startswith("| ")][2:]
    assert len(reported) == 1
    assert all(part in reported[0] for part in ("season_summary", "UK01", "2002-05-21"))
