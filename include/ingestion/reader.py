"""Read an R data file (.rda) that holds one data frame, value by value as R would show it.

Own code because no library fits: pyreadr is AGPL-3.0, which would decide the project's licence, and
rdata (MIT) takes 20 to 45 times as long. The format is small: XDR serialisation version 2 or 3 in
gzip, bzip2, xz or nothing. The tests compare this module with rdata.

A file is foreign input. Nothing in it is executed, no length is believed beyond the bytes that are
there, and everything that a small file could make large is limited: see the limits below.
"""

from __future__ import annotations

import bz2
import datetime
import lzma
import struct
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa

RType = Literal["logical", "integer", "double", "character", "factor", "Date"]

# Each limit with what the most demanding of upstream's files needs.
MAX_BYTES = 64 * 2**20  # decompressed: 15 million, challenge_summary
MAX_RATIO = 500  # decompressed to compressed: 126, the same file
RATIO_FREE_BYTES = 2**20  # a small file may repeat itself as it likes
MAX_OBJECTS = 10_000  # vectors, pairs, names: 72, castaway_scores; each costs 30 times its bytes
MAX_TEXTS = 100_000  # different ones, also dates of a column: 6,592; each costs 20 times its bytes
MAX_COLUMNS = 300  # 58, castaway_scores; a row of more texts no longer fits a page of Postgres
MAX_NAME_BYTES = 63  # Postgres cuts what is longer, and two names may become one
MAX_DEPTH = 32
XZ_MEMORY = 128 * 2**20  # R compresses with xz -9, whose dictionary has 64 MiB

# Type codes of R's serialisation format.
NIL, SYMBOL, PAIRLIST, CHAR, LOGICAL, INTEGER, DOUBLE = 0, 1, 2, 9, 10, 13, 14
STRING, LIST, EXTERNAL_POINTER, ALTREP, NIL_VALUE, REFERENCE = 16, 19, 22, 238, 254, 255

# Texts are searched for in pieces of the file, which also bounds what equal hashes could cost, and
# where the search finds no more than a few at once it is slower than going from one to the next.
WINDOW = 128 * 2**10
FEW_TEXTS = 64

NA_INTEGER = int(np.iinfo(np.int32).min)
NA_REAL_LOW_WORD = 1954  # what tells R's NA from every other not-a-number

IS_BYTES, IS_LATIN1, IS_UTF8, IS_ASCII = 1 << 13, 1 << 14, 1 << 15, 1 << 18
USUAL_TEXTS = [CHAR | mark for mark in (IS_BYTES, IS_LATIN1, IS_UTF8, IS_ASCII)]
NATIVE_ENCODINGS = {
    "UTF-8": "utf-8",
    "US-ASCII": "ascii",
    "ANSI_X3.4-1968": "ascii",
    "ISO-8859-1": "cp1252",
    "CP1252": "cp1252",
}


class UnreadableFile(ValueError):
    """The file is not a whole R data file with one data frame of types that bronze knows."""

    def __init__(self, file: str, reason: str) -> None:
        super().__init__(f"{file} cannot be read: {reason}")
        self.file = file
        self.reason = reason


@dataclass(frozen=True)
class Table:
    """One dataset as read.

    Text and dates are categorical columns of `str` and `datetime.date`, since they repeat
    themselves; logical, integer and double columns are pandas' nullable kinds, where a double that
    is not a number (NaN) stays one and only R's NA is missing. Factors are their labels. `r_types`
    has R's type of each column, in the file's column order.
    """

    name: str
    frame: pd.DataFrame
    r_types: dict[str, RType]


@dataclass(slots=True)
class _Texts:
    """Texts by their number in `different`, -1 for NA."""

    numbers: np.ndarray
    different: dict[str, int]

    @classmethod
    def room_for(cls, count: int) -> _Texts:
        return cls(np.empty(count, np.int32), {})

    def number(self, text: str | None) -> int:
        return -1 if text is None else self.different.setdefault(text, len(self.different))


@dataclass(slots=True)
class _Object:
    kind: int
    values: Any
    attributes: dict[str, Any]

    def strings(self, attribute: str) -> list[str | None]:
        found = self.attributes.get(attribute)
        if not isinstance(found, _Object) or found.kind != STRING:
            return []
        # NA, of number -1, is the last.
        texts = [*found.values.different, None]
        return [texts[number] for number in found.values.numbers]


class _Malformed(Exception):
    """The reason, without the file's name, that the bytes cannot be read."""


def shown(text: object, length: int = 60) -> str:
    """Quote foreign text for a message: in one line, without control characters, not too long."""
    quoted = ascii(text[: 2 * length] if isinstance(text, str | bytes) else text)
    return quoted if len(quoted) <= length else f"{quoted[: length - 3]}..."


def read_table(path: Path, max_bytes: int = MAX_BYTES) -> Table:
    """Read the one data frame of an .rda file.

    Args:
        path: the file.
        max_bytes: the most that the file may decompress to.

    Raises:
        UnreadableFile: names the file and the reason, such as a truncated download, an unsupported
            column type or a size beyond `max_bytes`.
        OSError: the file cannot be opened.
    """
    if path.stat().st_size > max_bytes:
        raise UnreadableFile(path.name, f"it is larger than {max_bytes:,} bytes")
    try:
        name, value = _Stream(_decompress(path.read_bytes(), max_bytes), max_bytes).saved_object()
        return _table(name, value, max_bytes)
    except _Malformed as error:
        raise UnreadableFile(path.name, str(error)) from error


def _decompress(data: bytes, max_bytes: int) -> bytes:
    if data.startswith((b"RDX", b"RDA")):
        return data
    decompressor: Any
    if data.startswith(b"\x1f\x8b"):
        decompressor = zlib.decompressobj(wbits=31)
    elif data.startswith(b"BZh"):
        decompressor = bz2.BZ2Decompressor()
    elif data.startswith(b"\xfd7zXZ\x00"):
        decompressor = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=XZ_MEMORY)
    else:
        raise _Malformed("it is not an R data file")
    limit = min(max_bytes, max(RATIO_FREE_BYTES, MAX_RATIO * len(data)))
    try:
        content: bytes = decompressor.decompress(data, limit + 1)
    except (zlib.error, OSError, EOFError, lzma.LZMAError) as error:
        raise _Malformed(f"its compressed content is damaged ({error})") from error
    if len(content) > limit:
        raise _Malformed(f"its {len(data):,} bytes decompress to more than {limit:,}")
    if not decompressor.eof:
        raise _Malformed("it is truncated")
    if decompressor.unused_data:
        raise _Malformed(f"{len(decompressor.unused_data):,} bytes follow its compressed content")
    return content


class _Stream:
    """The decompressed bytes and how far they have been read."""

    def __init__(self, data: bytes, max_bytes: int) -> None:
        self.data = data
        self.at = 0
        self.objects_left = MAX_OBJECTS
        # Compact sequences are the only vectors that cost memory without costing bytes of the file.
        self.sequence_numbers_left = max_bytes // 8
        self.native_encoding = "utf-8"
        self.references: list[Any] = []
        self.known_strings: dict[bytes, str] = {}

    def saved_object(self) -> tuple[str, Any]:
        """Return name and value of the one object that `save()` wrote."""
        magic = self.take(7)
        if magic not in (b"RDX2\nX\n", b"RDX3\nX\n"):
            raise _Malformed("it is not an R data file in binary (XDR) form, version 2 or 3")
        version, _, _ = self.integer(), self.integer(), self.integer()
        if version == 3:
            encoding = self.take(self.integer()).decode("ascii", "replace").upper()
            self.native_encoding = NATIVE_ENCODINGS.get(encoding, shown(encoding))
        elif version != 2:
            raise _Malformed(f"its serialisation version {version} is unknown")
        objects = self.item()
        if not isinstance(objects, list) or len(objects) != 1:
            count = len(objects) if isinstance(objects, list) else "no"
            raise _Malformed(f"it holds {count} named objects instead of one data frame")
        if self.at != len(self.data):
            raise _Malformed(f"{len(self.data) - self.at:,} bytes follow its end")
        name, value = objects[0]
        return str(name), value

    def take(self, size: int) -> bytes:
        if size < 0 or size > len(self.data) - self.at:
            raise _Malformed("it is truncated")
        self.at += size
        return self.data[self.at - size : self.at]

    def integer(self) -> int:
        return int.from_bytes(self.take(4), "big", signed=True)

    def length(self, smallest_element: int) -> int:
        """Read a vector's length, which must fit the bytes that are left."""
        length = self.integer()
        if length < 0 or length * smallest_element > len(self.data) - self.at:
            raise _Malformed("it is truncated, or claims a vector longer than the file")
        return length

    def numbers(self, stored: str, kept: type[np.generic]) -> np.ndarray:
        size = np.dtype(stored).itemsize
        length = self.length(size)
        self.at += length * size
        return np.frombuffer(self.data, stored, length, self.at - length * size).astype(kept)

    def item(self, depth: int = 0) -> Any:
        """Read one R object: None, a symbol's name, a pairlist of (tag, value) or an `_Object`."""
        if depth > MAX_DEPTH:
            raise _Malformed(f"its objects are nested more than {MAX_DEPTH} deep")
        self.objects_left -= 1
        if self.objects_left < 0:
            raise _Malformed(f"it holds more than {MAX_OBJECTS:,} objects")
        flags = self.integer()
        kind = flags & 0xFF
        if kind in (NIL, NIL_VALUE):
            return None
        if kind == SYMBOL:
            name = self.next_text()
            self.references.append(name)
            return name
        if kind == REFERENCE:
            index = (flags & 0xFFFFFFFF) >> 8 or self.integer()
            if not 0 < index <= len(self.references):
                raise _Malformed("it refers to an object that it does not hold")
            return self.references[index - 1]
        if kind == PAIRLIST:
            return self.pairlist(flags, depth)
        if kind == EXTERNAL_POINTER:  # readr leaves one among a frame's attributes; it has no value
            self.references.append(None)
            self.item(depth + 1), self.item(depth + 1)
            return _Object(kind, None, self.attributes(flags, depth))
        if kind == ALTREP:
            return self.altrep(depth)
        values: Any
        if kind in (LOGICAL, INTEGER):
            values = self.numbers(">i4", np.int32)
        elif kind == DOUBLE:
            values = self.numbers(">f8", np.float64)
        elif kind == STRING:
            values = self.strings(self.length(8))
        elif kind == LIST:
            values = [self.item(depth + 1) for _ in range(self.length(4))]
        else:
            raise _Malformed(f"it holds an R object of unsupported type {kind}")
        return _Object(kind, values, self.attributes(flags, depth))

    def attributes(self, flags: int, depth: int) -> dict[str, Any]:
        return self.attribute_list(depth) if flags & 0x200 else {}

    def attribute_list(self, depth: int) -> dict[str, Any]:
        pairs = self.item(depth + 1)
        if pairs is not None and not isinstance(pairs, list):
            raise _Malformed("one of its objects has attributes without names")
        return {tag: value for tag, value in pairs or () if tag is not None}

    def pairlist(self, flags: int, depth: int) -> list[tuple[str | None, Any]]:
        pairs = []
        while flags & 0xFF == PAIRLIST:
            self.attributes(flags, depth)
            tag = self.item(depth + 1) if flags & 0x400 else None
            if not isinstance(tag, str | None):
                raise _Malformed("one of its names is not a symbol")
            pairs.append((tag, self.item(depth + 1)))
            flags = self.integer()
        if flags & 0xFF not in (NIL, NIL_VALUE):
            raise _Malformed("one of its pairlists does not end as one")
        return pairs

    def altrep(self, depth: int) -> _Object:
        """Expand one of R's compact forms: a sequence, or a wrapper around another vector."""
        information, state = self.item(depth + 1), self.item(depth + 1)
        attributes = self.attribute_list(depth)
        form = information[0][1] if isinstance(information, list) and information else None
        if not isinstance(form, str):
            raise _Malformed("it holds a vector in a compact form without a name")
        if form in ("compact_intseq", "compact_realseq"):
            if not isinstance(state, _Object) or state.kind != DOUBLE or len(state.values) != 3:
                raise _Malformed("it holds a sequence without count, start and step")
            count, start, step = (float(number) for number in state.values)
            if not 0 <= count <= self.sequence_numbers_left:
                raise _Malformed(f"it claims a sequence of {count:,.10g} numbers")
            if step not in (1, -1) or not abs(start) < 2**53:
                raise _Malformed("it holds a sequence that R would not make")
            self.sequence_numbers_left -= int(count)
            sequence = start + step * np.arange(int(count))
            if form == "compact_realseq":
                return _Object(DOUBLE, sequence, attributes)
            if not np.all(np.abs(sequence) < -NA_INTEGER):
                raise _Malformed("it holds a sequence of integers that are too large")
            return _Object(INTEGER, sequence.astype(np.int32), attributes)
        if form.startswith("wrap_"):
            wrapped = state[0][1] if isinstance(state, list) and state else None
            if isinstance(state, _Object) and state.kind == LIST and state.values:
                wrapped = state.values[0]
            if isinstance(wrapped, _Object):
                return _Object(wrapped.kind, wrapped.values, wrapped.attributes | attributes)
        raise _Malformed(f"it holds a vector in the unsupported compact form {shown(form)}")

    def strings(self, count: int) -> _Texts:
        """Read texts. One text is decoded and kept once however often it occurs."""
        texts = _Texts.room_for(count)
        done = 0
        while len(offsets := self.texts_ahead(count - done)) > FEW_TEXTS:
            content = pa.py_buffer(memoryview(self.data)[self.at :])
            buffers = [None, pa.py_buffer(offsets), content]
            cells = pa.BinaryArray.from_buffers(pa.binary(), len(offsets) - 1, buffers)
            cells = cells.dictionary_encode()
            numbers = [texts.number(self.text(cell)) for cell in cells.dictionary.to_pylist()]
            places = cells.indices.to_numpy()
            texts.numbers[done : done + len(places)] = np.array(numbers, np.int32)[places]
            done += len(places)
            self.at += int(offsets[-1])
        for index in range(done, count):
            texts.numbers[index] = texts.number(self.next_text())
        return texts

    def next_text(self) -> str | None:
        size = int.from_bytes(self.data[self.at + 4 : self.at + 8], "big", signed=True)
        return self.text(self.take(8 + max(size, 0)))

    def texts_ahead(self, most: int) -> np.ndarray:
        """Find where the next texts begin, each with its header, and where the last of them ends.

        Their lengths lead from one to the next, which takes Python a step for each. Here instead
        what looks like a header is one because the text before it ends there. Texts that this does
        not find, such as those of an unusual encoding, are left to such steps.
        """
        window = np.frombuffer(self.data, np.uint8, min(WINDOW, len(self.data) - self.at), self.at)
        if most <= FEW_TEXTS or len(window) < 8:
            return np.empty(0, np.int32)
        begins = np.flatnonzero((window[:-7] == 0) & (window[3:-4] == CHAR))
        words = np.ndarray(len(window) - 3, ">i4", window, strides=(1,))
        flags, sizes = words[begins], words[begins + 4]
        usual = np.isin(flags, USUAL_TEXTS) | (flags == CHAR) & (sizes == -1)
        begins, sizes = begins[usual], sizes[usual]
        ends = begins + 8 + np.maximum(sizes, 0)
        unbroken = np.append(0, ends)[: len(begins)] == begins
        unbroken &= ends <= len(self.data) - self.at
        count = min(most, len(begins) if unbroken.all() else int(np.argmin(unbroken)))
        return np.append(begins[:1], ends)[: count + 1].astype(np.int32)

    def text(self, cell: bytes) -> str | None:
        """Decode one text, given with its header."""
        text = self.known_strings.get(cell)
        if text is None:
            flags, size = struct.unpack_from(">Ii", cell)
            if flags & 0xFF != CHAR or size < -1:
                raise _Malformed("one of its texts is not encoded as text")
            if size == -1:
                return None
            if len(self.known_strings) == MAX_TEXTS:
                raise _Malformed(f"it holds more than {MAX_TEXTS:,} different texts")
            text = self.known_strings[cell] = self.decode(cell[8:], flags)
        return text

    def decode(self, content: bytes, flags: int) -> str:
        if b"\0" in content:
            raise _Malformed("one of its texts holds a zero byte")
        if content.isascii():
            return content.decode("ascii")
        if flags & IS_BYTES:  # no encoding by declaration: what R prints for it
            return content.decode("ascii", "backslashreplace")
        if flags & IS_UTF8:
            encoding = "utf-8"
        else:  # R itself reads what is marked latin1 as its superset CP1252
            encoding = "cp1252" if flags & IS_LATIN1 else self.native_encoding
        try:
            if encoding not in NATIVE_ENCODINGS.values():
                raise LookupError
            return content.decode(encoding)
        except (UnicodeDecodeError, LookupError) as error:
            raise _Malformed(f"the text {shown(content)} is not valid {encoding}") from error


def _table(name: str, value: Any, max_bytes: int) -> Table:
    if not isinstance(value, _Object) or "data.frame" not in value.strings("class"):
        raise _Malformed(f"its object {shown(name)} is not a data frame")
    names = value.strings("names")
    if value.kind != LIST or not names or len(names) != len(value.values):
        raise _Malformed(f"data frame {shown(name)} does not name its columns")
    if len(names) > MAX_COLUMNS:
        raise _Malformed(f"it has {len(names):,} columns, more than {MAX_COLUMNS}")
    if len(set(names)) != len(names) or not all(names):
        raise _Malformed(f"data frame {shown(name)} has columns without a name or of the same name")
    columns: dict[str, pd.Series] = {}
    r_types: dict[str, RType] = {}
    label_bytes = 0
    for column, vector in zip(names, value.values, strict=True):
        assert column is not None
        if not column.isprintable():
            raise _Malformed(f"the name of column {shown(column)} holds characters without a shape")
        if len(column.encode()) > MAX_NAME_BYTES:
            raise _Malformed(f"the name of column {shown(column)} is longer than Postgres keeps")
        try:
            r_types[column], columns[column] = _column(vector)
        except _Malformed as error:
            raise _Malformed(f"column {shown(column)} {error}") from error
        if len(columns[column]) != len(columns[str(names[0])]):
            raise _Malformed(f"the columns of data frame {shown(name)} differ in length")
        if r_types[column] == "factor":
            # A row of a long label costs the file four bytes, and the warehouse the label.
            label_bytes += _bytes_of_labels(columns[column].array)
            if label_bytes > max_bytes:
                raise _Malformed(f"the labels of its factors fill more than {max_bytes:,} bytes")
    return Table(name, pd.DataFrame(columns, copy=False), r_types)


def _column(vector: Any) -> tuple[RType, pd.Series]:
    if not isinstance(vector, _Object) or vector.kind not in (LOGICAL, INTEGER, DOUBLE, STRING):
        raise _Malformed("is not a vector of text, numbers, logicals or dates")
    values, classes = vector.values, vector.strings("class")
    if vector.kind == STRING:
        return "character", _categorical(values.numbers, values.different)
    if vector.kind == DOUBLE:
        low_words = values.view(np.uint64) & np.uint64(0xFFFFFFFF)
        missing = np.isnan(values) & (low_words == NA_REAL_LOW_WORD)
    else:
        missing = values == NA_INTEGER
    if "Date" in classes:
        return "Date", _dates(values, missing)
    if "factor" in classes and vector.kind != DOUBLE:
        return "factor", _labels(values, missing, vector.strings("levels"))
    if classes:  # an integer64 or POSIXct is stored as a double but means something else
        raise _Malformed(f"has the unsupported class {shown(classes[0])}")
    if vector.kind == LOGICAL:
        return "logical", pd.Series(pd.arrays.BooleanArray(values != 0, missing))
    if vector.kind == INTEGER:
        return "integer", pd.Series(pd.arrays.IntegerArray(values, missing))
    return "double", pd.Series(pd.arrays.FloatingArray(values, missing))


def _categorical(numbers: np.ndarray, different: Iterable[Any]) -> pd.Series:
    categories = pd.Index([*different], dtype=object)
    return pd.Series(pd.Categorical.from_codes(numbers, categories))


def _dates(days: np.ndarray, missing: np.ndarray) -> pd.Series:
    epoch = datetime.date(1970, 1, 1)
    absent = missing | np.isnan(days)
    known, places = np.unique(np.floor(days[~absent]), return_inverse=True)
    if len(known) > MAX_TEXTS:
        raise _Malformed(f"holds more than {MAX_TEXTS:,} different dates")
    try:
        dates = [epoch + datetime.timedelta(days=float(day)) for day in known]
    except OverflowError as error:
        raise _Malformed("holds a date outside the years 1 to 9999") from error
    numbers = np.full(len(days), -1, np.int32)
    numbers[~absent] = places
    return _categorical(numbers, dates)


def _labels(codes: np.ndarray, missing: np.ndarray, levels: list[str | None]) -> pd.Series:
    if np.any(~missing & ((codes < 1) | (codes > len(levels)))):
        raise _Malformed("is a factor with a code that has no label")
    labels = _Texts.room_for(0)
    # R's codes count from 1; NA takes the extra last label.
    numbers = np.array([*map(labels.number, levels), -1], np.int32)
    return _categorical(numbers[np.where(missing, len(levels), codes - 1)], labels.different)


def _bytes_of_labels(labels: pd.Categorical) -> int:
    sizes = np.array([*(len(label.encode()) for label in labels.categories), 0])
    return int(sizes[labels.codes].sum())
