"""What is different from the release that readers saw before: CHANGES.md and changes.json."""

from __future__ import annotations

import json
from pathlib import Path

import psycopg
from pydantic import BaseModel, ConfigDict

from include.comparison import as_markdown, compare_releases
from include.warehouse.connection import ConnectionSettings
from include.warehouse.releases import Release, get_release, list_releases
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
    """Compare a release with the one that readers saw before, or say why that cannot be done.

    Raises:
        ReleaseError: there is no such release.
    """
    with settings.connect(role=OWNER) as connection:
        release = get_release(connection, release_id)
        previous = _previous(connection, release)
        if previous is None:
            return _nothing_to_compare(release, "This is the first release.")
        if previous.pruned_at:
            return _nothing_to_compare(
                release,
                f"Readers saw release {previous.release_id} before, whose tables are gone: the two "
                "cannot be compared any more.",
            )
        comparison = compare_releases(connection, previous.release_id, release_id)
    return Changes(
        markdown=as_markdown(comparison),
        data=f"{comparison.model_dump_json(indent=1)}\n",
        summary=f"Release {release_id} was compared with release {previous.release_id}.",
    )


def _previous(connection: psycopg.Connection, release: Release) -> Release | None:
    before = [
        other
        for other in list_releases(connection)
        if other.release_id < release.release_id and other.published_at
    ]
    return before[0] if before else None


def _nothing_to_compare(release: Release, reason: str) -> Changes:
    data: dict[str, object] = {
        "older": None,
        "newer": {"release_id": release.release_id},
        "tables": [],
        "note": reason,
    }
    return Changes(
        markdown=f"# Changes of release {release.release_id}\n\n{reason}\n",
        data=f"{json.dumps(data, indent=1)}\n",
        summary=reason,
    )
