"""What to change in the code of gamebot-lite's documentation: a section of the page about moving.

The code and the changes stand in queries_of_gamebot_lite.yml; moving_from_gamebot_lite.py writes
the page.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict

FILE = Path(__file__).with_suffix(".yml")

INTRODUCTION = """\
## Code of its documentation

With our client ([client/README.md](../client/README.md)), which also reads `gamebot.duckdb` and
every other form of the data:
"""


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Change(_Frozen):
    """A text of the code, what to write instead, and why."""

    there: str
    here: str
    why: str


class Call(_Frozen):
    """A call of the package and what it is here."""

    there: str
    here: str
    note: str = ""


class Query(_Frozen):
    """A query of the documentation."""

    title: str
    there: str
    changes: tuple[Change, ...]
    for_sqlite: tuple[Change, ...]
    note: str

    @property
    def here(self) -> str:
        """What runs in our client and on gamebot.duckdb."""
        return _changed(self.there, self.changes)

    @property
    def on_sqlite(self) -> str:
        """What runs on gamebot.sqlite."""
        return _changed(self.here, self.for_sqlite)


class Documentation(_Frozen):
    """All of it."""

    functions: tuple[Call, ...]
    queries: tuple[Query, ...]


def load_documentation() -> Documentation:
    """Read the file."""
    return Documentation.model_validate(yaml.safe_load(FILE.read_text(encoding="utf-8")))


def render_documentation(documentation: Documentation) -> str:
    """Return the section of the page."""
    calls = [
        [f"`{call.there}`", f"`{call.here}`" + (f"; {call.note}" if call.note else "")]
        for call in documentation.functions
    ]
    parts = [INTRODUCTION, "| there | here |\n|---|---|", _rows(calls), ""]
    for query in documentation.queries:
        parts += [f"**{query.title}.** {query.note}\n", *_changes(query.changes)]
        parts += ["On `gamebot.sqlite` besides:\n", *_changes(query.for_sqlite)]
        parts.append(f"```sql\n{query.here.strip()}\n```")
    return "\n".join(parts) + "\n"


def _changes(changes: Sequence[Change]) -> list[str]:
    rows = [
        [f"`{change.there}`", f"`{change.here}`" if change.here else "nothing", change.why]
        for change in changes
    ]
    return ["| there | here | why |\n|---|---|---|", _rows(rows), ""]


def _rows(rows: Sequence[list[str]]) -> str:
    escaped = ([cell.replace("|", "\\|") for cell in row] for row in rows)
    return "\n".join(f"| {' | '.join(row)} |" for row in escaped)


def _changed(text: str, changes: Sequence[Change]) -> str:
    for change in changes:
        if change.there not in text:
            raise ValueError(f"{FILE.name}: {change.there!r} is nowhere in the code")
        if not change.here:
            # What becomes nothing takes its line with it.
            text = re.sub(rf"^ *{re.escape(change.there)}\n", "", text, flags=re.MULTILINE)
        text = text.replace(change.there, change.here)
    return text
