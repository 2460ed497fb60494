"""What a source says of itself: its release, its tables and their columns."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True)
class Release:
    """The version of the warehouse that is read.

    Attributes:
        release_id: its number in the warehouse that built it.
        commit: survivoR's commit, None when the data did not come from one.
        published_at: when readers first saw it, None where the source does not say.
        source: where it is read from.
    """

    release_id: int | None
    commit: str | None
    published_at: datetime | None
    source: str

    def __str__(self) -> str:
        said = f"release {self.release_id}" if self.release_id is not None else "a release"
        if self.published_at:
            said += f" of {self.published_at:%Y-%m-%d}"
        if self.commit:
            said += f" (survivoR {self.commit[:12]})"
        return f"{said} from {self.source}"


@dataclass(frozen=True)
class Column:
    """A column of a table."""

    name: str
    type: str
    description: str = ""


@dataclass(frozen=True)
class Table:
    """A table of one layer."""

    layer: str
    name: str
    columns: tuple[Column, ...] = field(repr=False)
    description: str = ""

    @property
    def full_name(self) -> str:
        """Layer and name, as SQL has them."""
        return f"{self.layer}.{self.name}"

    @property
    def quoted(self) -> str:
        """The same, quoted."""
        return f"{quoted(self.layer)}.{quoted(self.name)}"


def quoted(identifier: str) -> str:
    """Return a name as SQL takes it literally."""
    return '"' + identifier.replace('"', '""') + '"'
