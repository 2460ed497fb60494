"""The figures of a season's page: whereabouts and votes drawn on the server, counts as charts."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from itertools import groupby

from pydantic import BaseModel, ConfigDict

from include.console.charts import Chart, described
from include.console.seasons import Advantage, Ballot, BootVote, Season, Stretch

# Units of the picture of the whereabouts; the style sheet scales it.
NAME_WIDTH, ROW_HEIGHT, TOP = 104, 24, 44
STAGES_WIDTH, NARROWEST_STAGE, WIDEST_STAGE = 1120, 34, 64
LETTER_WIDTH = 6.6

# Upstream's words for an immunity that held, and for two that are none.
NECKLACE = ("Individual",)
IDOL = ("Hidden",)
NO_IMMUNITY = ("Removed from tribal", "Hidden (nullified)")

OUTCOMES = {
    "yes": "it changed the result",
    "not needed": "it was not needed",
    "no": "it failed",
}


class Ribbon(BaseModel):
    """A stretch of the game as a bar."""

    model_config = ConfigDict(frozen=True)

    x: float
    width: float
    colour: str | None
    is_light: bool
    """Dark letters can be read on the colour."""
    is_in_game: bool
    label: str
    """Empty where it would not fit."""
    told: str


class RibbonRow(BaseModel):
    """The whole game of one castaway."""

    model_config = ConfigDict(frozen=True)

    name: str
    ribbons: list[Ribbon]
    y: float
    end: str
    """What became of them."""


class Heading(BaseModel):
    """An episode above its stages."""

    model_config = ConfigDict(frozen=True)

    x: float
    width: float
    episode: int


class Whereabouts(BaseModel):
    """Who was on which tribe at every stage."""

    model_config = ConfigDict(frozen=True)

    width: float
    height: float
    stage_width: int
    name_width: int = NAME_WIDTH
    row_height: int = ROW_HEIGHT
    top: int = TOP
    headings: list[Heading]
    rows: list[RibbonRow]


def whereabouts(season: Season) -> Whereabouts:
    """Lay out a ribbon per castaway, in the colours of the tribes."""
    fitting = STAGES_WIDTH // max(len(season.stages), 1)
    stage_width = min(max(fitting, NARROWEST_STAGE), WIDEST_STAGE)
    rows = [
        RibbonRow(
            name=one.castaway,
            y=TOP + place * ROW_HEIGHT,
            ribbons=[
                _ribbon(season, stretch, stage_width)
                for stretch in season.stretches.get(one.castaway_id, ())
            ],
            end=one.result or "in the game",
        )
        for place, one in enumerate(season.cast)
    ]
    headings = []
    x = float(NAME_WIDTH)
    for episode, stages in groupby(season.stages, key=lambda stage: stage.episode):
        width = len(list(stages)) * stage_width
        headings.append(Heading(x=x, width=width, episode=episode))
        x += width
    return Whereabouts(
        width=x,
        height=TOP + len(rows) * ROW_HEIGHT + 2,
        stage_width=stage_width,
        headings=headings,
        rows=rows,
    )


def _ribbon(season: Season, stretch: Stretch, stage_width: int) -> Ribbon:
    width = (stretch.last - stretch.first + 1) * stage_width
    room = int((width - 8) / LETTER_WIDTH)
    label = stretch.place if len(stretch.place) <= room else stretch.place[: max(room - 1, 1)] + "…"
    return Ribbon(
        x=NAME_WIDTH + stretch.first * stage_width,
        width=width,
        colour=stretch.colour if stretch.is_in_game else None,
        is_light=_is_light(stretch.colour),
        is_in_game=stretch.is_in_game,
        label=label,
        told=_told(season, stretch),
    )


def _told(season: Season, stretch: Stretch) -> str:
    """Say where somebody was and when."""
    first, last = season.stages[stretch.first], season.stages[stretch.last]
    stages = f"stage {first.sog_id}" if first == last else f"stages {first.sog_id} to {last.sog_id}"
    episodes = (
        f"episode {first.episode}"
        if first.episode == last.episode
        else f"episodes {first.episode} to {last.episode}"
    )
    status = "" if stretch.tribe_status in (None, stretch.place) else f", {stretch.tribe_status}"
    return f"{stretch.place}{status}: {stages}, {episodes}"


def _is_light(colour: str | None) -> bool:
    """Whether black contrasts more with a colour than white does (WCAG's relative luminance)."""
    if not colour or len(colour) != 7:
        return False
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (
        part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue > 0.179


class Mark(BaseModel):
    """What one castaway did at one boot vote, or what befell them."""

    model_config = ConfigDict(frozen=True)

    text: str
    kind: str
    """`right`, `wrong`, `nullified`, `none` (no ballot)."""
    told: str


class Cell(BaseModel):
    """One castaway at one boot vote."""

    model_config = ConfigDict(frozen=True)

    marks: list[Mark]
    necklace: bool
    idol: bool
    other_immunity: str | None
    is_out: bool


class VoteRow(BaseModel):
    """All votes of one castaway; a cell is None where they were not at the council."""

    model_config = ConfigDict(frozen=True)

    name: str
    cells: list[Cell | None]


def vote_rows(season: Season) -> list[VoteRow]:
    """Return who voted for whom: a row per castaway and a cell per boot vote."""
    voters = [(one.castaway_id, one.castaway) for one in season.cast]
    known = {voter for voter, _ in voters}
    # A penalty is a ballot of nobody.
    others = {key for vote in season.boot_votes for key in vote.ballots} - known
    voters += [(key, season.names.get(key, key.capitalize())) for key in sorted(others)]
    rows = [
        VoteRow(
            name=name,
            cells=[_cell(season, vote, voter) for vote in season.boot_votes],
        )
        for voter, name in voters
    ]
    return [row for row in rows if any(row.cells)]


def _cell(season: Season, vote: BootVote, voter: str) -> Cell | None:
    ballots = vote.ballots.get(voter, [])
    is_out = vote.voted_out_id == voter
    if not ballots and not is_out:
        return None
    immunity = [one.immunity for one in ballots if one.immunity]
    return Cell(
        marks=[_mark(season, ballot) for ballot in ballots],
        necklace=any(one in NECKLACE for one in immunity),
        idol=any(one in IDOL for one in immunity),
        other_immunity=next(
            (one for one in immunity if one not in (*NECKLACE, *IDOL, *NO_IMMUNITY)), None
        ),
        is_out=is_out,
    )


def _mark(season: Season, ballot: Ballot) -> Mark:
    happened = ballot.vote_event_outcome or ballot.vote_event
    if ballot.vote_event and ballot.vote_event_outcome not in (None, ballot.vote_event):
        happened = f"{ballot.vote_event}: {ballot.vote_event_outcome}"
    if not ballot.has_ballot:
        why = ballot.vote_event_outcome or ballot.vote_event or "no ballot"
        return Mark(text=why.lower(), kind="none", told=f"no ballot: {happened or 'unknown why'}")
    name = season.names.get(ballot.target_id or "", ballot.target_id or "")
    told = f"for {name}"
    if ballot.vote_round > 1:
        told += f", round {ballot.vote_round}"
    if ballot.is_extra_vote:
        told += ", extra vote"
    if happened and not ballot.is_extra_vote:
        told += f", {happened}"
    if ballot.nullified:
        return Mark(text=name, kind="nullified", told=f"{told}, not counted")
    kind = "right" if ballot.target_id == ballot.voted_out_id else "wrong"
    return Mark(text=name, kind=kind, told=told)


def advantage_told(season: Season, play: Advantage) -> str:
    """Say who played what for whom, and how it ended."""
    told = f"{season.names.get(play.castaway_id, play.castaway_id)} plays {play.advantage_type}"
    targets = [
        season.names.get(target, target)
        for target in (play.target_castaway_ids or "").split(", ")
        if target and target != play.castaway_id
    ]
    if targets:
        told += f" ({', '.join(targets)})"
    outcome = OUTCOMES.get(play.success_outcome or "")
    if outcome:
        told += f": {outcome}"
    if play.votes_nullified:
        plural = "vote" if play.votes_nullified == 1 else "votes"
        told += f", {play.votes_nullified} {plural} not counted"
    return told


def plays_by_stage(season: Season) -> dict[int, list[str]]:
    """Return the advantages played, by stage of the game."""
    plays: dict[int, list[str]] = defaultdict(list)
    for play in season.advantages:
        if play.sog_id is not None:
            plays[play.sog_id].append(advantage_told(season, play))
    return dict(plays)


def confessionals(season: Season) -> Chart | None:
    """Return castaways by episode, the darker the more confessionals; None where nobody counted."""
    counts = {
        (row.castaway_id, row.episode): row.confessional_count
        for row in season.confessionals
        if row.confessional_count is not None
    }
    if not counts:
        return None
    episodes = sorted({episode for _, episode in counts})
    ids = [one.castaway_id for one in season.cast]
    ids += sorted({castaway for castaway, _ in counts} - set(ids))
    ids = [one for one in ids if any((one, episode) in counts for episode in episodes)]
    names = [season.names.get(one, one) for one in ids]
    totals = {one: sum(counts.get((one, episode)) or 0 for episode in episodes) for one in ids}
    most = max(ids, key=lambda one: totals[one])
    return Chart(
        id="confessionals",
        title="Confessionals",
        summary=f"{season.names.get(most, most)} has most of them: {totals[most]} of "
        f"{sum(totals.values())} in {len(episodes)} episodes.",
        height=f"rows-{_tens(len(ids))}",
        option={
            "aria": described("A cell per castaway and episode."),
            "grid": {"left": 96, "right": 12, "top": 8, "bottom": 84},
            "tooltip": {"formatter": "{b}"},
            "xAxis": {"type": "category", "data": [f"E{one}" for one in episodes]},
            "yAxis": {
                "type": "category",
                "data": names,
                "inverse": True,
                "axisLabel": {"interval": 0},
            },
            "visualMap": {
                "min": 0,
                "max": max(counts.values()) or 1,
                "calculable": True,
                "orient": "horizontal",
                "left": "center",
                "bottom": 0,
                # Evenly darker, so that it reads without colour as well.
                "inRange": {"color": ["#f3f1fb", "#b9b4e0", "#7b70bd", "#46378f", "#1f1260"]},
            },
            "series": [
                {
                    "type": "heatmap",
                    "name": "confessionals",
                    "label": {"show": True, "fontSize": 10},
                    "itemStyle": {"borderColor": "rgba(128,128,128,0.25)", "borderWidth": 1},
                    "data": [
                        {
                            "name": f"{season.names.get(castaway, castaway)}, episode {episode}: "
                            f"{count}",
                            "value": [episodes.index(episode), ids.index(castaway), count],
                        }
                        for (castaway, episode), count in counts.items()
                    ],
                }
            ],
        },
        columns=["", *(f"E{episode}" for episode in episodes), "all"],
        rows=[
            [name, *(counts.get((one, episode)) for episode in episodes), totals[one]]
            for one, name in zip(ids, names, strict=True)
        ],
    )


KINDS = {
    "individual_immunity": "individual immunity",
    "individual_reward": "individual reward",
    "team": "with tribe or team",
    "duel": "duel",
}


def challenge_wins(season: Season) -> Chart | None:
    """Return what each castaway won; None where nothing is known."""
    wins = {row.castaway_id: row for row in season.wins}
    ids = [one.castaway_id for one in season.cast if one.castaway_id in wins]
    if not ids:
        return None
    names = [season.names[one] for one in ids]
    kinds = [kind for kind in KINDS if any(getattr(wins[one], kind) for one in ids)]
    immunities = Counter({one: wins[one].individual_immunity for one in ids})
    summary = "Nobody has won an individual immunity."
    if most := max(immunities.values()):
        best = [season.names[one] for one in ids if immunities[one] == most]
        times = "once" if most == 1 else f"{most} times"
        summary = f"Individual immunity most often: {', '.join(best)}, {times}."
    return Chart(
        id="wins",
        title="Challenges won",
        summary=summary,
        height=f"rows-{_tens(len(ids))}",
        option={
            "grid": {"left": 96, "right": 24, "top": 40, "bottom": 32},
            "legend": {"top": 0, "type": "scroll"},
            "tooltip": {"trigger": "axis", "axisPointer": {"type": "shadow"}},
            "aria": described("A bar per castaway.", patterned=True),
            "xAxis": {"type": "value", "minInterval": 1},
            "yAxis": {
                "type": "category",
                "data": names,
                "inverse": True,
                "axisLabel": {"interval": 0},
            },
            "series": [
                {
                    "type": "bar",
                    "stack": "wins",
                    "name": KINDS[kind],
                    "data": [getattr(wins[one], kind) for one in ids],
                }
                for kind in kinds
            ],
        },
        columns=["", *(KINDS[kind] for kind in kinds)],
        rows=[
            [name, *(getattr(wins[one], kind) for kind in kinds)]
            for one, name in zip(ids, names, strict=True)
        ],
    )


def jury(season: Season) -> list[tuple[str, list[str]]]:
    """Return the finalists, most votes first, and who voted for each."""
    votes: dict[str, list[str]] = {one.castaway_id: [] for one in season.cast if one.is_finalist}
    for vote in season.jury_votes:
        votes.setdefault(vote.finalist_id, []).append(vote.juror_name)
    places = {one.castaway_id: one.place or len(season.cast) for one in season.cast}
    order = sorted(votes, key=lambda one: (-len(votes[one]), places.get(one, 0)))
    return [(season.names.get(one, one), votes[one]) for one in order]


def tribes_told(season: Season) -> Iterator[list[str]]:
    """Yield the rows of the table beside the picture of the whereabouts."""
    for one in season.cast:
        stretches = season.stretches.get(one.castaway_id, ())
        yield [
            one.castaway,
            "; ".join(_told(season, stretch) for stretch in stretches),
            one.result or "in the game",
        ]


def _tens(rows: int) -> int:
    """Return a height of the style sheet that is enough for so many rows."""
    return min(max((rows + 9) // 10, 1) * 10, 30)
