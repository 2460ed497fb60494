"""The pages, one module each. A new one is named here, in the order of the navigation."""

from __future__ import annotations

from include.console.page import Page
from include.console.pages import (
    actions,
    comparison,
    files,
    history,
    overview,
    releases,
    seasons,
)

PAGES: tuple[Page, ...] = (
    overview.page,
    releases.page,
    comparison.page,
    history.page,
    seasons.page,
    files.page,
    actions.page,
)
