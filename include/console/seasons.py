"""The seasons, as the published release has them: what the page of a season is made of.

Reads silver, and bronze for what silver leaves out: tribe colours, every exit of those who came
back, the names of who never played.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from datetime import date
from itertools import groupby
from typing import TypeVar

import psycopg
from psycopg import sql
from psycopg.rows import class_row
from pydantic import BaseModel, ConfigDict

from include.warehouse.schemas import Layer, release_schema


class SeasonsNotPublished(RuntimeError):
    """Readers see no silver, which the seasons are made of."""

    def __init__(self) -> None:
        """Say what to do."""
        super().__init__(
            "The seasons are shown from silver, which readers do not see: run "
            "survivor_medallion_pipeline with target_layer silver or gold."
        )


class NoSuchSeason(RuntimeError):
    """The published release does not have this season."""

    def __init__(self, version_season: str, release_id: int) -> None:
        """Say which, and how seasons are named."""
        super().__init__(
            f"Release {release_id} has no season {version_season!r}: ids are a version and a "
            "number of two digits, such as US45."
        )


class Row(BaseModel):
    """What a query returns, or is made of it."""

    model_config = ConfigDict(frozen=True)


T = TypeVar("T", bound=Row)

# The snapshot lacks it.
TRIBE_COLOURS = "tribe_colours"


class Published(Row):
    """Where the layers lie that readers see now."""

    releases: dict[Layer, int]

    def schemas(self) -> dict[str, sql.Identifier]:
        """Return what queries call the layers."""
        return {
            layer: sql.Identifier(release_schema(layer, release))
            for layer, release in self.releases.items()
        }


class SeasonFacts(Row):
    """A row of silver.season_context."""

    version_season: str
    version: str
    season_number: int
    season_name: str | None
    season_status: str
    location: str | None
    country: str | None
    tribe_setup: str | None
    cast_size: int | None
    total_cast: int
    finalist_count: int | None
    jury_count: int | None
    winner: str | None
    runner_ups: str | None
    final_vote: str | None
    premiered: date | None
    ended: date | None
    last_episode_with_data: int | None
    merge_episode: int | None
    viewers_mean: float | None


class Castaway(Row):
    """Somebody who played the season."""

    castaway_id: str
    castaway: str
    full_name: str | None
    age: int | None
    occupation: str | None
    original_tribe: str | None
    place: int | None
    result: str | None
    is_juror: bool | None
    is_finalist: bool | None
    is_winner: bool | None


class Exit(Row):
    """Somebody leaves the game, not always for good."""

    order: int
    castaway_id: str
    castaway: str
    episode: int | None
    day: int | None
    result: str | None
    sog_id: int | None = None
    boot_vote: int | None = None
    tally: str | None = None


class Ballot(Row):
    """A row of silver.vote_dynamics."""

    boot_vote_number: int
    vote_round: int
    voter_key: str
    episode: int
    day: int | None
    sog_id: int
    target_id: str | None
    voted_out_id: str
    immunity: str | None
    vote_event: str | None
    vote_event_outcome: str | None
    nullified: bool | None
    has_ballot: bool
    is_extra_vote: bool


class BootVote(Row):
    """A vote by which exactly one person leaves, with all its rounds."""

    number: int
    episode: int
    day: int | None
    sog_id: int
    voted_out_id: str
    tally: str | None
    """Counted ballots against each person, most first, round after round; None without any."""
    ballots: dict[str, list[Ballot]]
    """By voter, in order."""


class Stretch(Row):
    """Stages in a row that somebody spends in one place."""

    first: int
    last: int
    """Positions of the stages, from 0."""
    tribe: str | None
    tribe_status: str | None
    place: str
    """The tribe or, outside of the game, where they are."""
    is_in_game: bool
    colour: str | None


class Stage(Row):
    """A stage of the game and its episode."""

    sog_id: int
    episode: int
    phase: str | None


class Tribe(Row):
    """A tribe with its colour, where upstream has one."""

    tribe: str
    tribe_status: str
    tribe_colour: str | None


class Confessionals(Row):
    """What somebody said to the camera in an episode."""

    castaway_id: str
    episode: int
    confessional_count: int | None
    confessional_time: float | None


class Wins(Row):
    """What somebody won, by kind; as gold counts it."""

    castaway_id: str
    individual_immunity: int
    individual_reward: int
    team: int
    duel: int


class Advantage(Row):
    """An advantage is played."""

    castaway_id: str
    advantage_type: str | None
    sog_id: int | None
    episode: int | None
    target_castaway_ids: str | None
    success_outcome: str | None
    votes_nullified: int | None


class JuryVote(Row):
    """A juror's vote for a finalist."""

    juror_name: str
    juror_type: str
    finalist_id: str


class Season(Row):
    """Everything of a season that its page shows."""

    published: Published
    facts: SeasonFacts
    earlier: str | None
    later: str | None
    cast: list[Castaway]
    """Best place first; while the season runs, who is in the game before who is out."""
    names: dict[str, str]
    """Of everybody who occurs, also without being a castaway."""
    stages: list[Stage]
    stretches: dict[str, list[Stretch]]
    """By castaway."""
    exits: list[Exit]
    boot_votes: list[BootVote]
    confessionals: list[Confessionals]
    wins: list[Wins]
    advantages: list[Advantage]
    jury_votes: list[JuryVote]


def _published(connection: psycopg.Connection) -> Published:
    found = connection.execute("select layer, release_id from ops.published_layers").fetchall()
    published = Published(releases=dict(found))
    # Silver is never shown without bronze.
    if "silver" not in published.releases or not _has(
        connection, published, "silver", "season_context"
    ):
        raise SeasonsNotPublished
    return published


def _has(connection: psycopg.Connection, published: Published, layer: Layer, table: str) -> bool:
    name = f"{release_schema(layer, published.releases[layer])}.{table}"
    found = connection.execute("select to_regclass(%s) is not null", (name,)).fetchone()
    return found is not None and found[0]


def read_seasons(connection: psycopg.Connection) -> tuple[Published, list[SeasonFacts]]:
    """Return every season that readers see, by version and number.

    Raises:
        SeasonsNotPublished: silver was never published.
    """
    published = _published(connection)
    return published, _select(
        connection,
        published,
        SeasonFacts,
        "select {columns} from {silver}.season_context order by version, season_number",
    )


def read_season(connection: psycopg.Connection, version_season: str) -> Season:
    """Return one season.

    Raises:
        SeasonsNotPublished: silver was never published.
        NoSuchSeason: the release does not have it.
    """
    published, seasons = read_seasons(connection)
    place = next(
        (place for place, one in enumerate(seasons) if one.version_season == version_season), None
    )
    if place is None:
        raise NoSuchSeason(version_season, published.releases["silver"])

    def select(model: type[T], query: str) -> list[T]:
        return _select(connection, published, model, query, version_season)

    cast = select(
        Castaway,
        """
        select {columns} from {silver}.castaway_profile
        where version_season = %s
        order by place nulls first, castaway
        """,
    )
    tribes = _tribes(connection, published, version_season)
    ballots = select(
        Ballot,
        """
        select {columns} from {silver}.vote_dynamics
        where version_season = %s
        order by boot_vote_number, vote_round, voter_key, ballot_no
        """,
    )
    boot_votes = [
        _boot_vote(number, list(rows))
        for number, rows in groupby(ballots, key=lambda ballot: ballot.boot_vote_number)
    ]
    stages, stretches = _stages(connection, published, version_season, tribes)
    exits = select(
        Exit,
        """
        select "order", castaway_id, castaway, episode, day, result
        from {bronze}.boot_order
        where version_season = %s
        order by "order"
        """,
    )
    names: dict[str, str] = dict(
        connection.execute(
            sql.SQL("select castaway_id, castaway from {bronze}.castaway_details").format(
                **published.schemas()
            )
        ).fetchall()
    )
    names |= {one.castaway_id: one.castaway for one in cast}
    return Season(
        published=published,
        facts=seasons[place],
        earlier=_neighbour(seasons, place, -1),
        later=_neighbour(seasons, place, 1),
        cast=cast,
        names=names,
        stages=stages,
        stretches=stretches,
        exits=[_placed(exit_, boot_votes, stages, stretches) for exit_ in exits],
        boot_votes=boot_votes,
        confessionals=select(
            Confessionals,
            """
            select {columns} from {silver}.edit_features
            where version_season = %s order by episode, castaway_id
            """,
        ),
        wins=select(
            Wins,
            """
            select
                castaway_id,
                coalesce(sum(won_individual_immunity), 0) as individual_immunity,
                coalesce(sum(won_individual_reward), 0) as individual_reward,
                count(*) filter (
                    where
                        challenge_format in ('tribal', 'team', 'mixed')
                        and sit_out is not true
                        and won_flag = 1
                        and greatest(
                            won_tribal_immunity, won_tribal_reward,
                            won_team_immunity, won_team_reward
                        ) = 1
                ) as team,
                coalesce(sum(won_duel), 0) as duel
            from {silver}.challenge_performance
            where version_season = %s
            group by castaway_id
            """,
        ),
        advantages=select(
            Advantage,
            """
            select {columns} from {silver}.advantage_strategy
            where version_season = %s and event_category = 'played'
            order by episode, advantage_id, sequence_id
            """,
        ),
        jury_votes=select(
            JuryVote,
            """
            select {columns} from {silver}.jury_analysis
            where version_season = %s and vote = 1
            order by juror_name
            """,
        ),
    )


def _select(
    connection: psycopg.Connection,
    published: Published,
    model: type[T],
    query: str,
    *parameters: str,
) -> list[T]:
    """Return what a query finds; `{columns}` are the fields of the model."""
    columns = sql.SQL(", ").join(map(sql.Identifier, model.model_fields))
    with connection.cursor(row_factory=class_row(model)) as cursor:
        return cursor.execute(
            sql.SQL(query).format(columns=columns, **published.schemas()),
            parameters,
        ).fetchall()


def _neighbour(seasons: list[SeasonFacts], place: int, step: int) -> str | None:
    """Return the season before or after, of the same version."""
    other = place + step
    if 0 <= other < len(seasons) and seasons[other].version == seasons[place].version:
        return seasons[other].version_season
    return None


def _tribes(
    connection: psycopg.Connection, published: Published, version_season: str
) -> list[Tribe]:
    """Return the tribes' colours: none where the source, such as the snapshot, lacks them."""
    if not _has(connection, published, "bronze", TRIBE_COLOURS):
        return []
    return _select(
        connection,
        published,
        Tribe,
        "select {columns} from {bronze}.tribe_colours where version_season = %s",
        version_season,
    )


class _Whereabouts(Row):
    castaway_id: str
    sog_id: int
    episode: int
    tribe: str | None
    tribe_status: str | None
    merge_phase: str | None
    game_status: str | None
    is_in_game: bool


def _stages(
    connection: psycopg.Connection,
    published: Published,
    version_season: str,
    tribes: Iterable[Tribe],
) -> tuple[list[Stage], dict[str, list[Stretch]]]:
    rows = _select(
        connection,
        published,
        _Whereabouts,
        "select {columns} from {silver}.social_positioning where version_season = %s "
        "order by castaway_id, sog_id",
        version_season,
    )
    episodes = {row.sog_id: row.episode for row in rows}
    phases: dict[int, Counter[str]] = defaultdict(Counter)
    for row in rows:
        if row.is_in_game and row.merge_phase:
            phases[row.sog_id][row.merge_phase] += 1
    stages = [
        Stage(
            sog_id=sog_id,
            episode=episodes[sog_id],
            phase=phases[sog_id].most_common(1)[0][0] if phases[sog_id] else None,
        )
        for sog_id in sorted(episodes)
    ]
    positions = {stage.sog_id: place for place, stage in enumerate(stages)}
    exact = {(one.tribe, one.tribe_status): one.tribe_colour for one in tribes}
    # A swapped tribe keeps its colour, and upstream does not list every status of it.
    by_name = {one.tribe: one.tribe_colour for one in tribes}
    stretches: dict[str, list[Stretch]] = defaultdict(list)
    for row in rows:
        place = positions[row.sog_id]
        before = stretches[row.castaway_id][-1] if stretches[row.castaway_id] else None
        where = (row.tribe, row.tribe_status, row.is_in_game)
        if (
            before
            and before.last == place - 1
            and (before.tribe, before.tribe_status, before.is_in_game) == where
        ):
            stretches[row.castaway_id][-1] = before.model_copy(update={"last": place})
            continue
        # The text None is upstream's for those who are on no tribe.
        tribe = None if row.tribe == "None" else row.tribe
        outside = None if row.is_in_game else row.tribe_status or row.game_status
        stretches[row.castaway_id].append(
            Stretch(
                first=place,
                last=place,
                tribe=row.tribe,
                tribe_status=row.tribe_status,
                place=outside or tribe or row.tribe_status or "no tribe",
                is_in_game=row.is_in_game,
                colour=exact.get(
                    (row.tribe or "", row.tribe_status or ""), by_name.get(row.tribe or "")
                ),
            )
        )
    return stages, dict(stretches)


def _boot_vote(number: int, rows: list[Ballot]) -> BootVote:
    ballots: dict[str, list[Ballot]] = defaultdict(list)
    for row in rows:
        ballots[row.voter_key].append(row)
    rounds = []
    for _, of_round in groupby(rows, key=lambda ballot: ballot.vote_round):
        cast = [ballot for ballot in of_round if ballot.has_ballot]
        against = Counter(ballot.target_id for ballot in cast if not ballot.nullified)
        tally = "-".join(str(count) for _, count in against.most_common())
        if nullified := len(cast) - against.total():
            tally = f"{tally or 0} ({nullified} not counted)"
        if tally:
            rounds.append(tally)
    return BootVote(
        number=number,
        episode=rows[0].episode,
        day=rows[0].day,
        sog_id=rows[0].sog_id,
        voted_out_id=rows[0].voted_out_id,
        tally=", then ".join(rounds) or None,
        ballots=dict(ballots),
    )


def _placed(
    exit_: Exit,
    boot_votes: Iterable[BootVote],
    stages: Iterable[Stage],
    stretches: Mapping[str, list[Stretch]],
) -> Exit:
    """Add the stage that the exit ended and the vote that decided it, if there was one."""
    votes = [
        vote
        for vote in boot_votes
        if vote.voted_out_id == exit_.castaway_id and vote.episode == exit_.episode
    ]
    if votes:
        vote = votes[-1]
        return exit_.model_copy(
            update={"sog_id": vote.sog_id, "boot_vote": vote.number, "tally": vote.tally}
        )
    present = [
        stage.sog_id
        for place, stage in enumerate(stages)
        if stage.episode == exit_.episode
        and any(
            stretch.first <= place <= stretch.last and stretch.is_in_game
            for stretch in stretches.get(exit_.castaway_id, ())
        )
    ]
    return exit_.model_copy(update={"sog_id": max(present, default=None)})
