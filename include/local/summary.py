"""What a person wants to read when a run has ended."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import islice
from pathlib import Path
from textwrap import shorten

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table

from include.local.export import package_folder
from include.warehouse.history import ReleaseEvent
from include.warehouse.releases import Release
from include.warehouse.summary import ReleaseSummary

PROBLEMS_SHOWN = 10
PROBLEM_LENGTH = 240
EVENTS_SHOWN = 10
EVENT_WORDS = {"published": "release {}", "rolled_back": "back to release {}"}
OUTCOMES = ("passed", "warned", "failed", "error")
TOOLS = {"dbt": "dbt tests", "soda": "Soda checks", "great_expectations": "Great Expectations"}
STATE_STYLES = {"published": "bold green", "failed": "red", "building": "yellow"}


def render_summary(summary: ReleaseSummary, stages: Mapping[str, float]) -> RenderableType:
    """Show a release: source, rows, checks with what they found, and where the time went.

    Args:
        summary: the release as the warehouse knows it.
        stages: seconds per stage, in order.
    """
    release = summary.release
    parts: list[RenderableType] = ["", _headline(release), _facts(release)]
    parts += ["", _rows(summary), "", _checks(summary)]
    if summary.problems:
        parts += ["", "[bold]What did not pass[/]", *_shortened(summary.problems)]
    if summary.drift:
        parts += ["", "[bold]What changed upstream[/]", *_shortened(summary.drift)]
    if stages:
        parts += ["", _times(stages)]
    return Group(*parts)


def render_places(artifacts: Path, *, ui_is_running: bool) -> RenderableType:
    """Say where to look next."""
    table = Table.grid(padding=(0, 2))
    table.add_row("[bold]Where to look next[/]", "make psql", "the tables in bronze, silver, gold")
    table.add_row("", "make dsn", "the connection for your own tools")
    if not ui_is_running:
        table.add_row("", "make up", "the runs and their logs in Airflow's UI")
    table.add_row("", "make releases", "every release, to roll back to")
    table.add_row("", "make export TO=folder", "the tables as Parquet, DuckDB and SQLite files")
    if package := package_folder(artifacts):
        table.add_row("", escape(str(package)), "the same files, made with the release")
    if (artifacts / "releases").is_dir():
        table.add_row("", escape(str(artifacts / "releases")), "pages about each release")
    return Group("", table)


def render_releases(releases: Iterable[Release]) -> RenderableType:
    """List releases, newest first."""
    table = _table("Release", "State", "Source", "Up to", "Readers see", "Opened", "For", "Note")
    for release in releases:
        state = f"{release.state}, replay" if release.is_replay else release.state
        table.add_row(
            str(release.release_id),
            f"[{STATE_STYLES.get(release.state, 'default')}]{state}[/]",
            escape(f"{release.source_kind} {release.source_version[:12]}"),
            release.target_layer,
            ", ".join(release.shown_layers),
            f"{release.opened_at:%Y-%m-%d %H:%M}",
            escape(_trigger(release)),
            escape(_first_line(release.failure) or _gone(release)),
        )
    return table


def render_history(events: Iterable[ReleaseEvent]) -> RenderableType:
    """List the newest publications and rollbacks."""
    table = _table("What readers saw", "Since", "Layers", "By", "Waited for readers")
    for event in islice(events, EVENTS_SHOWN):
        table.add_row(
            EVENT_WORDS[event.event].format(event.release_id),
            f"{event.happened_at:%Y-%m-%d %H:%M:%S}",
            ", ".join(event.layers),
            escape(event.done_by or event.login or ""),
            "" if event.waited_seconds is None else f"{event.waited_seconds:.1f} s",
        )
    return Group("", table)


def _trigger(release: Release) -> str:
    how = (release.run_type or release.triggered_by).replace("_", " ")
    return f"{how}, {release.triggering_user}" if release.triggering_user else how


def _headline(release: Release) -> str:
    number = f"Release {release.release_id}"
    if release.state == "published":
        return f"[bold green]{number} is published[/]"
    if release.state == "audited" and release.is_replay:
        return (
            f"[bold green]{number} is a replay, and passed its audits[/]\n"
            f"  What readers see did not change; make publish RELEASE={release.release_id} shows "
            "it to them."
        )
    # The rest of a long reason stands below, among the checks and the failed tasks.
    reason = escape(_first_line(release.failure) or f"it is {release.state}")
    return f"[bold red]{number} is not published[/]: {reason}\n  What readers see did not change."


def _first_line(text: str | None) -> str:
    return shorten(text.splitlines()[0], PROBLEM_LENGTH) if text else ""


def _gone(release: Release) -> str:
    return "its tables are gone" if release.pruned_at else ""


def _facts(release: Release) -> str:
    commit = f", commit {release.source_commit}" if release.source_commit else ""
    note = f"\n  [yellow]{escape(release.source_note)}[/]" if release.source_note else ""
    source = escape(f"{release.source_kind} {release.source_location}{commit}")
    return f"  Source: {source}{note}"


def _rows(summary: ReleaseSummary) -> Table:
    table = _table("Layer", "Tables", "Rows", numbers_from=1)
    for layer, tables in summary.rows.items():
        table.add_row(layer, str(len(tables)), f"{sum(tables.values()):,}")
    return table


def _checks(summary: ReleaseSummary) -> RenderableType:
    if not summary.checks:
        return "No check has run."
    table = _table("Checks", *OUTCOMES, numbers_from=1)
    for tool, counts in summary.checks.items():
        cells = [_count(outcome, counts.get(outcome, 0)) for outcome in OUTCOMES]
        table.add_row(TOOLS.get(tool, tool), *cells)
    return table


def _count(outcome: str, count: int) -> str:
    if not count:
        return "[dim]0[/]"
    style = {"passed": "green", "warned": "yellow"}.get(outcome, "bold red")
    return f"[{style}]{count}[/]"


def _times(stages: Mapping[str, float]) -> Table:
    table = _table("Stage", "Seconds", numbers_from=1)
    for stage, seconds in stages.items():
        table.add_row(escape(stage), f"{seconds:.1f}")
    return table


def _shortened(lines: list[str]) -> list[str]:
    shown = [f"  {escape(shorten(line, PROBLEM_LENGTH))}" for line in lines[:PROBLEMS_SHOWN]]
    more = len(lines) - PROBLEMS_SHOWN
    return [*shown, f"  [dim]and {more} more[/]"] if more > 0 else shown


def _table(*columns: str, numbers_from: int | None = None) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="bold")
    for position, column in enumerate(columns):
        is_number = numbers_from is not None and position >= numbers_from
        table.add_column(column, justify="right" if is_number else "left")
    return table
