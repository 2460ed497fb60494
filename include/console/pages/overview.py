"""What readers see now, and whether all is well."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import psycopg
from fastapi import Request, Response

from include.console import airflow_api, artefacts
from include.console.access import ViewerDep
from include.console.page import Page, show
from include.console.records import count_rows, list_page, release_before
from include.console.words import PIPELINE
from include.warehouse.news import release_news
from include.warehouse.releases import Release, newest_release, published_release
from include.warehouse.schemas import LAYERS
from include.warehouse.summary import count_checks

RECENT = 5

page = Page(navigation="Overview", path="/")


@page.get("/")
async def overview(request: Request, viewer: ViewerDep) -> Response:
    """Show what readers see now."""
    package, run = await asyncio.gather(artefacts.package_pointer(), _newest_run(request))
    return await show(
        request,
        viewer,
        "overview.html",
        lambda connection: _context(connection) | {"package": package, "run": run},
    )


async def _newest_run(request: Request) -> dict[str, Any] | str | None:
    """Return the newest run of the pipeline; None when there was none, or why nobody knows."""
    try:
        found = await airflow_api.call(
            request,
            "GET",
            f"/dags/{PIPELINE}/dagRuns",
            params={"order_by": "-run_after", "limit": 1},
        )
    except airflow_api.Refused as error:
        return f"Airflow does not tell: {error}"
    runs = found["dag_runs"]
    if not runs:
        return None
    run: dict[str, Any] = runs[0]
    for name in ("start_date", "end_date"):
        run[name] = datetime.fromisoformat(run[name]) if run[name] else None
    return run


def _context(connection: psycopg.Connection) -> dict[str, Any]:
    published = {layer: published_release(connection, layer) for layer in LAYERS}
    newest = max((it for it in published.values() if it), key=_number, default=None)
    context: dict[str, Any] = {
        "newest": newest,
        "recent": list_page(connection, length=RECENT),
        "layers": [],
        "news": [],
        "checks": {},
        "before": None,
        "rolled_back": _rolled_back(connection, newest),
    }
    if newest is None:
        return context
    before = {
        release.release_id: release_before(connection, release.release_id)
        for release in published.values()
        if release
    }
    counts = count_rows(connection, {*before, *before.values()})
    shown_since: dict[str, datetime] = dict(
        connection.execute("select layer, published_at from ops.published_layers").fetchall()
    )
    now = datetime.now(UTC)
    for layer, release in published.items():
        if release is None:
            continue
        rows = counts[release.release_id].get(layer, {})
        earlier = before[release.release_id]
        rows_before = counts[earlier].get(layer) if earlier else None
        context["layers"].append(
            {
                "layer": layer,
                "release": release,
                "since": shown_since[layer],
                "seconds": (now - shown_since[layer]).total_seconds(),
                "tables": len(rows),
                "rows": sum(rows.values()),
                "change": sum(rows.values()) - sum(rows_before.values()) if rows_before else None,
            }
        )
    return context | {
        "before": before[newest.release_id],
        "news": release_news(connection, newest.release_id),
        "checks": count_checks(connection, newest.release_id),
    }


def _rolled_back(connection: psycopg.Connection, shown: Release | None) -> Release | None:
    """Return the release that somebody went back from."""
    ever = newest_release(connection)
    if shown is None or ever is None or shown.is_replay or shown.release_id >= ever.release_id:
        return None
    return ever


def _number(release: Any) -> int:
    return int(release.release_id)
