"""The web application below `/gamebot`."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import RedirectResponse
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException

from include.console import assets
from include.console.access import login_url
from include.console.health import Health, HealthProbe
from include.console.page import render
from include.console.pages import PAGES, files
from include.console.warehouse import WarehouseUnavailable
from include.warehouse.releases import ReleaseError

log = logging.getLogger(__name__)

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

# Nothing from elsewhere, no script or style in a page itself, and no other site around it.
HEADERS = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' data:; object-src 'none'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'self'",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "SAMEORIGIN",
}

# What Airflow's status says to a person.
TITLES = {
    401: "You are not signed in",
    403: "You may not see or do this",
    404: "There is no such page",
    405: "This page does not take that",
}
ADVICE = {
    401: "Sign in to Airflow and come back.",
    403: "Airflow's administrators decide who may read and start the DAGs of the warehouse.",
    404: "The release may be another one, or what a run left of it was deleted with its tables.",
    405: "Go back to the page that brought you here and try again.",
}


class Console(FastAPI):
    """The application, which knows the Airflow that it is mounted in and guards its answers."""

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer a request."""
        scope["airflow"] = scope.get("app")

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await super().__call__(scope, receive, send_guarded)


# No pages about the interface itself: they would load scripts from elsewhere.
app = Console(title="Gamebot", docs_url=None, redoc_url=None, openapi_url=None)
app.state.pages = PAGES
probe = HealthProbe()


@app.get("/health")
async def health(response: Response) -> Health:
    """Say to anybody who asks, as Airflow's own health page does, whether the warehouse is well."""
    found = await probe.current()
    response.headers["Cache-Control"] = "no-store"
    response.status_code = 200 if found.is_healthy else 503
    return found


app.include_router(assets.router)
app.include_router(files.passed)
for page in PAGES:
    app.include_router(page)


@app.exception_handler(HTTPException)
async def refuse(request: Request, error: HTTPException) -> Response:
    """Say why not, or where to sign in first."""
    # A token that is forged or revoked is refused with 403, and Airflow's UI signs in again too.
    signed_out = error.status_code == 401 or error.detail == "Invalid JWT token"
    if signed_out and request.method == "GET" and not request.headers.get("Authorization"):
        return RedirectResponse(login_url(request), 302, headers={"Cache-Control": "no-store"})
    status = error.status_code
    told = error.detail if error.detail not in STANDARD_DETAILS else ""
    return message(
        request, status, TITLES.get(status, "That did not work"), told or ADVICE.get(status, "")
    )


# What Airflow and Starlette say, in words that are not meant for people.
STANDARD_DETAILS = (
    "Forbidden",
    "Not Found",
    "Not authenticated",
    "Token Expired",
    "Invalid JWT token",
    "Method Not Allowed",
)


@app.exception_handler(RequestValidationError)
async def refuse_address(request: Request, _: RequestValidationError) -> Response:
    """A release is a number; somebody made an address up."""
    return message(request, 404, TITLES[404], "A part of its address is not what it should be.")


@app.exception_handler(ReleaseError)
async def refuse_release(request: Request, error: ReleaseError) -> Response:
    """There is no release of that number."""
    return message(request, 404, "There is no such release", str(error))


@app.exception_handler(WarehouseUnavailable)
async def excuse(request: Request, error: WarehouseUnavailable) -> Response:
    """Say in words that the warehouse does not answer, and what to do."""
    return message(request, 503, error.title, error.advice)


def message(request: Request, status: int, title: str, advice: str) -> Response:
    """Return a page that says one thing."""
    return render(request, None, "message.html", {"title": title, "advice": advice}, status)
