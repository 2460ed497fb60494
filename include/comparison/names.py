"""Who and what the rows are about: names for ids, and the seasons of the two releases."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

import psycopg
from psycopg import sql

from include.comparison.models import SeasonComparison
from include.comparison.relations import Relation
from include.comparison.tables import SEASON

# What the number in a key column counts, where people call it otherwise.
WORDS = {
    "sog_id": "stage",
    "challenge_id": "challenge",
    "advantage_id": "advantage",
    "sequence_id": "event",
    "boot_vote_number": "boot vote",
    "order": "exit",
    "vote_order": "round",
    "vote_round": "round",
    "ballot_no": "ballot",
    "auction_num": "auction",
    "finalist_id": "finalist",
}

# Says nothing beside the rest of the key.
UNSAID = {
    SEASON, "castaway", "castaway_id", "full_name", "challenge_type", "ballot_no", "auction_num",
    "vote_order", "vote_round",
}  # fmt: skip

Relations = Mapping[str, Relation]


@dataclass
class Season:
    """What one release knows of a season."""

    cast: set[str] = field(default_factory=set)
    winner: str | None = None
    episodes: int | None = None
    name: str | None = None


class Names:
    """Names of castaways and challenges in two releases; the newer one's where both have one."""

    def __init__(self) -> None:
        self.castaways: dict[tuple[str | None, str | None], str] = {}
        """By season and id."""
        self.people: dict[str, str] = {}
        """By id."""
        self.challenges: dict[tuple[str | None, str | None], str] = {}
        """By season and number."""
        self.older: dict[str, Season] = {}
        self.newer: dict[str, Season] = {}

    @classmethod
    def of(cls, connection: psycopg.Connection, older: Relations, newer: Relations) -> Names:
        """Read what both releases' bronze tables say, as far as they have these columns."""
        names = cls()
        for tables, seasons in ((older, names.older), (newer, names.newer)):
            names._read_names(connection, tables)
            _read_seasons(connection, tables, seasons)
        return names

    def _read_names(self, connection: psycopg.Connection, tables: Relations) -> None:
        for season, castaway_id, name in _select(
            connection, tables, "castaways", SEASON, "castaway_id", "castaway"
        ):
            if name:
                self.castaways[season, castaway_id] = name
        for castaway_id, name in _select(
            connection, tables, "castaway_details", "castaway_id", "full_name"
        ):
            if castaway_id and name:
                self.people[castaway_id] = name
        for season, number, name in _select(
            connection, tables, "challenge_description", SEASON, "challenge_id", "name"
        ):
            if name:
                self.challenges[season, number] = name

    def label(self, season: str | None, row: Mapping[str, str | None]) -> str:
        """Name a row for people by its key and whatever else tells who it is about."""
        who = self._who(season, row)
        parts = [who] if who else []
        for column, value in row.items():
            if value is None or column in UNSAID:
                continue
            if who and self.name(season, value) == who:
                continue
            parts.append(self._part(season, column, value))
        return ", ".join(parts)

    def _who(self, season: str | None, row: Mapping[str, str | None]) -> str | None:
        ids = (row.get(column) for column in ("castaway_id", "voter_key", "juror_key"))
        castaway_id = next((value for value in ids if value), None)
        named = self.name(season, castaway_id) if castaway_id else None
        person = row.get("full_name") if season is None else None
        return named or row.get("castaway") or person or castaway_id

    def _part(self, season: str | None, column: str, value: str) -> str:
        word = WORDS.get(column, column.replace("_", " "))
        if column == "challenge_id" and (name := self.challenges.get((season, value))):
            return f"challenge {value} ({name})"
        return f"{word} {self.name(season, value) or value}"

    def name(self, season: str | None, castaway_id: str) -> str | None:
        """Return what the season calls somebody, or who they are where it does not."""
        return self.castaways.get((season, castaway_id)) or self.people.get(castaway_id)

    def seasons_of(self, people: Collection[str]) -> frozenset[str]:
        """Return the seasons, in either release, that these took part in."""
        return frozenset(
            name
            for seasons in (self.older, self.newer)
            for name, season in seasons.items()
            if not season.cast.isdisjoint(people)
        )

    def unfinished(self) -> set[str]:
        """Return the seasons that the older release lacks, or has without their end."""
        return {
            season
            for season in self.newer
            if season not in self.older or self.older[season].winner is None
        }

    def renamed(self) -> dict[str, str]:
        """Return the new name of each season whose whole cast another season has now."""
        now = {
            frozenset(season.cast): name
            for name, season in self.newer.items()
            if name not in self.older and season.cast
        }
        return {
            name: now[frozenset(season.cast)]
            for name, season in self.older.items()
            if name not in self.newer and frozenset(season.cast) in now
        }

    def compare_seasons(self) -> list[SeasonComparison]:
        """Return what became of the seasons that are not simply in both."""
        renamed = {new: old for old, new in self.renamed().items()}
        found = []
        for name in sorted(self.older.keys() | self.newer.keys()):
            before, after = self.older.get(name), self.newer.get(name)
            if name in renamed:
                before = self.older[renamed[name]]
                status = "renamed"
            elif before is None:
                status = "new"
            elif after is None:
                status = "gone"
            elif before.winner is None:
                status = "went_on"
            else:
                continue
            if after is None and name in renamed.values():
                continue
            known = after or before
            assert known is not None
            found.append(
                SeasonComparison.model_validate(
                    {
                        "season": name,
                        "name": known.name,
                        "status": status,
                        "episodes_before": before.episodes if before else None,
                        "episodes_after": after.episodes if after else None,
                        "castaways": len(known.cast),
                        "winner": known.winner and self.name(name, known.winner),
                        "renamed_from": renamed.get(name),
                    }
                )
            )
        return found


def _read_seasons(
    connection: psycopg.Connection, tables: Relations, seasons: dict[str, Season]
) -> None:
    def season(name: str | None) -> Season:
        return seasons.setdefault(name, Season()) if name else Season()

    for name, castaway_id in _select(connection, tables, "castaways", SEASON, "castaway_id"):
        if castaway_id:
            season(name).cast.add(castaway_id)
    for name, castaway_id, winner in _select(
        connection, tables, "castaways", SEASON, "castaway_id", "winner"
    ):
        if winner == "true":
            season(name).winner = castaway_id
    for name, title in _select(connection, tables, "season_summary", SEASON, "season_name"):
        season(name).name = title
    for name, episode in _select(connection, tables, "vote_history", SEASON, "episode"):
        if episode and episode.isdigit():
            one = season(name)
            one.episodes = max(one.episodes or 0, int(episode))


def _select(
    connection: psycopg.Connection, tables: Relations, table: str, *columns: str
) -> list[tuple[str | None, ...]]:
    """Return the different values of these columns as text; nothing where one is missing."""
    relation = tables.get(table)
    if relation is None or not set(columns) <= relation.columns.keys():
        return []
    query = sql.SQL("select distinct {} from {}").format(
        sql.SQL(", ").join(
            sql.SQL("{}::text").format(sql.Identifier(column)) for column in columns
        ),
        sql.Identifier(relation.schema, relation.name),
    )
    return connection.execute(query).fetchall()
