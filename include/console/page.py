"""A page: what its template may use, how it is registered, what it is when it cannot be shown.

A module of `include.console.pages` makes a `Page`, and functions for its addresses:

    page = Page(navigation="Seasons", path="/seasons")

    @page.get("/seasons")
    async def seasons(request: Request, viewer: ViewerDep) -> Response:
        return await show(request, viewer, "seasons.html", lambda connection: {...})

The function given to `show` runs in a thread and returns what its template needs.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, Response
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from include.console.access import Viewer, airflow_root, may_read
from include.console.assets import asset_path
from include.console.warehouse import read_warehouse
from include.console.words import markdown, moment, number, run_path, seconds, signed, without_login

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


templates = Environment(
    loader=FileSystemLoader(TEMPLATES),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
templates.filters |= {
    "markdown": markdown,
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
