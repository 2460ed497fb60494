"""A fetched set of .rda files, one per dataset: what upstream and a directory have in common."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from include.ingestion.reader import Table, UnreadableFile, read_table, shown
from include.ingestion.sources.base import SourceFile

SUFFIX = ".rda"

# The largest of upstream's files has 0.4 million bytes, all 21 together 2 million.
MAX_FILE_BYTES = 16 * 2**20
MAX_TOTAL_BYTES = 64 * 2**20

# Short enough for Postgres, and nothing that looks like another name or leads to another folder.
_PLAIN_NAME = re.compile(rf"[A-Za-z]\w{{0,62}}{re.escape(SUFFIX)}", re.ASCII)


def is_plain(name: str) -> bool:
    """Tell whether a file's name is one that a dataset may have."""
    return bool(_PLAIN_NAME.fullmatch(name))


def unknown_datasets(names: Iterable[str], datasets: Collection[str]) -> list[str]:
    """Return what is no dataset of the catalogue, named so that it can be shown and recorded."""
    return sorted(
        {
            name.removesuffix(SUFFIX) if is_plain(name) else shown(name)
            for name in names
            if name.removesuffix(SUFFIX) not in datasets
        }
    )


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
