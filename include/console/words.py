"""How pages say times, durations, numbers and what tools said."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from urllib.parse import quote

from markdown_it import MarkdownIt
from markupsafe import Markup, escape

PIPELINE = "survivor_medallion_pipeline"


def moment(value: datetime | None) -> str:
    """Return a time for people, in UTC as all of them."""
    return value.astimezone(UTC).strftime("%Y-%m-%d %H:%M") if value else ""


def seconds(value: float | None) -> str:
    """Return a duration: 0.4 s, 12 s, 3 min 20 s, 2 h 5 min, 12 days."""
    if value is None:
        return ""
    if value < 10:
        return f"{value:.1f} s"
    minutes, rest = divmod(round(value), 60)
    if not minutes:
        return f"{rest} s"
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    return f"{hours // 24} days"


def number(value: int | None) -> str:
    """Return a whole number with thin spaces: 190 856."""
    return "" if value is None else f"{value:,}".replace(",", "\N{NARROW NO-BREAK SPACE}")


def signed(value: int | None) -> str:
    """Return a change: +12, -3, or ±0."""
    if value is None:
        return ""
    if value == 0:
        return "±0"
    sign = "+" if value > 0 else "\N{MINUS SIGN}"
    return f"{sign}{number(abs(value))}"


def run_path(run_id: str, dag_id: str = PIPELINE) -> str:
    """Return where Airflow's UI shows a run."""
    return f"/dags/{dag_id}/runs/{quote(run_id, safe='')}"


def without_login(value: object) -> str:
    """Return what some tool said without the login of an address in it."""
    text = "" if value is None else str(value)
    return LOGIN.sub(lambda found: (found[1] or found[2]) + "…", text)


def markdown(text: str, tables: str) -> Markup:
    """Return Markdown as HTML that the pages' policy allows; whatever it quotes stays text.

    Args:
        text: of ours, or a run's note.
        tables: what its tables are about, for whoever does not see them.
    """
    renderer = MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens = renderer.parse(text)
    for token in tokens:
        # No style in place.
        if token.attrs.pop("style", None):
            token.attrSet("class", "number")
    html = renderer.renderer.render(tokens, renderer.options, {})
    # On a phone the table scrolls, and not the page.
    wide = f'<div class="wide" tabindex="0" role="region" aria-label="{escape(tables)}">'
    html = html.replace("<table>", f"{wide}<table>").replace("</table>", "</table></div>")
    return Markup(html)  # noqa: S704


# What a driver or an object store may have put into its error: //user:password@, password=…
LOGIN = re.compile(
    r"(://)[^/@\s]+:[^/@\s]*(?=@)|(?i:(\b(?:password|passwd|pwd|secret|token)\s*[=:]\s*)\S+)"
)
