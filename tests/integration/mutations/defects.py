"""The defects of the warehouse that this one replaces, and how each is planted here again."""

from __future__ import annotations

import re
from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict

LIST = Path(__file__).with_name("defects.yml")


class StaleDefect(AssertionError):
    """The code that a defect was written for has changed; the message says where."""


class Edit(BaseModel):
    """One piece of code, and what it was like when it was wrong."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    file: str
    old: str
    new: str


class Defect(BaseModel):
    """One known mistake."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str
    defect: str
    plant: list[Edit]
    build: list[str] = []
    """The tables to build anew, in which data tests can see it."""
    caught_by: list[str]
    """dbt's tests and pytest's, each of which fails, or a model that can no longer be built."""

    @property
    def files(self) -> str:
        return ", ".join(dict.fromkeys(edit.file.removeprefix("include/") for edit in self.plant))


def load_defects() -> list[Defect]:
    """Return all defects, in the order of their ids."""
    return [Defect.model_validate(entry) for entry in yaml.safe_load(LIST.read_text())]


def plant(defect: Defect, project: Path) -> dict[Path, str]:
    """Put a defect into a copy of the project. Returns what the files held before.

    Raises:
        StaleDefect: the code that was to be changed is not there, or more than once.
    """
    before: dict[Path, str] = {}
    for edit in defect.plant:
        path = project / edit.file
        text = path.read_text() if path.exists() else ""
        # Where lines break is nobody's concern.
        places = re.findall(r"\s+".join(map(re.escape, edit.old.split())), text)
        if len(places) != 1:
            restore(before)
            raise StaleDefect(
                f"{defect.id}: {edit.file} holds this {len(places)} times instead of once:\n"
                f"{edit.old}\nThe code has changed: plant the defect in what it is now."
            )
        before.setdefault(path, text)
        path.write_text(text.replace(places[0], edit.new))
    return before


def restore(before: dict[Path, str]) -> None:
    """Undo `plant`."""
    for path, text in before.items():
        path.write_text(text)
