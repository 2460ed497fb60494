"""The central measures once more, counted with pandas from upstream's files.

Nothing here looks at a model: the definitions are those of docs/definitions.md. A rule that is
wrong in the SQL and in its unit tests, because one person wrote both, shows here.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import psycopg
import pytest

from include.ingestion.reader import read_table
from tests.integration.survivor_releases import REFERENCE

CASTAWAY_SEASON = ["version_season", "castaway_id"]
BOOT_VOTE = ["version_season", "order"]
ROUND = [*BOOT_VOTE, "vote_order"]
GOLD = "gold.ml_features_hybrid"

# The repairs of what is counted here; the others are of dates, stages, copies and advantages.
WON = ("won", "won_tribal_reward", "won_tribal_immunity")
US50_3 = {"version_season": "US50", "challenge_id": 3}
REPAIRS: dict[str, list[tuple[str, dict[str, Any], Any]]] = {
    "challenge_results": [
        ("won", {"version_season": "US23", "challenge_id": 15, "castaway_id": "US0201"}, 1),
        *((column, {**US50_3, "castaway_id": "US0682"}, 1) for column in WON),
        *((column, {**US50_3, "castaway_id": "US0550"}, 0) for column in WON),
    ],
    "boot_mapping": [
        (
            "castaway_id",
            {"version_season": "US46", "sog_id": 8, "castaway_id": "US0696"},
            "US0693",
        ),
    ],
}


class Files(dict[str, pd.DataFrame]):
    """Upstream's files by name, with numbers and flags as floats and NaN for what is missing."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __missing__(self, name: str) -> pd.DataFrame:
        frame = read_table(self.folder / f"{name}.rda").frame
        numbers = frame.select_dtypes(["number", "boolean"]).columns
        texts = frame.columns.difference(numbers)
        self[name] = frame.astype(dict.fromkeys(numbers, "Float64")).astype(
            dict.fromkeys(numbers, float) | dict.fromkeys(texts, object)
        )
        for column, row, value in REPAIRS.get(name, ()):
            found = (self[name][list(row)] == list(row.values())).all(axis=1)
            assert found.sum() == 1
            self[name].loc[found, column] = value
        return self[name]


@pytest.fixture(scope="module")
def files(survivor_snapshots: Path) -> Files:
    return Files(survivor_snapshots / REFERENCE)


@pytest.fixture(scope="module")
def castaways(files: Files) -> pd.MultiIndex:
    """Every castaway-season."""
    return files["castaways"].set_index(CASTAWAY_SEASON).sort_index().index


def assert_same(
    analyst: psycopg.Connection, table: str, key: Sequence[str], counted: pd.DataFrame
) -> None:
    """Compare a table, over the columns that were counted, row by row with the count."""
    columns = ", ".join([*key, *counted.columns])
    rows = analyst.execute(f"select distinct {columns} from {table}").fetchall()  # type: ignore[arg-type]
    published = pd.DataFrame(rows, columns=[*key, *counted.columns])
    published = published.set_index(list(key)).sort_index().astype(float)
    counted = counted.rename_axis(list(key)).sort_index().astype(float)
    pd.testing.assert_index_equal(published.index, counted.index, exact=False)
    counted.index = published.index  # whole numbers here, R's doubles there
    differences = published.round(9).compare(
        counted.round(9), result_names=("warehouse", "recount")
    )
    assert differences.empty, f"{len(differences)} rows differ:\n{differences.head(20)}"


def share(part: pd.Series, whole: pd.Series) -> pd.Series:
    """A share without a denominator is unknown."""
    return part / whole.where(whole > 0)


@pytest.fixture(scope="module")
def votes(files: Files) -> pd.DataFrame:
    """Upstream publishes two ballots of US31 twice."""
    votes = files["vote_history"].drop_duplicates().copy()
    votes["ballot"] = votes.vote_id.notna()
    votes["correct"] = votes.vote_id == votes.voted_out_id
    votes["wrong"] = votes.ballot & ~votes.correct & (votes.nullified != 1)
    return votes


@pytest.fixture(scope="module")
def agreement(votes: pd.DataFrame) -> pd.DataFrame:
    """Who of a round named whom, one row per voter and target."""
    ballots = votes[votes.ballot]
    voter, ballot = [*ROUND, "castaway_id"], [*ROUND, "castaway_id", "vote_id"]
    own = ballots[ballots.castaway_id.notna()]
    pairs = own.merge(own, on=ROUND, suffixes=("", "_other"))
    pairs = pairs[pairs.castaway_id != pairs.castaway_id_other]
    same = pairs[pairs.vote_id == pairs.vote_id_other]
    found = own.set_index(ballot)[["correct", "nullified"]].groupby(level=ballot).first()
    others = pairs.groupby(voter).castaway_id_other.nunique()
    found = found.join(others.rename("total_voters")).fillna({"total_voters": 0})
    aligned = same.groupby(ballot).castaway_id_other.nunique().reindex(found.index, fill_value=0)
    tally = ballots.groupby([*ROUND, "vote_id"]).size()
    found["aligned_votes"] = aligned
    found["alignment_ratio"] = share(aligned, found.total_voters)
    found["voting_alone"] = (aligned == 0).where(found.total_voters > 0)
    found = found.join(tally.rename("named"))
    found = found.join(tally.groupby(ROUND).agg(ballots="sum", most="max"))
    found["in_majority_alliance"] = found.named > found.ballots / 2
    found["in_plurality"] = found.named == found.most
    return found


def test_what_a_ballot_says(analyst: psycopg.Connection, agreement: pd.DataFrame) -> None:
    """Agreement was counted over an episode, which can hold three boot votes of several rounds."""
    counted = agreement.drop(columns=["correct", "nullified", "named", "ballots", "most"]).assign(
        vote_correct=agreement.correct,
        vote_incorrect=(~agreement.correct).where(agreement.nullified != 1),
    )
    key = ["version_season", "boot_vote_number", "vote_round", "castaway_id", "target_id"]
    cast = "(select * from silver.vote_dynamics where has_ballot and castaway_id is not null) as v"
    assert_same(analyst, cast, key, counted)


def test_votes_of_a_season(
    analyst: psycopg.Connection,
    castaways: pd.MultiIndex,
    votes: pd.DataFrame,
    agreement: pd.DataFrame,
) -> None:
    """Re-votes, extra and nullified votes once counted as councils, as errors and as votes cast."""
    attended = votes.groupby([*CASTAWAY_SEASON, "order"])[["ballot", "correct", "wrong"]].any()
    attended["wrong"] &= ~attended.correct
    councils = attended.groupby(CASTAWAY_SEASON).agg(
        boot_votes_attended=("ballot", "size"),
        boot_votes_voted=("ballot", "sum"),
        votes_correct=("correct", "sum"),
        votes_incorrect=("wrong", "sum"),
    )
    first = votes[votes.ballot & (votes.vote_order == 1)]
    received = first.rename(columns={"castaway_id": "voter", "vote_id": "castaway_id"})
    counted = councils.reindex(castaways, fill_value=0)
    zero = {"index": castaways, "fill_value": 0}
    counted["total_votes_cast"] = first.groupby(CASTAWAY_SEASON).size().reindex(**zero)
    counted["total_votes_received"] = received.groupby(CASTAWAY_SEASON).size().reindex(**zero)
    counted["votes_nullified_against"] = (
        received.groupby(CASTAWAY_SEASON).nullified.sum().reindex(**zero)
    )
    ballots = first.join(
        agreement[["alignment_ratio", "voting_alone", "in_majority_alliance"]],
        on=[*ROUND, "castaway_id", "vote_id"],
    ).groupby(CASTAWAY_SEASON)
    counted["avg_vote_alignment"] = ballots.alignment_ratio.mean()
    counted["lone_wolf_votes"] = ballots.voting_alone.sum().astype(float).reindex(**zero)
    counted["majority_alliance_votes"] = ballots.in_majority_alliance.sum().reindex(**zero)
    counted["vote_accuracy_rate"] = share(counted.votes_correct, counted.boot_votes_voted)
    assert_same(analyst, GOLD, CASTAWAY_SEASON, counted)


def test_challenges_of_a_season(
    analyst: psycopg.Connection, files: Files, castaways: pd.MultiIndex
) -> None:
    """Who sat out had won with the tribe; duels and team rewards were individual wins."""
    results = files["challenge_results"].copy()
    results["took_part"] = results.sit_out != 1
    results["recorded"] = results.sit_out.notna()
    results["victory"] = results.took_part & (results.won == 1)
    prizes = ["won_individual_immunity", "won_individual_reward"]
    results["alone"] = results[prizes].max(axis=1)
    skills = files["challenge_description"][["version_season", "challenge_id", "puzzle", "water"]]
    results = results.merge(skills, how="left", on=["version_season", "challenge_id"])
    for skill in ("puzzle", "water"):
        results[skill] = results.victory & (results[skill] == 1)
    counted = results.groupby(CASTAWAY_SEASON).agg(
        total_challenges=("took_part", "sum"),
        challenges_won=("victory", "sum"),
        individual_wins=("alone", "sum"),
        individual_immunity_wins=(prizes[0], "sum"),
        individual_reward_wins=(prizes[1], "sum"),
        duel_wins=("won_duel", "sum"),
        reward_selections=("chosen_for_reward", "sum"),
        challenge_sitouts=("sit_out", "sum"),
        puzzle_wins=("puzzle", "sum"),
        water_wins=("water", "sum"),
        recorded=("recorded", "any"),
    )
    counted["challenge_sitouts"] = counted.challenge_sitouts.where(counted.pop("recorded"))
    assert (counted.individual_immunity_wins.sum(), counted.individual_reward_wins.sum()) == (
        718,
        249,
    )
    counted = counted.reindex(castaways).fillna(
        dict.fromkeys(counted.columns.drop("challenge_sitouts"), 0)
    )
    assert_same(analyst, GOLD, CASTAWAY_SEASON, counted)


def test_advantages_of_a_season(
    analyst: psycopg.Connection, files: Files, castaways: pd.MultiIndex
) -> None:
    """Nullifiers and halves are no idols, a beware idol is one find, not needed is no failure."""
    events = files["advantage_movement"].merge(
        files["advantage_details"][["version_season", "advantage_id", "advantage_type"]]
    )
    events["castaway_id"] = events.castaway_id.str.split(", ")
    events = events.explode("castaway_id")
    idols = ("Hidden Immunity Idol", "Super Idol", "Preventative Hidden Immunity Idol")
    found, played = events[events.event == "Found"], events[events.event == "Played"]

    def distinct(rows: pd.DataFrame) -> pd.Series:
        return rows.groupby(CASTAWAY_SEASON).advantage_id.nunique()

    def count(rows: pd.DataFrame) -> pd.Series:
        return rows.groupby(CASTAWAY_SEASON).size()

    counted = pd.DataFrame(
        {
            "advantages_found": distinct(found),
            "idols_found": distinct(found[found.advantage_type.isin(idols)]),
            "advantages_played": count(played),
            "idols_played": count(played[played.advantage_type.isin(idols)]),
            "advantages_played_successfully": count(played[played.success == "Yes"]),
            "advantages_played_unsuccessfully": count(played[played.success == "No"]),
            "advantages_played_not_needed": count(played[played.success == "Not needed"]),
        },
        index=castaways,
    ).fillna(0)
    counted["advantage_success_rate"] = share(
        counted.advantages_played_successfully,
        counted.advantages_played_successfully + counted.advantages_played_unsuccessfully,
    )
    assert_same(analyst, GOLD, CASTAWAY_SEASON, counted)


def test_jury_votes_of_a_season(
    analyst: psycopg.Connection, files: Files, castaways: pd.MultiIndex
) -> None:
    """Votes were counted as rows, so that every finalist had the whole jury."""
    jury = files["jury_votes"]
    tribe = files["castaways"].set_index(CASTAWAY_SEASON).original_tribe
    jurors = tribe.reindex(pd.MultiIndex.from_frame(jury[CASTAWAY_SEASON])).to_numpy()
    finalists = tribe.reindex(pd.MultiIndex.from_frame(jury[["version_season", "finalist_id"]]))
    jury = jury.assign(own_tribe=jury.vote * (jurors == finalists.to_numpy()))
    counted = (
        jury.groupby(["version_season", "finalist_id"])[["vote", "own_tribe"]]
        .sum()
        .reindex(castaways, fill_value=0)
        .set_axis(["jury_votes_received", "jury_votes_from_original_tribe"], axis=1)
    )
    assert_same(analyst, GOLD, CASTAWAY_SEASON, counted)


def test_company_on_a_tribe(analyst: psycopg.Connection, files: Files) -> None:
    """Original tribes made up to 12 times the camp, and all non-binary castaways were women."""
    stages = files["boot_mapping"].merge(files["castaways"][[*CASTAWAY_SEASON, "original_tribe"]])
    people = files["castaway_details"].set_index("castaway_id").gender
    people["UK0015"], people["UK0016"] = people["UK0016"], people["UK0015"]
    stages["gender"] = stages.castaway_id.map(people)
    camp = ["version_season", "sog_id", "tribe"]
    size = stages.groupby(camp).castaway_id.transform("size")
    same_tribe = stages.groupby([*camp, "original_tribe"]).castaway_id.transform("size")
    same_gender = stages.groupby([*camp, "gender"]).castaway_id.transform("size")
    counted = stages.assign(
        tribe_size=size,
        original_tribe_members=same_tribe,
        original_tribe_proportion=same_tribe / size,
        same_gender_ratio=same_gender / size,
        is_in_game=stages.game_status.isin(["In the game", "Returned"]),
    )
    assert counted.is_in_game.sum() == 15490
    key = ["version_season", "sog_id", "castaway_id"]
    assert_same(
        analyst, "silver.social_positioning", key, counted.set_index(key).loc[:, "tribe_size":]
    )


def test_edit(analyst: psycopg.Connection, files: Files, castaways: pd.MultiIndex) -> None:
    """A time that nobody took was 0 seconds for 1,185 castaway-seasons."""
    edit = files["confessionals"]
    episode = edit.groupby(["version_season", "episode"]).confessional_count
    rows = edit.set_index(["version_season", "episode", "castaway_id"])[["confessional_time"]]
    rows["confessional_share"] = share(edit.confessional_count, episode.transform("sum")).to_numpy()
    rows["confessional_rank"] = episode.rank("min", ascending=False).to_numpy()
    key = ["version_season", "episode", "castaway_id"]
    assert_same(analyst, "silver.edit_features", key, rows)

    totals = edit.groupby(CASTAWAY_SEASON).agg(
        total_confessional_count=("confessional_count", "sum"),
        total_episodes_appeared=("confessional_count", "size"),
        avg_confessional_time_per_episode=("confessional_time", "mean"),
    )
    totals["total_confessional_time"] = edit.groupby(CASTAWAY_SEASON).confessional_time.sum(
        min_count=1
    )
    totals = totals.reindex(castaways)
    assert totals.total_confessional_time.isna().sum() == 1185
    assert_same(analyst, GOLD, CASTAWAY_SEASON, totals)


def test_appearances_and_returnees(analyst: psycopg.Connection, files: Files) -> None:
    """No season had a returnee, because seasons of different versions were ordered by number."""
    aired = files["episodes"].groupby("version_season").episode_date.min()
    aired["UK01"] = datetime.date(2001, 5, 21)  # its episodes have no dates
    appearances = files["castaways"][CASTAWAY_SEASON].copy()
    appearances["aired"] = pd.to_datetime(appearances.version_season.map(aired))
    number = appearances.groupby("castaway_id").aired.rank("first")
    exits = files["boot_order"].groupby(CASTAWAY_SEASON).size()
    appearances = appearances.assign(appearance_number=number, is_returnee=number > 1)
    appearances = appearances.set_index(CASTAWAY_SEASON).drop(columns="aired").assign(n_boots=exits)
    assert_same(analyst, "silver.castaway_profile", CASTAWAY_SEASON, appearances)

    seasons = appearances.groupby("version_season").is_returnee.agg(
        returnee_count="sum", total_cast="size"
    )
    seasons["boot_vote_count"] = files["vote_history"].groupby("version_season")["order"].nunique()
    stages = files["boot_mapping"]
    status = stages.tribe_status.fillna("")
    for twist, pattern in {
        "has_edge_of_extinction": "^Edge of Extinction$",
        "has_redemption_island": "^Redemption Island$",
        "has_tribe_swap": "^Swapped",
        "has_mergatory": "^Mergatory$",
    }.items():
        seasons[twist] = status.str.contains(pattern).groupby(stages.version_season).any()
    merged = stages[stages.tribe_status == "Merged"].groupby("version_season")
    seasons["merge_sog_id"], seasons["merge_episode"] = merged.sog_id.min(), merged.episode.min()
    assert_same(analyst, "silver.season_context", ["version_season"], seasons)
