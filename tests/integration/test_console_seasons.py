"""The page of a season shows what silver holds, for every season and for odd ones."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from include.console.pages.seasons import season_context
from include.console.season_figures import (
    challenge_wins,
    confessionals,
    jury,
    plays_by_stage,
    vote_rows,
    whereabouts,
)
from include.console.seasons import Season, read_season, read_seasons
from include.warehouse.connection import CONNECTION_VARIABLE, ConnectionSettings
from include.warehouse.schemas import AUDITOR, OWNER
from tests.conftest import as_pipeline
from tests.integration.console_pages import Browse, signed_in
from tests.integration.small_releases import start

SMALL = Path(__file__).with_name("small_seasons.sql")
PUBLISH = """
    insert into ops.published_layers
    select layer, 1, now() from unnest(array['bronze', 'silver']) as layer
"""


@pytest.fixture(scope="module")
def small(create_warehouse: Callable[[], ConnectionSettings]) -> ConnectionSettings:
    """The pipeline's way into a warehouse whose published release has three invented seasons."""
    superuser = create_warehouse()
    pipeline = as_pipeline(superuser)
    with pipeline.connect(role=OWNER) as owner:
        assert start(owner, "silver") == 1
    with superuser.connect() as connection:
        connection.execute(SMALL.read_bytes())
        connection.execute(
            "grant select on all tables in schema bronze_r1, silver_r1 to gamebot_auditor"
        )
        connection.execute(PUBLISH)
    return pipeline


@pytest.fixture
def auditor(small: ConnectionSettings) -> Iterator[psycopg.Connection]:
    with small.connect(role=AUDITOR) as connection:
        connection.read_only = True
        yield connection


@pytest.fixture
def odd(auditor: psycopg.Connection) -> Season:
    return read_season(auditor, "US01")


@pytest.fixture
def browse(small: ConnectionSettings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Browse]:
    monkeypatch.setenv(CONNECTION_VARIABLE, small.as_airflow_connection())
    with signed_in() as browse:
        yield browse


def test_exits_stand_beside_the_stage_and_the_vote_that_ended_them(odd: Season) -> None:
    """Who returns leaves twice, and two who leave at one council do not share a tally."""
    assert [(exit_.order, exit_.castaway_id, exit_.sog_id, exit_.tally) for exit_ in odd.exits] == [
        (1, "e", 1, "3-1 (1 not counted)"),
        (2, "d", 2, "1-1"),
        (3, "c", 3, "2"),
        (4, "e", 3, "1"),
        (5, "b", 3, None),
        (6, "a", 3, None),
    ]
    assert plays_by_stage(odd) == {
        1: ["Dan plays Hidden Immunity Idol: it changed the result, 1 vote not counted"]
    }


def test_votes_tell_idols_rounds_extra_votes_and_penalties(odd: Season) -> None:
    rows = {row.name: row.cells for row in vote_rows(odd)}
    assert list(rows) == ["Ann", "Ben", "Cat", "Dan", "<i>Eve</i>", "Penalty"]

    def marks(name: str, vote: int) -> list[tuple[str, str]]:
        cell = rows[name][vote - 1]
        return [(mark.text, mark.kind) for mark in cell.marks] if cell else []

    assert marks("Cat", 1) == [("<i>Eve</i>", "right"), ("<i>Eve</i>", "right")]
    assert marks("<i>Eve</i>", 1) == [("Dan", "nullified")]
    assert marks("Cat", 2) == [("Dan", "right"), ("can't vote", "none")]
    assert marks("Ann", 1) == []
    assert marks("Penalty", 1) == [("<i>Eve</i>", "right")]
    immune, idol = rows["Ann"][2], rows["Dan"][0]
    assert immune and immune.necklace and idol and idol.idol
    assert [cell.is_out for cell in rows["<i>Eve</i>"] if cell] == [True, True]


def test_ribbons_follow_the_tribes_over_the_stages(odd: Season) -> None:
    drawn = whereabouts(odd)
    eve = next(row for row in drawn.rows if row.name == "<i>Eve</i>")
    assert [(ribbon.told, ribbon.colour, ribbon.is_in_game) for ribbon in eve.ribbons] == [
        # Upstream has no colour of this tribe.
        ("Blue, Original: stage 1, episode 1", None, True),
        ("Exile Island: stage 2, episode 2", None, False),
        ("Gold, Merged: stage 3, episode 3", "#ffdf48", True),
    ]
    ann = drawn.rows[0]
    assert [ribbon.told for ribbon in ann.ribbons] == [
        "Red, Original: stages 1 to 2, episodes 1 to 2",
        "Gold, Merged: stage 3, episode 3",
    ]
    # Letters that can be read: white on dark red, black on gold.
    assert [ribbon.is_light for ribbon in ann.ribbons] == [False, True]
    assert [heading.episode for heading in drawn.headings] == [1, 2, 3]


def test_what_is_unknown_is_no_zero(odd: Season) -> None:
    edit, wins = confessionals(odd), challenge_wins(odd)
    assert edit and wins
    assert edit.rows == [
        ["Ann", 4, 3, 7],
        ["Ben", 0, None, 0],
        # A captain is heard without being a castaway.
        ["Cap", 7, None, 7],
    ]
    assert wins.rows == [["Ann", 1, 0], ["Ben", 0, 1], ["Cat", 0, 0]]
    assert jury(odd) == [("Ann", ["Cat", "Dan"]), ("Ben", ["Public"])]


def test_a_season_that_runs_has_no_end_yet(browse: Browse) -> None:
    page = browse("/seasons/US02")
    assert page.status_code == 200
    text = page.text
    assert "not known yet" in text and "in progress" in text
    assert "Nobody has counted the confessionals" in text
    assert "How the jury voted" not in text and "Who voted for whom" not in text
    assert "None" not in re.sub(r"<[^>]+>", " ", text)


def test_an_announced_season_has_a_page(browse: Browse) -> None:
    page = browse("/seasons/US03")
    assert page.status_code == 200
    assert "nothing of the game is known yet" in page.text


def test_the_list_names_every_season_and_leads_to_it(browse: Browse) -> None:
    page = browse("/seasons").text
    assert re.findall(r'href="/seasons/(\w+)"', page) == ["US03", "US02", "US01"]
    assert "Survivor: &lt;b&gt;Bold&lt;/b&gt;" in page


def test_a_page_shows_names_as_text_and_loads_from_here_only(browse: Browse) -> None:
    page = browse("/seasons/US01").text
    assert "<i>Eve" not in page and "<b>Bold" not in page
    assert not re.findall(r'(?:src|href)="(?:https?:)?//', page)
    # What the page's policy would refuse.
    assert not re.findall(r"<style| style=| on\w+=", page)
    for island in re.findall(r'<script type="application/json"[^>]*>(.*?)</script>', page, re.S):
        json.loads(island)


def test_a_season_that_is_not_there_is_no_error_of_ours(browse: Browse) -> None:
    page = browse("/seasons/US99")
    assert page.status_code == 404
    assert "no season &#39;US99&#39;" in page.text


def test_without_silver_the_page_says_what_to_run(
    warehouse: ConnectionSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(CONNECTION_VARIABLE, warehouse.as_airflow_connection())
    with signed_in() as browse:
        pages = [browse("/seasons"), browse("/seasons/US01")]
    assert [page.status_code for page in pages] == [200, 404]
    assert ["target_layer silver or gold" in page.text for page in pages] == [True, True]


def test_without_tribe_colours_ribbons_are_plain(
    small: ConnectionSettings, auditor: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The snapshot has no tribe_colours."""
    monkeypatch.setattr("include.console.seasons.TRIBE_COLOURS", "no_such_table")
    found = read_season(auditor, "US01")
    assert {ribbon.colour for row in whereabouts(found).rows for ribbon in row.ribbons} == {None}


def test_every_real_season_has_a_page_whose_figures_are_those_of_silver(
    survivor_warehouse: ConnectionSettings,
) -> None:
    # For as long as this test looks: others share the warehouse.
    with survivor_warehouse.connect() as connection:
        connection.execute(PUBLISH)

        def counted(query: str) -> dict[str, int]:
            return dict(connection.execute(query.format(season="version_season")).fetchall())  # type: ignore[arg-type]

        truth = {
            "ballots": counted("select {season}, count(*) from silver_r1.vote_dynamics group by 1"),
            "confessionals": counted(
                "select {season}, sum(confessional_count) from silver_r1.edit_features group by 1"
            ),
            "immunities": counted(
                "select {season}, sum(won_individual_immunity) "
                "from silver_r1.challenge_performance where is_castaway group by 1"
            ),
            "team": counted(
                "select {season}, sum(team_wins) from gold_r1.ml_features_non_edit group by 1"
            ),
            "jury": counted("select {season}, sum(vote) from silver_r1.jury_analysis group by 1"),
            "stages": counted(
                "select {season}, count(*) from silver_r1.social_positioning group by 1"
            ),
            "exits": counted("select {season}, count(*) from bronze_r1.boot_order group by 1"),
        }
        _, seasons = read_seasons(connection)
        assert len(seasons) == 76
        for facts in seasons:
            season = facts.version_season
            context = season_context(read_season(connection, season))
            found: Season = context["season"]
            edit, wins = context["confessionals"], context["wins"]
            shown = {
                "ballots": sum(
                    len(cell.marks) for row in context["votes"] for cell in row.cells if cell
                ),
                "confessionals": sum(row[-1] for row in edit.rows),
                "immunities": sum(
                    row[wins.columns.index("individual immunity")] for row in wins.rows
                ),
                "team": sum(row[wins.columns.index("with tribe or team")] for row in wins.rows),
                "jury": sum(len(jurors) for _, jurors in context["jury"]),
                "stages": sum(
                    stretch.last - stretch.first + 1
                    for stretches in found.stretches.values()
                    for stretch in stretches
                ),
                "exits": len(found.exits),
            }
            assert shown == {name: counts[season] for name, counts in truth.items()}, season
            assert context["jury"][0][0] == facts.winner
        connection.rollback()
