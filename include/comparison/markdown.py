"""A comparison for people, as CHANGES.md: an errata list by season, and what follows from it."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime

from include.comparison.models import (
    CellChange,
    ColumnComparison,
    ReleaseComparison,
    ReleaseFacts,
    SeasonComparison,
    SeedChange,
    TableComparison,
)

# More lines than this of one table in one season are put into one.
LINES_PER_TABLE = 6
NAMED = 5
"""Columns, rows or examples in such a line."""
LONG_TEXT = 60

NUMBER = re.compile(r"-?\d+\.\d{4,}(e-?\d+)?")
MARKUP = re.compile(r"([\\`*<>|\[\]]|\b_|_\b)")

CAUSES = {
    "upstream": "upstream",
    "definition": "our definition",
    "both": "upstream and our definition",
    None: "not known",
}


def as_markdown(comparison: ReleaseComparison) -> str:
    """Write a comparison for people, as Markdown."""
    return "\n".join(_lines(comparison)).rstrip() + "\n"


def in_short(comparison: ReleaseComparison) -> str:
    """Say in one sentence how much differs."""
    if comparison.is_equal:
        return "Nothing differs." if comparison.tables else "There is nothing to tell."
    tables = [table for table in comparison.tables if not table.is_equal]
    if comparison.compared == "files":
        return f"{len(tables)} of {_count(len(comparison.tables), 'file')} of bronze differ."
    added, removed = (
        sum(getattr(t, name) for t in tables) for name in ("rows_added", "rows_removed")
    )
    cells = sum(table.cells_changed for table in tables)
    return (
        f"{len(tables)} of {_count(len(comparison.tables), 'table')} differ: "
        f"{_count(added, 'row')} came, {removed:,} went, {_count(cells, 'cell')} changed."
    )


def _lines(comparison: ReleaseComparison) -> Iterator[str]:
    older, newer = comparison.older, comparison.newer
    yield f"# What changed from release {older.release_id} to release {newer.release_id}"
    yield ""
    for word, release in (("Before", older), ("After", newer)):
        yield f"- {word}: {release_in_words(release)}"
    yield ""
    yield in_short(comparison)
    for note in comparison.notes:
        yield ""
        yield f"> {_text(note)}"
    writer = _Writer(comparison)
    for title, lines in (
        ("Seasons", writer.seasons()),
        ("Tables and columns", writer.schema()),
        ("Errata", writer.errata()),
        ("Recomputed", writer.recomputed()),
        ("Bronze by its files", writer.files()),
        ("Our corrections", writer.corrections()),
        ("Silver and gold", writer.models()),
    ):
        found = list(lines)
        if found:
            yield ""
            yield f"## {title}"
            yield ""
            yield from found


def release_in_words(release: ReleaseFacts) -> str:
    """Describe a release in half a line."""
    commit = f", commit {release.source_commit[:12]}" if release.source_commit else ""
    kind = "replay, " if release.is_replay else ""
    return (
        f"release {release.release_id} ({kind}{release.state}), survivoR from "
        f"{release.source_kind} {_text(release.source_version[:40])}{commit}, "
        f"built {_day(release.opened_at)}"
    )


class _Writer:
    def __init__(self, comparison: ReleaseComparison) -> None:
        self.comparison = comparison
        self.changed = [table for table in comparison.tables if not table.is_equal]
        self.bronze = [table for table in self.changed if table.layer == "bronze"]
        self.unfinished = {
            season.season for season in comparison.seasons if season.status in ("new", "went_on")
        }
        self.titles = {season.season: season.name for season in comparison.seasons}

    def seasons(self) -> Iterator[str]:
        """What is new, and what became of seasons that were not over."""
        for season in self.comparison.seasons:
            added, removed, cells, filled = self._size_of(season.season)
            if not (added or removed or cells) and season.status == "went_on":
                continue
            yield f"- **{season.season}** {_season_in_words(season)}" + (
                f" {_count(added, 'new row')}"
                + (f", {removed:,} gone" if removed else "")
                + (f", {filled:,} cells filled in" if filled else "")
                + (f", {cells - filled:,} changed" if cells > filled else "")
                + "."
                if added or removed or cells
                else ""
            )
        for table in self.bronze:
            rows = table.added
            if rows.rows and not rows.seasons:
                named = ", ".join(_text(row.label) for row in rows.examples[:NAMED] if row.label)
                such = f", such as {named}" if named else ""
                yield f"- `{table.table}` has {_count(rows.rows, 'new row')}{such}."

    def schema(self) -> Iterator[str]:
        """Tables and columns that came, went or have another type."""
        for table in self.changed:
            name = f"`{table.layer}.{table.table}`"
            if table.rows_before is None:
                yield f"- {name} is new: {_count(table.rows_after or 0, 'row')}."
                continue
            if table.rows_after is None:
                yield f"- {name} is gone: {_count(table.rows_before, 'row')}."
                continue
            for words, columns in (
                ("has new columns", table.columns_added),
                ("has no longer", table.columns_removed),
            ):
                if columns:
                    yield f"- {name} {words}: {', '.join(f'`{column}`' for column in columns)}."
            for column in table.columns_retyped:
                yield f"- {name}: `{column.column}` is {column.after}, was {column.before}."

    def errata(self) -> Iterator[str]:
        """Bronze's changes of seasons that were over, one by one."""
        found: dict[str | None, list[str]] = defaultdict(list)
        for table in self.bronze:
            for season, lines in self._errata_of(table).items():
                found[season] += lines
        for season in sorted(found, key=lambda season: (season is None, season)):
            yield f"### {season or 'People'}"
            yield ""
            yield from (f"- {line}" for line in found[season])
            yield ""

    def _errata_of(self, table: TableComparison) -> dict[str | None, list[str]]:
        told: dict[str | None, list[CellChange]] = defaultdict(list)
        columns: dict[int, str] = {}
        for column in table.columns:
            if column.systematic:
                continue
            for change in column.examples:
                if change.season not in self.unfinished:
                    told[change.season].append(change)
                    columns[id(change)] = column.column
        result: dict[str | None, list[str]] = defaultdict(list)
        for season, changes in told.items():
            lines = _by_row(changes)
            source = f" (`{table.table}`)"
            if len(lines) <= LINES_PER_TABLE:
                result[season] += [self._row_line(row, columns) + source for row in lines]
            else:
                result[season].append(self._many_lines(changes, columns) + source)
        for season, line in self._rows_of(table):
            result[season].append(line + f" (`{table.table}`)")
        return result

    def _row_line(self, changes: Sequence[CellChange], columns: Mapping[int, str]) -> str:
        first = changes[0]
        corrected = [
            self._said(columns[id(change)], change)
            for change in changes
            if change.before is not None
        ]
        given = [
            f"`{columns[id(change)]}` {_both(None, change.after, self.comparison.names)[1]}"
            for change in changes
            if change.before is None
        ]
        said = "; ".join([*corrected, *([f"now given: {', '.join(given)}"] if given else [])])
        who = _text(first.label) or "the season"
        if first.cells > 1:
            who = f"{who} and {_count(first.cells - 1, 'more row')}"
        adopted = ", as we had repaired it" if any(one.was_repaired for one in changes) else ""
        return f"{who}: {said}{adopted}"

    def _many_lines(self, changes: Sequence[CellChange], columns: Mapping[int, str]) -> str:
        cells = Counter[str]()
        for change in changes:
            cells[columns[id(change)]] += change.cells
        first = changes[0]
        return (
            f"{_count(cells.total(), 'cell')} changed: {_columns(cells)}; such as "
            f"{_text(first.label) or 'the season'}: {self._said(columns[id(first)], first)}"
        )

    def _rows_of(self, table: TableComparison) -> Iterator[tuple[str | None, str]]:
        """Rows that came and went in seasons that were over."""
        sides = [("new row", "", table.added), ("row", " gone", table.removed)]
        if any(rows.systematic for _, _, rows in sides):
            return
        seasons: set[str | None] = {
            season
            for _, _, rows in sides
            for season in rows.seasons
            if season not in self.unfinished
        }
        # New rows without a season are new people.
        if table.removed.rows and not table.removed.seasons:
            seasons.add(None)
        for season in sorted(seasons, key=str):
            parts = []
            for thing, gone, rows in sides:
                count = rows.seasons.get(season, 0) if season else rows.rows
                labels = [
                    _text(row.label) for row in rows.examples if row.season == season and row.label
                ]
                if count:
                    named = "; ".join(dict.fromkeys(labels[:NAMED]))
                    such = ", such as " if count > NAMED else ": "
                    parts.append(_count(count, thing) + gone + (such + named if labels else ""))
            yield season, ". ".join(parts)

    def recomputed(self) -> Iterator[str]:
        """Columns and tables that changed in too many places for single mistakes."""
        for table in self.bronze:
            columns = [column for column in table.columns if column.systematic]
            if columns:
                cells = Counter({column.column: column.cells for column in columns})
                seasons = {season for column in columns for season in column.seasons}
                examples = "; ".join(
                    f"{_where(change)}: {self._said(column.column, change)}"
                    for column in columns[:2]
                    for change in _chosen(column, self.unfinished)
                )
                yield (
                    f"- `{table.table}`: {_count(cells.total(), 'cell')}"
                    + (f" in {_count(len(seasons), 'season')}" if seasons else "")
                    + f": {_columns(cells)}. For example, {examples}."
                )
            if table.added.systematic or table.removed.systematic:
                old = [
                    sum(n for season, n in rows.seasons.items() if season not in self.unfinished)
                    for rows in (table.added, table.removed)
                ]
                seasons = {*table.added.seasons, *table.removed.seasons} - self.unfinished
                yield (
                    f"- `{table.table}`: {_count(old[0], 'row')} came and {old[1]:,} went in "
                    f"{_count(len(seasons), 'season')} that had been over: "
                    f"{', '.join(sorted(seasons)[:12])}{', …' if len(seasons) > 12 else ''}."
                )

    def files(self) -> Iterator[str]:
        """What is known of releases whose tables are gone."""
        noted = [table for table in self.comparison.tables if table.note]
        if not noted:
            return
        yield "| dataset | rows before | rows after | |"
        yield "|---|---:|---:|---|"
        for table in noted:
            before, after = (
                "none" if rows is None else f"{rows:,}"
                for rows in (table.rows_before, table.rows_after)
            )
            yield f"| `{table.table}` | {before} | {after} | {_text(table.note or '')} |"

    def corrections(self) -> Iterator[str]:
        """Our repairs and known exceptions that came, went or are others now."""
        for seed in self.comparison.seeds:
            counts = ", ".join(
                f"{number:,} {word}"
                for number, word in (
                    (seed.added, "new"), (seed.removed, "gone"), (seed.changed, "changed"),
                )
                if number
            )  # fmt: skip
            yield f"- `{seed.seed}`: {counts}."
            for change in seed.examples:
                yield f"  - {_seed_line(seed.seed, change)}"
            left = seed.added + seed.removed + seed.changed - len(seed.examples)
            if left > 0:
                yield f"  - and {left:,} more"

    def models(self) -> Iterator[str]:
        """What differs in the tables that we make, and whose change it is."""
        tables = [table for table in self.changed if table.layer != "bronze"]
        if not tables:
            return
        yield "| table | rows new | gone | changed | cells | whose change | most of all |"
        yield "|---|---:|---:|---:|---:|---|---|"
        for table in tables:
            cells = Counter({column.column: column.cells for column in table.columns})
            yield (
                f"| `{table.layer}.{table.table}` | {table.rows_added:,} | {table.rows_removed:,} "
                f"| {table.rows_changed:,} | {cells.total():,} | {CAUSES[table.cause]} "
                f"| {_columns(cells, 3)} |"
            )
        ours = [table for table in tables if table.cause in ("definition", "both")]
        if not ours:
            return
        yield ""
        yield "What we define otherwise:"
        yield ""
        for table in ours:
            yield f"- {self._definition_line(table)}"

    def _definition_line(self, table: TableComparison) -> str:
        line = f"`{table.layer}.{table.table}`"
        if table.definitions_changed:
            names = [f"`{name}`" for name in table.definitions_changed]
            line += f", by {', '.join(names)}"
        alone = [s for s, cause in table.causes_by_season.items() if cause == "definition"]
        if alone:
            line += (
                f". In {_count(len(alone), 'season')} nothing of upstream's changed, so that it is "
                f"ours alone: {', '.join(sorted(alone)[:12])}{', …' if len(alone) > 12 else ''}"
            )
        examples = [
            f"{_where(change)}: {self._said(column.column, change)}"
            for column in table.columns
            for change in column.examples[:1]
            if change.cause == "definition"
        ][:3]
        if examples:
            line += f". For example, {'; '.join(examples)}"
        return line + "."

    def _size_of(self, season: str) -> tuple[int, int, int, int]:
        added = removed = cells = filled = 0
        for table in self.bronze:
            added += table.added.seasons.get(season, 0)
            removed += table.removed.seasons.get(season, 0)
            for column in table.columns:
                cells += column.seasons.get(season, 0)
                filled += column.filled_by_season.get(season, 0)
        return added, removed, cells, filled

    def _said(self, column: str, change: CellChange) -> str:
        before, after = _both(change.before, change.after, self.comparison.names)
        if column in PHRASES and before is not None and after is not None:
            return PHRASES[column](before, after)
        if before is None:
            return f"`{column}` is now given: {after}"
        if after is None:
            return f"`{column}` is empty now, was {before}"
        return f"`{column}` is {after}, not {before}"


def _ordinal(number: str) -> str:
    if not number.isdigit():
        return number
    ending = {1: "st", 2: "nd", 3: "rd"}.get(int(number[-1]), "th")
    return number + ("th" if number[-2:-1] == "1" else ending)


PHRASES: dict[str, Callable[[str, str], str]] = {
    "place": lambda before, after: f"placed {_ordinal(after)}, not {_ordinal(before)}",
    "castaway": lambda before, after: f"is called {after}, not {before}",
    "full_name": lambda before, after: f"is named {after}, not {before}",
    "date_of_birth": lambda before, after: f"was born on {after}, not {before}",
    "date_of_death": lambda before, after: f"died on {after}, not {before}",
    "city": lambda before, after: f"is from {after}, not {before}",
    "result": lambda before, after: f"{after}, not {before}",
}


def _by_row(changes: Iterable[CellChange]) -> list[list[CellChange]]:
    rows: dict[tuple[str, int], list[CellChange]] = defaultdict(list)
    for change in changes:
        rows[change.label, change.cells].append(change)
    return list(rows.values())


def _chosen(column: ColumnComparison, unfinished: Collection[str]) -> list[CellChange]:
    """One example, from the middle, of a season that was over."""
    old = [change for change in column.examples if change.season not in unfinished]
    return old[len(old) // 2 :][:1]


def _where(change: CellChange) -> str:
    return " ".join(filter(None, [change.season, _text(change.label)])) or "a row"


def _season_in_words(season: SeasonComparison) -> str:
    name = f"({_text(season.name)}) " if season.name else ""
    winner = f"; {_text(season.winner)} won" if season.winner else ""
    before, after = season.episodes_before, season.episodes_after
    if season.status == "renamed":
        return f"{name}was called {season.renamed_from}."
    if season.status == "gone":
        return f"{name}is gone."
    episodes = f"{after} episodes" if after else "no episode yet"
    if season.status == "new":
        return f"{name}is new: {season.castaways} castaways, {episodes}{winner}."
    if after is None:
        return f"{name}has no episode yet."
    if before == after:
        return f"{name}is at the same episode{winner}."
    if before is None:
        return f"{name}began: {episodes}{winner}."
    return f"{name}went on from episode {before} to {after}{winner}."


def _seed_line(seed: str, change: SeedChange) -> str:
    key = ", ".join(_text(value) for value in change.key.values() if value)
    row = change.after or change.before or {}
    word = "new" if change.before is None else "gone" if change.after is None else "changed"
    if seed == "upstream_repairs":
        ours, theirs = row.get("our_value"), row.get("upstream_value")
        said = f"{_value(ours)} instead of {_value(theirs)}"
    else:
        said = ""
    reason = _text(row.get("reason") or "")
    return f"{word}: {key}" + "".join(f": {part}" for part in (said, reason) if part)


def _value(value: str | None) -> str:
    return "nothing" if value is None else _text(value)


def _columns(cells: Mapping[str, int], named: int = NAMED) -> str:
    most = sorted(cells.items(), key=lambda item: -item[1])
    said = ", ".join(f"`{column}` ({count:,})" for column, count in most[:named])
    left = len(most) - named
    return said + (f" and {_count(left, 'other column')}" if left > 0 else "")


def _count(number: int, thing: str) -> str:
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def _day(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d}"


def _both(
    before: str | None, after: str | None, names: Mapping[str, str]
) -> tuple[str | None, str | None]:
    """Shorten two values so that the difference stays to be seen."""
    if before is None or after is None:
        said = [
            None if value is None else _short(names.get(value, value)) for value in (before, after)
        ]
        return said[0], said[1]
    before, after = names.get(before, before), names.get(after, after)
    if NUMBER.fullmatch(before) or NUMBER.fullmatch(after):
        for digits in range(4, 17):
            shorter = [_number(value, digits) for value in (before, after)]
            if shorter[0] != shorter[1]:
                return shorter[0], shorter[1]
    if max(len(before), len(after)) > LONG_TEXT:
        before, after = _around(before, after), _around(after, before)
        return f"“{_text(before)}”", f"“{_text(after)}”"
    return _short(before), _short(after)


def _number(value: str, digits: int) -> str:
    try:
        if not NUMBER.fullmatch(value):
            return value
        shorter = f"{float(value):.{digits}g}"
        return f"{float(value):.0f}" if "e+" in shorter else shorter
    except ValueError:
        return value


def _around(value: str, other: str) -> str:
    """Cut a long text to where it differs from another one."""
    same = next(
        (n for n, (a, b) in enumerate(zip(value, other, strict=False)) if a != b),
        min(len(value), len(other)),
    )
    start = max(0, same - LONG_TEXT // 3)
    cut = value[start : start + LONG_TEXT]
    return ("…" if start else "") + cut + ("…" if start + LONG_TEXT < len(value) else "")


def _short(value: str) -> str:
    if NUMBER.fullmatch(value):
        value = _number(value, 6)
    cut = value if len(value) <= LONG_TEXT else value[: LONG_TEXT - 1] + "…"
    return _text(cut) if cut else "empty"


def _text(value: str) -> str:
    """Make text of upstream's harmless in Markdown."""
    return MARKUP.sub(r"\\\1", " ".join(value.split()))
