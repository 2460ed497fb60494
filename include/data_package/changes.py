"""What is different from the release that readers saw before: CHANGES.md and changes.json."""

from __future__ import annotations

import json
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from include.comparison import as_markdown, choose_releases, compare_releases
from include.warehouse.connection import ConnectionSettings
from include.warehouse.releases import ReleaseError, get_release
from include.warehouse.schemas import OWNER

MARKDOWN = "CHANGES.md"
DATA = "changes.json"


class Changes(BaseModel):
    """The same for people and for programs."""

    model_config = ConfigDict(frozen=True)

    markdown: str
    data: str
    summary: str
    """One sentence for a log."""

    def write(self, folder: Path) -> None:
        """Write both files."""
        (folder / MARKDOWN).write_text(self.markdown, encoding="utf-8")
        (folder / DATA).write_text(self.data, encoding="utf-8")


def changes_of(settings: ConnectionSettings, release_id: int) -> Changes:
    """Compare a release with the one that readers saw before, if there is one.

    Raises:
        ReleaseError: there is no such release.
    """
    with settings.connect(role=OWNER) as connection:
        get_release(connection, release_id)
        try:
            older, _ = choose_releases(connection, newer=release_id)
        except ReleaseError:
            return _first(release_id)
        comparison = compare_releases(connection, older, release_id)
    return Changes(
        markdown=as_markdown(comparison),
        data=f"{comparison.model_dump_json(indent=1)}\n",
        summary=f"Release {release_id} was compared with release {older}.",
    )


def _first(release_id: int) -> Changes:
    told = "This is the first release: readers saw none before it."
    data: dict[str, object] = {
        "older": None,
        "newer": {"release_id": release_id},
        "tables": [],
        "notes": [told],
    }
    return Changes(
        markdown=f"# Changes of release {release_id}\n\n{told}\n",
        data=f"{json.dumps(data, indent=1)}\n",
        summary=told,
    )
