"""Styles, scripts and their addresses, which change with their content, so that they keep."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

from fastapi import APIRouter, HTTPException
from fastapi.responses import FileResponse

STATIC = Path(__file__).with_name("static")
# What is served is what lies there when the server starts, by its exact name.
FILES = {path.relative_to(STATIC).as_posix(): path for path in STATIC.rglob("*") if path.is_file()}

router = APIRouter()


@cache
def digest(name: str) -> str:
    """Return a short hash of a file's content."""
    return hashlib.sha256(FILES[name].read_bytes()).hexdigest()[:12]


def asset_path(name: str) -> str:
    """Return the address of a file below the console's."""
    return f"/static/{digest(name)}/{name}"


@router.get("/static/{wanted}/{name:path}")
def asset(wanted: str, name: str) -> FileResponse:
    """Serve a file of ours to anybody; for good, if it is the one that the page meant."""
    if name not in FILES:
        raise HTTPException(404)
    # Beside a newer or older server, which may well mean another content.
    keep = "public, max-age=31536000, immutable" if wanted == digest(name) else "no-store"
    return FileResponse(FILES[name], headers={"Cache-Control": keep})
