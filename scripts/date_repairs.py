#!/usr/bin/env python
"""Say in which commits of survivoR each value that we repair is wrong.

    python scripts/date_repairs.py [--check] FOLDER

FOLDER has a sub-folder of .rda files and a file COMMIT per commit, named after its date
(2026-06-12). Writes first_seen_commit and last_seen_commit of every row of upstream_repairs.csv:
the oldest and the newest of these commits that hold the value. No other commit is looked at.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pandas as pd
import yaml

PROJECT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT))

from include.ingestion.reader import read_table  # noqa: E402

DBT = PROJECT / "include" / "dbt"
SEED = DBT / "seeds" / "silver" / "upstream_repairs.csv"
FIRST, LAST = "first_seen_commit", "last_seen_commit"
ROW_KEYS: dict[str, list[str]] = yaml.safe_load((DBT / "dbt_project.yml").read_text())["vars"][
    "row_keys"
]

# Row key and value, each as text ("" for null), and how many rows hold it.
Values = Counter[tuple[str, str]]


def commits(folder: Path) -> Iterator[tuple[str, Path]]:
    """Yield each commit as `2026-06-12 80aaf498` with its folder, the oldest first."""
    for path in sorted(folder.iterdir()):
        if (path / "COMMIT").is_file():
            sha = (path / "COMMIT").read_text(encoding="utf-8").strip()
            yield f"{path.name[:10]} {sha[:8]}", path


@cache
def read_values(folder: Path, dataset: str, column: str) -> Values:
    """Count the values of a column by row key; for `copies`, the rows that are equal throughout."""
    frame = _read(folder, dataset)
    key = ROW_KEYS.get(f"{dataset}.{column}", ROW_KEYS[dataset])
    row_keys = ["|".join(row) for row in zip(*(_texts(frame[name]) for name in key), strict=True)]
    if column == "copies":
        copies = Counter(zip(row_keys, *(_texts(frame[name]) for name in frame), strict=True))
        return Counter((row_key, str(count)) for (row_key, *_), count in copies.items())
    return (
        Counter(zip(row_keys, _texts(frame[column]), strict=True)) if column in frame else Counter()
    )


@cache
def _read(folder: Path, dataset: str) -> pd.DataFrame:
    return read_table(folder / f"{dataset}.rda").frame


def _texts(values: pd.Series) -> list[str]:
    """Write values as bronze's are in Postgres as text: R's whole doubles are integers there."""
    return [
        ""
        if pd.isna(value)
        else str(int(value))
        if isinstance(value, float) and value.is_integer()
        else str(value)
        for value in values.astype(object)
    ]


def dated(repairs: list[dict[str, str]], folder: Path) -> list[dict[str, str]]:
    """Return the repairs with the oldest and newest commit of the folder that hold the value."""
    found = list(commits(folder))
    if not found:
        raise SystemExit(f"{folder} has no sub-folder with a file COMMIT.")
    rows = []
    for repair in repairs:
        held = [
            commit
            for commit, path in found
            if (repair["row_key"], repair["upstream_value"])
            in read_values(path, repair["dataset"], repair["column_name"])
        ]
        rows.append(repair | {FIRST: min(held, default=""), LAST: max(held, default="")})
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--check", action="store_true", help="write nothing; fail if it would")
    arguments = parser.parse_args()
    with SEED.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        columns, repairs = list(reader.fieldnames or ()), list(reader)
    rows = dated(repairs, arguments.folder)
    changed = [new for old, new in zip(repairs, rows, strict=True) if old != new]
    for row in changed:
        name = f"{row['dataset']} {row['row_key']} {row['column_name']}"
        print(f"{name}: {row[FIRST] or 'in no commit'} to {row[LAST] or '-'}")
    print(f"{len(changed)} of {len(rows)} repairs have other commits than the seed says.")
    if arguments.check:
        sys.exit(1 if changed else 0)
    with SEED.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    main()
