"""Asks the console's pages in this process, as somebody whom Airflow lets in."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import httpx

Browse = Callable[[str], httpx.Response]


@contextmanager
def signed_in() -> Iterator[Browse]:
    """Yield what gets a page; who may see it is another test's matter."""
    from include.console import access
    from include.console.app import app

    viewer = access.Viewer(user_id="1", name="ana", may_start=frozenset(), paused=frozenset())
    allowed = {access.may_read.dependency: lambda: None, access._viewer: lambda: viewer}

    def browse(path: str) -> httpx.Response:
        async def get() -> httpx.Response:
            transport = httpx.ASGITransport(app)
            async with httpx.AsyncClient(transport=transport, base_url="http://airflow") as client:
                return await client.get(path)

        return asyncio.run(get())

    app.dependency_overrides |= allowed
    try:
        yield browse
    finally:
        app.dependency_overrides.clear()
