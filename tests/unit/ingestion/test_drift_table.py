"""Every row of the table in docs/runbooks/upstream-changed.md happens, and ends as the table says.

Each change is made to a small survivoR that was published before, file by file, and goes through
everything that a load does before it writes: fetching, reading, the contract.
"""

from __future__ import annotations

import datetime
import re
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from include.ingestion.catalog import load_catalog
from include.ingestion.contract import Drift, Published, Shape, check_sizes
from include.ingestion.load import inspect
from include.ingestion.reader import RType, Table, UnreadableFile, read_table
from include.ingestion.sources import SourceRequest, fetch, resolve_source
from include.warehouse.schemas import SourceKind
from tests.conftest import PROJECT
from tests.survivor_files import SEASONS, minimal_dataset, write_columns, write_minimal_survivor

RUNBOOK = PROJECT / "docs" / "runbooks" / "upstream-changed.md"
SODA = PROJECT / "include" / "quality" / "soda" / "bronze"

Columns = dict[str, tuple[RType, list[Any]]]


class Survivor:
    """A folder of files whose first state was published."""

    kind: SourceKind = "directory"
    accept: tuple[str, ...] = ()

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.published = {path.stem: published(path) for path in folder.glob("*.rda")}

    def change(self, dataset: str, change: Callable[[Columns], Any]) -> None:
        """Rewrite one file."""
        columns = minimal_dataset(dataset)
        change(columns)
        write_columns(self.folder / f"{dataset}.rda", dataset, columns)

    def drift(self, into: Path) -> list[Drift]:
        request = SourceRequest(source="directory", directory=str(self.folder))
        source = resolve_source(request).model_copy(update={"kind": self.kind})
        catalog = load_catalog()
        fetched = fetch(
            source.model_copy(update={"kind": "directory"}), catalog.datasets, into, lambda _: None
        )
        drift: list[Drift] = []
        shapes = inspect(catalog, source, fetched, self.published, self.accept, drift, nowhere)
        return drift + check_sizes(catalog, shapes, self.published, self.accept)


def nowhere(table: Table, shape: Shape) -> None:
    pass


def published(path: Path) -> Published:
    """What a load would ask the warehouse about the dataset of a file."""
    table = read_table(path)
    frame, season = table.frame, load_catalog().datasets[path.stem].season_column
    return Published(
        rows=len(frame),
        seasons=frame[season].nunique() if season else None,
        r_types=table.r_types,
        values=lambda name: Counter(frame[name].dropna().tolist()) if name in frame else None,
        casts=lambda: frame.groupby("version_season")["castaway_id"].agg(frozenset).to_dict(),
    )


def replace(column: str, r_type: RType, values: list[Any]) -> Callable[[Columns], Any]:
    return lambda columns: columns.update({column: (r_type, values)})


def rename(old: str, new: str) -> Callable[[Columns], Any]:
    """Give a column another name, and place it last."""
    return lambda columns: columns.update({new: columns.pop(old)})


def retype(column: str, r_type: RType) -> Callable[[Columns], Any]:
    return lambda columns: columns.update({column: (r_type, columns[column][1])})


def keep_rows(count: int) -> Callable[[Columns], Any]:
    return lambda columns: columns.update(
        {name: (r_type, values[:count]) for name, (r_type, values) in columns.items()}
    )


def season_name(old: str, new: str) -> Callable[[Columns], Any]:
    return replace_text("version_season", old, new)


def replace_text(column: str, old: str, new: str) -> Callable[[Columns], Any]:
    return lambda columns: columns.update(
        {column: (columns[column][0], [new if v == old else v for v in columns[column][1]])}
    )


def new_dataset(survivor: Survivor) -> None:
    write_columns(survivor.folder / "podcasts.rda", "podcasts", {"x": ("double", [1.0])})


def retired_dataset(survivor: Survivor) -> None:
    write_columns(survivor.folder / "viewers.rda", "viewers", {"x": ("double", [1.0])})


def never_there(survivor: Survivor) -> None:
    survivor.kind = "snapshot"
    (survivor.folder / "tribe_colours.rda").unlink()
    survivor.change("season_summary", lambda columns: columns.pop("description"))


def taken_names(survivor: Survivor) -> None:
    for number, name in enumerate(["_Row_Number", "ctid", "Castaway"]):
        dataset = ["castaways", "episodes", "vote_history"][number]
        if dataset == "episodes":
            survivor.change(dataset, replace(name, "double", [1.0] * 9))
        else:
            survivor.change(dataset, replace(name, "character", ["x"] * 9))


def accepted_fall(survivor: Survivor) -> None:
    survivor.accept = ("journeys",)
    survivor.change("journeys", keep_rows(3))


def swapped_season(survivor: Survivor) -> None:
    """US02 is gone while US03 has come, with other castaways: the number of seasons holds."""

    def change(columns: Columns) -> None:
        season_name("US02", "US03")(columns)
        for number in (1, 2, 3):
            replace_text("castaway_id", f"US02{number:02}", f"US03{number:02}")(columns)

    survivor.change("castaways", change)


def renamed_season(survivor: Survivor) -> None:
    """AW01 became AU11 on 2025-08-23."""
    for dataset in load_catalog().datasets:
        if dataset != "castaway_details":
            survivor.change(dataset, season_name("AU01", "AU11"))


def another_dataset(survivor: Survivor) -> None:
    shutil.copy(survivor.folder / "journeys.rda", survivor.folder / "castaways.rda")


def damaged(survivor: Survivor) -> None:
    path = survivor.folder / "castaways.rda"
    path.write_bytes(path.read_bytes()[:-9])


def twice(survivor: Survivor) -> None:
    survivor.change(
        "castaways",
        lambda columns: columns.update({n: (kind, v * 2) for n, (kind, v) in columns.items()}),
    )
    for name, dataset in load_catalog().datasets.items():
        checks = (SODA / f"{name}.yml").read_text(encoding="utf-8").replace('"', "")
        unique = {
            frozenset(columns.split(", "))
            for columns in re.findall(r"duplicate_count\((.*)\) = 0", checks)
        }
        nullable = "having count(*) > 1" in checks
        assert not dataset.key or frozenset(dataset.key) in unique or nullable, name


def removed(dataset: str) -> Callable[[Survivor], None]:
    return lambda survivor: (survivor.folder / f"{dataset}.rda").unlink()


def changed(dataset: str, change: Callable[[Columns], Any]) -> Callable[[Survivor], None]:
    return lambda survivor: survivor.change(dataset, change)


WHOLE = [1.0, 2.0, 3.0] * 3
# The dataset and column that must be named, and what is done.
CASES: dict[str, tuple[str, Callable[[Survivor], None]]] = {
    "a new dataset": ("podcasts", new_dataset),
    "a dataset that the catalogue calls retired": ("viewers", retired_dataset),
    "a dataset with `required: false` is missing": (
        "advantage_timeline", removed("advantage_timeline")),
    "any other dataset is missing": ("boot_order", removed("boot_order")),
    "a dataset or column that the source never has": ("tribe_colours", never_there),
    "a new column": (
        "castaways.mood", changed("castaways", replace("mood", "character", ["happy"] * 9))),
    "a new column whose name is taken, or differs from another's in case only": (
        "vote_history.Castaway", taken_names),
    "an `optional` column is missing": (
        "challenge_description.maze",
        changed("challenge_description", lambda columns: columns.pop("maze"))),
    "any other column is missing": (
        "vote_history.vote_id", changed("vote_history", lambda columns: columns.pop("vote_id"))),
    "an `optional` column goes by another name": (
        "challenge_description.rounds",
        changed("challenge_description", rename("rounds", "turn_based"))),
    "any other column goes by another name": (
        "castaways.place", changed("castaways", rename("place", "result_number"))),
    "whole numbers come as doubles or as integers, in turn": (
        "castaways.place", changed("castaways", retype("place", "integer"))),
    "text comes as a factor or as text, in turn": (
        "castaways.version", changed("castaways", retype("version", "factor"))),
    "an integer column holds fractions, or numbers too large": (
        "castaways.age", changed("castaways", replace("age", "double", [30.5, 3e9, None] * 3))),
    "numbers come as text": (
        "castaways.age", changed("castaways", replace("age", "character", ["35 years"] * 9))),
    "dates come as text": (
        "episodes.episode_date",
        changed("episodes", replace("episode_date", "character", ["2026-01-01"] * 9))),
    "truth values come as numbers": (
        "castaways.winner", changed("castaways", replace("winner", "double", [1.0, 0.0, 0.0] * 3))),
    "text comes as numbers": (
        "castaways.city", changed("castaways", replace("city", "double", WHOLE))),
    "an `optional` column lost all its values": (
        "confessionals.index_time",
        changed("confessionals", replace("index_time", "logical", [None] * 9))),
    "any other column lost all its values": (
        "castaways.winner", changed("castaways", replace("winner", "logical", [None] * 9))),
    "rows fell beyond `max_row_fall`": (
        "vote_history", changed("vote_history", keep_rows(8))),
    "rows or seasons fell, and the run accepts it": ("journeys", accepted_fall),
    "a dataset is empty": ("journeys", changed("journeys", keep_rows(0))),
    "a dataset covers too few of the seasons, even in a first load": (
        "boot_mapping", changed("boot_mapping", keep_rows(3))),
    "a season vanished, though another one came": ("castaways", swapped_season),
    "a season goes by another name, with the same castaways": ("season_summary", renamed_season),
    "a file holds another dataset than its name says": ("castaways.rda", another_dataset),
    "a file is damaged, or made to do harm": ("castaways.rda", damaged),
    "every row is there twice": ("", twice),
}  # fmt: skip


def rows_of_the_table() -> dict[str, tuple[set[str], bool]]:
    """Change, kinds that are recorded, and whether the run stops."""
    rows = {}
    if not RUNBOOK.exists():
        pytest.skip("reads a checkout; this is none")
    for line in RUNBOOK.read_text(encoding="utf-8").splitlines():
        if line.startswith("| ") and not line.startswith("| change "):
            change, kinds, run, to_do = line.strip("| ").replace("| |", "|  |").split(" | ")
            assert run.startswith(("goes on", "stops")) and to_do
            rows[change] = (set(re.findall(r"`(\w+)`", kinds)), run.startswith("stops"))
    return rows


@pytest.fixture(scope="module")
def untouched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_minimal_survivor(tmp_path_factory.mktemp("table") / "survivor")


@pytest.fixture
def survivor(untouched: Path, tmp_path: Path) -> Survivor:
    shutil.copytree(untouched, tmp_path / "survivor")
    return Survivor(tmp_path / "survivor")


@pytest.fixture
def into(tmp_path: Path) -> Path:
    (tmp_path / "into").mkdir()
    return tmp_path / "into"


def test_the_table_and_the_cases_are_the_same() -> None:
    assert list(rows_of_the_table()) == list(CASES)


def test_a_survivor_that_did_not_change_has_no_drift(survivor: Survivor, into: Path) -> None:
    assert survivor.drift(into) == []


@pytest.mark.parametrize("change", CASES)
def test_a_change_ends_as_the_runbook_says(survivor: Survivor, into: Path, change: str) -> None:
    kinds, stops = rows_of_the_table()[change]
    named, make = CASES[change]
    make(survivor)
    if stops and not kinds:
        with pytest.raises(UnreadableFile, match=re.escape(named)):
            survivor.drift(into)
        return
    drift = survivor.drift(into)
    blocking = [finding for finding in drift if finding.severity == "blocking"]
    assert bool(blocking) == stops
    concerned = [finding for finding in (blocking or drift) if str(finding).startswith(named)]
    assert {finding.kind for finding in drift} == kinds
    assert concerned or not kinds


def test_a_rename_names_the_evidence(survivor: Survivor, into: Path) -> None:
    survivor.change("castaways", rename("place", "result_number"))
    (found,) = [item for item in survivor.drift(into) if item.kind == "renamed_column"]
    assert str(found) == (
        "castaways.place: looks renamed to result_number: 100% of its values are the same"
    )


def test_two_flags_that_are_mostly_false_are_no_rename(survivor: Survivor, into: Path) -> None:
    """`maze` went and another flag came: both false nearly everywhere, true in other rows."""
    flags = [True, False, False, False, False, False, None, None, False]
    survivor.change("challenge_description", replace("maze", "logical", flags))
    survivor.published["challenge_description"] = published(
        survivor.folder / "challenge_description.rda"
    )
    other = [True, True, True, True, False, False, False, False, False]

    def change(columns: Columns) -> None:
        del columns["maze"]
        columns["sand"] = ("logical", other)

    survivor.change("challenge_description", change)
    assert {item.kind for item in survivor.drift(into)} == {"missing_column", "new_column"}


def test_a_first_load_knows_a_renamed_column_by_its_place(survivor: Survivor, into: Path) -> None:
    survivor.published = {}

    def change(columns: Columns) -> None:
        renamed = {"result_number" if n == "place" else n: c for n, c in columns.items()}
        columns.clear()
        columns.update(renamed)

    survivor.change("castaways", change)
    (found,) = [item for item in survivor.drift(into) if item.kind == "renamed_column"]
    assert (found.column_name, found.severity) == ("place", "blocking")
    assert "looks renamed to result_number: same type and same place" in found.detail


def test_a_season_of_numbers_in_one_file_is_named_and_no_crash(
    survivor: Survivor, into: Path
) -> None:
    """Seasons of two types could not be sorted, and the message was a TypeError."""
    for dataset in ("castaways", "boot_mapping"):
        survivor.change(dataset, replace("version_season", "double", WHOLE))
    named = {item.dataset for item in survivor.drift(into) if item.kind == "retyped_column"}
    assert named == {"castaways", "boot_mapping"}


def test_names_of_seasons_cannot_fill_or_break_a_message(survivor: Survivor, into: Path) -> None:
    hostile = ["US\n01 ERROR: all is lost" * 1000 + str(number) for number in range(9)]
    survivor.change("castaways", replace("version_season", "character", hostile))
    for finding in survivor.drift(into):
        assert str(finding).isprintable() and len(str(finding)) < 500


def test_a_date_in_a_text_column_is_shown_shortly(survivor: Survivor, into: Path) -> None:
    days = [datetime.date(2026, 1, 1)] * 9
    survivor.change("castaways", replace("city", "Date", days))
    (found,) = survivor.drift(into)
    assert "text expected, Date found, such as datetime.date(2026, 1, 1)" in found.detail


@pytest.mark.parametrize(
    ("dataset", "rows"), [("boot_mapping", 3), ("episodes", 1), ("castaway_scores", 3)]
)
@pytest.mark.parametrize("first", [True, False])
def test_what_upstream_once_published_broken_is_refused_by_the_first_and_by_later_loads(
    survivor: Survivor, into: Path, dataset: str, rows: int, first: bool
) -> None:
    """14 rows of boot_mapping for three hours, 13 of episodes for eleven minutes, 18 of scores for a month."""  # noqa: E501
    if first:
        survivor.published = {}
    survivor.change(dataset, keep_rows(rows))
    refused = {item.dataset for item in survivor.drift(into) if item.severity == "blocking"}
    assert refused == {dataset}


assert SEASONS[2] == "AU01"  # which renamed_season renames
