"""The drift contract: which differences between a source and the catalogue stop a run.

A difference is a `Drift`, recorded in `ops.schema_drift` whatever becomes of the run. One that
would harm readers is blocking: a column or dataset that the models need is gone or retyped, or rows
or seasons fell further than the catalogue allows. Limits and exceptions are in `datasets.yml`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict

from include.ingestion.catalog import Catalog, ColumnType, Dataset
from include.ingestion.reader import RType, Table
from include.warehouse.schemas import SourceKind

DriftKind = Literal[
    "new_dataset", "missing_dataset", "unavailable_dataset",
    "new_column", "missing_column", "unavailable_column", "retyped_column",
    "row_fall", "season_fall",
]  # fmt: skip

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


class Drift(BaseModel):
    """One difference between a source and the catalogue or the published release."""

    model_config = ConfigDict(frozen=True)

    dataset: str
    column_name: str | None = None
    kind: DriftKind
    severity: Literal["recorded", "blocking"]
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


class DatasetSize(BaseModel):
    """Rows and seasons of a dataset in an earlier release."""

    model_config = ConfigDict(frozen=True)

    rows: int
    seasons: int | None


@dataclass(frozen=True)
class Shape:
    """What a dataset turned out to be: rows, seasons, and the bronze table's columns with type."""

    rows: int
    seasons: frozenset[str] | None
    columns: dict[str, ColumnType]


def check_datasets(
    catalog: Catalog, present: Collection[str], unknown: Iterable[str], kind: SourceKind
) -> list[Drift]:
    """Compare the datasets that a source holds with those that it should hold."""
    drift = [
        Drift(
            dataset=name,
            kind="new_dataset",
            severity="recorded",
            detail="the catalogue does not know it; not loaded",
        )
        for name in unknown
    ]
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
    name: str, dataset: Dataset, table: Table, kind: SourceKind
) -> tuple[Shape, list[Drift]]:
    """Compare columns and types of a dataset with the catalogue, value by value where needed."""
    columns = {column: expected.type for column, expected in dataset.columns.items()}
    drift: list[Drift] = []
    for column, expected in columns.items():
        if column in table.frame:
            misfit = _misfit(table.frame[column], table.r_types[column], expected)
            if misfit:
                drift.append(_column_drift(name, column, "retyped_column", "blocking", misfit))
        elif not dataset.is_available(kind, column):
            detail = f"source {kind!r} cannot give it; null in every row"
            drift.append(_column_drift(name, column, "unavailable_column", "recorded", detail))
        elif dataset.is_optional(column):
            detail = "the source does not hold it; optional, so null in every row"
            drift.append(_column_drift(name, column, "missing_column", "recorded", detail))
        else:
            detail = "the source does not hold it"
            drift.append(_column_drift(name, column, "missing_column", "blocking", detail))
    for column, r_type in table.r_types.items():
        if column not in columns:
            columns[column] = TYPE_OF_NEW_COLUMN[r_type]
            detail = f"the catalogue does not know it; loaded as {columns[column]} ({r_type} in R)"
            drift.append(_column_drift(name, column, "new_column", "recorded", detail))
    seasons = None
    if dataset.season_column and dataset.season_column in table.frame:
        seasons = frozenset(table.frame[dataset.season_column].dropna().unique())
    return Shape(len(table.frame), seasons, columns), drift


def check_sizes(
    catalog: Catalog,
    shapes: Mapping[str, Shape],
    published: Mapping[str, DatasetSize],
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
    drift: list[Drift] = []
    for name, shape in shapes.items():
        dataset, before = catalog.datasets[name], published.get(name)
        against_published: Literal["recorded", "blocking"] = (
            "recorded" if name in accept_falls else "blocking"
        )

        def found(kind: DriftKind, severity: Any, detail: str, name: str = name) -> None:
            drift.append(Drift(dataset=name, kind=kind, severity=severity, detail=detail))

        if shape.rows == 0:
            found("row_fall", "blocking", "it has no rows")
        elif before and shape.rows < before.rows * (1 - dataset.max_row_fall):
            found(
                "row_fall",
                against_published,
                f"{shape.rows:,} rows, {before.rows:,} in the published release: "
                f"{1 - shape.rows / before.rows:.1%} fewer, {dataset.max_row_fall:.0%} may vanish",
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
        elif (
            before
            and before.seasons is not None
            and len(shape.seasons) < before.seasons * (1 - dataset.max_season_fall)
        ):
            found(
                "season_fall",
                against_published,
                f"{len(shape.seasons)} seasons, {before.seasons} in the published release; absent: "
                f"{_some(absent)}",
            )
    return drift


def refuse_blocking(drift: Iterable[Drift]) -> None:
    """Stop when anything found is blocking.

    Raises:
        ContractViolation: names every dataset and column concerned.
    """
    blocking = [finding for finding in drift if finding.severity == "blocking"]
    if blocking:
        raise ContractViolation(blocking)


def _column_drift(
    dataset: str,
    column: str,
    kind: DriftKind,
    severity: Literal["recorded", "blocking"],
    detail: str,
) -> Drift:
    return Drift(dataset=dataset, column_name=column, kind=kind, severity=severity, detail=detail)


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
    known = values.dropna().astype(object)
    return f"such as {known.tolist()[0]!r:.60}" if len(known) else "no value known"


def _some(names: list[str]) -> str:
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
