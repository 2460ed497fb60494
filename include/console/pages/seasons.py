"""The seasons, for those who would rather look than query."""

from __future__ import annotations

from itertools import groupby
from typing import Any

import psycopg
from fastapi import HTTPException, Request, Response

from include.console import season_figures as figures
from include.console.access import ViewerDep
from include.console.page import Page, show
from include.console.seasons import (
    NoSuchSeason,
    Season,
    SeasonsNotPublished,
    read_season,
    read_seasons,
)

VERSIONS = {
    "US": "United States",
    "AU": "Australia",
    "SA": "South Africa",
    "NZ": "New Zealand",
    "UK": "United Kingdom",
}
STATES = {"complete": "complete", "in_progress": "in progress", "scheduled": "scheduled"}

page = Page(navigation="Seasons", path="/seasons")


@page.get("/seasons")
async def seasons(request: Request, viewer: ViewerDep) -> Response:
    """List the seasons that readers see."""
    return await show(request, viewer, "seasons.html", _seasons)


@page.get("/seasons/{version_season}")
async def season(request: Request, viewer: ViewerDep, version_season: str) -> Response:
    """Show one season, its end included."""

    def context(connection: psycopg.Connection) -> dict[str, Any]:
        # All of a page is of one moment, also when the next release is published meanwhile.
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        try:
            return season_context(read_season(connection, version_season))
        except (NoSuchSeason, SeasonsNotPublished) as error:
            raise HTTPException(404, str(error)) from error

    return await show(request, viewer, "season.html", context)


def _seasons(connection: psycopg.Connection) -> dict[str, Any]:
    connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
    try:
        published, found = read_seasons(connection)
    except SeasonsNotPublished as error:
        return {"missing": str(error)}
    versions = [
        (VERSIONS.get(version, version), list(of_version))
        for version, of_version in groupby(found, key=lambda one: one.version)
    ]
    # The longest-running first, and of each the newest season.
    versions.sort(key=lambda version: -len(version[1]))
    return {
        "missing": None,
        "published": published,
        "count": len(found),
        "versions": [(name, of_version[::-1]) for name, of_version in versions],
        "states": STATES,
    }


def season_context(found: Season) -> dict[str, Any]:
    """Return what the template of a season needs."""
    return {
        "published": found.published,
        "season": found,
        "facts": found.facts,
        "state": STATES.get(found.facts.season_status, found.facts.season_status),
        "whereabouts": figures.whereabouts(found),
        "tribes_told": list(figures.tribes_told(found)),
        "plays": figures.plays_by_stage(found),
        "votes": figures.vote_rows(found),
        "confessionals": figures.confessionals(found),
        "wins": figures.challenge_wins(found),
        "jury": figures.jury(found),
    }
