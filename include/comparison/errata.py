"""What upstream corrected in seasons that were over, as lines of an errata list."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from include.comparison.models import CellChange, TableComparison
from include.comparison.wording import NAMED, both, change_in_words, count, counted_columns, text

# More lines than this of one table in one season are put into one.
LINES_PER_TABLE = 6

Told = tuple[str, CellChange]
"""A column and what changed in it."""


@dataclass(frozen=True)
class Erratum:
    """One line: which rows of which tables are concerned, and what changed in them."""

    labels: tuple[str, ...]
    """Some of the rows, or all of them."""
    said: str
    rows: int
    tables: tuple[str, ...]

    @property
    def people(self) -> tuple[str, ...]:
        """Whoever the rows are about, without the episodes and challenges."""
        return tuple(dict.fromkeys(label.split(", ", 1)[0] for label in self.labels))

    @property
    def who(self) -> str:
        """All the rows, if they are few and of different people; else the first, and how many."""
        if len(self.tables) > 1:
            return f"{', '.join(self.people)}, {count(self.rows, 'row')}"
        if self.rows > max(len(self.labels), 1) or (self.rows > 1 and len(self.people) == 1):
            return f"{self.labels[0]} and {count(self.rows - 1, 'more row')}"
        places = {label.partition(", ")[2] for label in self.labels}
        if len(places) == 1:
            return ", ".join(filter(None, [*self.people, *places]))
        return "; ".join(self.labels)

    def __str__(self) -> str:
        """Return it as Markdown."""
        start = f"{self.who}: " if self.labels else ""
        return f"{start}{self.said} ({', '.join(f'`{table}`' for table in self.tables)})"


def errata_by_season(
    tables: Iterable[TableComparison], unfinished: Collection[str], names: Mapping[str, str]
) -> dict[str | None, list[Erratum]]:
    """Return the lines of each season; those of None belong to no season."""
    found: dict[str | None, list[Erratum]] = defaultdict(list)
    for table in tables:
        for season, changes in _changes(table, unfinished).items():
            found[season] += _lines(table.table, changes, names)
        for season, said in _rows_in_words(table, unfinished):
            found[season].append(Erratum((), said, 0, (table.table,)))
    return {
        season: _merged(found[season])
        for season in sorted(found, key=lambda season: (season is None, season))
    }


def _changes(table: TableComparison, unfinished: Collection[str]) -> dict[str | None, list[Told]]:
    changes: dict[str | None, list[Told]] = defaultdict(list)
    for column in table.columns:
        for change in column.examples:
            if not column.systematic and change.season not in unfinished:
                changes[change.season].append((column.column, change))
    return changes


def _lines(table: str, changes: Sequence[Told], names: Mapping[str, str]) -> list[Erratum]:
    rows: dict[tuple[int, tuple[str, ...]], list[Told]] = defaultdict(list)
    for column, change in changes:
        labels = tuple(text(label) or "the season" for label in (change.label, *change.also))
        rows[change.cells, labels].append((column, change))
    if len(rows) <= LINES_PER_TABLE:
        return [
            Erratum(labels, _said(row, names), cells, (table,))
            for (cells, labels), row in rows.items()
        ]
    cells = Counter[str]()
    for column, change in changes:
        cells[column] += change.cells
    column, first = changes[0]
    said = (
        f"{count(cells.total(), 'cell')} changed: {counted_columns(cells)}; such as "
        f"{text(first.label) or 'the season'}: "
        f"{change_in_words(column, first.before, first.after, names)}"
    )
    return [Erratum((), said, 0, (table,))]


def _said(row: Sequence[Told], names: Mapping[str, str]) -> str:
    parts = [
        change_in_words(column, change.before, change.after, names)
        for column, change in row
        if change.before is not None
    ]
    given = [
        f"`{column}` {both(None, change.after, names)[1]}"
        for column, change in row
        if change.before is None
    ]
    if given:
        parts.append(f"now given: {', '.join(given)}")
    adopted = ", as we had repaired it" if any(change.was_repaired for _, change in row) else ""
    return "; ".join(parts) + adopted


def _merged(lines: Iterable[Erratum]) -> list[Erratum]:
    """Put together what several tables say of one person: a name is in a dozen of them."""
    merged: dict[tuple[tuple[str, ...], str, tuple[str, ...]], Erratum] = {}
    for line in lines:
        # What is about no row in particular stays as it is.
        key = (line.people, line.said, () if line.labels else line.tables)
        same = merged.get(key)
        if same:
            line = Erratum(same.labels, line.said, same.rows + line.rows, same.tables + line.tables)
        merged[key] = line
    return list(merged.values())


def _rows_in_words(
    table: TableComparison, unfinished: Collection[str]
) -> Iterator[tuple[str | None, str]]:
    """Rows that came and went in seasons that were over."""
    sides = [("new row", "", table.added), ("row", " gone", table.removed)]
    if any(rows.systematic for _, _, rows in sides):
        return
    seasons: set[str | None] = {
        season for _, _, rows in sides for season in rows.seasons if season not in unfinished
    }
    # New rows without a season are new people.
    if table.removed.rows and not table.removed.seasons:
        seasons.add(None)
    for season in sorted(seasons, key=str):
        parts = []
        for thing, gone, rows in sides:
            number = rows.seasons.get(season, 0) if season else rows.rows
            labels = [
                text(row.label) for row in rows.examples if row.season == season and row.label
            ]
            if number:
                named = "; ".join(dict.fromkeys(labels[:NAMED]))
                such = ", such as " if number > NAMED else ": "
                parts.append(count(number, thing) + gone + (such + named if labels else ""))
        yield season, ". ".join(parts)
