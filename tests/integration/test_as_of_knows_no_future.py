"""gold.ml_features_as_of at a stage of the game is made of what was known when it began.

The tables of the original project name 92 to 99 % of the winners "before" they won. Here the end
of the game is taken away, and then given to the wrong people: features must not notice.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from psycopg import sql
from psycopg.rows import dict_row

pytest.importorskip("sqlglot", reason="make test installs it")

import sqlglot
from sqlglot import exp
from sqlglot.optimizer.pushdown_projections import pushdown_projections
from sqlglot.optimizer.qualify import qualify
from sqlglot.optimizer.scope import traverse_scope

from include.warehouse.connection import ConnectionSettings
from include.warehouse.schemas import TRANSFORMER, release_schema
from tests.conftest import as_pipeline
from tests.integration.survivor_releases import run_dbt
from tests.integration.survivor_world import open_test_release

TARGETS = "array['target_winner', 'target_finalist', 'target_placement']"

# What only the end of a season tells. Whole datasets that hold nothing else are empty here.
OUTCOMES: dict[str, set[str]] = {
    "boot_order": {"episode", "day", "order", "result"},
    "castaways": {
        "episode", "day", "order", "result", "jury_status", "place", "jury", "finalist", "winner",
    },
    "season_summary": {
        "full_name", "winner_id", "winner", "runner_ups", "final_vote", "n_finalists", "n_jury",
        "ended", "viewers_finale", "viewers_reunion", "viewers_mean", "rank",
    },
    "jury_votes": set(),
    "castaway_scores": set(),
}  # fmt: skip

# In each season a stage at which the game is cut: some stage after the first, or the merge.
SOME_STAGE = """
    select distinct on (version_season) version_season, sog_id, episode
    from silver.social_positioning
    where is_in_game and sog_id > 1
    order by version_season, md5('{seed}' || version_season || sog_id)
"""
MERGE = """
    select version_season, merge_sog_id as sog_id, merge_episode as episode
    from silver.season_context
    where merge_sog_id is not null
"""

# What happens from the cut on. Upstream has a few votes and advantages at a wrong stage; when they
# happened is said by silver, where that is repaired.
LATER = [
    """create table later_vote as
    select distinct version_season, boot_vote_number as "order", vote_round as vote_order
    from silver.vote_dynamics as vote join cut using (version_season)
    where vote.sog_id >= cut.sog_id""",
    """create table later_event as
    select distinct version_season, advantage_id, sequence_id
    from silver.advantage_strategy as event join cut using (version_season)
    where event.sog_id >= cut.sog_id or (event.sog_id is null and event.episode >= cut.episode)""",
]

# Everything from the cut on, and all that is only known at the end, taken out of bronze. At the cut
# itself only who is in the game remains.
BY_STAGE = ("challenge_results", "challenge_summary", "journeys", "advantage_timeline")
BY_EPISODE = ("confessionals", "episodes", "tribe_mapping", "survivor_auction")
TRUNCATE = [
    *LATER,
    """delete from vote_history as vote using later_vote as later
    where (vote.version_season, vote."order", vote.vote_order)
    = (later.version_season, later."order", later.vote_order)""",
    """delete from advantage_movement as event using later_event as later
    where (event.version_season, event.advantage_id, event.sequence_id)
    = (later.version_season, later.advantage_id, later.sequence_id)""",
    *(
        f"delete from {table} as event using cut "
        f"where event.version_season = cut.version_season and event.sog_id >= cut.sog_id"
        for table in BY_STAGE
    ),
    *(
        f"delete from {table} as event using cut "
        f"where event.version_season = cut.version_season and event.episode >= cut.episode"
        for table in BY_EPISODE
    ),
    """delete from boot_mapping as stage using cut
    where stage.version_season = cut.version_season and stage.sog_id > cut.sog_id""",
    """update boot_mapping as stage
    set tribe = null, tribe_status = null, final_n = null, n_boots = null
    from cut where stage.version_season = cut.version_season and stage.sog_id = cut.sog_id""",
    """delete from challenge_description as challenge where not exists (
        select from challenge_results as result
        where result.version_season = challenge.version_season
        and result.challenge_id = challenge.challenge_id)""",
    "delete from jury_votes",
    "delete from castaway_scores",
    "delete from boot_order",
    *(
        f'update {table} set "{column}" = null'
        for table in ("castaways", "season_summary")
        for column in sorted(OUTCOMES[table])
    ),
]

# Everything from the cut on happens to somebody else of the same cast.
SHUFFLE = [
    """create table swap as
    select version_season, castaway_id, lead(castaway_id, 1, first) over season as other_id
    from (
        select version_season, castaway_id, first_value(castaway_id) over season as first
        from castaways
        window season as (partition by version_season order by md5(castaway_id))
    ) as cast_of_season
    window season as (partition by version_season order by md5(castaway_id))""",
    "create index on swap (version_season, castaway_id)",
    *LATER,
    *(
        f"""update vote_history as vote set {column} = swap.other_id
        from swap, later_vote as later
        where (vote.version_season, vote."order", vote.vote_order)
        = (later.version_season, later."order", later.vote_order)
        and swap.version_season = vote.version_season and swap.castaway_id = vote.{column}"""
        for column in ("castaway_id", "vote_id", "voted_out_id")
    ),
    *(
        f"""update advantage_movement as event set {column} = swap.other_id
        from swap, later_event as later
        where (event.version_season, event.advantage_id, event.sequence_id)
        = (later.version_season, later.advantage_id, later.sequence_id)
        and swap.version_season = event.version_season and swap.castaway_id = event.{column}"""
        for column in ("castaway_id", "played_for_id")
    ),
    *(
        f"""update {table} as event set castaway_id = swap.other_id from swap, cut
        where event.version_season = cut.version_season and event.sog_id >= cut.sog_id
        and swap.version_season = event.version_season and swap.castaway_id = event.castaway_id"""
        for table in ("challenge_results", "challenge_summary")
    ),
    """update confessionals as event set castaway_id = swap.other_id from swap, cut
    where event.version_season = cut.version_season and event.episode >= cut.episode
    and swap.version_season = event.version_season and swap.castaway_id = event.castaway_id""",
    """update boot_mapping as event set castaway_id = swap.other_id from swap, cut
    where event.version_season = cut.version_season and event.sog_id > cut.sog_id
    and swap.version_season = event.version_season and swap.castaway_id = event.castaway_id""",
    """update jury_votes as event set finalist_id = swap.other_id from swap
    where swap.version_season = event.version_season and swap.castaway_id = event.finalist_id""",
    """update season_summary as season set winner_id = swap.other_id from swap
    where swap.version_season = season.version_season and swap.castaway_id = season.winner_id""",
    """update castaways as loser
    set (result, place, jury, finalist, winner, episode, day, "order") = (
        select other.result, other.place, other.jury, other.finalist, other.winner, other.episode,
            other.day, other."order"
        from castaways as other
        join swap using (version_season, castaway_id)
        where other.version_season = loser.version_season and swap.other_id = loser.castaway_id)""",
]  # fmt: skip


def rebuild(
    superuser: ConnectionSettings, cuts: str, changes: Sequence[str], folder: Path
) -> list[dict[str, Any]]:
    """Change a copy of bronze, build the features from it, and compare them up to the cuts.

    Returns a row per season: how many rows were compared, of these at the cut, and how many differ.
    """
    pipeline = as_pipeline(superuser)
    release_id = open_test_release(pipeline)
    bronze = release_schema("bronze", release_id)
    with superuser.connect() as connection:
        for (table,) in connection.execute(
            "select tablename from pg_tables where schemaname = 'bronze_r1'"
        ).fetchall():
            connection.execute(
                sql.SQL("create table {} as table bronze_r1.{}").format(
                    sql.Identifier(bronze, table), sql.Identifier(table)
                )
            )
        connection.execute(f"set search_path = {bronze}")  # type: ignore[arg-type]
        for change in (f"create table cut as {cuts}", *changes):
            connection.execute(change)  # type: ignore[arg-type]
        connection.execute(f"grant select on all tables in schema {bronze} to {TRANSFORMER}")  # type: ignore[arg-type]
    run_dbt(
        pipeline, release_id, folder, "--quiet", "build", "--select", "+ml_features_as_of",
        "--exclude-resource-type", "test", "--exclude-resource-type", "unit_test",
    )  # fmt: skip
    comparison = f"""
        select
            cut.version_season,
            count(*) as rows,
            count(*) filter (where original.sog_id = cut.sog_id) as rows_at_the_cut,
            count(*) filter (
                where to_jsonb(original) - {TARGETS} is distinct from to_jsonb(rebuilt) - {TARGETS}
            ) as different_rows
        from {bronze}.cut
        join gold.ml_features_as_of as original
            on original.version_season = cut.version_season and original.sog_id <= cut.sog_id
        left join {release_schema("gold", release_id)}.ml_features_as_of as rebuilt
            on rebuilt.version_season = original.version_season
            and rebuilt.sog_id = original.sog_id
            and rebuilt.castaway_id = original.castaway_id
        group by cut.version_season
        order by cut.version_season
    """
    with superuser.connect() as connection:
        cursor = connection.cursor(row_factory=dict_row)
        return cursor.execute(comparison).fetchall()  # type: ignore[arg-type]


def assert_nothing_noticed(seasons: list[dict[str, Any]]) -> None:
    assert len(seasons) > 70
    assert all(season["rows_at_the_cut"] for season in seasons)
    assert {s["version_season"]: s["different_rows"] for s in seasons if s["different_rows"]} == {}


@pytest.mark.parametrize("cuts", [MERGE, SOME_STAGE.format(seed=1)], ids=["merge", "some stage"])
def test_features_are_the_same_when_the_rest_of_the_game_never_happened(
    survivor_warehouse: ConnectionSettings, cuts: str, tmp_path: Path
) -> None:
    assert_nothing_noticed(rebuild(survivor_warehouse, cuts, TRUNCATE, tmp_path))


def test_features_are_the_same_when_the_rest_of_the_game_went_to_others(
    survivor_warehouse: ConnectionSettings, tmp_path: Path
) -> None:
    cuts = SOME_STAGE.format(seed=2)
    assert_nothing_noticed(rebuild(survivor_warehouse, cuts, SHUFFLE, tmp_path))


def test_no_feature_descends_from_an_outcome(
    survivor_warehouse: ConnectionSettings, tmp_path: Path
) -> None:
    """Every column, condition and join of the compiled models is followed down to bronze."""
    run_dbt(
        as_pipeline(survivor_warehouse), 1, tmp_path,
        "--quiet", "compile", "--select", "+ml_features_as_of",
    )  # fmt: skip
    read = Lineage(tmp_path / "target" / "manifest.json", survivor_warehouse)
    bronze = read.columns_behind(
        "ml_features_as_of", lambda column: not column.startswith("target_")
    )
    assert {"vote_history", "challenge_results", "confessionals", "castaway_details"} <= set(bronze)
    assert not {"jury_votes", "castaway_scores"} & set(bronze)
    assert {
        table: bronze[table] & outcomes
        for table, outcomes in OUTCOMES.items()
        if bronze[table] & outcomes
    } == {}
    # The targets are what the same walk must find, or it finds nothing.
    outcomes = read.columns_behind("ml_features_as_of", lambda column: column.startswith("target_"))
    assert {"winner", "finalist", "place"} <= outcomes["castaways"]


class Lineage:
    """Which columns a model reads for some of its own: its compiled SQL, and its parents'."""

    def __init__(self, manifest: Path, warehouse: ConnectionSettings) -> None:
        nodes = json.loads(manifest.read_text(encoding="utf-8"))["nodes"].values()
        self.models = {node["name"]: node for node in nodes if node["resource_type"] == "model"}
        self.database = warehouse.dbname
        self.schema: dict[str, Any] = defaultdict(lambda: defaultdict(dict))
        with warehouse.connect() as connection:
            for schema, table, column in connection.execute(
                "select table_schema, table_name, column_name from information_schema.columns "
                "where table_schema ~ '_r1$'"
            ).fetchall():
                self.schema[schema][table][column] = "text"

    def columns_behind(self, model: str, chosen: Callable[[str], bool]) -> dict[str, set[str]]:
        """Return the columns of bronze that decide the chosen columns of a model, by dataset."""
        wanted: dict[str, set[str]] = defaultdict(set)
        wanted[model] = {column for column in self.models[model]["columns"] if chosen(column)}
        to_follow, bronze = [model], defaultdict(set)
        while to_follow:
            followed = to_follow.pop()
            for table, columns in self._columns_read(followed, wanted[followed]).items():
                if table not in self.models:
                    bronze[table] |= columns
                elif not columns <= wanted[table]:
                    wanted[table] |= columns
                    to_follow.append(table)
        return bronze

    def _columns_read(self, model: str, wanted: set[str]) -> dict[str, set[str]]:
        query = qualify(
            sqlglot.parse_one(self.models[model]["compiled_code"], dialect="postgres"),
            schema={self.database: self.schema},
            catalog=self.database,
            dialect="postgres",
        )
        query.set("expressions", [each for each in query.selects if each.alias_or_name in wanted])
        read: dict[str, set[str]] = defaultdict(set)
        for scope in traverse_scope(pushdown_projections(query)):
            for column in scope.columns:
                source = scope.sources.get(column.table)
                if isinstance(source, exp.Table):
                    read[source.name].add(column.name)
        return read
