"""Write .rda files as R would, and a small complete set of survivoR's datasets.

A writer of our own, since rdata's cannot write dates, NaN beside NA, unmarked or latin1 texts or
R's compact vectors. The reader is not tested against it alone: rdata reads the same files.
"""

from __future__ import annotations

import bz2
import datetime
import gzip
import lzma
import struct
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from include.ingestion.catalog import ColumnType, load_catalog
from include.ingestion.reader import RType

Compression = Literal["gzip", "bzip2", "xz", "none"]
# The same content gives the same file.
COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": partial(gzip.compress, mtime=0),
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "none": bytes,
}

NA_INTEGER = -(2**31)
NA_REAL = bytes.fromhex("7ff00000000007a2")
NIL = struct.pack(">i", 254)
UTF8, LATIN1, BYTES, ASCII = 1 << 15, 1 << 14, 1 << 13, 1 << 18

# Whole numbers are doubles in upstream's files too.
R_TYPES: dict[ColumnType, RType] = {
    "text": "character",
    "integer": "double",
    "double": "double",
    "boolean": "logical",
    "date": "Date",
}

SEASONS = ("US01", "US02", "AU01")
CASTAWAYS_PER_SEASON = 3
FACTOR_DATASETS = ("castaway_scores", "challenge_description", "confessionals")


def integers(*values: int) -> bytes:
    return struct.pack(f">{len(values)}i", *values)


def text(value: str | bytes | None, mark: int | None = None) -> bytes:
    """One CHARSXP; bytes need an explicit mark (0 for none)."""
    if value is None:
        return integers(9, -1)
    content = value if isinstance(value, bytes) else value.encode()
    if mark is None:
        mark = ASCII if content.isascii() else UTF8
    return integers(9 | mark, len(content)) + content


def symbol(name: str) -> bytes:
    return integers(1) + text(name)


def pairs(items: Mapping[str, bytes]) -> bytes:
    return b"".join(integers(2 | 0x400) + symbol(tag) + item for tag, item in items.items()) + NIL


def vector(
    kind: int, length: int, content: bytes, attributes: Mapping[str, bytes] | None = None
) -> bytes:
    flags = kind | (0x200 if attributes else 0) | (0x100 if "class" in (attributes or {}) else 0)
    return integers(flags, length) + content + (pairs(attributes) if attributes else b"")


def strings(values: Sequence[str | bytes | None], mark: int | None = None) -> bytes:
    return vector(16, len(values), b"".join(text(value, mark) for value in values))


def doubles(values: Sequence[float | None]) -> bytes:
    return b"".join(NA_REAL if value is None else struct.pack(">d", value) for value in values)


def compact_sequence(count: int, start: int = 1, step: int = 1) -> bytes:
    """`1:n` as R 3.5 and later keep it."""
    information = integers(2) + symbol("compact_intseq") + integers(2) + symbol("base")
    information += integers(2) + vector(13, 1, integers(13)) + NIL
    return integers(238) + information + vector(14, 3, doubles([count, start, step])) + NIL


def column(values: Sequence[Any], r_type: RType) -> bytes:
    """One vector of a data frame; None is NA."""
    if r_type == "character":
        return strings(values)
    if r_type == "double":
        return vector(14, len(values), doubles(values))
    if r_type == "Date":
        days = [value and (value - datetime.date(1970, 1, 1)).days for value in values]
        return vector(14, len(values), doubles(days), {"class": strings(["Date"])})
    levels: list[str] = []
    if r_type == "factor":
        levels = sorted({value for value in values if value is not None})
        values = [None if value is None else levels.index(value) + 1 for value in values]
    content = integers(*(NA_INTEGER if value is None else int(value) for value in values))
    if r_type == "factor":
        attributes = {"levels": strings(levels), "class": strings(["factor"])}
        return vector(13, len(values), content, attributes)
    return vector(10 if r_type == "logical" else 13, len(values), content)


def data_frame(columns: Mapping[str, bytes], rows: int) -> bytes:
    attributes = {
        "names": strings(list(columns)),
        "row.names": vector(13, 2, integers(NA_INTEGER, -rows)),
        "class": strings(["tbl_df", "tbl", "data.frame"]),
    }
    return vector(19, len(columns), b"".join(columns.values()), attributes)


def saved(objects: Mapping[str, bytes], version: int = 3, native: str = "UTF-8") -> bytes:
    """What `save()` writes, before compression."""
    header = b"RDX%d\nX\n" % version + integers(version, 0x040502, 0x020300)
    if version == 3:
        header += integers(len(native)) + native.encode()
    return header + pairs(objects)


def write_columns(
    path: Path, name: str, columns: Mapping[str, tuple[RType, Sequence[Any]]], **options: Any
) -> Path:
    """Write a data frame given as R type and values of each column."""
    rows = len(next(iter(columns.values()))[1])
    encoded = {label: column(values, r_type) for label, (r_type, values) in columns.items()}
    return write_rda(path, {name: data_frame(encoded, rows)}, **options)


def write_rda(
    path: Path, objects: Mapping[str, bytes], compression: Compression = "gzip", **options: Any
) -> Path:
    path.write_bytes(COMPRESS[compression](saved(objects, **options)))
    return path


def write_dataset(
    path: Path, name: str, frame: pd.DataFrame, r_types: Mapping[str, RType] | None = None
) -> Path:
    """Write a data frame such as the reader returns; `r_types` where its kinds do not tell."""
    columns = {}
    for label in frame:
        values = list(frame[label].to_numpy(dtype=object, na_value=None))
        r_type = (r_types or {}).get(str(label)) or _r_type(frame[label])
        columns[str(label)] = (r_type, values)
    return write_columns(path, name, columns)


def _r_type(values: pd.Series) -> RType:
    if pd.api.types.is_bool_dtype(values.dtype):
        return "logical"
    if pd.api.types.is_integer_dtype(values.dtype):
        return "integer"
    if pd.api.types.is_float_dtype(values.dtype):
        return "double"
    known = values.dropna()
    return "Date" if len(known) and isinstance(known.iloc[0], datetime.date) else "character"


def minimal_dataset(
    name: str, seasons: Sequence[str] = SEASONS
) -> dict[str, tuple[RType, list[Any]]]:
    """Return R type and values of every column of a dataset: three castaways in each season.

    Keys are unique and seasons, castaways and their ids agree between datasets. Whole numbers are
    doubles, as in upstream's files. Other values are made up but cover NA, 'None', dates and text
    beyond ASCII.
    """
    dataset = load_catalog().datasets[name]
    per_season = 1 if name == "season_summary" else CASTAWAYS_PER_SEASON
    rows = [(season, number) for season in seasons for number in range(1, per_season + 1)]
    return {
        label: (
            _upstream_type(name, label, expected.type),
            [
                _value(label, expected.type, season, number, label in dataset.key)
                for season, number in rows
            ],
        )
        for label, expected in dataset.columns.items()
    }


def _upstream_type(dataset: str, label: str, kind: ColumnType) -> RType:
    if label == "version" and dataset in FACTOR_DATASETS:
        return "factor"
    return R_TYPES[kind]


def _value(label: str, kind: ColumnType, season: str, number: int, in_key: bool) -> Any:
    known = {
        "version": season[:2],
        "version_season": season,
        "season": float(season[2:]),
        "castaway_id": f"{season}{number:02}",
        "castaway": f"Zoë {season} {number}",
    }
    if label in known:
        return known[label]
    if not in_key and number == 3:
        return None
    if kind == "text":
        return "None" if number == 2 and not in_key else f"{label} {number}"
    if kind == "boolean":
        return number == 1
    if kind == "date":
        return datetime.date(2000 + int(season[2:]), 1, number)
    return float(number) if kind == "integer" else number + 1 / 3


def write_minimal_survivor(folder: Path, seasons: Sequence[str] = SEASONS) -> Path:
    """Write a file for every dataset of the catalogue, and a COMMIT; returns the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in load_catalog().datasets:
        write_columns(folder / f"{name}.rda", name, minimal_dataset(name, seasons))
    (folder / "COMMIT").write_text("0123456789abcdef0123456789abcdef01234567\n", encoding="utf-8")
    return folder
