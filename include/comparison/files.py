"""What `ops` still knows of bronze when its tables are gone: the files that were loaded."""

from __future__ import annotations

from collections.abc import Mapping

import psycopg
from psycopg.rows import class_row
from pydantic import BaseModel, ConfigDict

from include.comparison.causes import bronze_cause
from include.comparison.models import RetypedColumn, TableComparison


class BronzeFile(BaseModel):
    """One row of `ops.dataset_versions`."""

    model_config = ConfigDict(frozen=True)

    dataset: str
    sha256: str
    rows: int
    r_types: dict[str, str] | None
    """R's type by column; None in a release from before that was kept."""


def read_files(connection: psycopg.Connection, release_id: int) -> dict[str, BronzeFile]:
    """Return the files that a release was loaded from, by dataset."""
    with connection.cursor(row_factory=class_row(BronzeFile)) as cursor:
        found = cursor.execute(
            "select dataset, sha256, rows, r_types from ops.dataset_versions "
            "where release_id = %s order by dataset",
            (release_id,),
        ).fetchall()
    return {file.dataset: file for file in found}


def compare_files(
    before: Mapping[str, BronzeFile], after: Mapping[str, BronzeFile]
) -> list[TableComparison]:
    """Compare rows and columns of the files, since cells are not there to be compared."""
    return [
        _compare(before.get(name), after.get(name)) for name in sorted(before.keys() | after.keys())
    ]


def _compare(before: BronzeFile | None, after: BronzeFile | None) -> TableComparison:
    there = after or before
    assert there is not None
    types_before = (before.r_types if before else None) or {}
    types_after = (after.r_types if after else None) or {}
    both_known = bool(types_before and types_after)
    same = before is not None and after is not None and before.sha256 == after.sha256
    return TableComparison(
        layer="bronze",
        table=there.dataset,
        key=[],
        rows_before=before.rows if before else None,
        rows_after=after.rows if after else None,
        columns_added={
            name: kind
            for name, kind in types_after.items()
            if both_known and name not in types_before
        },
        columns_removed={
            name: kind
            for name, kind in types_before.items()
            if both_known and name not in types_after
        },
        columns_retyped=[
            RetypedColumn(column=name, before=types_before[name], after=kind)
            for name, kind in types_after.items()
            if both_known and types_before.get(name, kind) != kind
        ],
        cause=None if same else bronze_cause(same_file=False),
        note="The same file." if same else "Another file: which cells differ is not known.",
    )
