"""What readers see now, and whether all is well."""

from __future__ import annotations

from typing import Any

import psycopg
from fastapi import Request, Response

from include.console.access import ViewerDep
from include.console.page import Page, show
from include.warehouse.releases import published_release

page = Page(navigation="Overview", path="/")


@page.get("/")
async def overview(request: Request, viewer: ViewerDep) -> Response:
    """Show what readers see now."""
    return await show(request, viewer, "overview.html", _context)


def _context(connection: psycopg.Connection) -> dict[str, Any]:
    return {"published": published_release(connection)}
