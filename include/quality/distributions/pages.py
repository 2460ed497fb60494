"""The pages: a picture and the numbers of every feature, drawn on the server, without a script."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from include.quality.distributions.features import Distribution, Features

HERE = Path(__file__).parent
FOLDER = "distributions"
STYLES = "distributions.css"
# Below it a shift is nothing to look at twice: a season more or a corrected row.
NOTABLE_SHIFT = 0.01
MOST_SHIFTED = 12

WIDTH, HEIGHT = 320, 96


@dataclass(frozen=True)
class Bar:
    """A bin in the picture's own units, for both releases."""

    left: float
    width: float
    height: float
    height_before: float | None
    kind: str
    """`now`, or what stands apart: `rest`, `unknown`."""
    told: str


def write_pages(
    folder: Path, release_id: int, release_before: int | None, tables: Sequence[Features]
) -> list[Path]:
    """Write a page per table into `folder`; return them in order."""
    environment = Environment(
        loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    environment.filters |= {"percent": percent, "number": number}
    template = environment.get_template("page.html")
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(HERE / STYLES, folder)
    pages = []
    for table in tables:
        page = folder / f"{table.table}.html"
        page.write_text(
            template.render(
                table=table,
                tables=tables,
                release_id=release_id,
                release_before=release_before if table.rows_before is not None else None,
                most_shifted=most_shifted(table.distributions),
                notable_shift=NOTABLE_SHIFT,
                bars=bars,
                width=WIDTH,
                height=HEIGHT,
            ),
            encoding="utf-8",
        )
        pages.append(page)
    return pages


def most_shifted(distributions: Sequence[Distribution]) -> list[Distribution]:
    """Return the features that are worth a look, the most shifted first."""
    shifted = [one for one in distributions if (one.shift or 0) >= NOTABLE_SHIFT]
    return sorted(shifted, key=lambda one: -(one.shift or 0))[:MOST_SHIFTED]


def bars(distribution: Distribution) -> list[Bar]:
    """Lay a distribution out: bins side by side, and what is unknown apart from them."""
    columns = [
        (one.label, one.share, one.share_before, "rest" if one.is_rest else "now")
        for one in distribution.bins
    ]
    unknown = distribution.now.unknown
    unknown_before = distribution.before.unknown if distribution.before else None
    if unknown or unknown_before:
        columns.append(("unknown", unknown, unknown_before, "unknown"))
    highest = max([0.0, *(max(now, before or 0) for _, now, before, _ in columns)]) or 1
    # The gap before what is unknown is half a bar wide.
    width = min(WIDTH / (len(columns) + 0.5), WIDTH / 4)
    laid = []
    for place, (label, now, before, kind) in enumerate(columns):
        told = f"{label}: {percent(now)}"
        if before is not None:
            told += f", before {percent(before)}"
        laid.append(
            Bar(
                left=(place + (0.5 if kind == "unknown" else 0)) * width,
                width=width,
                height=now / highest * HEIGHT,
                height_before=None if before is None else before / highest * HEIGHT,
                kind=kind,
                told=told,
            )
        )
    return laid


def percent(share: float) -> str:
    """Write a share; one that is not nothing does not look like nothing."""
    if 0 < share < 0.001:
        return "< 0.1 %"
    return f"{share * 100:.1f} %"


def number(value: float | None) -> str:
    """Write a number with four digits that count."""
    if value is None:
        return "\N{EN DASH}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
