"""Charts: an option of Apache ECharts as a JSON island, with the same figures as a table.

`static/console.js` draws it, colours and letters from the style sheet, with ECharts' own
description for screen readers. Without JavaScript the table is what one sees.

    Chart(id="rows", title="Rows of each release", option={...}, columns=[...], rows=[[...]])

and in a template: `{% from "macros.html" import figure %} {{ figure(chart) }}`.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict


class Chart(BaseModel):
    """One figure of a page."""

    model_config = ConfigDict(frozen=True)

    id: str
    """Unique on its page."""
    title: str
    summary: str = ""
    """What one sees in it, for those who cannot."""
    option: dict[str, Any]
    """As ECharts documents it; data only, since functions do not survive JSON."""
    columns: list[str]
    rows: list[list[Any]]
    height: str = "medium"
    """`small`, `medium` or `large`; for a row each of a cast `rows-10` to `rows-30`."""


def described(what: str, *, patterned: bool = False) -> dict[str, Any]:
    """Return the description of a chart whose figures, read out, would be a litany without names.

    Args:
        patterned: the series differ by a pattern too, for those who see no colours.
    """
    return {
        "enabled": True,
        "label": {"description": f"{what} The figures follow as a table."},
        "decal": {"show": patterned},
    }
