"""The reader gives R's values exactly, and refuses what is not a whole R data file."""

from __future__ import annotations

import contextlib
import datetime
import math
import re
import struct
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from include.ingestion.reader import MAX_BYTES, Table, UnreadableFile, read_table
from tests import survivor_files as r
from tests.hostile_files import HOSTILE
from tests.survivor_files import Compression

# Only what make test installs has it; the image's tests do without.
rdata = pytest.importorskip("rdata", reason="make test installs it")

COLUMNS: dict[str, tuple[Any, list[Any]]] = {
    "label": ("character", ["plain", None, "None", "NA", "", "Zoë 北京"]),
    "number": ("double", [1.0, None, math.nan, -math.inf, 0.1, 5e-324]),
    "whole": ("integer", [0, None, -7, 2**31 - 1, 1, 2]),
    "flag": ("logical", [True, None, False, True, False, True]),
    "level": ("factor", ["US", None, "AU", "US", "Ö", "AU"]),
    "day": (
        "Date",
        [
            datetime.date(1970, 1, 1),
            None,
            datetime.date(1969, 12, 31),
            datetime.date(2026, 2, 28),
            datetime.date(1900, 1, 1),
            datetime.date(2000, 2, 29),
        ],
    ),
}


def values(table: Table, column: str) -> list[Any]:
    """Python values of a column, None for NA; NaN stays NaN."""
    series = table.frame[column]
    if series.dtype == object:
        return series.tolist()
    return series.to_numpy(dtype=object, na_value=None).tolist()


def same(left: Any, right: Any) -> bool:
    if isinstance(left, float) and isinstance(right, float) and math.isnan(left):
        return math.isnan(right)
    return type(left) is type(right) and left == right


def by_rdata(path: Path) -> pd.DataFrame:
    """The same file as another reader gives it, missing values as None."""
    with pytest.warns(UserWarning, match="Missing constructor"):
        (frame,) = rdata.read_rda(path, default_encoding="utf-8").values()
    return frame


def plain(value: Any) -> Any:
    """A value of either reader in the terms that both can express: NA and NaN are one."""
    if value is None or value is pd.NA or value is pd.NaT:
        return None
    if isinstance(value, float | np.floating) and math.isnan(value):
        return None
    if isinstance(value, pd.Timestamp):
        return value.date()
    return value.item() if isinstance(value, np.generic) else value


def assert_same_as_rdata(path: Path) -> None:
    ours, theirs = read_table(path), by_rdata(path)
    assert list(ours.frame.columns) == list(theirs.columns)
    for column in ours.frame:
        expected = [plain(value) for value in theirs[column].astype(object)]
        if ours.r_types[str(column)] == "Date":
            expected = [
                datetime.date(1970, 1, 1) + datetime.timedelta(days=value)
                if isinstance(value, float | int)
                else value
                for value in expected
            ]
        assert [plain(value) for value in values(ours, str(column))] == expected, column


@pytest.mark.parametrize("compression", ["gzip", "bzip2", "xz", "none"])
@pytest.mark.parametrize("version", [2, 3])
def test_every_type_is_read_exactly(tmp_path: Path, compression: Compression, version: int) -> None:
    path = r.write_columns(
        tmp_path / "t.rda", "t", COLUMNS, compression=compression, version=version
    )
    table = read_table(path)
    assert table.name == "t"
    assert table.r_types == {name: r_type for name, (r_type, _) in COLUMNS.items()}
    for name, (_, expected) in COLUMNS.items():
        actual = values(table, name)
        assert all(map(same, actual, expected)), (name, actual)
    assert_same_as_rdata(path)


# What texts must not be taken for the headers that lead to the next
ODD_TEXTS = [
    None, "", "\t" * 9, "ÿ" * 9, "x" * 9, "x" * 265, "x" * 0x4009, "x" * 0x8009, "y" * 300_000,
    "\x04\t\x04\t", "\x01" * 0x2009, "\uffff" * 3,
]  # fmt: skip


@pytest.mark.parametrize("odd", range(len(ODD_TEXTS)))
@pytest.mark.parametrize("mark", [None, 0])
def test_long_columns_of_texts_are_read_exactly(tmp_path: Path, odd: int, mark: int | None) -> None:
    """However long, and also where one among usual texts is odd, or has no encoding of its own."""
    usual = [f"castaway {number % 90}" if number % 7 else None for number in range(20_000)]
    expected = [*usual[:9000], ODD_TEXTS[odd], *usual[9000:], ODD_TEXTS[odd]]
    texts = b"".join(
        r.text(text, mark if text is ODD_TEXTS[odd] and text is not None else None)
        for text in expected
    )
    column = r.vector(16, len(expected), texts)
    path = r.write_rda(tmp_path / "t.rda", {"t": r.data_frame({"x": column}, len(expected))})
    assert values(read_table(path), "x") == expected


def test_the_text_none_is_not_a_missing_value(tmp_path: Path) -> None:
    """'None' is the tribe of castaways on the Edge; mapped to null, 381 rows lose it."""
    path = r.write_columns(tmp_path / "t.rda", "t", {"tribe": ("character", ["None", None, "NA"])})
    assert values(read_table(path), "tribe") == ["None", None, "NA"]


def test_na_and_nan_are_told_apart(tmp_path: Path) -> None:
    path = r.write_columns(tmp_path / "t.rda", "t", {"x": ("double", [None, math.nan])})
    series = read_table(path).frame["x"]
    assert series.isna().tolist()[0] is True
    na, nan = series.to_numpy(dtype=object, na_value=None)
    assert na is None and math.isnan(nan)


def test_the_quiet_form_of_na_is_na_too(tmp_path: Path) -> None:
    """Arithmetic on some processors sets the quiet bit of NA; R still calls it NA."""
    quiet = bytes.fromhex("7ff80000000007a2")
    column = r.vector(14, 2, quiet + struct.pack(">d", 2.0))
    path = r.write_rda(tmp_path / "t.rda", {"t": r.data_frame({"x": column}, 2)})
    assert values(read_table(path), "x") == [None, 2.0]


@pytest.mark.parametrize(
    ("content", "mark", "native", "expected"),
    [
        ("Zoë".encode(), r.UTF8, "UTF-8", "Zoë"),
        ("Zoë".encode("latin1"), r.LATIN1, "UTF-8", "Zoë"),
        (b"a \x96 b", r.LATIN1, "UTF-8", "a \u2013 b"),
        ("Zoë".encode(), 0, "UTF-8", "Zoë"),
        ("Zoë".encode("cp1252"), 0, "CP1252", "Zoë"),
        (b"Zo\xeb", r.BYTES, "UTF-8", "Zo\\xeb"),
    ],
    ids=["utf-8", "latin1", "latin1-is-cp1252", "native-utf-8", "native-cp1252", "bytes"],
)
def test_encodings(tmp_path: Path, content: bytes, mark: int, native: str, expected: str) -> None:
    column = r.strings([content, b"ascii"], mark)
    path = r.write_rda(tmp_path / "t.rda", {"t": r.data_frame({"x": column}, 2)}, native=native)
    assert values(read_table(path), "x") == [expected, "ascii"]


def test_one_text_in_two_encodings_is_decoded_by_its_own_mark(tmp_path: Path) -> None:
    """Texts are kept by their bytes; the same bytes with another mark are another text."""
    content = b"\xc3\xab"
    column = r.vector(16, 2, r.text(content, r.UTF8) + r.text(content, r.LATIN1))
    path = r.write_rda(tmp_path / "t.rda", {"t": r.data_frame({"x": column}, 2)})
    assert values(read_table(path), "x") == ["ë", "Ã«"]


def test_compact_sequences_and_wrapped_vectors(tmp_path: Path) -> None:
    inner = r.column([5, None, 7], "integer")
    wrapper = r.integers(2) + r.symbol("wrap_integer") + r.NIL
    state = r.integers(2) + inner + r.integers(2) + r.column([0, 0], "integer") + r.NIL
    wrapped = r.integers(238) + wrapper + state + r.NIL
    columns = {"id": r.compact_sequence(3, 4), "x": wrapped}
    path = r.write_rda(tmp_path / "t.rda", {"t": r.data_frame(columns, 3)})
    table = read_table(path)
    assert values(table, "id") == [4, 5, 6]
    assert values(table, "x") == [5, None, 7]
    assert_same_as_rdata(path)


def test_attributes_that_readr_leaves_are_skipped(tmp_path: Path) -> None:
    """readr's frames carry an external pointer and a nested list; neither is data."""
    pointer = r.integers(22) + r.NIL + r.NIL
    column = r.column([1.5], "double")
    attributes = {
        "problems": pointer,
        "spec": r.vector(19, 1, r.vector(19, 0, b"")),
        "names": r.strings(["x"]),
        "class": r.strings(["spec_tbl_df", "data.frame"]),
    }
    path = r.write_rda(tmp_path / "t.rda", {"t": r.vector(19, 1, column, attributes)})
    assert values(read_table(path), "x") == [1.5]


def test_files_of_another_writer_are_read(tmp_path: Path) -> None:
    # It knows no text in Arrow's memory, which pandas prefers where pyarrow is installed.
    with pd.option_context("mode.string_storage", "python"):
        frame = pd.DataFrame(
            {
                "a": np.array([1.5, np.nan, 3.0]),
                "b": np.array(["x", "None", "é"], dtype=object),
                "c": np.array([1, 2, 3], dtype=np.int32),
                "d": np.array([True, False, True]),
                "e": pd.Categorical(["u", "v", "u"]),
            }
        )
    rdata.write_rda(tmp_path / "t.rda", {"t": frame})
    table = read_table(tmp_path / "t.rda")
    assert values(table, "b") == ["x", "None", "é"]
    assert values(table, "c") == [1, 2, 3]
    assert values(table, "d") == [True, False, True]
    assert values(table, "e") == ["u", "v", "u"]
    assert [plain(value) for value in values(table, "a")] == [1.5, None, 3.0]


@pytest.mark.parametrize(
    "name",
    [
        "advantage_movement",
        "castaway_details",
        "castaway_scores",
        "castaways",
        "episodes",
        "journeys",
        "season_summary",
    ],
)
def test_real_files_agree_with_rdata(survivor_snapshots: Path, name: str) -> None:
    assert_same_as_rdata(survivor_snapshots / "2026-06-12" / f"{name}.rda")


def test_every_real_file_can_be_read(survivor_snapshots: Path) -> None:
    """And is far from the largest size: upstream grows by a twentieth a year."""
    rows = {
        path.stem: len(read_table(path, MAX_BYTES // 4).frame)
        for path in (survivor_snapshots / "2026-06-12").glob("*.rda")
    }
    assert len(rows) == 21
    assert sum(rows.values()) == 190_856


# What is refused


def frame_of(column: bytes) -> dict[str, bytes]:
    return {"t": r.data_frame({"x": column}, 1)}


@pytest.mark.parametrize("compression", ["gzip", "bzip2", "xz", "none"])
def test_a_truncated_file_is_refused_at_any_length(
    tmp_path: Path, compression: Compression
) -> None:
    """A download that stopped early must not become a short table."""
    path = r.write_columns(tmp_path / "t.rda", "t", COLUMNS, compression=compression)
    whole = path.read_bytes()
    step = 1 if compression == "none" else 17
    for length in {*range(0, len(whole), step), len(whole) - 1, len(whole) - 8}:
        path.write_bytes(whole[:length])
        with pytest.raises(UnreadableFile, match=r"t\.rda cannot be read: .+"):
            read_table(path)


def test_damaged_bytes_are_refused_or_read_but_never_crash(tmp_path: Path) -> None:
    path = tmp_path / "t.rda"
    columns = {
        "x": r.column(["a", "b"], "character"),
        "y": r.column(["u", None], "factor"),
        "z": r.column([datetime.date(2026, 1, 1), None], "Date"),
        "i": r.compact_sequence(2),
    }
    whole = r.saved({"t": r.data_frame(columns, 2)})
    for position in range(len(whole)):
        for value in (0x00, 0xFF, (position * 37) % 256):
            path.write_bytes(whole[:position] + bytes([value]) + whole[position + 1 :])
            with contextlib.suppress(UnreadableFile):
                read_table(path)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "not an R data file"),
        (b"<!DOCTYPE html><html>404</html>", "not an R data file"),
        (b"RDA3\nA\n3\n", "binary"),
        (r.saved({}, version=3), "instead of one data frame"),
        (r.saved({"a": r.NIL, "b": r.NIL}), "2 named objects"),
        (r.saved({"t": r.column([1.0], "double")}), "'t' is not a data frame"),
        (r.saved(frame_of(r.vector(19, 0, b""))), "column 'x' is not a vector"),
        (r.saved(frame_of(r.vector(15, 0, b""))), "unsupported type 15"),
        (r.saved(frame_of(r.vector(14, 1, bytes(8), {"class": r.strings(["POSIXct"])}))),
         "column 'x' has the unsupported class 'POSIXct'"),
        (r.saved(frame_of(r.vector(13, 1, r.integers(3), {"class": r.strings(["factor"]),
                                                          "levels": r.strings(["a"])}))),
         "column 'x' is a factor with a code that has no label"),
        (r.saved({"t": r.data_frame({"x": r.column([1.0], "double"),
                                     "y": r.column([], "double")}, 1)}), "differ in length"),
        (r.saved(frame_of(r.strings([b"\xff"], r.UTF8))), "not valid utf-8"),
        (r.saved(frame_of(r.strings([b"\xff"], 0)), native="KOI8-R"), "not valid 'KOI8-R'"),
        (r.saved(frame_of(r.strings([b"a\0b"], 0))), "zero byte"),
        (r.saved(frame_of(r.column([1.0], "double"))) + b"more", "4 bytes follow"),
        (r.saved(frame_of(r.vector(14, 1, struct.pack(">d", 1e12),
                                   {"class": r.strings(["Date"])}))), "years 1 to 9999"),
        (r.saved({"t": r.integers(0x05FF)}), "refers to an object"),
    ],
)  # fmt: skip
def test_what_is_not_one_data_frame_is_refused_with_the_reason(
    tmp_path: Path, content: bytes, reason: str
) -> None:
    path = tmp_path / "castaways.rda"
    path.write_bytes(content)
    with pytest.raises(UnreadableFile, match=reason) as error:
        read_table(path)
    assert "castaways.rda" in str(error.value)


@pytest.mark.parametrize("kind", [10, 13, 14, 16, 19])
def test_a_claimed_length_allocates_nothing(tmp_path: Path, kind: int) -> None:
    """Two thousand million elements are claimed, none is there."""
    path = r.write_rda(tmp_path / "t.rda", frame_of(r.integers(kind, 2**31 - 1)))
    tracemalloc.start()
    with pytest.raises(UnreadableFile, match="longer than the file"):
        read_table(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2**20


def test_a_claimed_sequence_is_limited(tmp_path: Path) -> None:
    path = r.write_rda(tmp_path / "t.rda", frame_of(r.compact_sequence(2**31)))
    with pytest.raises(UnreadableFile, match="claims a sequence"):
        read_table(path)


@pytest.mark.parametrize("compression", ["gzip", "bzip2", "xz"])
def test_decompression_is_limited(tmp_path: Path, compression: Compression) -> None:
    path = tmp_path / "t.rda"
    path.write_bytes(r.COMPRESS[compression](bytes(50 * 2**20)))
    tracemalloc.start()
    with pytest.raises(UnreadableFile, match="decompress to more than 1,048,576"):
        read_table(path, max_bytes=2**20)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 16 * 2**20  # the dictionary of xz among it


def test_a_large_file_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = r.write_columns(tmp_path / "t.rda", "t", COLUMNS, compression="none")
    with pytest.raises(UnreadableFile, match="larger than 100 bytes"):
        read_table(path, max_bytes=100)


def test_deep_nesting_is_refused(tmp_path: Path) -> None:
    nested = r.vector(19, 0, b"")
    for _ in range(5000):
        nested = r.integers(19, 1) + nested
    path = r.write_rda(tmp_path / "t.rda", {"t": nested})
    with pytest.raises(UnreadableFile, match="nested more than 32 deep"):
        read_table(path)


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_are_refused_within_bounds(tmp_path: Path, name: str) -> None:
    """Refused by name, shortly and in one line, with little more memory than the file has bytes."""
    content = HOSTILE[name].build()
    path = tmp_path / "castaways.rda"
    path.write_bytes(content)
    reason, message = HOSTILE[name].reason, None
    tracemalloc.start()
    try:
        read_table(path)
    except UnreadableFile as error:
        message = str(error)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < MAX_BYTES
    if reason is None:
        assert message is None
    else:
        assert message and re.search(reason, message), message
        assert message.startswith("castaways.rda ")
        assert len(message) < 250 and message.isprintable()
