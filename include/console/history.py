"""How long releases took, how many rows they had and what their checks found: drift over months."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from statistics import median
from typing import Literal

import psycopg
from psycopg.rows import class_row
from pydantic import BaseModel, ConfigDict

from include.console.charts import Chart, described
from include.console.page import number, seconds

Stage = Literal["detect", "load", "dbt", "audits", "publish", "unfinished"]

STAGES: dict[Stage, str] = {
    "detect": "detect",
    "load": "load",
    "dbt": "dbt",
    "audits": "audits",
    "publish": "publish",
    "unfinished": "until it failed",
}
# The newest and the oldest of those shown, to see a drift: one alone may be chance.
COMPARED = 10
# One night in which a person mended a run for hours must not flatten all others.
FAR_BEYOND = 2.5
# Patterns help those who see no colours, as long as bars are wide enough to have one.
PATTERNED = 60


class HistoricRelease(BaseModel):
    """A release with the moments between its stages, and what it held."""

    model_config = ConfigDict(frozen=True)

    release_id: int
    state: str
    is_replay: bool
    target_layer: str
    triggered_by: str
    opened_at: datetime
    loaded_at: datetime | None
    built_at: datetime | None
    audited_at: datetime | None
    published_at: datetime | None
    active_at: datetime
    bronze_rows: int | None
    datasets: int
    passed: int
    warned: int
    failed: int
    errors: int
    run_started_at: datetime | None = None
    """When its run began, where Airflow still knows."""

    @property
    def has_failed(self) -> bool:
        """Whether it came to no good end."""
        return self.state == "failed"

    def durations(self) -> dict[Stage, float]:
        """Return the seconds of each stage that ended, waiting for a slot or a retry included."""
        found: dict[Stage, float] = {}
        if self.run_started_at and self.run_started_at <= self.opened_at:
            found["detect"] = (self.opened_at - self.run_started_at).total_seconds()
        # A replay is shown when somebody asks for it, which says nothing about the run.
        published_at = None if self.is_replay else self.published_at
        before = self.opened_at
        ends: tuple[tuple[Stage, datetime | None], ...] = (
            ("load", self.loaded_at),
            ("dbt", self.built_at),
            ("audits", self.audited_at),
            ("publish", published_at),
        )
        for stage, ended in ends:
            # Earlier than the stage before: what was done again later left its older moment behind.
            if ended is not None and ended >= before:
                found[stage] = (ended - before).total_seconds()
                before = ended
        if self.has_failed and self.active_at > before:
            found["unfinished"] = (self.active_at - before).total_seconds()
        return found

    def total(self) -> float | None:
        """Return the seconds from its beginning to its end; None while it is at work."""
        is_over = self.has_failed or self.published_at or (self.is_replay and self.audited_at)
        return sum(self.durations().values()) if is_over else None


RunStarts = Callable[[Sequence[str]], Mapping[str, datetime]]


def read_history(
    connection: psycopg.Connection, last: int, run_starts: RunStarts
) -> list[HistoricRelease]:
    """Return the newest releases, the oldest of them first.

    Args:
        run_starts: returns when the runs of these ids began, as far as that is known.
    """
    with connection.cursor(row_factory=class_row(HistoricRelease)) as cursor:
        found = cursor.execute(
            """
            with newest as (
                select * from ops.releases order by release_id desc limit %s
            ),
            loads as (
                select release_id, max(finished_at) as loaded_at
                from ops.ingestion_runs
                where status = 'succeeded' and release_id in (select release_id from newest)
                group by release_id
            ),
            files as (
                select release_id, sum(rows) as bronze_rows, count(*) as datasets
                from ops.dataset_versions
                where release_id in (select release_id from newest)
                group by release_id
            ),
            checks as (
                select
                    release_id,
                    count(*) filter (where outcome = 'passed') as passed,
                    count(*) filter (where outcome = 'warned') as warned,
                    count(*) filter (where outcome = 'failed') as failed,
                    count(*) filter (where outcome = 'error') as errors
                from ops.check_results
                where release_id in (select release_id from newest)
                group by release_id
            )
            select
                release_id, state, is_replay, target_layer, triggered_by, opened_at, loaded_at,
                built_at, audited_at, published_at, active_at, bronze_rows,
                coalesce(datasets, 0) as datasets,
                coalesce(passed, 0) as passed,
                coalesce(warned, 0) as warned,
                coalesce(failed, 0) as failed,
                coalesce(errors, 0) as errors
            from newest
            left join loads using (release_id)
            left join files using (release_id)
            left join checks using (release_id)
            order by release_id
            """,
            (last,),
        ).fetchall()
    starts = run_starts([one.triggered_by for one in found])
    return [
        one.model_copy(update={"run_started_at": starts.get(one.triggered_by)}) for one in found
    ]


class Drift(BaseModel):
    """A stage's median over the newest good releases, and over the oldest of them."""

    model_config = ConfigDict(frozen=True)

    stage: str
    now: float
    before: float
    releases: int

    @property
    def change(self) -> float:
        """Return the change as a share of what it was."""
        return self.now / self.before - 1 if self.before else 0.0


def drifts(history: Iterable[HistoricRelease]) -> list[Drift]:
    """Compare the newest published releases with the oldest; nothing when they are too few."""
    good = [one for one in history if one.published_at and not one.is_replay and not one.has_failed]
    count = min(COMPARED, len(good) // 2)
    if count < 2:
        return []
    newer, older = good[-count:], good[:count]
    found = []
    for stage, name in (("total", "all of it"), *STAGES.items()):
        now, before = (_seconds(stage, releases) for releases in (newer, older))
        if now and before:
            found.append(Drift(stage=name, now=median(now), before=median(before), releases=count))
    return found


def _seconds(stage: str, releases: Iterable[HistoricRelease]) -> list[float]:
    if stage == "total":
        totals = (one.total() for one in releases)
        return [total for total in totals if total is not None]
    return [took for one in releases for name, took in one.durations().items() if name == stage]


def charts(history: Sequence[HistoricRelease]) -> list[Chart]:
    """Return the figures, all of them over the releases' numbers."""
    return [_durations(history), _rows(history), _checks(history)]


def _axis(history: Sequence[HistoricRelease]) -> dict[str, object]:
    return {
        "type": "category",
        "data": [str(one.release_id) for one in history],
        "name": "release",
        "nameLocation": "middle",
        "nameGap": 26,
    }


def _aria(history: Sequence[HistoricRelease]) -> dict[str, object]:
    return described("A bar per release.", patterned=len(history) <= PATTERNED)


# A cross under the axis of numbers, so that it is no matter of colour.
FAILED_MARK = {
    "type": "scatter",
    "name": "failed",
    "symbol": "path://M2,0L10,8L18,0L20,2L12,10L20,18L18,20L10,12L2,20L0,18L8,10L0,2Z",
    "symbolSize": 11,
    "itemStyle": {"color": "#d03b3b"},
    "z": 5,
}
GRID = {"left": 64, "right": 16, "top": 40, "bottom": 44}


def _failures(history: Iterable[HistoricRelease], height: int = 0) -> list[list[object]]:
    return [[str(one.release_id), height] for one in history if one.has_failed]


def floor_of(rows: Sequence[int]) -> int:
    """Return where an axis begins on which a change of one in a hundred can be seen."""
    if not rows:
        return 0
    room = max((max(rows) - min(rows)) // 4, max(rows) // 100)
    return max((min(rows) - room) // 1000 * 1000, 0)


def _durations(history: Sequence[HistoricRelease]) -> Chart:
    durations = [one.durations() for one in history]
    stages = [stage for stage in STAGES if any(stage in found for found in durations)]
    totals = [total for one in history if (total := one.total()) is not None]
    beyond: list[HistoricRelease] = []
    limit = None
    if totals and max(totals) > FAR_BEYOND * median(totals) > 0:
        limit = round(FAR_BEYOND * median(totals))
        beyond = [one for one in history if (one.total() or 0) > limit]
    failed = [str(one.release_id) for one in history if one.has_failed]
    told = [f"{len(history)} releases"]
    if totals:
        told[0] += f", half of them within {seconds(median(totals))}"
    if failed:
        told.append(f"failed: {_listed(failed)}")
    if beyond:
        told.append(
            "beyond the axis: "
            + _listed([f"{one.release_id} ({seconds(one.total() or 0)})" for one in beyond])
        )
    return Chart(
        id="durations",
        title="How long each release took",
        summary="; ".join(told) + ".",
        option={
            "grid": GRID,
            "legend": {"top": 0, "type": "scroll"},
            "tooltip": {"trigger": "axis", "axisPointer": {"type": "shadow"}},
            "aria": _aria(history),
            "xAxis": _axis(history),
            "yAxis": {"type": "value", "name": "seconds", "max": limit},
            "series": [
                *(
                    {
                        "type": "bar",
                        "stack": "stages",
                        "name": STAGES[stage],
                        "barCategoryGap": "15%",
                        "data": [
                            round(found[stage], 1) if stage in found else None
                            for found in durations
                        ],
                    }
                    for stage in stages
                ),
                {**FAILED_MARK, "data": _failures(history)},
            ],
        },
        columns=["Release", "State", "Seconds", *(STAGES[stage] for stage in stages)],
        rows=[
            [
                one.release_id,
                one.state,
                None if (total := one.total()) is None else round(total, 1),
                *(round(found[stage], 1) if stage in found else None for stage in stages),
            ]
            for one, found in zip(reversed(history), reversed(durations), strict=True)
        ],
    )


def _rows(history: Sequence[HistoricRelease]) -> Chart:
    known = [one for one in history if one.bronze_rows is not None]
    good = [one.bronze_rows for one in known if one.bronze_rows and not one.has_failed]
    # A failed load of a few rows would press the line of the good ones flat: its cross is at the
    # bottom, its rows in the table.
    bottom = floor_of(good)
    summary = "Nothing was loaded yet."
    if known:
        first, last = known[0], known[-1]
        summary = (
            f"{number(last.bronze_rows)} in release {last.release_id}, "
            f"{number(first.bronze_rows)} in release {first.release_id}."
        )
    return Chart(
        id="rows",
        title="Rows of bronze",
        summary=summary,
        option={
            "grid": GRID,
            "legend": {"top": 0},
            "tooltip": {"trigger": "axis"},
            "aria": described("A line over the releases."),
            "xAxis": {**_axis(history), "boundaryGap": True},
            # From where the rows are: a fall of one in a hundred is what one looks for.
            "yAxis": {"type": "value", "name": "rows", "scale": True, "min": bottom},
            "series": [
                {
                    "type": "line",
                    "name": "rows",
                    "step": "middle",
                    "showSymbol": len(known) < 60,
                    "connectNulls": True,
                    "data": [None if one.has_failed else one.bronze_rows for one in history],
                },
                {**FAILED_MARK, "data": _failures(history, bottom)},
            ],
        },
        columns=["Release", "State", "Rows", "Datasets"],
        rows=[
            [one.release_id, one.state, one.bronze_rows, one.datasets] for one in reversed(history)
        ],
    )


def _checks(history: Sequence[HistoricRelease]) -> Chart:
    outcomes = {
        "warned": "warnings",
        "failed": "failed",
        "errors": "could not be evaluated",
    }
    last = next((one for one in reversed(history) if one.passed), None)
    summary = "Nothing was checked yet."
    if last:
        summary = (
            f"Release {last.release_id}: {last.passed} of "
            f"{last.passed + last.warned + last.failed + last.errors} passed. Bars are those that "
            "did not."
        )
    return Chart(
        id="checks",
        title="Checks that did not pass",
        summary=summary,
        option={
            "grid": GRID,
            "legend": {"top": 0, "type": "scroll"},
            "tooltip": {"trigger": "axis", "axisPointer": {"type": "shadow"}},
            "aria": _aria(history),
            "xAxis": _axis(history),
            "yAxis": {"type": "value", "name": "checks", "minInterval": 1},
            "series": [
                *(
                    {
                        "type": "bar",
                        "stack": "checks",
                        "name": name,
                        "barCategoryGap": "15%",
                        "data": [getattr(one, outcome) for one in history],
                    }
                    for outcome, name in outcomes.items()
                ),
                {**FAILED_MARK, "name": "release failed", "data": _failures(history)},
            ],
        },
        columns=["Release", "State", "passed", *outcomes.values()],
        rows=[
            [
                one.release_id,
                one.state,
                one.passed,
                *(getattr(one, outcome) for outcome in outcomes),
            ]
            for one in reversed(history)
        ],
    )


def _listed(names: Sequence[str], most: int = 8) -> str:
    """Return names, the newest of them when they are many."""
    if len(names) <= most:
        return ", ".join(names)
    return f"{', '.join(names[-most:])} and {len(names) - most} before"
