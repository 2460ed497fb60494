"""What differs between two releases, cell by cell."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import Annotated, Any

import psycopg
from fastapi import Query, Request, Response
from markupsafe import Markup
from pydantic import ValidationError

from include.artifacts import ArtifactsError
from include.comparison import ReleaseComparison, as_markdown, compare_releases
from include.comparison.markdown import in_short
from include.console import artefacts
from include.console.access import ViewerDep
from include.console.page import Page, render
from include.console.records import ListedRelease, list_those_with_tables, release_before
from include.console.warehouse import read_warehouse
from include.console.words import markdown

page = Page(navigation="Compare", path="/compare")

Wanted = Annotated[int | None, Query(ge=1, le=2**31 - 1)]

EXAMPLES = 10
# Every table of both is read: a few seconds each.
QUERY_SECONDS = 30

# The tables of a release never change once its run has ended, so neither does the difference
# between two.
SETTLED = {"published", "superseded", "failed"}
_made: OrderedDict[tuple[int, int], ReleaseComparison] = OrderedDict()
REMEMBERED = 8


@page.get("/compare")
async def compare(
    request: Request, viewer: ViewerDep, older: Wanted = None, newer: Wanted = None
) -> Response:
    """Choose two releases and see what differs."""
    choice = await read_warehouse(lambda connection: _choice(connection, older, newer))
    context: dict[str, Any] = choice | {"comparison": None, "problem": None, "is_kept": False}
    if older and newer:
        if older == newer:
            context["problem"] = "These are the same release: choose two."
        else:
            context |= await _compared(older, newer, choice["releases"])
    if comparison := context["comparison"]:
        context |= {"in_short": in_short(comparison), "errata": _errata(comparison)}
    return await asyncio.to_thread(render, request, viewer, "compare.html", context)


def _errata(comparison: ReleaseComparison) -> Markup:
    """Return the errata list as HTML, without its head, which the page has already."""
    _, _, body = as_markdown(comparison).partition(in_short(comparison))
    return markdown(body, tables="What silver and gold make of it")


def _choice(connection: psycopg.Connection, older: int | None, newer: int | None) -> dict[str, Any]:
    releases = list_those_with_tables(connection)
    seen = next((it.release_id for it in releases if it.shown_layers), None)
    newer = newer or seen
    return {
        "releases": releases,
        "newer": newer,
        "older": older or (release_before(connection, newer) if newer else None),
    }


async def _compared(older: int, newer: int, releases: list[ListedRelease]) -> dict[str, Any]:
    there = {release.release_id for release in releases}
    if not {older, newer} <= there and (kept := await _kept_changes(older, newer)):
        return {"comparison": kept, "is_kept": True}
    comparison = _made.get((older, newer)) or await read_warehouse(
        lambda connection: _compare(connection, older, newer),
        query_seconds=QUERY_SECONDS,
        takes_long=True,
    )
    return {"comparison": comparison}


def _compare(connection: psycopg.Connection, older: int, newer: int) -> ReleaseComparison:
    # Whoever waited for the same comparison finds it made.
    if comparison := _made.get((older, newer)):
        return comparison
    comparison = compare_releases(connection, older, newer, examples=EXAMPLES)
    if {comparison.older.state, comparison.newer.state} <= SETTLED:
        _made[older, newer] = comparison
        while len(_made) > REMEMBERED:
            _made.popitem(last=False)
    return comparison


async def _kept_changes(older: int, newer: int) -> ReleaseComparison | None:
    """Return what was written down of both when the newer one was published, if it was."""
    try:
        told = await artefacts.kept_json(f"releases/{newer}/changes/changes.json")
        comparison = ReleaseComparison.model_validate(told)
    # Of another version of the code, too.
    except (ArtifactsError, ValidationError):
        return None
    return comparison if comparison.older.release_id == older else None
