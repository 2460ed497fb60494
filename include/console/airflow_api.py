"""Airflow's own public API, asked in this process and as whoever looks at the page.

So Airflow's permissions, validation and audit log decide and record what the console does.
"""

from __future__ import annotations

from typing import Any

import httpx
from airflow.api_fastapi.auth.managers.base_auth_manager import COOKIE_NAME_JWT_TOKEN
from fastapi import Request
from fastapi.security.utils import get_authorization_scheme_param

SECONDS = 15


class Refused(RuntimeError):
    """Airflow did not do what was asked of it; with its status and its reason."""

    def __init__(self, status: int, reason: str) -> None:
        """Keep both."""
        super().__init__(reason)
        self.status, self.reason = status, reason


async def call(
    request: Request, method: str, path: str, *, json: Any = None, params: Any = None
) -> Any:
    """Return what Airflow answers to whoever made `request`.

    Args:
        path: below `/api/v2`.

    Raises:
        Refused: with Airflow's reason.
    """
    airflow = request.scope.get("airflow")
    if airflow is None:
        raise Refused(503, "The console runs outside of Airflow.")
    scheme, token = get_authorization_scheme_param(request.headers.get("Authorization"))
    if scheme.lower() != "bearer":
        token = request.cookies.get(COOKIE_NAME_JWT_TOKEN, "")
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(airflow, raise_app_exceptions=False),
        # Only a name: the request does not leave this process.
        base_url=str(request.base_url),
        timeout=SECONDS,
    ) as client:
        answer = await client.request(
            method,
            f"/api/v2{path}",
            json=json,
            params=params,
            headers={"Authorization": f"Bearer {token}"},
        )
    if answer.is_error:
        raise Refused(answer.status_code, _reason(answer))
    return answer.json()


def _reason(answer: httpx.Response) -> str:
    try:
        detail = answer.json()["detail"]
    except (ValueError, KeyError, TypeError):
        detail = f"status {answer.status_code}"
    return detail if isinstance(detail, str) else str(detail)
