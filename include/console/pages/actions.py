"""What somebody may ask for: each is confirmed on a page, and becomes a run of a DAG."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Annotated, Any, Literal
from urllib.parse import urlencode, urlsplit

import psycopg
from airflow.api_fastapi.auth.tokens import get_signing_key
from fastapi import Form, HTTPException, Query, Request, Response
from fastapi.responses import RedirectResponse
from itsdangerous import BadSignature, URLSafeTimedSerializer

from include.console import airflow_api
from include.console.access import AUDIT, ROLLBACK, Viewer, ViewerDep, airflow_root
from include.console.page import Page, render
from include.console.pages.releases import ReleaseId
from include.console.records import (
    count_rows,
    get_listed,
    with_change,
)
from include.console.warehouse import read_warehouse
from include.console.words import run_path
from include.warehouse.releases import ReleaseError, published_release
from include.warehouse.schemas import layers_up_to

page = Page()

FORM_SECONDS = 3600


@dataclass(frozen=True)
class Action:
    """Something that a button asks for."""

    name: str
    dag_id: str


ACTIONS = {action.name: action for action in (Action("show", ROLLBACK), Action("audit", AUDIT))}
ActionName = Literal["show", "audit"]


@page.get("/releases/{release_id}/{name}")
async def confirm(
    request: Request, viewer: ViewerDep, release_id: ReleaseId, name: ActionName
) -> Response:
    """Say what would happen, and ask."""
    action = _allowed(viewer, name)
    context = await read_warehouse(lambda connection: _context(connection, release_id, name))
    context |= {
        "action": action,
        "is_paused": action.dag_id in viewer.paused,
        "token": _signer().dumps(_bound(viewer, action, release_id)),
    }
    return await asyncio.to_thread(render, request, viewer, "confirm.html", context)


def _context(connection: psycopg.Connection, release_id: int, name: str) -> dict[str, Any]:
    release = get_listed(connection, release_id)
    if release is None:
        raise ReleaseError(f"There is no release {release_id}. The list of releases shows all.")
    layers = layers_up_to(release.target_layer)
    seen = {layer: published_release(connection, layer) for layer in layers}
    counts = count_rows(connection, {release_id, *(it.release_id for it in seen.values() if it)})
    before = {
        layer: counts[it.release_id].get(layer, {}) for layer, it in seen.items() if it is not None
    }
    return {
        "release": release,
        "seen": seen,
        "possible": release.can_be_shown if name == "show" else release.is_whole,
        "rows": [line for line in with_change(counts[release_id], before) if line.layer in layers],
    }


@page.post("/releases/{release_id}/{name}")
async def start(
    request: Request,
    viewer: ViewerDep,
    release_id: ReleaseId,
    name: ActionName,
    token: Annotated[str, Form()] = "",
) -> Response:
    """Start the run, if it is this person who asks for it, on this page, and Airflow lets them."""
    action = _allowed(viewer, name)
    _require_own_form(request, viewer, action, release_id, token)
    try:
        run = await airflow_api.call(
            request,
            "POST",
            f"/dags/{action.dag_id}/dagRuns",
            json={
                "logical_date": None,
                "conf": {"release_id": release_id},
                "note": f"Release {release_id}, asked for in the release console.",
            },
        )
    except airflow_api.Refused as error:
        raise HTTPException(error.status, f"Airflow did not start the run: {error}") from error
    run_id = run["dag_run_id"]
    # In the frame of Airflow's UI the run's page must replace the whole window.
    if request.headers.get("Sec-Fetch-Dest") == "iframe":
        root = request.scope.get("root_path", "")
        target = f"{root}/started?{urlencode({'dag_id': action.dag_id, 'run_id': run_id})}"
    else:
        target = airflow_root(request) + run_path(run_id, action.dag_id)
    return RedirectResponse(target, 303)


@page.get("/started")
async def started(
    request: Request,
    viewer: ViewerDep,
    dag_id: Annotated[Literal["survivor_release_rollback", "survivor_release_audit"], Query()],
    run_id: Annotated[str, Query(max_length=250)],
) -> Response:
    """Lead to a run in Airflow's own UI."""
    return render(request, viewer, "started.html", {"dag_id": dag_id, "run_id": run_id})


def _allowed(viewer: Viewer, name: str) -> Action:
    action = ACTIONS[name]
    if action.dag_id not in viewer.may_start:
        raise HTTPException(
            403, f"You may not start {action.dag_id}. Whoever administers Airflow decides who may."
        )
    return action


def _require_own_form(
    request: Request, viewer: Viewer, action: Action, release_id: int, token: str
) -> None:
    """Refuse what another site, or another person's page, made this browser send."""
    site = request.headers.get("Sec-Fetch-Site")
    origin = request.headers.get("Origin")
    if site is not None:
        is_ours = site == "same-origin"
    else:
        is_ours = origin is not None and urlsplit(origin).netloc == request.url.netloc
    try:
        bound = _signer().loads(token, max_age=FORM_SECONDS)
    except BadSignature:
        bound = None
    if not is_ours or bound != _bound(viewer, action, release_id):
        raise HTTPException(
            403,
            "The form was not sent from its own page, or that had been open for more than an hour: "
            "open it again from the release. Programs use Airflow's API instead "
            f"(POST /api/v2/dags/{action.dag_id}/dagRuns).",
        )


def _bound(viewer: Viewer, action: Action, release_id: int) -> list[Any]:
    return [viewer.user_id, action.name, release_id]


def _signer() -> URLSafeTimedSerializer:
    return URLSafeTimedSerializer(get_signing_key("api", "secret_key"), salt="gamebot form")
