"""What a table's features look like in numbers: bins of each, and how far they shifted."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import pandas as pd
import psycopg
from psycopg import sql

# As many values, or fewer, are shown one by one.
FEW_VALUES = 12
BINS = 20
NUMBERS = ("integer", "bigint", "smallint", "double precision", "real", "numeric")
WHOLE_NUMBERS = ("integer", "bigint", "smallint")
# Both releases together. Today's tables are read at once; larger ones take no more memory.
CELLS_AT_ONCE = 3_000_000


@dataclass(frozen=True)
class Bin:
    """Some values of a feature, and the share of all rows that have one of them."""

    label: str
    share: float
    share_before: float | None
    is_rest: bool = False
    """All the values that are too many to have a bin each."""


@dataclass(frozen=True)
class Side:
    """A feature in one release. The numbers are None where nothing is known, or for text."""

    unknown: float
    """Share of the rows without a value."""
    mean: float | None
    median: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Distribution:
    """A feature in the release that is audited and, where there is one, in the release before."""

    name: str
    type: str
    now: Side
    before: Side | None
    bins: Sequence[Bin]
    is_ordered: bool
    """The bins are ranges of numbers, in order; otherwise each is a value, a rest apart."""

    @property
    def is_target(self) -> bool:
        """Whether it is what a model is to predict."""
        return self.name.startswith("target_")

    @property
    def shift(self) -> float | None:
        """Return the share of the rows that would have to move to another bin to undo the change.

        It is the total variation distance; unknown counts as a bin. None for a new feature.
        """
        if self.before is None:
            return None
        moved = sum(abs(bin_.share - (bin_.share_before or 0)) for bin_ in self.bins)
        return (moved + abs(self.now.unknown - self.before.unknown)) / 2


@dataclass(frozen=True)
class Features:
    """The features of one table."""

    table: str
    rows: int
    rows_before: int | None
    distributions: Sequence[Distribution]


def features(
    connection: psycopg.Connection,
    table: str,
    keys: Iterable[str],
    schema: str,
    schema_before: str | None,
) -> Features:
    """Read a table of a release, and of the one before, and describe each of its features.

    Args:
        keys: columns that say which row it is.
        schema_before: None when there is no release before.
    """
    types = _types(connection, schema, table)
    types = {
        name: kind for name, kind in types.items() if name not in keys and not name.endswith("_key")
    }
    rows = _count_rows(connection, schema, table)
    types_before: dict[str, str] = {}
    rows_before = None
    if schema_before and (types_before := _types(connection, schema_before, table)):
        rows_before = _count_rows(connection, schema_before, table)
    same = {name: kind for name, kind in types.items() if types_before.get(name) == kind}
    columns_at_once = max(1, CELLS_AT_ONCE // max(1, rows + (rows_before or 0)))
    distributions: list[Distribution] = []
    for start in range(0, len(types), columns_at_once):
        names = list(types)[start : start + columns_at_once]
        now = _read(connection, schema, table, {name: types[name] for name in names})
        known = {name: same[name] for name in names if name in same}
        before = pd.DataFrame()
        if schema_before and known:
            before = _read(connection, schema_before, table, known)
        distributions += [
            describe(name, types[name], now[name], before.get(name)) for name in names
        ]
    return Features(table, rows, rows_before, distributions)


def describe(name: str, kind: str, now: pd.Series, before: pd.Series | None = None) -> Distribution:
    """Put both releases' values of a feature into the same bins."""
    sides = [now] if before is None else [now, before]
    known = [side.dropna() for side in sides]
    values = pd.concat(known).unique()
    is_ordered = kind in NUMBERS and len(values) > FEW_VALUES
    if is_ordered:
        labels, counts = _ranges(known, kind in WHOLE_NUMBERS)
        rest = 0
    else:
        labels, counts, rest = _single_values(known)
    shares = [found / max(len(side), 1) for found, side in zip(counts, sides, strict=True)]
    bins = [
        Bin(label, float(shares[0][place]), float(shares[1][place]) if shares[1:] else None)
        for place, label in enumerate(labels)
    ]
    if rest:
        bins[-1] = replace(bins[-1], label=f"{rest:,} other values", is_rest=True)
    return Distribution(
        name=name,
        type=kind,
        now=_side(now, kind),
        before=None if before is None else _side(before, kind),
        bins=bins,
        is_ordered=is_ordered,
    )


def _types(connection: psycopg.Connection, schema: str, table: str) -> dict[str, str]:
    found = connection.execute(
        """
        select attname, format_type(atttypid, null)
        from pg_attribute
        where attrelid = to_regclass(%s) and attnum > 0 and not attisdropped
        order by attnum
        """,
        (f"{schema}.{table}",),
    )
    return {str(name): str(kind) for name, kind in found}


def _count_rows(connection: psycopg.Connection, schema: str, table: str) -> int:
    query = sql.SQL("select count(*) from {}").format(sql.Identifier(schema, table))
    ((rows,),) = connection.execute(query).fetchall()
    return int(rows)


def _read(
    connection: psycopg.Connection, schema: str, table: str, types: dict[str, str]
) -> pd.DataFrame:
    """Return the columns. By COPY and one parser, since a row at a time takes ten times as long."""
    query = sql.SQL("copy (select {} from {}) to stdout (format csv, header)").format(
        sql.SQL(", ").join(map(sql.Identifier, types)), sql.Identifier(schema, table)
    )
    content = io.BytesIO()
    with connection.cursor() as cursor, cursor.copy(query) as copy:
        for block in copy:
            content.write(block)
    content.seek(0)
    found = pd.read_csv(
        content,
        dtype={name: "float64" if kind in NUMBERS else "str" for name, kind in types.items()},
        # The text None is a value.
        keep_default_na=False,
        na_values=[""],
        # Null in the only column that is read.
        skip_blank_lines=False,
    )
    flags = [name for name, kind in types.items() if kind == "boolean"]
    return found.assign(**{name: found[name].map({"t": "true", "f": "false"}) for name in flags})


def _side(values: pd.Series, kind: str) -> Side:
    known = values.dropna()
    unknown = 1 - len(known) / len(values) if len(values) else 0.0
    if kind not in NUMBERS or known.empty:
        return Side(unknown, None, None, None, None)
    return Side(
        unknown,
        float(known.mean()),
        float(known.median()),
        float(known.min()),
        float(known.max()),
    )


def _ranges(sides: Sequence[pd.Series], is_whole: bool) -> tuple[list[str], list[np.ndarray]]:
    low = min(float(side.min()) for side in sides if len(side))
    high = max(float(side.max()) for side in sides if len(side))
    if is_whole:
        # Every bin holds as many whole numbers as any other.
        width = int(np.ceil((high - low + 1) / BINS))
        edges = np.arange(low, high + width + 1, width)
        labels = [
            f"{edge:.0f}" if width == 1 else f"{edge:.0f} to {edge + width - 1:.0f}"
            for edge in edges[:-1]
        ]
        return labels, [np.histogram(side, edges - 0.5)[0] for side in sides]
    edges = np.linspace(low, high, BINS + 1)
    labels = [f"{left:.4g} to {right:.4g}" for left, right in pairwise(edges)]
    return labels, [np.histogram(side, edges)[0] for side in sides]


def _single_values(sides: Sequence[pd.Series]) -> tuple[list[str], list[np.ndarray], int]:
    """Return labels, counts and how many values the last of them, a rest, stands for."""
    counts = [side.value_counts() for side in sides]
    total = pd.concat(counts).groupby(level=0).sum()
    if total.index.dtype.kind == "f":
        shown = list(total.index)
        labels = [f"{value:g}" for value in shown]
    else:
        # Of equal ones the first in the alphabet, so that two runs show the same.
        shown = list(total.sort_values(ascending=False, kind="stable").index[:FEW_VALUES])
        labels = [str(value) for value in shown]
    found = [count.reindex(shown, fill_value=0).to_numpy() for count in counts]
    rest = len(total) - len(shown)
    if rest:
        labels.append("")
        found = [
            np.append(one, count.sum() - one.sum())
            for one, count in zip(found, counts, strict=True)
        ]
    return labels, found, rest
