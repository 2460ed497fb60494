"""A comparison for people, as CHANGES.md: an errata list by season, and what follows from it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from datetime import datetime

from include.comparison.errata import errata_by_season
from include.comparison.models import (
    CellChange,
    ColumnComparison,
    ReleaseComparison,
    ReleaseFacts,
    SeasonComparison,
    SeedChange,
    TableComparison,
)
from include.comparison.wording import NAMED, change_in_words, count, counted_columns, text

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
        return f"{len(tables)} of {count(len(comparison.tables), 'file')} of bronze differ."
    added, removed = (
        sum(getattr(t, name) for t in tables) for name in ("rows_added", "rows_removed")
    )
    cells = sum(table.cells_changed for table in tables)
    return (
        f"{len(tables)} of {count(len(comparison.tables), 'table')} differ: "
        f"{count(added, 'row')} came, {removed:,} went, {count(cells, 'cell')} changed."
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
        yield f"> {text(note)}"
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
        f"{release.source_kind} {text(release.source_version[:40])}{commit}, "
        f"built {day(release.opened_at)}"
    )


class _Writer:
    def __init__(self, comparison: ReleaseComparison) -> None:
        self.comparison = comparison
        self.changed = [table for table in comparison.tables if not table.is_equal]
        self.bronze = [table for table in self.changed if table.layer == "bronze"]
        self.unfinished = {
            season.season for season in comparison.seasons if season.status in ("new", "went_on")
        }

    def seasons(self) -> Iterator[str]:
        """What is new, and what became of seasons that were not over."""
        for season in self.comparison.seasons:
            added, removed, cells, filled = self._size_of(season.season)
            if not (added or removed or cells) and season.status == "went_on":
                continue
            yield f"- **{season.season}** {_season_in_words(season)}" + (
                f" {count(added, 'new row')}"
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
                named = ", ".join(text(row.label) for row in rows.examples[:NAMED] if row.label)
                such = f", such as {named}" if named else ""
                yield f"- `{table.table}` has {count(rows.rows, 'new row')}{such}."

    def schema(self) -> Iterator[str]:
        """Tables and columns that came, went or have another type."""
        for table in self.changed:
            name = f"`{table.layer}.{table.table}`"
            if table.rows_before is None:
                yield f"- {name} is new: {count(table.rows_after or 0, 'row')}."
                continue
            if table.rows_after is None:
                yield f"- {name} is gone: {count(table.rows_before, 'row')}."
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
        found = errata_by_season(self.bronze, self.unfinished, self.comparison.names)
        for season, lines in found.items():
            yield f"### {season or 'People'}"
            yield ""
            yield from (f"- {line}" for line in lines)
            yield ""

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
                    f"- `{table.table}`: {count(cells.total(), 'cell')}"
                    + (f" in {count(len(seasons), 'season')}" if seasons else "")
                    + f": {counted_columns(cells)}. For example, {examples}."
                )
            if table.added.systematic or table.removed.systematic:
                old = [
                    sum(n for season, n in rows.seasons.items() if season not in self.unfinished)
                    for rows in (table.added, table.removed)
                ]
                seasons = {*table.added.seasons, *table.removed.seasons} - self.unfinished
                yield (
                    f"- `{table.table}`: {count(old[0], 'row')} came and {old[1]:,} went in "
                    f"{count(len(seasons), 'season')} that had been over: "
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
            yield f"| `{table.table}` | {before} | {after} | {text(table.note or '')} |"

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
                f"| {counted_columns(cells, 3)} |"
            )
        ours = [table for table in tables if table.cause in ("definition", "both")]
        if not ours:
            return
        yield ""
        yield "What we define otherwise:"
        yield ""
        told: dict[str, list[str]] = {}
        for table in ours:
            told.setdefault(self._definition(table), []).append(f"`{table.layer}.{table.table}`")
        for said, names in told.items():
            yield f"- {', '.join(names)}{said}"

    def _definition(self, table: TableComparison) -> str:
        line = ""
        if table.definitions_changed:
            names = [f"`{name}`" for name in table.definitions_changed]
            line += f", by {', '.join(names)}"
        alone = [s for s, cause in table.causes_by_season.items() if cause == "definition"]
        if alone:
            line += (
                f". In {count(len(alone), 'season')} nothing of upstream's changed, so that it is "
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

    def _said(self, column: str, change: CellChange) -> str:
        return change_in_words(column, change.before, change.after, self.comparison.names)

    def _size_of(self, season: str) -> tuple[int, int, int, int]:
        added = removed = cells = filled = 0
        for table in self.bronze:
            added += table.added.seasons.get(season, 0)
            removed += table.removed.seasons.get(season, 0)
            for column in table.columns:
                cells += column.seasons.get(season, 0)
                filled += column.filled_by_season.get(season, 0)
        return added, removed, cells, filled


def _chosen(column: ColumnComparison, unfinished: Collection[str]) -> list[CellChange]:
    """One example, from the middle, of a season that was over."""
    old = [change for change in column.examples if change.season not in unfinished]
    return old[len(old) // 2 :][:1]


def _where(change: CellChange) -> str:
    return " ".join(filter(None, [change.season, text(change.label)])) or "a row"


def _season_in_words(season: SeasonComparison) -> str:
    name = f"({text(season.name)}) " if season.name else ""
    winner = f"; {text(season.winner)} won" if season.winner else ""
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
    key = ", ".join(text(value) for value in change.key.values() if value)
    row = change.after or change.before or {}
    word = "new" if change.before is None else "gone" if change.after is None else "changed"
    if seed == "upstream_repairs":
        ours, theirs = row.get("our_value"), row.get("upstream_value")
        said = f"{_value(ours)} instead of {_value(theirs)}"
    else:
        said = ""
    reason = text(row.get("reason") or "")
    return f"{word}: {key}" + "".join(f": {part}" for part in (said, reason) if part)


def _value(value: str | None) -> str:
    return "nothing" if value is None else text(value)


def day(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d}"
