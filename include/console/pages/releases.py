"""All releases, and one of them with everything that is known of it."""

from __future__ import annotations

import asyncio
from collections import Counter
from itertools import groupby
from typing import Annotated, Any, Literal
from urllib.parse import quote

import psycopg
from fastapi import Path, Query, Request, Response

from include.console import airflow_api, artefacts
from include.console.access import ViewerDep, airflow_root
from include.console.page import Page, render, show
from include.console.records import (
    PAGE_LENGTH,
    ListedRelease,
    RecordedCheck,
    checks_of,
    count_rows,
    datasets_of,
    drift_of,
    events_of,
    get_listed,
    list_page,
    release_before,
    seeds_of,
    with_change,
)
from include.console.warehouse import read_warehouse
from include.console.words import PIPELINE
from include.run_notes import MARK
from include.warehouse.checks import Outcome, Tool
from include.warehouse.news import release_news
from include.warehouse.releases import ReleaseError, published_release

page = Page(navigation="Releases", path="/releases")

# A release number is Postgres' integer.
ReleaseId = Annotated[int, Path(ge=1, le=2**31 - 1)]
Filter = Literal["", "problems"] | Outcome


@page.get("/releases")
async def releases(
    request: Request,
    viewer: ViewerDep,
    before: Annotated[int | None, Query(ge=1, le=2**31 - 1)] = None,
) -> Response:
    """List the releases, newest first."""

    def context(connection: psycopg.Connection) -> dict[str, Any]:
        found = list_page(connection, before, PAGE_LENGTH + 1)
        return {
            "releases": found[:PAGE_LENGTH],
            "older": found[PAGE_LENGTH - 1].release_id if len(found) > PAGE_LENGTH else None,
            "before": before,
        }

    return await show(request, viewer, "releases.html", context)


@page.get("/releases/{release_id}")
async def release(
    request: Request,
    viewer: ViewerDep,
    release_id: ReleaseId,
    outcome: Filter = "",
    tool: Literal[""] | Tool = "",
) -> Response:
    """Show one release."""
    context = await read_warehouse(
        lambda connection: _context(connection, release_id, outcome, tool)
    )
    names, run = await asyncio.gather(
        artefacts.names_of(release_id), _run_of(request, context["release"])
    )
    context |= {
        "artefacts": [
            (name, title) for name, (title, _) in artefacts.PAGES.items() if name in (names or ())
        ],
        "artefacts_known": names is not None,
        "run": run,
    }
    return await asyncio.to_thread(render, request, viewer, "release.html", context)


def _context(
    connection: psycopg.Connection, release_id: int, outcome: Filter, tool: str
) -> dict[str, Any]:
    found = get_listed(connection, release_id)
    if found is None:
        raise ReleaseError(f"There is no release {release_id}. The list of releases shows all.")
    before = release_before(connection, release_id)
    counts = count_rows(connection, [release_id, before])
    checks = checks_of(connection, release_id)
    shown = [check for check in checks if _matches(check, outcome, tool)]
    seen = published_release(connection, "bronze")
    return {
        "release": found,
        "seen": seen,
        "before": before,
        "stages": _stages(found),
        "rows": with_change(counts[release_id], counts[before] if before else {}),
        "outcome": outcome,
        "tool": tool,
        "checks": checks,
        "shown": [
            (layer, table, list(of_table))
            for (layer, table), of_table in groupby(
                shown, key=lambda check: (check.layer, check.table_name)
            )
        ],
        "shown_count": len(shown),
        "counts": _counts(checks),
        "drift": drift_of(connection, release_id),
        "datasets": datasets_of(connection, release_id),
        "seeds": seeds_of(connection, release_id),
        "events": events_of(connection, release_id),
        "news": release_news(connection, release_id),
    }


def _matches(check: RecordedCheck, outcome: Filter, tool: str) -> bool:
    if tool and check.tool != tool:
        return False
    if outcome == "problems":
        return check.outcome != "passed"
    return not outcome or check.outcome == outcome


def _counts(checks: list[RecordedCheck]) -> dict[str, Counter[str]]:
    counts: dict[str, Counter[str]] = {}
    for check in checks:
        counts.setdefault(check.tool, Counter())[check.outcome] += 1
    return dict(sorted(counts.items()))


def _stages(release: ListedRelease) -> list[dict[str, Any]]:
    """Return what the release went through, with the time since the stage before."""
    moments = [
        ("opened", release.opened_at),
        ("built by dbt", release.built_at),
        ("audited", release.audited_at),
        ("first published", release.published_at),
        ("closed", release.closed_at),
    ]
    stages: list[dict[str, Any]] = []
    for name, moment in moments:
        if moment is not None:
            earlier = stages[-1]["moment"] if stages else None
            # How long readers saw it is no duration of a stage.
            timed = earlier and not (name == "closed" and release.published_at)
            stages.append(
                {
                    "name": name,
                    "moment": moment,
                    "seconds": (moment - earlier).total_seconds() if timed and earlier else None,
                }
            )
    return stages


async def _run_of(request: Request, release: ListedRelease) -> dict[str, Any] | None:
    """Return what Airflow knows of the run that built a release: its state, note and tasks."""
    run = f"/dags/{PIPELINE}/dagRuns/{quote(release.triggered_by, safe='')}"
    try:
        found: dict[str, Any] = await airflow_api.call(request, "GET", run)
        tasks = await airflow_api.call(
            request, "GET", f"{run}/taskInstances", params={"limit": 100}
        )
    except airflow_api.Refused:
        # Deleted by now, or of another Airflow on the same warehouse.
        return None
    # Its links are as Airflow's pages see them, and its mark is for whoever writes it anew.
    note = (found["note"] or "").replace(MARK, "")
    found["note"] = note.replace("](gamebot/", f"]({airflow_root(request)}/gamebot/")
    found["tasks"] = sorted(
        (
            task
            for task in tasks["task_instances"]
            if task["start_date"] and not task["task_id"].startswith("models.")
        ),
        key=lambda task: task["start_date"],
    )
    return found
