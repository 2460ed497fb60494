"""The difference between two releases as data: bounded in size, and kept as JSON."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from include.warehouse.releases import State
from include.warehouse.schemas import Layer, SourceKind

Cause = Literal["upstream", "definition", "both"]
SeasonStatus = Literal["new", "went_on", "gone", "same"]
SeedChangeKind = Literal["added", "removed", "changed"]


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
    status: SeasonStatus
    episodes_before: int
    episodes_after: int
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
    cause: Cause | None = None


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
    changes: int
    """How many different changes that are: a season, a value and what it became."""
    examples: list[CellChange]
    """All of `changes`, if they are no more than asked for; else some, from many seasons."""


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
    """What could not be compared, and why."""

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
        return not (
            self.schema_changed or self.rows_added or self.rows_removed or self.rows_changed
        )


class SeedChange(_Data):
    """A repair or a known exception that came, went or is another one now."""

    seed: str
    change: SeedChangeKind
    before: dict[str, str | None] | None
    after: dict[str, str | None] | None


class ReleaseComparison(_Data):
    """Everything that differs between two releases."""

    older: ReleaseFacts
    newer: ReleaseFacts
    tables: list[TableComparison]
    seasons: list[SeasonComparison] = []
    """Seasons of either release that are not the same."""
    seeds: list[SeedChange] = []
    names: dict[str, str] = {}
    """Name of every castaway whose id is a value in an example."""
    notes: list[str] = Field(default=[])
    """What the comparison cannot know, and why."""

    @property
    def is_equal(self) -> bool:
        """Whether nothing differs, as far as it could be compared."""
        return not self.seeds and all(table.is_equal for table in self.tables)
