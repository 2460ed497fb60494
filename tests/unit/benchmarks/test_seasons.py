"""Copies of seasons: as many rows each, keys of their own, as many partners in every join."""

from __future__ import annotations

import csv
from pathlib import Path

import pandas as pd
import pytest

from benchmarks.seasons import (
    CODES,
    NAMES,
    SEASONS_PER_COPY,
    rekeyed_codes,
    write_project,
    write_seasons,
)
from include.ingestion.catalog import load_catalog
from include.ingestion.reader import Table, read_table
from tests.survivor_files import SEASONS, write_minimal_survivor

COPIES = 3


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_minimal_survivor(tmp_path_factory.mktemp("source") / "seasons")


@pytest.fixture(scope="module")
def copies(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("copies") / "seasons"
    rows = write_seasons(source, folder, COPIES)
    assert rows == sum(len(_read(folder, name).frame) for name in load_catalog().datasets)
    return folder


def _read(folder: Path, dataset: str) -> Table:
    return read_table(folder / f"{dataset}.rda")


def _values(table: Table) -> pd.DataFrame:
    """What it holds, in whatever form it is kept."""
    return table.frame.astype(object).where(table.frame.notna(), None)


@pytest.mark.parametrize("name", load_catalog().datasets)
def test_each_copy_has_all_rows_and_the_first_is_the_real_one(
    source: Path, copies: Path, name: str
) -> None:
    real, grown = _read(source, name), _read(copies, name)
    rows = len(real.frame)
    assert len(grown.frame) == COPIES * rows
    assert grown.r_types == real.r_types
    pd.testing.assert_frame_equal(_values(grown).iloc[:rows], _values(real))
    kept = [column for column in real.frame if column not in {*CODES, *NAMES, "season"}]
    for copy in range(1, COPIES):
        part = _values(grown).iloc[copy * rows : (copy + 1) * rows].reset_index(drop=True)
        pd.testing.assert_frame_equal(part[kept], _values(real)[kept])


@pytest.mark.parametrize("name", load_catalog().datasets)
def test_keys_stay_unique(copies: Path, name: str) -> None:
    dataset = load_catalog().datasets[name]
    frame = _read(copies, name).frame
    if dataset.key:
        assert not frame.duplicated(dataset.key).any()
    if "version_season" in frame:
        assert frame["version_season"].nunique() == COPIES * len(SEASONS)
        numbers = frame["version_season"].astype(object).str[2:].astype(int)
        assert (numbers == frame["season"].astype(int)).all()


def test_a_join_finds_as_many_rows_in_a_copy(source: Path, copies: Path) -> None:
    def joined(folder: Path) -> int:
        key = ["version_season", "castaway_id"]
        castaways = _values(_read(folder, "castaways"))
        details = _values(_read(folder, "castaway_details"))
        people = castaways.merge(details, on="castaway_id")
        return len(people.merge(_values(_read(folder, "vote_history")), on=key))

    assert joined(copies) == COPIES * joined(source) > 0


def test_every_castaway_of_a_list_is_another_one_and_nothing_else_changes() -> None:
    assert rekeyed_codes("US0701, US0698", 7) == "US70701, US70698"
    assert rekeyed_codes("advantage_movement.castaway|SA05|SACaptain01", 12) == (
        "advantage_movement.castaway|SA1205|SA12Captain01"
    )
    assert rekeyed_codes("US47", 1) == f"US{47 + SEASONS_PER_COPY}"
    assert rekeyed_codes("A brand new Volvo XC60", 7) == "A brand new Volvo XC760"
    assert rekeyed_codes("US47", 0) == "US47"


def test_seeds_grow_along(tmp_path: Path) -> None:
    write_project(tmp_path / "one", 1)
    write_project(tmp_path / "three", COPIES)
    for seed, grows in {
        "upstream_repairs": True,
        "known_exceptions": True,
        "row_count_ledger": True,
        "advantage_categories": False,
    }.items():
        one, three = (_rows(tmp_path / folder, seed) for folder in ("one", "three"))
        assert len(three) == (COPIES if grows else 1) * len(one)
        assert three[: len(one)] == one
        assert len(set(map(tuple, three))) == len(three)


def _rows(project: Path, seed: str) -> list[list[str]]:
    with (project / "seeds" / "silver" / f"{seed}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))[1:]
