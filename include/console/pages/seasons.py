"""The seasons, for those who would rather look than query."""

from __future__ import annotations

from collections.abc import Callable
from itertools import groupby
from typing import Any

import psycopg
from fastapi import HTTPException, Request, Response

from include.console import season_figures as figures
from include.console.access import ViewerDep
from include.console.page import Page, show
from include.console.seasons import (
    NoSuchSeason,
    Published,
    SeasonsNotPublished,
    published_layers,
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
    return await show(request, viewer, "seasons.html", _when_published(_seasons))


@page.get("/seasons/{version_season}")
async def season(request: Request, viewer: ViewerDep, version_season: str) -> Response:
    """Show one season, its end included."""
    return await show(
        request,
        viewer,
        "season.html",
        _when_published(
            lambda connection, published: _season(connection, published, version_season)
        ),
    )


def _when_published(
    context: Callable[[psycopg.Connection, Published], dict[str, Any]],
) -> Callable[[psycopg.Connection], dict[str, Any]]:
    def read(connection: psycopg.Connection) -> dict[str, Any]:
        # All of a page is of one moment, also when the next release is published meanwhile.
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        try:
            return context(connection, published_layers(connection))
        except SeasonsNotPublished as error:
            raise HTTPException(
                404,
                "The seasons are shown from silver, which was never published here: run "
                "survivor_medallion_pipeline with target_layer silver or gold.",
            ) from error

    return read


def _seasons(connection: psycopg.Connection, published: Published) -> dict[str, Any]:
    found = read_seasons(connection, published)
    versions = [
        (VERSIONS.get(version, version), list(of_version))
        for version, of_version in groupby(found, key=lambda one: one.version)
    ]
    # The longest-running first, and of each the newest season.
    versions.sort(key=lambda version: -len(version[1]))
    return {
        "published": published,
        "count": len(found),
        "versions": [(name, found[::-1]) for name, found in versions],
        "states": STATES,
    }


def _season(
    connection: psycopg.Connection, published: Published, version_season: str
) -> dict[str, Any]:
    try:
        found = read_season(connection, published, version_season)
    except NoSuchSeason as error:
        raise HTTPException(
            404,
            f"Release {published.releases['silver']} has no season {version_season!r}: "
            "ids are a version and a number of two digits, such as US45.",
        ) from error
    return {
        "published": published,
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
