"""What every source has in common: how it is asked for, what it resolves to, what it hands over."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, Protocol

from pydantic import BaseModel, ConfigDict, model_validator

from include.ingestion.reader import Table
from include.warehouse.schemas import SourceKind


class SourceError(RuntimeError):
    """The source does not hold what was asked for; the message says what to do."""


class SourceUnavailable(SourceError):
    """The source cannot be reached just now: the same request may succeed later or elsewhere."""


class SourceRequest(BaseModel):
    """What a person asks for.

    Attributes:
        source: `auto` takes upstream, and the snapshot where upstream cannot be reached and nothing
            from upstream was ever published.
        ref: upstream's commit, branch or tag; its branch master by default.
        directory: the folder of .rda files of source `directory`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    source: Literal["auto", "upstream", "snapshot", "directory"] = "auto"
    ref: str | None = None
    directory: str | None = None

    @model_validator(mode="after")
    def _settings_fit(self) -> SourceRequest:
        if self.ref and self.source not in ("auto", "upstream"):
            raise ValueError(f"ref applies to upstream, not to source {self.source!r}")
        if self.source == "directory" and not self.directory:
            raise ValueError("source 'directory' needs the folder of .rda files")
        if self.directory and self.source != "directory":
            raise ValueError(f"a folder applies to source 'directory', not to {self.source!r}")
        return self


class ResolvedSource(BaseModel):
    """One exact version of one source, found without downloading it.

    Attributes:
        version: commit, package version or hash of the content.
        location: where that is, for a person.
        commit: survivoR's commit where it is known.
        fingerprint: equal for two sources exactly when their files are; an upstream commit and a
            folder with the same files share one.
        note: what a person must know about this choice.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: SourceKind
    version: str
    location: str
    commit: str | None = None
    fingerprint: str
    note: str | None = None


class SourceFile(BaseModel):
    """The file behind one dataset, on this machine."""

    model_config = ConfigDict(frozen=True)

    path: Path
    sha256: str
    etag: str | None = None
    size: int


class FetchedSource(Protocol):
    """Files that are here and whole, and how to read a dataset from them."""

    @property
    def files(self) -> Mapping[str, SourceFile]:
        """Every dataset that can be read, with its file."""

    @property
    def unknown(self) -> list[str]:
        """Datasets that the source holds and the catalogue does not know."""

    def read(self, dataset: str) -> Table:
        """Read one dataset.

        Raises:
            UnreadableFile: its file is damaged or not what it should be.
        """


def git_blob_sha1(content: bytes) -> str:
    """Return the id that git gives a file of this content."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def files_fingerprint(blobs: Mapping[str, str]) -> str:
    """Return the fingerprint of a set of files, given the git blob id of each name."""
    listing = "".join(f"{name} {blobs[name]}\n" for name in sorted(blobs))
    return hashlib.sha256(listing.encode()).hexdigest()
