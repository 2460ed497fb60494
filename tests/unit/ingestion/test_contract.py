"""What the drift contract lets through, records and refuses."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from include.ingestion.catalog import Catalog, SourceKind, load_catalog
from include.ingestion.contract import (
    ContractViolation,
    Drift,
    Published,
    Shape,
    check_columns,
    check_datasets,
    check_sizes,
    refuse_blocking,
)
from include.ingestion.reader import RType, Table, read_table

CATALOG = Catalog.model_validate(
    {
        "datasets": {
            "castaways": {
                "description": "One row per castaway and season.",
                "key": ["version_season", "castaway_id"],
                "optional": ["ack_score"],
                "season_coverage": 0.9,
                "unavailable_in": {"snapshot": ["city"]},
                "columns": {
                    "version_season": "text",
                    "castaway_id": "text",
                    "age": "integer",
                    "city": "text",
                    "winner": "boolean",
                    "born": "date",
                    "viewers": "double",
                    "ack_score": "integer",
                },
            },
            "boot_mapping": {
                "description": "Who is in the game at every stage.",
                "key": [],
                "season_coverage": 0.9,
                "columns": {"version_season": "text"},
            },
            "advantage_timeline": {
                "description": "Who holds which advantage.",
                "key": [],
                "required": False,
                "unavailable_in": {"snapshot": "all"},
                "columns": {"version_season": "text"},
            },
        }
    }
)

GOOD: dict[str, tuple[RType, pd.Series]] = {
    "version_season": ("character", pd.Series(["US01", "US02"], dtype=object)),
    "castaway_id": ("factor", pd.Series(["US0001", "US0002"], dtype=object)),
    "age": ("double", pd.Series([30.0, None], dtype="Float64")),
    "city": ("character", pd.Series(["None", None], dtype=object)),
    "winner": ("logical", pd.Series([True, None], dtype="boolean")),
    "born": ("Date", pd.Series([None, None], dtype=object)),
    "viewers": ("integer", pd.Series([1, 2], dtype="Int32")),
    "ack_score": ("integer", pd.Series([1, 2], dtype="Int32")),
}


def check(
    changes: dict[str, tuple[RType, pd.Series] | None] | None = None,
    kind: SourceKind = "upstream",
) -> tuple[Shape, list[Drift]]:
    """Check the good table with columns replaced, added or (None) left out."""
    columns = {name: both for name, both in {**GOOD, **(changes or {})}.items() if both}
    table = Table(
        "castaways",
        pd.DataFrame({name: series for name, (_, series) in columns.items()}),
        {name: r_type for name, (r_type, _) in columns.items()},
    )
    return check_columns("castaways", CATALOG.datasets["castaways"], table, kind)


def found(drift: list[Drift]) -> list[tuple[Any, ...]]:
    return [(item.dataset, item.column_name, item.kind, item.severity) for item in drift]


def test_whole_doubles_are_integers_and_factors_are_text() -> None:
    shape, drift = check()
    assert drift == []
    assert shape.rows == 2
    assert shape.seasons == frozenset({"US01", "US02"})
    assert shape.columns["age"] == "integer"


@pytest.mark.parametrize(
    ("column", "r_type", "values", "detail"),
    [
        ("age", "double", pd.Series([30.5, None], dtype="Float64"), "such as 30.5"),
        ("age", "double", pd.Series([3e9, 1], dtype="Float64"), "such as 3000000000.0"),
        ("age", "double", pd.Series([np.inf, 1], dtype="Float64"), "such as inf"),
        ("age", "character", pd.Series(["35 years", "4"], dtype=object), "such as '35 years'"),
        ("age", "logical", pd.Series([True, None], dtype="boolean"), "logical found"),
        ("city", "double", pd.Series([1.0, 2.0], dtype="Float64"), "text expected, double"),
        ("winner", "integer", pd.Series([0, 1], dtype="Int32"), "boolean expected, integer"),
        ("winner", "character", pd.Series(["TRUE", None], dtype=object), "boolean expected"),
        ("born", "character", pd.Series(["1970-01-01", None], dtype=object), "date expected"),
        ("viewers", "character", pd.Series(["1", "2"], dtype=object), "double expected"),
    ],
)
def test_a_retyped_column_is_blocking_and_shows_a_value(
    column: str, r_type: RType, values: pd.Series, detail: str
) -> None:
    _, drift = check({column: (r_type, values)})
    assert found(drift) == [("castaways", column, "retyped_column", "blocking")]
    assert detail in drift[0].detail


@pytest.mark.parametrize("column", ["age", "city", "born", "viewers"])
def test_a_column_of_nothing_but_na_fits_every_type(column: str) -> None:
    """R's NA is a logical: a column that nobody has filled yet arrives as one."""
    empty = pd.Series([None, None], dtype="boolean")
    assert check({column: ("logical", empty)})[1] == []


def test_a_missing_column_is_blocking() -> None:
    _, drift = check({"winner": None})
    assert found(drift) == [("castaways", "winner", "missing_column", "blocking")]


def test_a_missing_optional_column_is_recorded_and_stays_in_the_table() -> None:
    shape, drift = check({"ack_score": None})
    assert found(drift) == [("castaways", "ack_score", "missing_column", "recorded")]
    assert shape.columns["ack_score"] == "integer"


def test_what_a_source_cannot_give_is_recorded_for_that_source_only() -> None:
    shape, drift = check({"city": None}, "snapshot")
    assert found(drift) == [("castaways", "city", "unavailable_column", "recorded")]
    assert "city" in shape.columns
    _, drift = check({"city": None}, "upstream")
    assert found(drift) == [("castaways", "city", "missing_column", "blocking")]


def test_a_new_column_is_recorded_and_keeps_the_type_that_r_gives_it() -> None:
    shape, drift = check({"score": ("double", pd.Series([1.0, 2.0], dtype="Float64"))})
    assert found(drift) == [("castaways", "score", "new_column", "recorded")]
    assert list(shape.columns)[-1] == "score"
    assert shape.columns["score"] == "double"


def test_datasets() -> None:
    drift = check_datasets(CATALOG, ["castaways"], ["viewers"], "upstream")
    assert found(drift) == [
        ("viewers", None, "new_dataset", "recorded"),
        ("boot_mapping", None, "missing_dataset", "blocking"),
        ("advantage_timeline", None, "missing_dataset", "recorded"),
    ]
    drift = check_datasets(CATALOG, ["castaways", "boot_mapping"], [], "snapshot")
    assert found(drift) == [("advantage_timeline", None, "unavailable_dataset", "recorded")]


def shape(rows: int, seasons: int) -> Shape:
    return Shape(rows, frozenset(f"US{number:02}" for number in range(1, seasons + 1)), {})


def sizes(
    boot_mapping: Shape, published: Published | None = None, accept: tuple[str, ...] = ()
) -> list[Drift]:
    shapes = {"castaways": shape(1000, 20), "boot_mapping": boot_mapping}
    before = {"boot_mapping": published} if published else {}
    return check_sizes(CATALOG, shapes, before, accept)


def test_a_14_row_boot_mapping_is_refused_after_a_release() -> None:
    """On 2025-08-19 upstream published a 14-row boot_mapping for three hours."""
    drift = sizes(shape(14, 1), Published(rows=14_956, seasons=20))
    assert found(drift) == [
        ("boot_mapping", None, "row_fall", "blocking"),
        ("boot_mapping", None, "season_fall", "blocking"),
    ]
    assert "14 rows, 14,956 in the published release: 99.9% fewer" in drift[0].detail


def test_a_14_row_boot_mapping_is_refused_by_a_first_load() -> None:
    """Nothing was published to compare with, but the other datasets know 20 seasons."""
    drift = sizes(shape(14, 1))
    assert found(drift) == [("boot_mapping", None, "season_fall", "blocking")]
    assert "1 of 20 seasons" in drift[0].detail and "US02" in drift[0].detail


def test_castaways_cut_short_is_found_by_the_other_datasets() -> None:
    shapes = {"castaways": shape(18, 1), "boot_mapping": shape(15_000, 20)}
    assert found(check_sizes(CATALOG, shapes, {})) == [
        ("castaways", None, "season_fall", "blocking")
    ]


def test_a_season_that_has_only_a_cast_yet_is_no_fall() -> None:
    """Before a premiere castaways has the season and no other dataset does."""
    assert sizes(shape(15_000, 19), Published(rows=15_000, seasons=19)) == []


@pytest.mark.parametrize(("rows", "refused"), [(990, False), (989, True)])
def test_one_percent_of_the_rows_may_vanish(rows: int, refused: bool) -> None:
    drift = sizes(shape(rows, 20), Published(rows=1000, seasons=20))
    assert found(drift) == ([("boot_mapping", None, "row_fall", "blocking")] if refused else [])


@pytest.mark.parametrize(("seasons", "refused"), [(66, False), (64, True)])
def test_scores_that_upstream_recomputes_at_will_may_lose_some_seasons(
    seasons: int, refused: bool
) -> None:
    """A release of the snapshot, with scores of 76 seasons, kept the commit of 2026-06-12 out."""
    shapes = {"castaways": shape(1441, 76), "castaway_scores": shape(1274, seasons)}
    before = {"castaway_scores": Published(rows=1441, seasons=76)}
    drift = check_sizes(load_catalog(), shapes, before)
    assert [(finding.dataset, finding.kind) for finding in drift] == (
        [("castaway_scores", "season_fall")] if refused else []
    )


def test_a_lost_season_is_refused_though_rows_hold() -> None:
    drift = sizes(shape(1000, 19), Published(rows=1000, seasons=20))
    assert found(drift) == [("boot_mapping", None, "season_fall", "blocking")]


def test_a_fall_that_a_person_accepted_is_recorded() -> None:
    before = Published(rows=2000, seasons=20)
    drift = sizes(shape(1000, 19), before, accept=("boot_mapping",))
    assert {item.severity for item in drift} == {"recorded"}
    assert found(sizes(shape(0, 0), before, accept=("boot_mapping",)))[0][3] == "blocking"


def test_an_empty_dataset_is_refused() -> None:
    assert ("boot_mapping", None, "row_fall", "blocking") in found(sizes(shape(0, 0)))


def test_the_violation_names_dataset_and_column_and_what_to_do() -> None:
    _, drift = check({"winner": None, "age": None, "ack_score": None})
    with pytest.raises(ContractViolation) as error:
        refuse_blocking(drift)
    message = str(error.value)
    assert "castaways.winner: the source does not hold it" in message
    assert "castaways.age" in message
    assert "ack_score" not in message
    assert "datasets.yml" in message
    refuse_blocking([item for item in drift if item.severity == "recorded"])


def real_drift(folder: Path, before: Path | None = None, only: Collection[str] = ()) -> list[Drift]:
    """What a load of the folder's files finds, after a release of another folder's."""
    catalog = load_catalog()
    drift: list[Drift] = []
    shapes: dict[str, Shape] = {}
    published: dict[str, Published] = {}
    files = {path.stem: path for path in folder.glob("*.rda")}
    known = [name for name in only or catalog.datasets if name in files]
    drift += check_datasets(catalog, known, sorted(files.keys() - known), "directory")
    for name in known:
        if before and (before / f"{name}.rda").exists():
            published[name] = as_published(name, read_table(before / f"{name}.rda"))
        shapes[name], found = check_columns(
            name, catalog.datasets[name], read_table(files[name]), "directory", published.get(name)
        )
        drift += found
    return drift + check_sizes(catalog, shapes, published)


def as_published(name: str, table: Table) -> Published:
    frame, season = table.frame, load_catalog().datasets[name].season_column
    return Published(
        rows=len(frame),
        seasons=frame[season].nunique() if season else None,
        r_types=table.r_types,
        values=lambda column: Counter(frame[column].dropna().tolist()) if column in frame else None,
        casts=lambda: (
            frame.dropna(subset="castaway_id")
            .groupby("version_season")["castaway_id"].agg(frozenset).to_dict()
        ),
    )  # fmt: skip


def test_every_real_version_of_upstream_passes_or_is_refused_by_name(
    survivor_snapshots: Path,
) -> None:
    """A version with 14 rows of boot_mapping is refused by its name, all others pass."""
    folders = sorted(path for path in survivor_snapshots.iterdir() if path.is_dir())
    for folder in folders:
        _, _, broken = folder.name.partition("-broken-")
        drift = real_drift(folder)
        blocking = {item.dataset for item in drift if item.severity == "blocking"}
        assert blocking == ({broken} if broken else set()), folder.name
        assert not {item.kind for item in drift} & {"new_dataset", "renamed_column"}
        if folder.name == "2026-06-12":
            assert drift == []


def test_the_real_history_of_upstream_is_told_as_it_was(survivor_snapshots: Path) -> None:
    """Each version after the one before it, and the newest after the oldest's."""
    datasets = ("castaways", "season_summary", "tribe_colours", "challenge_description")
    told = {}
    for before, after in (
        ("2025-08-19-broken-boot_mapping", "2025-11-06"),
        ("2025-11-06", "2026-02-11"),
        ("2026-06-12", "2026-02-11"),
    ):
        drift = real_drift(survivor_snapshots / after, survivor_snapshots / before, datasets)
        told[before] = [item for item in drift if item.dataset in datasets]
        if after > before:
            assert [item for item in told[before] if item.severity == "blocking"] == []
    assert {str(item) for item in told["2025-08-19-broken-boot_mapping"]} >= {
        "castaways: AW01 is now AU11: its castaways are the same",
        "season_summary: AW01 is now AU11: its castaways are the same",
        "tribe_colours: AW01 is now AU11: its castaways are the same",
        "castaways.ack_score: double in R in the published release, integer now; stays integer",
    }
    assert "castaways.place: double in R in the published release, integer now; stays integer" in (
        {str(item) for item in told["2025-11-06"]}
    )
    # turn_based became rounds on 2026-02-27: going back, the other way round.
    assert (
        "challenge_description.rounds: looks renamed to turn_based: 89% of its values are the same"
        in ({str(item) for item in told["2026-06-12"]})
    )
