"""The drift contract: which differences between a source and the catalogue stop a run.

A difference is a `Drift`, recorded in `ops.schema_drift` whatever becomes of the run. One that
would harm readers is blocking: a column or dataset that the models need is gone, retyped or empty,
or rows or seasons fell further than the catalogue allows. Limits and exceptions are in
`datasets.yml`; docs/runbooks/upstream-changed.md lists every change with its outcome.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict

from include.ingestion.catalog import Catalog, ColumnType, Dataset
from include.ingestion.reader import RType, Table, shown
from include.warehouse.schemas import SourceKind

DriftKind = Literal[
    "new_dataset", "missing_dataset", "unavailable_dataset", "retired_dataset",
    "new_column", "missing_column", "unavailable_column", "retyped_column",
    "renamed_column", "emptied_column",
    "row_fall", "season_fall", "renamed_season",
]  # fmt: skip
Severity = Literal["recorded", "blocking"]

# R types that a column of the catalogue may have; values are checked besides.
FITTING: dict[ColumnType, tuple[RType, ...]] = {
    "text": ("character", "factor"),
    "integer": ("integer", "double"),
    "double": ("double", "integer"),
    "boolean": ("logical",),
    "date": ("Date",),
}

# A column that the catalogue does not know keeps R's type: a double stays one though its values are
# whole today, so that it does not change type with the next file.
TYPE_OF_NEW_COLUMN: dict[RType, ColumnType] = {
    "character": "text",
    "factor": "text",
    "integer": "integer",
    "double": "double",
    "logical": "boolean",
    "Date": "date",
}

LARGEST_INTEGER = 2**31 - 1

# Names that a bronze table cannot give to a column: ours, and those of Postgres itself.
TAKEN_NAMES = {
    "_row_number", "_release_id", "ctid", "xmin", "xmax", "cmin", "cmax", "tableoid",
}  # fmt: skip

# How much alike the values of a missing and a new column must be to name one after the other:
# turn_based became rounds, and four months later 89 % of its values were still the same.
ALIKE = 0.8


class Drift(BaseModel):
    """One difference between a source and the catalogue or the published release."""

    model_config = ConfigDict(frozen=True)

    dataset: str
    column_name: str | None = None
    kind: DriftKind
    severity: Severity
    detail: str

    def __str__(self) -> str:
        place = f"{self.dataset}.{self.column_name}" if self.column_name else self.dataset
        return f"{place}: {self.detail}"


class ContractViolation(RuntimeError):
    """The source must not be loaded as it is; nothing was written."""

    def __init__(self, blocking: list[Drift]) -> None:
        lines = "\n".join(f"  {drift}" for drift in blocking)
        super().__init__(
            f"The source breaks the contract of {len({drift.dataset for drift in blocking})} "
            f"dataset(s), nothing was loaded:\n{lines}\n"
            "Published data stays as it is. If upstream repairs it, run again; if the change is "
            "meant, change include/ingestion/datasets.yml, with date and reason."
        )
        self.blocking = blocking


def _nothing_known(*_: str) -> None:
    return None


@dataclass(frozen=True)
class Published:
    """What is known of a dataset in the published release.

    Attributes:
        rows: how many.
        seasons: how many, None where it has none.
        r_types: R's type of each column; empty where that was not recorded or means nothing.
        values: gives the values of a column with their number, None where it has no such column.
        casts: gives the castaways of each season.
    """

    rows: int
    seasons: int | None
    r_types: Mapping[str, RType] = field(default_factory=dict)
    values: Callable[[str], Counter[Any] | None] = _nothing_known
    casts: Callable[[], Mapping[str, frozenset[str]] | None] = _nothing_known


@dataclass(frozen=True)
class Shape:
    """What a dataset turned out to be.

    Attributes:
        rows: how many.
        seasons: which, None where it has none.
        columns: those of the bronze table, with type.
        r_types: R's type of each column of the file.
        casts: the castaways of each season, where the dataset has one row for each.
    """

    rows: int
    seasons: frozenset[str] | None
    columns: dict[str, ColumnType]
    r_types: Mapping[str, RType] = field(default_factory=dict)
    casts: Mapping[str, frozenset[str]] = field(default_factory=dict)


def check_datasets(
    catalog: Catalog, present: Collection[str], unknown: Iterable[str], kind: SourceKind
) -> list[Drift]:
    """Compare the datasets that a source holds with those that it should hold."""
    drift = []
    for name in unknown:
        retired = catalog.retired.get(name)
        drift.append(
            Drift(
                dataset=name,
                kind="retired_dataset" if retired else "new_dataset",
                severity="recorded",
                detail=f"{retired}; not loaded"
                if retired
                else "the catalogue does not know it; not loaded",
            )
        )
    for name, dataset in catalog.datasets.items():
        if name in present:
            continue
        if not dataset.is_available(kind):
            drift.append(
                Drift(
                    dataset=name,
                    kind="unavailable_dataset",
                    severity="recorded",
                    detail=f"source {kind!r} cannot give it",
                )
            )
        else:
            drift.append(
                Drift(
                    dataset=name,
                    kind="missing_dataset",
                    severity="blocking" if dataset.required else "recorded",
                    detail="the source does not hold it",
                )
            )
    return drift


def check_columns(
    name: str,
    dataset: Dataset,
    table: Table,
    kind: SourceKind,
    published: Published | None = None,
    *,
    accept_falls: bool = False,
) -> tuple[Shape, list[Drift]]:
    """Compare columns and types of a dataset with the catalogue, value by value where needed.

    Args:
        name: of the dataset.
        dataset: what the catalogue says of it.
        table: as read.
        kind: of the source.
        published: the same dataset in the published release.
        accept_falls: whether a column may have lost all its values.
    """
    columns = {column: expected.type for column, expected in dataset.columns.items()}
    drift: list[Drift] = []

    def found(column: str, kind: DriftKind, severity: Severity, detail: str) -> None:
        drift.append(
            Drift(dataset=name, column_name=column, kind=kind, severity=severity, detail=detail)
        )

    missing: dict[str, Severity] = {}
    for column, expected in columns.items():
        if column in table.frame:
            values, r_type = table.frame[column], table.r_types[column]
            before = published.r_types.get(column) if published else None
            if misfit := _misfit(values, r_type, expected):
                found(column, "retyped_column", "blocking", misfit)
            elif len(values) and values.isna().all() and published and published.values(column):
                tolerated = accept_falls or dataset.is_optional(column)
                detail = "null in every row; it has values in the published release"
                found(column, "emptied_column", "recorded" if tolerated else "blocking", detail)
            elif before and before != r_type and kind != "snapshot":
                detail = f"{before} in R in the published release, {r_type} now; stays {expected}"
                found(column, "retyped_column", "recorded", detail)
        elif not dataset.is_available(kind, column):
            detail = f"source {kind!r} cannot give it; null in every row"
            found(column, "unavailable_column", "recorded", detail)
        elif dataset.is_optional(column):
            detail = "the source does not hold it; optional, so null in every row"
            missing[column] = "recorded"
            found(column, "missing_column", "recorded", detail)
        else:
            missing[column] = "blocking"
            found(column, "missing_column", "blocking", "the source does not hold it")
    new = [column for column in table.r_types if column not in dataset.columns]
    for column in new:
        if reason := _not_loadable(column, [*dataset.columns, *table.r_types]):
            found(column, "new_column", "recorded", f"not loaded: {reason}")
            continue
        columns[column] = TYPE_OF_NEW_COLUMN[table.r_types[column]]
        detail = (
            f"the catalogue does not know it; loaded as {columns[column]} "
            f"({table.r_types[column]} in R)"
        )
        found(column, "new_column", "recorded", detail)
    for old, (other, evidence) in _renames(list(missing), new, dataset, table, published).items():
        found(old, "renamed_column", missing[old], f"looks renamed to {other}: {evidence}")
    seasons, casts = _seasons(dataset, table)
    return Shape(len(table.frame), seasons, columns, table.r_types, casts), drift


def _not_loadable(column: str, columns: list[str]) -> str | None:
    """Tell why a new column cannot stand in bronze under its name, or return None when it can."""
    if column.lower() in TAKEN_NAMES:
        return "the name is taken by the pipeline or by Postgres"
    if sum(column.lower() == other.lower() for other in columns) > 1:
        # DuckDB, SQLite and people take two such columns for one.
        return "the name differs from another column's in case only"
    return None


def _seasons(
    dataset: Dataset, table: Table
) -> tuple[frozenset[str] | None, Mapping[str, frozenset[str]]]:
    season = dataset.season_column
    if not season or table.r_types.get(season) not in ("character", "factor"):
        return (frozenset() if season in table.frame else None), {}
    seasons = frozenset(table.frame[season].dropna().unique())
    castaway = {*dataset.key} - {season}
    if castaway != {"castaway_id"} or table.r_types.get("castaway_id") not in FITTING["text"]:
        return seasons, {}
    casts = table.frame.dropna(subset=dataset.key).groupby(season)["castaway_id"].agg(frozenset)
    return seasons, {str(name): cast for name, cast in casts.items()}


def _renames(
    missing: list[str],
    new: list[str],
    dataset: Dataset,
    table: Table,
    published: Published | None,
) -> dict[str, tuple[str, str]]:
    """Pair missing columns with new ones that look like them; returns the new name and why."""
    alike: list[tuple[float, str, str, str]] = []
    for old in missing:
        before = published.values(old) if published else None
        for other in new:
            values, r_type = table.frame[other], table.r_types[other]
            if values.isna().all() or _misfit(values, r_type, dataset.columns[old].type):
                continue
            if before:
                likeness = _likeness(before, Counter(values.dropna().tolist()))
                evidence = f"{likeness:.0%} of its values are the same"
            else:
                likeness = ALIKE if _same_place(old, other, dataset, table) else 0
                evidence = "same type and same place among the columns"
            if likeness >= ALIKE:
                alike.append((likeness, old, other, evidence))
    pairs: dict[str, tuple[str, str]] = {}
    for _, old, other, evidence in sorted(alike, reverse=True):
        if old not in pairs and other not in {taken for taken, _ in pairs.values()}:
            pairs[old] = (other, evidence)
    return pairs


def _likeness(before: Counter[Any], now: Counter[Any]) -> float:
    """Return the share of equal values, without the most common one: two flags are mostly false."""
    (common, _), *others = before.most_common()
    if not others:
        return 0
    before, now = before.copy(), now.copy()
    del before[common], now[common]
    return (before & now).total() / max(before.total(), now.total())


def _same_place(old: str, new: str, dataset: Dataset, table: Table) -> bool:
    expected, held = [*dataset.columns], [*table.r_types]
    here, there = expected.index(old), held.index(new)
    return expected[max(here - 1, 0) : here] == held[max(there - 1, 0) : there] and (
        expected[here + 1 : here + 2] == held[there + 1 : there + 2]
    )


def check_sizes(
    catalog: Catalog,
    shapes: Mapping[str, Shape],
    published: Mapping[str, Published],
    accept_falls: Collection[str] = (),
) -> list[Drift]:
    """Look for rows and seasons that vanished.

    Args:
        catalog: holds the limits.
        shapes: the datasets of the source.
        published: the datasets of the published release; empty before the first. An empty or
            nearly empty dataset is found without it too, by comparison with the other datasets.
        accept_falls: datasets in which a fall against the published release is meant.
    """
    every_season = frozenset[str]().union(*(shape.seasons or () for shape in shapes.values()))
    renamed = _renamed_seasons(shapes, published)
    drift: list[Drift] = []
    for name, shape in shapes.items():
        dataset, before = catalog.datasets[name], published.get(name)
        against_published: Severity = "recorded" if name in accept_falls else "blocking"

        def found(kind: DriftKind, severity: Severity, detail: str, name: str = name) -> None:
            drift.append(Drift(dataset=name, kind=kind, severity=severity, detail=detail))

        rows_before = before.rows if before else 0
        vanished: list[str] | None = None
        if before and shape.seasons is not None and dataset.season_column:
            rows_of = before.values(dataset.season_column)
            if rows_of is not None:
                gone = sorted(rows_of.keys() - shape.seasons)
                moved = {old: renamed[old] for old in gone if renamed.get(old) in shape.seasons}
                vanished = [season for season in gone if season not in moved]
                # Rows that stood under both names need not be there twice.
                rows_before -= sum(rows_of[old] for old, new in moved.items() if new in rows_of)
                if moved:
                    pairs = ", ".join(f"{_plain(old)} is now {_plain(moved[old])}" for old in moved)
                    found("renamed_season", "recorded", f"{pairs}: its castaways are the same")
        if shape.rows == 0:
            found("row_fall", "blocking", "it has no rows")
        elif before and shape.rows < rows_before * (1 - dataset.max_row_fall):
            found(
                "row_fall",
                against_published,
                f"{shape.rows:,} rows, {rows_before:,} in the published release: "
                f"{1 - shape.rows / rows_before:.1%} fewer, {dataset.max_row_fall:.0%} may vanish",
            )
        if shape.seasons is None:
            continue
        absent = sorted(every_season - shape.seasons)
        if len(shape.seasons) < dataset.season_coverage * len(every_season):
            found(
                "season_fall",
                "blocking",
                f"it covers {len(shape.seasons)} of {len(every_season)} seasons, at least "
                f"{dataset.season_coverage:.0%} are expected; absent: {_some(absent)}",
            )
        elif before and before.seasons is not None:
            fall = before.seasons - len(shape.seasons) if vanished is None else len(vanished)
            if fall > before.seasons * dataset.max_season_fall:
                found(
                    "season_fall",
                    against_published,
                    f"{len(shape.seasons)} seasons, {before.seasons} in the published release; "
                    f"absent: {_some(absent if vanished is None else vanished)}",
                )
    return drift


def _renamed_seasons(
    shapes: Mapping[str, Shape], published: Mapping[str, Published]
) -> dict[str, str]:
    """Find seasons that go by another name now: those whose whole cast is another season's."""
    renamed: dict[str, str] = {}
    for name, shape in shapes.items():
        casts = published[name].casts() if shape.casts and name in published else None
        now = {cast: season for season, cast in shape.casts.items()}
        for season, cast in (casts or {}).items():
            if season not in shape.casts and cast in now:
                renamed.setdefault(season, now[cast])
    return renamed


def refuse_blocking(drift: Iterable[Drift]) -> None:
    """Stop when anything found is blocking.

    Raises:
        ContractViolation: names every dataset and column concerned.
    """
    blocking = [finding for finding in drift if finding.severity == "blocking"]
    if blocking:
        raise ContractViolation(blocking)


def _misfit(values: pd.Series, r_type: RType, expected: ColumnType) -> str | None:
    """Tell why values cannot be what the catalogue expects, or return None when they can."""
    if r_type == "logical" and values.isna().all():
        return None  # R's NA has no other type of its own: a column of nothing else fits any
    if r_type not in FITTING[expected]:
        return f"{expected} expected, {r_type} found, {_example(values)}"
    if expected != "integer":
        return None
    numbers = values.to_numpy(dtype="float64", na_value=np.nan)
    wrong = ~np.isnan(numbers) & (
        (numbers != np.floor(numbers)) | (np.abs(numbers) > LARGEST_INTEGER)
    )
    if wrong.any():
        count = int(wrong.sum())
        return f"integer expected, {count:,} other numbers found, {_example(values[wrong])}"
    return None


def _example(values: pd.Series) -> str:
    known = values.dropna().iloc[:1].astype(object)
    return f"such as {shown(known.tolist()[0])}" if len(known) else "no value known"


def _plain(season: str) -> str:
    return season if season.isidentifier() and len(season) <= 20 else shown(season, 20)


def _some(seasons: list[str]) -> str:
    named = ", ".join(map(_plain, seasons[:8]))
    return named + (f" and {len(seasons) - 8} more" if len(seasons) > 8 else "")
