"""What happens to good data in life, and the checks that must say so."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field

LIST = Path(__file__).with_name("damages.yml")
TITLES = {
    "built": "Bronze, and what dbt builds from it",
    "rows": "Rows of a finished release",
    "columns": "Columns, views and whole tables of a finished release",
}

CopyName = Literal["built", "rows", "columns"]


class Damage(BaseModel):
    """One way in which data go bad; damages.yml says what the fields mean."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    copy_name: CopyName = Field(alias="copy")
    damage: list[str]
    caught_by: dict[str, str | None]
    survivor: bool = False
    warned: bool = False


def load_damages() -> list[Damage]:
    """Return all of them, in the order of the list."""
    return [
        Damage.model_validate(entry) for entry in yaml.safe_load(LIST.read_text(encoding="utf-8"))
    ]


def as_markdown() -> str:
    """Return the tables of docs/audits.md."""
    damages = load_damages()
    lines = []
    for copy_name, title in TITLES.items():
        lines += [f"## {title}", "", "| damage | seen by | outcome |", "|---|---|---|"]
        for damage in damages:
            if damage.copy_name == copy_name:
                seen_by = ", ".join(f"`{name}`" for name in damage.caught_by)
                outcome = "a warning" if damage.warned else "blocked"
                lines.append(f"| {damage.name} | {seen_by} | {outcome} |")
        lines.append("")
    return "\n".join(lines)
