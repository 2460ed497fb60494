"""A page: what its template may use, how it is registered, what it is when it cannot be shown.

A module of `include.console.pages` makes a `Page`, and functions for its addresses:

    page = Page(navigation="Seasons", path="/seasons")

    @page.get("/seasons")
    async def seasons(request: Request, viewer: ViewerDep) -> Response:
        return await show(request, viewer, "seasons.html", lambda connection: {...})

The function given to `show` runs in a thread and returns what its template needs.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, Response
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from include.console.access import PIPELINE, Viewer, airflow_root, may_read
from include.console.assets import asset_path
from include.console.warehouse import read_warehouse

TEMPLATES = Path(__file__).with_name("templates")


class Page(APIRouter):
    """Some addresses of the console, closed to whom Airflow would not show the pipeline's runs."""

    def __init__(self, navigation: str | None = None, path: str = "") -> None:
        """Describe it.

        Args:
            navigation: its name in the navigation; None: it is not there.
            path: its first address; those below it count as this page in the navigation.
        """
        super().__init__(dependencies=[may_read], default_response_class=HTMLResponse)
        self.navigation, self.path = navigation, path

    def is_current(self, path: str) -> bool:
        """Whether an address of the console belongs to it."""
        if self.path == "/":
            return path == "/"
        return path == self.path or path.startswith(f"{self.path}/")


def moment(value: datetime | None) -> str:
    """Return a time for people, in UTC as all of them."""
    return value.astimezone(UTC).strftime("%Y-%m-%d %H:%M") if value else ""


def seconds(value: float | None) -> str:
    """Return a duration: 0.4 s, 12 s, 3 min 20 s, 2 h 5 min, 12 days."""
    if value is None:
        return ""
    if value < 10:
        return f"{value:.1f} s"
    minutes, rest = divmod(round(value), 60)
    if not minutes:
        return f"{rest} s"
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    return f"{hours // 24} days"


def number(value: int | None) -> str:
    """Return a whole number with thin spaces: 190 856."""
    return "" if value is None else f"{value:,}".replace(",", "\N{NARROW NO-BREAK SPACE}")


def signed(value: int | None) -> str:
    """Return a change: +12, -3, or ±0."""
    if value is None:
        return ""
    if value == 0:
        return "±0"
    sign = "+" if value > 0 else "\N{MINUS SIGN}"
    return f"{sign}{number(abs(value))}"


def run_path(run_id: str, dag_id: str = PIPELINE) -> str:
    """Return where Airflow's UI shows a run."""
    return f"/dags/{dag_id}/runs/{quote(run_id, safe='')}"


def without_login(value: object) -> str:
    """Return what some tool said without the login of an address in it."""
    text = "" if value is None else str(value)
    return LOGIN.sub(lambda found: (found[1] or found[2]) + "…", text)


# What a driver or an object store may have put into its error: //user:password@, password=…
LOGIN = re.compile(
    r"(://)[^/@\s]+:[^/@\s]*(?=@)|(?i:(\b(?:password|passwd|pwd|secret|token)\s*[=:]\s*)\S+)"
)


templates = Environment(
    loader=FileSystemLoader(TEMPLATES),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
templates.filters |= {
    "moment": moment,
    "seconds": seconds,
    "number": number,
    "signed": signed,
    "without_login": without_login,
}
templates.globals |= {"run_path": run_path}


def render(
    request: Request,
    viewer: Viewer | None,
    template: str,
    context: dict[str, Any],
    status: int = 200,
) -> Response:
    """Fill in a template. All links are below the path at which Airflow was asked."""
    root = request.scope.get("root_path", "")
    pages: list[Page] = request.app.state.pages
    here = request.url.path.removeprefix(root) or "/"
    html = templates.get_template(template).render(
        context
        | {
            "viewer": viewer,
            "url": lambda path: root + path,
            "asset": lambda name: root + asset_path(name),
            "airflow": lambda path: airflow_root(request) + path,
            "navigation": [
                (page.navigation, root + page.path, page.is_current(here))
                for page in pages
                if page.navigation
            ],
        }
    )
    # Its buttons and figures are of one person and moment.
    return HTMLResponse(html, status, headers={"Cache-Control": "no-store"})


async def show(
    request: Request,
    viewer: Viewer,
    template: str,
    context: Callable[[psycopg.Connection], dict[str, Any]],
    **limits: Any,
) -> Response:
    """Read the warehouse and fill in a template, all of it in a thread.

    Args:
        limits: those of `read_warehouse`.

    Raises:
        WarehouseUnavailable: which the app answers with a page that says so.
    """
    return await read_warehouse(
        lambda connection: render(request, viewer, template, context(connection)), **limits
    )
