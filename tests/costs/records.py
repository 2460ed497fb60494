"""The recorded costs, and what differs from them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from fnmatch import fnmatchcase
from io import StringIO
from pathlib import Path
from typing import NamedTuple

from rich import box
from rich.console import Console
from rich.table import Table

Figures = Mapping[str, int]

RECORDED = Path(__file__).with_name("recorded.json")

ADVICE = """\
The pipeline does more or less than it did. Undo what costs more than it should; where it is meant,
and for every gain: `make costs`, and commit tests/costs/recorded.json, whose diff is the review.
docs/development.md, "Costs", says what the figures are."""


class Difference(NamedTuple):
    """A figure that is not what was recorded; what is not there costs nothing."""

    figure: str
    recorded: int
    found: int


class Records:
    """What was recorded: a number per figure, and how far another one may be from it."""

    def __init__(self, figures: Figures, tolerances: Mapping[str, float]) -> None:
        self.figures = figures
        self.tolerances = tolerances

    @classmethod
    def read(cls, path: Path = RECORDED) -> Records:
        """Read the committed file."""
        return cls(**json.loads(path.read_text(encoding="utf-8")))

    def write(self, figures: Figures, path: Path = RECORDED) -> None:
        """Record other figures; what is within its tolerance stays, so that the diff is short."""
        changed = {difference.figure for difference in self.differences(figures)}
        kept = {
            name: number if name in changed else self.figures.get(name, number)
            for name, number in sorted(figures.items())
        }
        content = {"tolerances": self.tolerances, "figures": kept}
        path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")

    def differences(self, found: Figures) -> list[Difference]:
        """Return the figures that are not as recorded."""
        return [
            Difference(name, before, now)
            for name in sorted(self.figures.keys() | found.keys())
            if abs((now := found.get(name, 0)) - (before := self.figures.get(name, 0)))
            > before * self._tolerance(name)
        ]

    def _tolerance(self, figure: str) -> float:
        return max(
            (share for pattern, share in self.tolerances.items() if fnmatchcase(figure, pattern)),
            default=0,
        )


def told(differences: list[Difference]) -> str:
    """Return the differences as a table, and what to do about them."""
    table = Table("figure", "recorded", "found", "", box=box.SIMPLE)
    for column in table.columns[1:]:
        column.justify = "right"
    for name, before, now in differences:
        table.add_row(name, f"{before:,}", f"{now:,}", f"{now - before:+,}")
    output = StringIO()
    Console(file=output, width=140).print(table)
    return f"{output.getvalue()}\n{ADVICE}"
