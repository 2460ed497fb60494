"""A fetched set of .rda files, one per dataset: what upstream and a directory have in common."""

from __future__ import annotations

from dataclasses import dataclass

from include.ingestion.reader import Table, UnreadableFile, read_table, shown
from include.ingestion.sources.base import SourceFile

SUFFIX = ".rda"

# The largest of upstream's files has half a megabyte.
MAX_FILE_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True)
class RdaFiles:
    """Files on this machine, named as their dataset."""

    files: dict[str, SourceFile]
    unknown: list[str]

    def read(self, dataset: str) -> Table:
        """Read one dataset.

        Raises:
            UnreadableFile: the file is damaged, or holds another object than its name says.
        """
        path = self.files[dataset].path
        table = read_table(path)
        if table.name != dataset:
            raise UnreadableFile(path.name, f"it holds {shown(table.name)} instead of {dataset!r}")
        return table
