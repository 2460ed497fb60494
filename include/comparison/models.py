"""The difference between two releases as data: bounded in size, and kept as JSON."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict

from include.warehouse.releases import State
from include.warehouse.schemas import Layer, SourceKind

Cause = Literal["upstream", "definition", "both"]
SeasonStatus = Literal["new", "went_on", "gone", "renamed"]


class _Data(BaseModel):
    model_config = ConfigDict(frozen=True)


class ReleaseFacts(_Data):
    """What a reader wants to know of one of the two releases."""

    release_id: int
    state: State
    source_kind: SourceKind
    source_version: str
    source_commit: str | None
    source_note: str | None
    code_fingerprint: str
    target_layer: Layer
    is_replay: bool
    opened_at: datetime
    published_at: datetime | None
    pruned_at: datetime | None


class SeasonComparison(_Data):
    """What became of one season between the two."""

    season: str
    name: str | None
    status: SeasonStatus
    episodes_before: int | None
    """The newest episode with votes."""
    episodes_after: int | None
    castaways: int
    winner: str | None
    renamed_from: str | None = None


class RowExample(_Data):
    """One row that only one of the two has."""

    season: str | None
    label: str
    """For people: "Joe, episode 3"."""
    key: dict[str, str | None]


class RowChanges(_Data):
    """Rows that only one of the two has."""

    rows: int = 0
    seasons: dict[str, int] = {}
    """Rows per season."""
    systematic: bool = False
    """In too many seasons for a mistake here and there."""
    examples: list[RowExample] = []


class CellChange(_Data):
    """A value that became another one; equal changes within a season and column are told once."""

    season: str | None
    label: str
    """For people: "Joe, episode 3"."""
    key: dict[str, str | None]
    before: str | None
    after: str | None
    cells: int = 1
    """How many cells of the season changed alike."""
    also: list[str] = []
    """Labels of a few more of these."""
    cause: Cause | None = None
    was_repaired: bool = False
    """Upstream says now what we had been saying instead of it."""


class ColumnComparison(_Data):
    """Changed cells of one column."""

    column: str
    cells: int
    filled: int
    """Of these, cells that held nothing."""
    emptied: int
    """Of these, cells that hold nothing now."""
    seasons: dict[str, int]
    """Changed cells per season, where the table has seasons."""
    filled_by_season: dict[str, int] = {}
    systematic: bool
    """Too many seasons, or too many different changes, for a mistake here and there."""
    examples: list[CellChange]
    """All changes of seasons that were over, if they are not systematic; else some of many."""


class RetypedColumn(_Data):
    """A column whose type is another one."""

    column: str
    before: str
    after: str


class TableComparison(_Data):
    """What differs in one table."""

    layer: Layer
    table: str
    key: list[str]
    """The columns by which rows were matched; empty where a row is all of its values."""
    rows_before: int | None
    """None: the older release has no such table."""
    rows_after: int | None
    added: RowChanges = RowChanges()
    removed: RowChanges = RowChanges()
    rows_changed: int = 0
    columns_added: dict[str, str] = {}
    """Type by name."""
    columns_removed: dict[str, str] = {}
    columns_retyped: list[RetypedColumn] = []
    columns: list[ColumnComparison] = []
    """Those with changed cells."""
    cause: Cause | None = None
    """None: nothing changed, or it is not known."""
    causes_by_season: dict[str, Cause] = {}
    """Where the cause is "both" and seasons differ in it."""
    definitions_changed: list[str] = []
    """The models and seeds behind the table that are others now."""
    note: str | None = None
    """What could not be compared, and why; or what else is to be known."""

    @property
    def rows_added(self) -> int:
        """Rows that only the newer release has."""
        return self.added.rows

    @property
    def rows_removed(self) -> int:
        """Rows that only the older release has."""
        return self.removed.rows

    @property
    def cells_changed(self) -> int:
        """Changed cells of all columns."""
        return sum(column.cells for column in self.columns)

    @property
    def schema_changed(self) -> bool:
        """Whether the table, or a column of it, came, went or has another type."""
        return bool(
            self.columns_added
            or self.columns_removed
            or self.columns_retyped
            or self.rows_before is None
            or self.rows_after is None
        )

    @property
    def is_equal(self) -> bool:
        """Whether nothing differs, as far as it could be compared."""
        return (
            self.cause is None
            and self.rows_before == self.rows_after
            and not (
                self.schema_changed or self.rows_added or self.rows_removed or self.rows_changed
            )
        )


class SeedChange(_Data):
    """A row of a seed that came, went or is another one now."""

    key: dict[str, str | None]
    before: dict[str, str | None] | None
    after: dict[str, str | None] | None


class SeedComparison(_Data):
    """What we changed in a list of ours: the repairs, the known exceptions."""

    seed: str
    added: int
    removed: int
    changed: int
    examples: list[SeedChange]


class ReleaseComparison(_Data):
    """Everything that differs between two releases."""

    older: ReleaseFacts
    newer: ReleaseFacts
    compared: Literal["cells", "files"] = "cells"
    """Files: tables are gone, so that rows and columns of what was loaded are all there is."""
    tables: list[TableComparison]
    seasons: list[SeasonComparison] = []
    """Those that only one of the two has, or that were not over in the older one."""
    seeds: list[SeedComparison] = []
    """Those of ours that are not the same."""
    names: dict[str, str] = {}
    """Name of every castaway whose id is a value in an example."""
    notes: list[str] = []
    """What the comparison cannot know, and why."""

    @property
    def is_equal(self) -> bool:
        """Whether nothing differs, as far as it could be compared."""
        return not self.seeds and all(table.is_equal for table in self.tables)
