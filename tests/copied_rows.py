"""Read rows in COPY's binary form back, value by value, and say what should be in them."""

from __future__ import annotations

import datetime
import math
import struct
from collections.abc import Callable, Iterator, Mapping
from itertools import count, repeat
from typing import Any

import pandas as pd

from include.ingestion.catalog import ColumnType
from include.ingestion.copy_format import encoded_rows

DECODERS: dict[ColumnType, Callable[[bytes], Any]] = {
    "text": bytes.decode,
    "integer": lambda content: struct.unpack(">i", content)[0],
    "double": lambda content: struct.unpack(">d", content)[0],
    "boolean": lambda content: {b"\0": False, b"\1": True}[content],
    "date": lambda content: (
        datetime.date(2000, 1, 1) + datetime.timedelta(days=struct.unpack(">i", content)[0])
    ),
}


def decoded(
    frame: pd.DataFrame, columns: Mapping[str, ColumnType], release_id: int
) -> list[tuple[Any, ...]]:
    """Encode a table, and read its rows back."""
    content = b"".join(bytes(rows) for rows in encoded_rows(frame, columns, release_id))
    return list(_rows(content, [*columns.values(), "integer", "integer"]))


def _rows(content: bytes, kinds: list[ColumnType]) -> Iterator[tuple[Any, ...]]:
    at = 0

    def take(size: int) -> bytes:
        nonlocal at
        assert 0 <= size <= len(content) - at
        at += size
        return content[at - size : at]

    while at < len(content):
        assert struct.unpack(">h", take(2)) == (len(kinds),)
        row = []
        for kind in kinds:
            (size,) = struct.unpack(">i", take(4))
            row.append(None if size == -1 else DECODERS[kind](take(size)))
        yield tuple(row)


def in_sql(
    frame: pd.DataFrame, columns: Mapping[str, ColumnType], release_id: int
) -> list[tuple[Any, ...]]:
    """The rows that bronze should have of a table: NaN is null, and so is what it lacks."""
    values = (
        map(_in_sql, frame[name].astype(object)) if name in frame else repeat(None)
        for name in columns
    )
    rows = zip(range(len(frame)), *values, count(1), repeat(release_id), strict=False)
    return [tuple(row) for _, *row in rows]


def _in_sql(value: Any) -> Any:
    if value is pd.NA or (isinstance(value, float) and math.isnan(value)):
        return None
    return value
