"""Every value goes to Postgres as it was read."""

from __future__ import annotations

import datetime
import math
import struct
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from include.ingestion import copy_format
from include.ingestion.catalog import ColumnType, load_catalog
from include.ingestion.contract import TYPE_OF_NEW_COLUMN
from include.ingestion.reader import RType, read_table
from tests.copied_rows import decoded, in_sql
from tests.survivor_files import write_columns

COLUMNS: dict[str, tuple[RType, list[Any]]] = {
    "text": ("character", ["", None, "None", "\\N", "\\.", 'a "b"\n\t\\', "Zoë 北京 🏝", "a,b"]),
    "label": ("factor", [None, "", "US", "AU", "US", "Ö", None, "AU"]),
    "whole": ("integer", [0, None, -1, 2**31 - 1, 1 - 2**31, 1, 2, 3]),
    "number": ("double", [0.1, None, math.nan, 5e-324, -math.inf, 1.7976931348623157e308, 1, 1e16]),
    "flag": ("logical", [True, None, False, True, None, False, True, True]),
    "nothing": ("logical", [None] * 8),
    "day": ("Date", [datetime.date(1969, 12, 31), None, datetime.date.min, datetime.date.max,
                     datetime.date(1970, 1, 1), datetime.date(2000, 1, 1), None,
                     datetime.date(2000, 2, 29)]),
}  # fmt: skip
TYPES: dict[str, ColumnType] = {
    **{name: TYPE_OF_NEW_COLUMN[r_type] for name, (r_type, _) in COLUMNS.items()},
    "nothing": "text",
    "absent": "double",
}


@pytest.mark.parametrize("rows_at_once", [1, 3, 100])
def test_every_value_is_there_exactly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows_at_once: int
) -> None:
    monkeypatch.setattr(copy_format, "ROWS_AT_ONCE", rows_at_once)
    frame = read_table(write_columns(tmp_path / "t.rda", "t", COLUMNS)).frame
    rows = decoded(frame, TYPES, release_id=7)
    expected = {name: values for name, (_, values) in COLUMNS.items()}
    expected["number"] = [None if i == 2 else value for i, value in enumerate(expected["number"])]
    assert rows == list(
        zip(*expected.values(), [None] * 8, range(1, 9), [7] * 8, strict=True)
    ) == in_sql(frame, TYPES, release_id=7)  # fmt: skip


def test_the_sign_of_zero_is_kept() -> None:
    values = pd.array([0.0, -0.0], dtype="Float64")
    rows = decoded(pd.DataFrame({"x": values}), {"x": "double"}, release_id=1)
    assert [struct.pack(">d", value) for value, *_ in rows] == [bytes(8), b"\x80" + bytes(7)]


def test_whole_doubles_become_integers() -> None:
    values = pd.array([1.0, None, 2.0**31 - 1], dtype="Float64")
    rows = decoded(pd.DataFrame({"x": values}), {"x": "integer"}, release_id=1)
    assert [value for value, *_ in rows] == [1, None, 2**31 - 1]


def test_no_rows_are_no_rows() -> None:
    frame = pd.DataFrame({"x": pd.Series([], dtype=object)})
    assert decoded(frame, {"x": "text"}, release_id=1) == []


def test_every_value_of_the_real_files_is_there(survivor_snapshots: Path) -> None:
    for name, dataset in load_catalog().datasets.items():
        frame = read_table(survivor_snapshots / "2026-06-12" / f"{name}.rda").frame
        columns = {label: column.type for label, column in dataset.columns.items()}
        assert decoded(frame, columns, 1) == in_sql(frame, columns, 1), name
