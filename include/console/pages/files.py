"""What runs left for people, shown as pages of the console and served file by file.

The pages of Great Expectations and dbt are programs of theirs that show data of upstream's, so they
get an origin of their own (`sandbox`): nothing in them can act as whoever looks at them. Such a
page sends no cookie for its styles and scripts; its address holds a signed pass instead, given to
whoever may see the release, for one artefact and a day's work.
"""

from __future__ import annotations

import mimetypes
from collections.abc import Iterator
from typing import IO, Annotated
from urllib.parse import quote

from airflow.api_fastapi.auth.tokens import get_signing_key
from fastapi import APIRouter, HTTPException, Path, Request
from fastapi.responses import RedirectResponse, Response, StreamingResponse
from itsdangerous import BadSignature, URLSafeTimedSerializer

from include.artifacts import ArtifactMissing, ArtifactsError, list_kept, open_kept
from include.console import artefacts
from include.console.access import ViewerDep
from include.console.page import Page, render
from include.console.pages.releases import ReleaseId

page = Page()
# Closed by the pass and not by the cookie.
passed = APIRouter()

Name = Annotated[str, Path(pattern="^[a-z][a-z0-9_]*$")]

PASS_SECONDS = 8 * 3600
CHUNK = 1 << 18

# Scripts and styles of their own, nothing from or to another host, no cookie, storage or form.
PAGE_POLICY = (
    "sandbox allow-scripts allow-downloads allow-modals; default-src 'none'; "
    "script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self' data: blob:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
)
FILE_POLICY = "sandbox; default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'self'"

TYPES = {
    ".md": "text/plain",
    ".parquet": "application/vnd.apache.parquet",
    ".duckdb": "application/octet-stream",
    ".sqlite": "application/vnd.sqlite3",
    ".sql": "text/plain",
    ".log": "text/plain",
}

# What Airflow may compress besides text; the rest of a data package is large and dense already.
COMPRESSED = ("application/json", "application/javascript", "image/svg+xml")


@page.get("/releases/{release_id}/artefacts/{name}")
async def artefact(
    request: Request, viewer: ViewerDep, release_id: ReleaseId, name: Name
) -> Response:
    """Show an artefact below the console's own navigation."""
    if name not in artefacts.PAGES:
        raise HTTPException(404)
    title, first = artefacts.PAGES[name]
    try:
        files = await artefacts.in_time(list_kept, f"releases/{release_id}/{name}")
    except ArtifactsError as error:
        raise HTTPException(503, UNREADABLE) from error
    if not files:
        raise HTTPException(404, MISSING.format(name=name, release_id=release_id))
    context = {
        "release_id": release_id,
        "name": name,
        "title": title,
        "first": first if first in dict(files) else None,
        "is_page": first.endswith(".html"),
        "files": files,
    }
    return render(request, viewer, "artefact.html", context)


@page.get("/releases/{release_id}/files/{name}/{path:path}")
async def file(
    request: Request, viewer: ViewerDep, release_id: ReleaseId, name: Name, path: str
) -> Response:
    """Serve a file; a page at an address of its own."""
    path = path or "index.html"
    if _media_type(path) == "text/html":
        given = _signer().dumps([viewer.user_id, release_id, name])
        root = request.scope.get("root_path", "")
        return RedirectResponse(
            f"{root}/passed/{given}/{quote(path)}", 303, headers={"Cache-Control": "no-store"}
        )
    return await _serve(release_id, name, path)


@passed.get("/passed/{given}/{path:path}")
async def passed_file(given: str, path: str) -> Response:
    """Serve a file to whoever was given a pass for its artefact."""
    try:
        _, release_id, name = _signer().loads(given, max_age=PASS_SECONDS)
    except BadSignature:
        raise HTTPException(
            403, "This address was good for a few hours. Open the page from its release again."
        ) from None
    return await _serve(release_id, name, path)


MISSING = (
    "Release {release_id} has no such file of {name}. Its run may not have got as far, the files "
    "of old releases are deleted with their tables, and GAMEBOT_ARTIFACTS_URL must name the same "
    "place for tasks and API server (docs/settings.md)."
)

UNREADABLE = (
    "The artefacts cannot be read now. The API server's log says why, and GAMEBOT_ARTIFACTS_URL "
    "where they are (docs/settings.md)."
)


async def _serve(release_id: int, name: str, path: str) -> Response:
    opened = artefacts.in_time(open_kept, f"releases/{release_id}/{name}/{path}")
    try:
        kept, size = await opened
    except ArtifactMissing:
        raise HTTPException(404, MISSING.format(name=name, release_id=release_id)) from None
    except ArtifactsError as error:
        raise HTTPException(503, UNREADABLE) from error
    media_type = _media_type(path)
    is_page = media_type == "text/html"
    headers = {
        "Content-Length": str(size),
        "Content-Security-Policy": PAGE_POLICY if is_page else FILE_POLICY,
        # Nobody is told the pass.
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "private, max-age=300",
    }
    if not media_type.startswith("text/") and media_type not in COMPRESSED:
        # Airflow would compress it, in the thread that answers everybody.
        headers["Content-Encoding"] = "identity"
    return StreamingResponse(_chunks(kept), media_type=media_type, headers=headers)


def _chunks(kept: IO[bytes]) -> Iterator[bytes]:
    with kept:
        while chunk := kept.read(CHUNK):
            yield chunk


def _media_type(path: str) -> str:
    suffix = f".{path.rpartition('.')[2].lower()}"
    return TYPES.get(suffix) or mimetypes.guess_type(path)[0] or "application/octet-stream"


def _signer() -> URLSafeTimedSerializer:
    return URLSafeTimedSerializer(get_signing_key("api", "secret_key"), salt="gamebot artefact")
