"""Made-up files, valid and damaged: the reader reads them as R would, or refuses them by name.

Always the same few hundred in `make test`; `make fuzz` tries new ones for as long as it is told to.
What it finds becomes an entry of `tests/hostile_files.py`.
"""

from __future__ import annotations

import datetime
import math
import os
import struct
import tracemalloc
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

# Only what make test installs has them; the image's tests do without.
hypothesis = pytest.importorskip("hypothesis", reason="make test installs it")
rdata = pytest.importorskip("rdata", reason="make test installs it")

from hypothesis import HealthCheck, event, given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

from include.ingestion.catalog import load_catalog  # noqa: E402
from include.ingestion.contract import check_columns  # noqa: E402
from include.ingestion.reader import RType, Table, UnreadableFile, read_table  # noqa: E402
from tests import survivor_files as r  # noqa: E402
from tests.copied_rows import decoded, in_sql  # noqa: E402
from tests.hostile_files import GOOD, HOSTILE  # noqa: E402

# How many files each test makes up; said by `make fuzz`, which then takes new ones every time.
FILES = int(os.environ.get("FUZZ_FILES", "0"))

MAX_BYTES = 2**18
# Tables, texts and objects of so small a file, and the corpus' own bytes.
MEMORY = 32 * 2**20


def some(files: int) -> Any:
    return settings(
        max_examples=FILES or files,
        derandomize=not FILES,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz")


# Valid files

# R's texts hold no zero byte; what has no shape is allowed in values, not in names.
TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12)
NAMES = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=15)
VALUES: dict[RType, st.SearchStrategy[Any]] = {
    "character": TEXTS,
    "factor": TEXTS,
    "integer": st.integers(-(2**31) + 1, 2**31 - 1),
    "double": st.floats(width=64),
    "logical": st.booleans(),
    "Date": st.dates(),
}


@st.composite
def tables(draw: st.DrawFn) -> dict[str, tuple[RType, list[Any]]]:
    rows = draw(st.integers(0, 5))
    columns: dict[str, tuple[RType, list[Any]]] = {}
    for name in draw(st.lists(NAMES, min_size=1, max_size=5, unique=True)):
        r_type = draw(st.sampled_from(sorted(VALUES)))
        value = st.none() | VALUES[r_type]
        columns[name] = (r_type, draw(st.lists(value, min_size=rows, max_size=rows)))
    return columns


def plain(value: Any) -> Any:
    """A value of either reader in the terms that both can express: NA and NaN are one."""
    if value is None or value is pd.NA or value is pd.NaT:
        return None
    if isinstance(value, float | np.floating) and math.isnan(value):
        return None
    return value.item() if isinstance(value, np.generic) else value


@some(150)
@given(tables(), st.sampled_from(sorted(r.COMPRESS)), st.sampled_from([2, 3]))
def test_what_r_writes_is_read_as_another_reader_reads_it(
    folder: Path, columns: dict[str, tuple[RType, list[Any]]], compression: Any, version: int
) -> None:
    path = r.write_columns(folder / "t.rda", "t", columns, compression=compression, version=version)
    table = read_table(path)
    assert table.r_types == {name: r_type for name, (r_type, _) in columns.items()}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = rdata.read_rda(path, default_encoding="utf-8")["t"]
    for name, (r_type, written) in columns.items():
        ours = [plain(value) for value in table.frame[name].astype(object)]
        assert ours == [plain(value) for value in written], name
        if r_type != "Date":  # rdata knows no class of dates
            assert ours == [plain(value) for value in theirs[name].astype(object)], name


# Damaged files, and such as no R would write

# Those that hold data more often, so that much of it is read to the end.
KINDS = (10, 13, 14, 16, 238) * 6 + (0, 1, 2, 3, 19, 22, 254, 255)
LENGTHS = st.integers(0, 6) | st.sampled_from([-1, -2, 2**31 - 1, 2**16, -(2**31)])
WORDS = st.sampled_from([0, 1, 2, 9, 0xFE, 0xFF, 0x1FF, 0x200, 0x402, 0x7FFFFFFF, 0xFFFFFFFF])
CLASSES = st.sampled_from(["Date", "factor", "data.frame", "POSIXct", "integer64", "glue"])


@st.composite
def vectors(draw: st.DrawFn, inner: st.SearchStrategy[bytes]) -> bytes:
    """Mostly a valid R object; its length, flags, content and attributes may lie."""
    kind = draw(st.sampled_from(KINDS))
    items = draw(st.lists(inner, min_size=1, max_size=1) | st.lists(inner, max_size=3))
    length = len(items) if draw(st.integers(0, 5)) else draw(LENGTHS)
    attributes = {
        name: draw(inner) for name in draw(st.lists(st.sampled_from(["levels", "names", "dim"])))
    }
    if draw(st.booleans()):
        attributes["class"] = r.strings(draw(st.lists(CLASSES, max_size=2)))
    if kind in (10, 13):
        content = b"".join(r.integers(draw(st.integers(-(2**31), 2**31 - 1))) for _ in items)
    elif kind == 14:
        content = b"".join(draw(st.binary(min_size=8, max_size=8)) for _ in items)
    elif kind == 16:
        content = b"".join(r.text(draw(st.binary(max_size=6)), draw(st.sampled_from(
            [0, r.UTF8, r.LATIN1, r.BYTES, r.ASCII]))) for _ in items)  # fmt: skip
    elif kind == 238:
        form = draw(st.sampled_from(["compact_intseq", "compact_realseq", "wrap_real", "mmap"]))
        state = r.vector(14, 3, r.doubles(draw(st.lists(st.floats(), min_size=3, max_size=3))))
        return (
            r.integers(238, 2) + r.symbol(form) + r.NIL
            + draw(st.sampled_from([state, *items]) if items else st.just(state)) + r.NIL
        )  # fmt: skip
    else:
        content = b"".join(items)
    return r.vector(kind, length, content, attributes)


WHOLE = st.sampled_from(
    [r.column([1.5], "double"), r.column(["é"], "character"), r.column(["u"], "factor"),
     r.column([datetime.date(2026, 1, 1)], "Date"), r.compact_sequence(1)]
)  # fmt: skip
OBJECTS = st.recursive(
    WHOLE | st.sampled_from([r.NIL, r.symbol("x"), r.integers(0x01FF)]), vectors, max_leaves=8
)


@st.composite
def frames_of_anything(draw: st.DrawFn) -> bytes:
    columns = draw(st.dictionaries(NAMES, WHOLE, max_size=3))
    columns |= {draw(NAMES | TEXTS): draw(vectors(OBJECTS))}
    return r.saved({"t": r.data_frame(columns, 1)})


SEEDS = [GOOD] + [content for hostile in HOSTILE.values() if len(content := hostile.build()) < 2000]


@st.composite
def damaged(draw: st.DrawFn, whole: st.SearchStrategy[bytes]) -> bytes:
    content = bytearray(draw(whole))
    for _ in range(draw(st.integers(1, 4))):
        # The header is damaged by other tests.
        at = draw(st.integers(min(31, len(content)), len(content)))
        match draw(st.integers(0, 4)):
            case 0:
                content[at : at + 1] = bytes([draw(st.integers(0, 255))])
            case 1:  # R's words are aligned to its header, not to four bytes
                content[at : at + 4] = struct.pack(">I", draw(WORDS))
            case 2:
                del content[at : at + draw(st.integers(1, 40))]
            case 3:
                content[at:at] = content[at : at + draw(st.integers(1, 40))]
            case 4:
                content[at:at] = draw(st.binary(max_size=8))
    return bytes(content)


def assert_read_or_refused(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    table, refusal = None, None
    try:
        table = read_table(path, MAX_BYTES)
    except UnreadableFile as error:
        refusal = error
    if refusal:
        event(f"refused: {refusal.reason[:45]}")
        assert len(str(refusal)) < 250 and str(refusal).isprintable()
    if table:
        event("read")
        assert_can_be_loaded(table)


def assert_can_be_loaded(table: Table) -> None:
    """What was read breaks the contract by name, or every value goes to Postgres as it is."""
    shape, drift = check_columns("t", load_catalog().datasets["castaways"], table, "upstream")
    for name in map(str, table.frame):
        assert name and name.isprintable() and len(name.encode()) <= 63
    retyped = {found.column_name for found in drift if found.severity == "blocking"}
    columns = {name: kind for name, kind in shape.columns.items() if name not in retyped}
    assert decoded(table.frame, columns, 1) == in_sql(table.frame, columns, 1)


@some(300)
@given(frames_of_anything() | damaged(frames_of_anything()) | damaged(st.sampled_from(SEEDS)))
def test_what_no_r_would_write_is_read_or_refused_within_bounds(
    folder: Path, content: bytes
) -> None:
    tracemalloc.start()
    try:
        assert_read_or_refused(folder / "castaways.rda", content)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < MEMORY


@some(150)
@given(st.sampled_from(sorted(r.COMPRESS)), st.data())
def test_damaged_compression_is_read_or_refused(
    folder: Path, compression: str, data: st.DataObject
) -> None:
    whole = r.COMPRESS[compression](data.draw(st.sampled_from(SEEDS)))
    assert_read_or_refused(folder / "t.rda", data.draw(damaged(st.just(whole))))
