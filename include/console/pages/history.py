"""Durations, rows and checks over the releases: what drifts slowly, at a glance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any

import psycopg
from fastapi import Query, Request, Response

from include.console.access import PIPELINE, ViewerDep
from include.console.history import charts, drifts, read_history
from include.console.page import Page, show

CHOICES = (50, 200, 1000)

page = Page(navigation="History", path="/history")


@page.get("/history")
async def history(
    request: Request, viewer: ViewerDep, last: Annotated[int, Query(ge=1, le=5000)] = CHOICES[0]
) -> Response:
    """Show the newest releases, `last` of them."""

    def context(connection: psycopg.Connection) -> dict[str, Any]:
        found = read_history(connection, last, run_starts)
        return {
            "history": found,
            "last": last,
            "choices": CHOICES,
            "drifts": drifts(found),
            "charts": charts(found) if found else [],
        }

    return await show(request, viewer, "history.html", context)


def run_starts(run_ids: Sequence[str]) -> Mapping[str, datetime]:
    """Ask Airflow's database when runs of the pipeline began; deleted ones are not there."""
    from airflow.models.dagrun import DagRun
    from airflow.utils.session import create_session
    from sqlalchemy import select

    with create_session(scoped=False) as session:
        found = session.execute(
            select(DagRun.run_id, DagRun.start_date).where(
                DagRun.dag_id == PIPELINE, DagRun.run_id.in_(run_ids)
            )
        )
        return {run_id: started for run_id, started in found if started}
