"""Three states of survivoR in a row, as files: one, a corrected one, and one with a mistake."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pandas as pd

from include.ingestion.catalog import load_catalog
from include.ingestion.reader import Table, read_table
from include.ingestion.sources import snapshot
from tests.survivor_files import write_columns, write_dataset

# Dataset, rows, column and the new value.
Change = tuple[str, dict[str, Any], str, Any]

CORRECTIONS: tuple[Change, ...] = (
    ("castaways", {"version_season": "US20", "castaway": "Sandra"}, "city", "Stanley"),
    ("castaways", {"version_season": "US20", "castaway": "Parvati"}, "city", "Marietta"),
    ("episodes", {"version_season": "US07", "episode": 2}, "viewers", 23_450_000),
)
# Soda finds it in bronze: a season has two winners.
MISTAKE: Change = ("castaways", {"version_season": "US20", "castaway": "Parvati"}, "winner", True)


def write_states(folder: Path, files: Path | None) -> list[Path]:
    """Write the three states.

    Args:
        folder: where, each in a folder of its own.
        files: upstream's own; without them those of the snapshot, which has nearly all of them.
    """
    first, corrected, mistaken = (folder / name for name in ("first", "corrected", "mistaken"))
    if files:
        first.mkdir()
        for file in files.iterdir():
            # Without its mode: upstream's files may be read-only here.
            shutil.copyfile(file, first / file.name)
    else:
        _write_snapshot(first, folder / "package")
    for before, after, changes in (
        (first, corrected, CORRECTIONS),
        (corrected, mistaken, (MISTAKE,)),
    ):
        after.mkdir()
        for file in before.iterdir():
            # A state shares the files that are the same.
            os.link(file, after / file.name)
        _change(after, changes)
    for number, state in enumerate((first, corrected, mistaken), 1):
        (state / "COMMIT").unlink(missing_ok=True)
        (state / "COMMIT").write_text(f"{number}" * 40 + "\n")
    return [first, corrected, mistaken]


def _change(folder: Path, changes: tuple[Change, ...]) -> None:
    tables = {name: read_table(folder / f"{name}.rda") for name, *_ in changes}
    for name, row, column, value in changes:
        frame = tables[name].frame
        rows = pd.concat([frame[label] == wanted for label, wanted in row.items()], axis=1)
        found = frame.index[rows.all(axis=1)]
        assert len(found) == 1, f"{name} has {len(found)} rows of {row}"
        assert frame.loc[found[0], column] != value, f"{name}.{column} is {value} already"
        frame[column] = frame[column].astype(object)
        frame.loc[found[0], column] = value
    for table in tables.values():
        _write(folder, table)


def _write(folder: Path, table: Table) -> None:
    path = folder / f"{table.name}.rda"
    path.unlink(missing_ok=True)
    write_dataset(path, table.name, table.frame, table.r_types)


def _write_snapshot(folder: Path, package: Path) -> None:
    folder.mkdir()
    package.mkdir()
    fetched = snapshot.fetch(snapshot.resolve(), load_catalog().datasets, package, print)
    for name in fetched.files:
        _write(folder, fetched.read(name))
    # The snapshot has the tribes without their colours.
    tribes = fetched.read("tribe_mapping").frame
    columns = ["version", "version_season", "season", "tribe", "tribe_status"]
    colours = tribes[columns].drop_duplicates().dropna()
    write_columns(
        folder / "tribe_colours.rda",
        "tribe_colours",
        {
            "tribe_colour": ("character", ["#123456"] * len(colours)),
            **{
                name: ("double" if name == "season" else "character", list(colours[name]))
                for name in columns
            },
        },
    )
