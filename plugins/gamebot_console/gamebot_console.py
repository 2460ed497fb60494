"""Gamebot's own pages in the API server, below `/gamebot`; what they do is in `include.console`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, ClassVar

from airflow.plugins_manager import AirflowPlugin

Message = MutableMapping[str, Any]


async def console(
    scope: Message,
    receive: Callable[[], Awaitable[Message]],
    send: Callable[[Message], Awaitable[None]],
) -> None:
    """Hand a request on. The import waits for the first one: every task loads this plugin too."""
    from include.console.app import app

    await app(scope, receive, send)


class GamebotConsole(AirflowPlugin):
    """What Airflow finds here."""

    name = "gamebot_console"
    fastapi_apps: ClassVar = [{"app": console, "url_prefix": "/gamebot", "name": "Gamebot"}]
    # In Airflow's navigation, and in a frame beside it. The address is relative to Airflow's own,
    # so that it holds behind a base URL.
    external_views: ClassVar = [
        {
            "name": "Releases",
            "href": "gamebot/",
            "url_route": "gamebot",
            "destination": "nav",
            "nav_top_level": True,
        }
    ]
