"""Rows in the binary form of PostgreSQL's COPY, encoded by columns instead of value by value.

A row is the number of its values and then, for each, its length and its bytes, or -1 for null. Each
column becomes a column of such cells, and Arrow joins them row by row.
"""

from __future__ import annotations

import datetime
import struct
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from include.ingestion.catalog import ColumnType

HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
TRAILER = struct.pack(">h", -1)

# A row has some hundred bytes. More at once is no faster, and takes more memory.
ROWS_AT_ONCE = 10_000

_NULL = struct.pack(">i", -1)
_EPOCH = datetime.date(2000, 1, 1)
_NUMBERS: dict[ColumnType, str] = {"integer": ">i4", "double": ">f8"}
_CONTENT: dict[ColumnType, Callable[[Any], bytes]] = {
    "text": str.encode,
    "boolean": lambda value: struct.pack(">?", value),
    "date": lambda value: struct.pack(">i", (value - _EPOCH).days),
}


def encoded_rows(
    frame: pd.DataFrame, columns: Mapping[str, ColumnType], release_id: int
) -> Iterator[pa.Buffer]:
    """Give the rows of a bronze table in pieces: its columns, the row's number and the release.

    Args:
        frame: as read; a column that it lacks is null in every row.
        columns: those of the table, with type, in order.
        release_id: of the release.
    """
    begin, end = struct.pack(">h", len(columns) + 2), struct.pack(">ii", 4, release_id)
    encoders = [
        _encoder(frame[column], kind) if column in frame else lambda _: _NULL
        for column, kind in columns.items()
    ]
    for start in range(0, len(frame), ROWS_AT_ONCE):
        rows = slice(start, min(start + ROWS_AT_ONCE, len(frame)))
        cells = [encoder(rows) for encoder in encoders]
        numbers = _number_cells(np.arange(rows.start + 1.0, rows.stop + 1), "integer")
        _, _, content = pc.binary_join_element_wise(begin, *cells, numbers, end, b"").buffers()
        yield content


def _encoder(values: pd.Series, kind: ColumnType) -> Callable[[slice], pa.BinaryArray]:
    """Return what encodes some rows of a column.

    A double that is not a number (R's NaN, as in the mean of no values) is null too: `is.na()` is
    true for it in R, and in SQL a stored NaN sorts above every number and spoils every average.
    """
    if kind in _NUMBERS:
        return lambda rows: _number_cells(
            values.iloc[rows].to_numpy(dtype="float64", na_value=np.nan), kind
        )
    category = pd.Categorical(values)
    contents = map(_CONTENT[kind], category.categories)
    cells = pa.array(
        [_NULL, *(struct.pack(">i", len(content)) + content for content in contents)], pa.binary()
    )
    # What is missing has code -1.
    return lambda rows: cells.take(pa.array(category.codes[rows].astype(np.int32) + 1))


def _number_cells(numbers: np.ndarray, kind: ColumnType) -> pa.BinaryArray:
    known = ~np.isnan(numbers)
    cells = np.empty(len(numbers), [("length", ">i4"), ("number", _NUMBERS[kind])])
    cells["length"] = cells.dtype["number"].itemsize
    cells["number"] = np.where(known, numbers, 0)
    fixed = pa.binary(cells.dtype.itemsize)
    buffers = [None, pa.py_buffer(cells)]
    whole = pa.Array.from_buffers(fixed, len(cells), buffers).cast(pa.binary())
    return pc.if_else(pa.array(known), whole, _NULL)
