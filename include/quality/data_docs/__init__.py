"""Makes the website that Great Expectations writes work on its own, offline and unwatched.

Its pages load scripts and styles from seven hosts, one of them a picture that reports each visit.
`vendor/` holds what they need in the same versions: Bootstrap 4.3.1, Bootstrap Table 1.19.1 and
jQuery 3.7.1, all under the MIT licence that their first lines state. Charts, date pickers and
column filters, which its pages of this project do not use, are left out.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Sequence
from html import escape
from pathlib import Path

VENDOR = Path(__file__).with_name("vendor")
STYLES = ("bootstrap.min.css", "bootstrap-table.min.css", "icons.css")
SCRIPTS = ("jquery.min.js", "bootstrap.bundle.min.js", "bootstrap-table.min.js")

_REPLACED = re.compile(
    r"""<link\b[^>]*\bhref="https?:[^>]*>"""
    r"""|<script\b[^>]*\bsrc="https?:[^>]*>\s*</script>"""
    r"""|<img\b[^>]*\bsrc="https?:[^>]*>"""
    r"""|\burl\(["']?https?:[^)]*\)"""
    # Local, but its path is one folder short on the pages of results.
    r"""|<link\b[^>]*\brel="shortcut icon"[^>]*>"""
)

# Its letter to subscribers.
_LETTER = re.compile(r"<footer>.*?</footer>", re.DOTALL)

# It makes tables and links dark and leaves the page around them white.
_HALF_DARK = "@media (prefers-color-scheme: dark)"

# Where the first page's content begins, after the bar at the top.
_TOP = re.compile(r'<div class="container-fluid pt-4[^>]*>')


def make_self_contained(site: Path) -> None:
    """Let every page under `site` load its styles and scripts from the site itself."""
    static = site / "static"
    icon = (static / "images" / "favicon.ico").read_bytes()
    # Pictures, fonts and styles, nine tenths of the site, that no page of this project loads.
    shutil.rmtree(static)
    shutil.copytree(VENDOR, static)
    (static / "favicon.ico").write_bytes(icon)
    for page in site.rglob("*.html"):
        here = os.path.relpath(static, page.parent)
        local = [f'<link rel="stylesheet" href="{here}/{name}">' for name in STYLES]
        local += [f'<script src="{here}/{name}"></script>' for name in SCRIPTS]
        local += [f'<link rel="icon" href="{here}/favicon.ico">']
        html = _LETTER.sub("", _REPLACED.sub("", page.read_text(encoding="utf-8")))
        html = html.replace(_HALF_DARK, "@media not all")
        page.write_text(
            html.replace("<head>", "<head>\n    " + "\n    ".join(local), 1), encoding="utf-8"
        )


def link_from_index(site: Path, heading: str, pages: Sequence[Path]) -> None:
    """Name pages of our own, each by its file, at the top of the site's first page."""
    links = " · ".join(
        f'<a href="{page.relative_to(site).as_posix()}">{escape(page.stem)}</a>' for page in pages
    )
    index = site / "index.html"
    html, found = _TOP.subn(
        rf'\g<0><p class="lead">{escape(heading)}: {links}</p>',
        index.read_text(encoding="utf-8"),
        count=1,
    )
    if not found:
        raise ValueError(f"{index} has no place for links: Great Expectations writes it otherwise.")
    index.write_text(html, encoding="utf-8")
