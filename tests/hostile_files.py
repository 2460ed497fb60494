"""Files that attack the reader of .rda files: each is named for what it tries.

They are built when asked for, so that a diff shows what is in them. What a fuzzer finds is added
here, with the reason. The fuzzer starts from these, too.
"""

from __future__ import annotations

import datetime
import gzip
import lzma
import struct
from collections.abc import Callable
from typing import NamedTuple

from tests import survivor_files as r

PAIRLIST, LIST, DOUBLE, INTEGER, TEXT, ALTREP = 2, 19, 14, 13, 16, 238


class Hostile(NamedTuple):
    """A file and why the reader must refuse it; no reason where it is odd but can be read."""

    build: Callable[[], bytes]
    reason: str | None


def column(content: bytes, name: str | bytes = "x", rows: int = 1) -> bytes:
    attributes = {
        "names": r.strings([name]),
        "row.names": r.vector(INTEGER, 2, r.integers(r.NA_INTEGER, -rows)),
        "class": r.strings(["data.frame"]),
    }
    return r.saved({"t": r.vector(LIST, 1, content, attributes)})


def named(*names: str) -> bytes:
    one = r.column([1.0], "double")
    return r.saved({"t": r.data_frame(dict.fromkeys(names, one), 1)})


def with_class(kind: int, content: bytes, *classes: str, **attributes: bytes) -> bytes:
    return column(r.vector(kind, 1, content, {"class": r.strings(list(classes)), **attributes}))


def altrep(form: str, state: bytes) -> bytes:
    information = r.integers(PAIRLIST) + r.symbol(form) + r.integers(PAIRLIST) + r.symbol("base")
    return r.integers(ALTREP) + information + r.NIL + state + r.NIL


def sequence(count: float, start: float, step: float) -> bytes:
    return altrep("compact_intseq", r.vector(DOUBLE, 3, r.doubles([count, start, step])))


def many_sequences(count: int, length: int) -> bytes:
    names = [f"x{number}" for number in range(count)]
    return r.saved({"t": r.data_frame(dict.fromkeys(names, r.compact_sequence(length)), length)})


def nested(level: Callable[[bytes], bytes], depth: int) -> bytes:
    inner = r.NIL
    for _ in range(depth):
        inner = level(inner)
    return inner


def many_texts(count: int) -> bytes:
    texts = b"".join(r.text(f"{number:x}") for number in range(count))
    return column(r.vector(TEXT, count, texts), rows=count)


EPOCH_DAYS = struct.pack(">d", 2.0**40)
GOOD = named("x")

HOSTILE: dict[str, Hostile] = {
    # Compression
    "gzip_bomb": Hostile(lambda: gzip.compress(bytes(40 * 2**20), mtime=0), "decompress to more"),
    "xz_bomb": Hostile(lambda: lzma.compress(bytes(40 * 2**20), preset=1), "decompress to more"),
    "bzip2_bomb": Hostile(lambda: r.COMPRESS["bzip2"](bytes(40 * 2**20)), "decompress to more"),
    "bomb_behind_a_good_start": Hostile(
        lambda: gzip.compress(GOOD + bytes(40 * 2**20), mtime=0), "decompress to more"
    ),
    "two_gzip_members": Hostile(lambda: gzip.compress(GOOD, mtime=0) * 2, "bytes follow its comp"),
    "two_xz_streams": Hostile(lambda: lzma.compress(GOOD) * 2, "bytes follow its compressed"),
    "two_bzip2_streams": Hostile(lambda: r.COMPRESS["bzip2"](GOOD) * 2, "bytes follow its comp"),
    "trailing_garbage": Hostile(lambda: gzip.compress(GOOD, mtime=0) + b"x", "1 bytes follow"),
    "gzip_in_gzip": Hostile(lambda: gzip.compress(gzip.compress(GOOD)), "not an R data file in bi"),
    "empty_gzip": Hostile(lambda: gzip.compress(b""), "truncated"),
    # Lengths that lie
    **{
        f"vector_of_2_thousand_million_{kind}": Hostile(
            lambda kind=kind: column(r.integers(kind, 2**31 - 1)), "longer than the file"
        )
        for kind in (10, 13, 14, 16, 19)
    },
    "long_vector": Hostile(lambda: column(r.integers(DOUBLE, -1, 1, 0)), "longer than the file"),
    "negative_length": Hostile(lambda: column(r.integers(DOUBLE, -2)), "longer than the file"),
    "texts_of_one_byte_each": Hostile(
        lambda: column(r.integers(TEXT, 2**31 - 1) + r.text("a") * 9), "longer than the file"
    ),
    "text_longer_than_the_file": Hostile(
        lambda: column(r.integers(TEXT, 1, 9 | r.UTF8, 2**31 - 1) + bytes(8)), "truncated"
    ),
    "text_of_negative_length": Hostile(
        lambda: column(r.integers(TEXT, 1, 9, -2)), "not encoded as text"
    ),
    "encoding_longer_than_the_file": Hostile(
        lambda: b"RDX3\nX\n" + r.integers(3, 0, 0, 2**31 - 1), "truncated"
    ),
    "encoding_of_negative_length": Hostile(
        lambda: b"RDX3\nX\n" + r.integers(3, 0, 0, -4) + GOOD, "truncated"
    ),
    # Small in the file, large in memory
    "many_empty_vectors": Hostile(
        lambda: column(r.vector(LIST, 200_000, r.vector(LIST, 0, b"") * 200_000)),
        "more than 10,000 objects",
    ),
    "endless_pairlist": Hostile(
        lambda: column(r.integers(PAIRLIST, 254) * 100_000 + r.NIL), "more than 10,000 objects"
    ),
    "endless_attributes": Hostile(
        lambda: column(
            r.integers(DOUBLE | 0x200, 0) + (r.integers(2 | 0x400) + r.symbol("a") + r.NIL) * 50_000
        ),
        "more than 10,000 objects",
    ),
    "endless_symbols": Hostile(
        lambda: column(r.vector(LIST, 50_000, r.symbol("a") * 50_000)), "more than 10,000 objects"
    ),
    "endless_external_pointers": Hostile(
        lambda: column(r.vector(LIST, 50_000, (r.integers(22) + r.NIL * 2) * 50_000)),
        "more than 10,000 objects",
    ),
    "labels_longer_than_the_file": Hostile(
        lambda: column(
            r.vector(
                INTEGER,
                2000,
                r.integers(*[1] * 2000),
                {"class": r.strings(["factor"]), "levels": r.strings(["x" * 2**16])},
            ),
            rows=2000,
        ),
        "labels of its factors fill more than 67,108,864 bytes",
    ),
    "too_many_different_texts": Hostile(lambda: many_texts(101_000), "100,000 different texts"),
    "too_many_different_dates": Hostile(
        lambda: column(
            r.vector(
                INTEGER, 101_000, r.integers(*range(101_000)), {"class": r.strings(["Date"])}
            ),
            rows=101_000,
        ),
        "100,000 different dates",
    ),
    "a_sequence_of_2_thousand_million": Hostile(
        lambda: column(r.compact_sequence(2**31 - 1)), "claims a sequence"
    ),
    "a_hundred_long_sequences": Hostile(lambda: many_sequences(100, 2**20), "claims a sequence"),
    "sequence_without_end": Hostile(lambda: column(sequence(float("inf"), 1, 1)), "claims a seq"),
    # Written out, the number filled the message.
    "sequence_of_more_than_there_are_atoms": Hostile(
        lambda: column(sequence(1e300, 1, 1)), "claims a sequence of 1e.300"
    ),
    "sequence_of_no_number": Hostile(lambda: column(sequence(float("nan"), 1, 1)), "claims a seq"),
    "sequence_of_giant_steps": Hostile(lambda: column(sequence(2, 1, 1e308)), "would not make"),
    "sequence_from_infinity": Hostile(
        lambda: column(sequence(2, float("-inf"), 1)), "would not make"
    ),
    "sequence_beyond_integers": Hostile(
        lambda: column(sequence(2, 2**31 - 1, 1)), "integers that are too large"
    ),
    # Depth
    "nested_lists": Hostile(
        lambda: column(nested(lambda inner: r.integers(LIST, 1) + inner, 5000)), "32 deep"
    ),
    "nested_pairlists": Hostile(
        lambda: column(nested(lambda inner: r.integers(PAIRLIST) + inner + r.NIL, 5000)), "32 deep"
    ),
    "nested_attributes": Hostile(
        lambda: column(
            nested(
                lambda inner: r.integers(DOUBLE | 0x200, 0) + r.pairs({"a": inner}), 2000
            )
        ),
        "32 deep",
    ),
    "nested_wrappers": Hostile(
        lambda: column(nested(lambda inner: altrep("wrap_real", inner), 500)), "32 deep"
    ),
    "nested_external_pointers": Hostile(
        lambda: column(nested(lambda inner: r.integers(22) + inner + r.NIL, 500)), "32 deep"
    ),
    # Kinds
    **{
        f"object_of_type_{kind}": Hostile(
            lambda kind=kind: column(r.integers(kind, 1, 1, 1)), f"unsupported type {kind}"
        )
        for kind in (3, 4, 5, 6, 7, 8, 15, 20, 21, 23, 24, 25, 249, 250, 253)
    },
    "compact_form_of_no_name": Hostile(
        lambda: column(r.integers(ALTREP) + r.NIL * 3), "compact form without a name"
    ),
    "compact_form_named_by_a_vector": Hostile(
        lambda: column(
            r.integers(ALTREP, PAIRLIST) + r.vector(LIST, 9, r.vector(LIST, 0, b"") * 9) + r.NIL * 3
        ),
        "compact form without a name",
    ),
    "deferred_text": Hostile(
        lambda: column(altrep("deferred_string", r.NIL)), "unsupported compact form"
    ),
    "memory_mapped_file": Hostile(
        lambda: column(altrep("mmap_real", r.strings(["/etc/passwd"]))), "unsupported compact form"
    ),
    "reference_to_nothing": Hostile(lambda: column(r.integers(0x01FF)), "is not a vector"),
    "reference_beyond_the_table": Hostile(lambda: column(r.integers(0xFFFF)), "refers to an obj"),
    "reference_before_the_table": Hostile(
        lambda: column(r.integers(0xFF, -1)), "refers to an object"
    ),
    "pairlist_tagged_by_a_vector": Hostile(
        lambda: column(r.integers(2 | 0x400) + r.vector(DOUBLE, 0, b"") + r.NIL), "not a symbol"
    ),
    "dotted_pair": Hostile(
        lambda: column(r.integers(PAIRLIST) + r.NIL + r.integers(DOUBLE, 0)), "does not end as one"
    ),
    "attributes_that_are_a_vector": Hostile(
        lambda: column(r.integers(DOUBLE | 0x200, 0, DOUBLE, 0)), "attributes without names"
    ),
    "matrix_column": Hostile(
        lambda: r.saved(
            {
                "t": r.data_frame(
                    {
                        "x": r.column([1.0], "double"),
                        "m": r.vector(DOUBLE, 4, r.doubles([1, 2, 3, 4]),
                                      {"dim": r.vector(INTEGER, 2, r.integers(1, 4))}),
                    },
                    1,
                )
            }
        ),
        "differ in length",
    ),
    "data_frame_in_a_column": Hostile(
        lambda: column(r.data_frame({"y": r.column([1.0], "double")}, 1)), "is not a vector"
    ),
    # Text
    "overlong_utf8": Hostile(lambda: column(r.strings([b"\xc0\xaf"], r.UTF8)), "not valid utf-8"),
    "surrogate_in_utf8": Hostile(
        lambda: column(r.strings([b"\xed\xa0\x80"], r.UTF8)), "not valid utf-8"
    ),
    "beyond_unicode": Hostile(
        lambda: column(r.strings([b"\xf5\x80\x80\x80"], r.UTF8)), "not valid utf-8"
    ),
    "cut_utf8": Hostile(lambda: column(r.strings([b"\xe2\x82"], r.UTF8)), "not valid utf-8"),
    "undefined_in_cp1252": Hostile(lambda: column(r.strings([b"\x81"], r.LATIN1)), "cp1252"),
    "zero_byte": Hostile(lambda: column(r.strings([b"a\0b"], r.UTF8)), "zero byte"),
    "utf8_hidden_in_ascii": Hostile(lambda: column(r.strings([b"\xff"], r.ASCII)), "not valid"),
    "unknown_encoding": Hostile(
        lambda: r.saved({"t": r.data_frame({"x": r.strings([b"\xff"], 0)}, 1)}, native="rot13"),
        "not valid 'ROT13'",
    ),
    # Names of columns: a new column is loaded under its name
    "column_without_a_name": Hostile(lambda: named("x", ""), "without a name"),
    "column_named_na": Hostile(lambda: column(r.column([1.0], "double"), None), "without a name"),  # type: ignore[arg-type]
    "two_columns_of_one_name": Hostile(
        lambda: r.saved(
            {
                "t": r.vector(
                    LIST, 2, r.column([1.0], "double") * 2,
                    {"names": r.strings(["x", "x"]), "class": r.strings(["data.frame"])},
                )
            }
        ),
        "of the same name",
    ),
    "name_with_a_zero_byte": Hostile(
        lambda: column(r.column([1.0], "double"), b"x\0y"), "zero byte"
    ),
    "name_of_two_lines": Hostile(lambda: named("x\nERROR: all is lost"), r"column 'x\\nERROR"),
    "name_that_turns_the_terminal_red": Hostile(lambda: named("\x1b[31mx"), r"'\\x1b\[31mx'"),
    "name_written_backwards": Hostile(lambda: named("x\u202egpj"), r"u202e"),
    "name_that_postgres_cuts": Hostile(lambda: named("x" * 64), "longer than Postgres keeps"),
    "names_that_become_one": Hostile(
        lambda: named("ö" * 32 + "a", "ö" * 32 + "b"), "longer than Postgres keeps"
    ),
    "name_of_a_megabyte": Hostile(lambda: named("x" * 2**20), "longer than Postgres keeps"),
    "five_thousand_columns": Hostile(
        lambda: named(*(f"x{number}" for number in range(5000))), "5,000 columns, more than 300"
    ),
    "object_named_by_a_megabyte": Hostile(
        lambda: r.saved({"x" * 2**20: r.column([1.0], "double")}), "is not a data frame"
    ),
    "class_named_by_a_megabyte": Hostile(
        lambda: with_class(DOUBLE, r.doubles([1]), "x" * 2**20), "unsupported class"
    ),
    # Values
    "date_before_the_calendar": Hostile(
        lambda: with_class(DOUBLE, r.doubles([-(2.0**40)]), "Date"), "years 1 to 9999"
    ),
    "date_after_the_calendar": Hostile(
        lambda: with_class(DOUBLE, r.doubles([2_932_897]), "Date"), "years 1 to 9999"
    ),
    "date_at_infinity": Hostile(
        lambda: with_class(DOUBLE, r.doubles([float("inf")]), "Date"), "years 1 to 9999"
    ),
    "factor_of_fractions": Hostile(
        # The code of a label was once a double here, and indexed a list.
        lambda: with_class(DOUBLE, r.doubles([1.5]), "factor", levels=r.strings(["a"])),
        "unsupported class 'factor'",
    ),
    "factor_without_levels": Hostile(
        lambda: with_class(INTEGER, r.integers(1), "factor"), "code that has no label"
    ),
    "factor_with_code_zero": Hostile(
        lambda: with_class(INTEGER, r.integers(0), "factor", levels=r.strings(["a"])),
        "code that has no label",
    ),
    "factor_with_negative_code": Hostile(
        lambda: with_class(INTEGER, r.integers(-1), "factor", levels=r.strings(["a"])),
        "code that has no label",
    ),
    # Odd, and harmless
    "name_that_looks_like_sql": Hostile(lambda: named('"; drop table castaways; --'), None),
    "names_that_differ_in_case": Hostile(lambda: named("X", "x"), None),
    "name_of_our_own_column": Hostile(lambda: named("_row_number", "_release_id"), None),
    "infinite_numbers": Hostile(
        lambda: column(r.column([float("-inf")], "double")), None
    ),
    "last_day_of_the_calendar": Hostile(
        lambda: column(r.column([datetime.date(9999, 12, 31)], "Date")), None
    ),
    "no_rows": Hostile(lambda: column(r.column([], "double"), rows=0), None),
    "truth_that_is_7": Hostile(lambda: column(r.vector(10, 1, r.integers(7))), None),
}  # fmt: skip
