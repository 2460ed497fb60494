"""One table in two releases: Postgres finds what differs, and only that leaves it."""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar

import psycopg
from psycopg import sql

from include.comparison.models import (
    CellChange,
    ColumnComparison,
    RetypedColumn,
    RowChanges,
    RowExample,
    TableComparison,
)
from include.comparison.relations import Relation
from include.warehouse.schemas import Layer

SEASON = "version_season"

# What tells people which row it is, where it is no part of the key.
CONTEXT = ("castaway_id", "castaway", "full_name")

NUMBER = re.compile(r"smallint|integer|bigint|real|double precision|numeric\b.*")
FRACTION = re.compile(r"real|double precision|numeric\b.*")

# The same values, added up in another order, differ by less.
SAME_NUMBER = 1e-9

FETCHED_AT_ONCE = 2_000

# Of rows that changed alike, so many are named beside the first.
ALSO_NAMED = 4

# Nobody corrects so many at once by hand.
MANY_SEASONS = 10
MANY_CHANGES = 40

# Flags and scores come in dozens, and are set or computed anew together: a few cells of each
# column, in many seasons taken together, are one act.
ANNOTATED = ("boolean", "double precision")
MANY_COLUMNS = 5

Example = TypeVar("Example", RowExample, CellChange)


class Difference(NamedTuple):
    """A row that is not the same, or that one side lacks."""

    season: str | None
    key: list[str | None]
    context: list[str | None]
    is_before: bool
    is_after: bool
    cells: list[tuple[str, str | None, str | None]]
    """Column, value before and value after of each cell that differs."""


@dataclass(frozen=True)
class Reading:
    """How rows are put before people, and how many of them."""

    label: Callable[[str | None, Mapping[str, str | None]], str]
    """Names a row by its season, key and context."""
    examples: int
    """Of what is too much to be told one by one."""
    unfinished: Collection[str] = ()
    """Seasons that the older release has in part or not at all: of their changes a few will do."""
    renamed_seasons: Mapping[str, str] = field(default_factory=dict)
    """New name by old name."""


def compare_tables(
    connection: psycopg.Connection,
    layer: Layer,
    older: Relation,
    newer: Relation,
    reading: Reading,
) -> tuple[TableComparison, frozenset[str]]:
    """Compare a table that both releases have.

    Returns:
        The comparison, and who is concerned where the table says it without a season.
    """
    columns = [column for column in newer.columns if column in older.columns]
    key = [column for column in newer.key if column in columns]
    # Rows that have lost a part of their key are told apart by all they have.
    key = key if len(key) == len(newer.key) else []
    found = _Findings(reading)
    if columns:
        context = [column for column in CONTEXT if column in columns]
        query = _differences(older, newer, columns, key or columns, context, reading)
        for difference in _stream(connection, query):
            found.take(difference, key or columns, context, by_key=bool(key))
    compared = TableComparison(
        layer=layer,
        table=newer.name,
        key=key,
        rows_before=count_rows(connection, older),
        rows_after=count_rows(connection, newer),
        rows_changed=found.rows_changed,
        added=found.added.result(),
        removed=found.removed.result(),
        columns=found.cells(columns, newer.columns),
        columns_added=_without(newer.columns, older.columns),
        columns_removed=_without(older.columns, newer.columns),
        columns_retyped=[
            RetypedColumn(column=column, before=older.columns[column], after=newer.columns[column])
            for column in columns
            if older.columns[column] != newer.columns[column]
        ],
    )
    return compared, frozenset(found.people)


def count_rows(connection: psycopg.Connection, relation: Relation) -> int:
    """Return how many rows a table has."""
    query = sql.SQL("select count(*) from {}").format(
        sql.Identifier(relation.schema, relation.name)
    )
    ((rows,),) = connection.execute(query).fetchall()
    return int(rows)


def _without(columns: Mapping[str, str], others: Mapping[str, str]) -> dict[str, str]:
    return {column: kind for column, kind in columns.items() if column not in others}


def _differences(
    older: Relation,
    newer: Relation,
    columns: Sequence[str],
    key: Sequence[str],
    context: Sequence[str],
    reading: Reading,
) -> sql.Composed:
    """Return the query that gives a row per changed cell and per row that one side lacks.

    Equal rows go first, in one pass and counted, so that rows that occur twice are no trouble. What
    is left is matched by key; of rows with the same key the first with the first.
    """
    types = {c: _common_type(older.columns[c], newer.columns[c]) for c in columns}
    aliases = {column: f"c{number}" for number, column in enumerate(columns)}

    def listed(template: str, names: Sequence[str] = columns) -> sql.Composed:
        return sql.SQL(", ").join(
            sql.SQL(template).format(
                alias=sql.Identifier(aliases[name]),
                old=sql.Identifier(f"old_{aliases[name]}"),
                new=sql.Identifier(f"new_{aliases[name]}"),
                c=sql.Identifier("C"),
                name=sql.Literal(name),
                differs=_differs(aliases[name], types[name]),
            )
            for name in names
        )

    def selected(relation: Relation, renamed: Mapping[str, str]) -> sql.Composed:
        values = [
            sql.SQL("({})::{} as {}").format(
                _renamed(column, renamed) if column == SEASON else sql.Identifier(column),
                sql.SQL(types[column]),
                sql.Identifier(aliases[column]),
            )
            for column in columns
        ]
        return sql.SQL("select {} from {}").format(
            sql.SQL(", ").join(values), sql.Identifier(relation.schema, relation.name)
        )

    return sql.SQL(
        """
        with everything as (
            select -1 as side, older.* from ({older}) as older
            union all
            select 1 as side, newer.* from ({newer}) as newer
        ),
        leftover as (
            select {columns}, sum(side) as copies
            from everything
            group by {columns}
            having sum(side) <> 0
        ),
        numbered as materialized (
            select
                leftover.*,
                array[{key}] collate "C" as key,
                row_number() over (
                    partition by sign(copies), array[{key}] collate "C"
                    order by {copies_by}
                ) as copy
            from leftover
            cross join generate_series(1, abs(copies))
        ),
        matched as (
            select
                coalesce(after.key, before.key) as key,
                coalesce(after.copy, before.copy) as copy,
                before.key is not null as is_before,
                after.key is not null as is_after,
                {both}
            from (select * from numbered where copies < 0) as before
            full join (select * from numbered where copies > 0) as after
                on before.key = after.key and before.copy = after.copy
        )
        select
            {season} as season,
            key,
            array[{context}]::text[] as context,
            is_before,
            is_after,
            case
                when is_before and is_after then array_remove(array[{cells}]::text[], null)
            end as cells
        from matched
        order by key, copy
        """
    ).format(
        older=selected(older, reading.renamed_seasons),
        newer=selected(newer, {}),
        columns=listed("{alias}"),
        key=listed("{alias}::text", key),
        copies_by=sql.SQL("1") if newer.key_is_unique else listed("{alias}::text collate {c}"),
        both=listed("before.{alias} as {old}, after.{alias} as {new}"),
        season=listed("coalesce({new}, {old})", [SEASON])
        if SEASON in columns
        else sql.SQL("null::text"),
        context=listed("coalesce({new}, {old})::text", context),
        cells=listed(
            "case when {differs} then json_build_array({name}, {old}::text, {new}::text)::text end"
        ),
    )


def _renamed(column: str, renamed: Mapping[str, str]) -> sql.Composed:
    cases = [
        sql.SQL("when {} then {}").format(sql.Literal(old), sql.Literal(new))
        for old, new in renamed.items()
    ]
    name = sql.Identifier(column)
    if not cases:
        return sql.Composed([name])
    return sql.SQL("case {0} {1} else {0} end").format(name, sql.SQL(" ").join(cases))


def _common_type(before: str, after: str) -> str:
    if before == after:
        return before
    return "double precision" if NUMBER.fullmatch(before) and NUMBER.fullmatch(after) else "text"


def _differs(alias: str, kind: str) -> sql.Composed:
    unequal = "{old} is distinct from {new}"
    if FRACTION.fullmatch(kind):
        unequal += (
            " and not coalesce(abs({old} - {new})"
            " <= {share} * greatest(abs({old}), abs({new})), false)"
        )
    return sql.SQL(unequal).format(
        old=sql.Identifier(f"old_{alias}"),
        new=sql.Identifier(f"new_{alias}"),
        share=sql.Literal(SAME_NUMBER),
    )


def _stream(connection: psycopg.Connection, query: sql.Composed) -> Iterator[Difference]:
    """Fetch in portions: every row of both releases may differ."""
    with connection.cursor(name="differences") as cursor:
        cursor.itersize = FETCHED_AT_ONCE
        cursor.execute(query)
        for season, key, context, is_before, is_after, cells in cursor:
            found = [json.loads(cell) for cell in cells or ()]
            yield Difference(season, key, context, is_before, is_after, found)


class _Findings:
    """Counts what differs, and keeps some of it."""

    def __init__(self, reading: Reading) -> None:
        self.reading = reading
        self.added, self.removed = _Rows(reading), _Rows(reading)
        self.columns: dict[str, _Cells] = {}
        self.people: set[str] = set()
        self.rows_changed = 0

    def take(
        self,
        difference: Difference,
        key_columns: Sequence[str],
        context_columns: Sequence[str],
        *,
        by_key: bool,
    ) -> None:
        key = dict(zip(key_columns, difference.key, strict=True))
        context = dict(zip(context_columns, difference.context, strict=True))
        season = difference.season
        if season is None and (castaway_id := (key | context).get("castaway_id")):
            self.people.add(castaway_id)

        def described() -> RowExample:
            label = self.reading.label(season, {**(key if by_key else {}), **context})
            return RowExample(season=season, label=label, key=key)

        if not (difference.is_before and difference.is_after):
            rows = self.added if difference.is_after else self.removed
            rows.take(season, described)
            return
        self.rows_changed += bool(difference.cells)
        for column, before, after in difference.cells:
            cells = self.columns.setdefault(column, _Cells(column, self.reading))
            cells.take(season, before, after, described)

    def cells(self, columns: Sequence[str], types: Mapping[str, str]) -> list[ColumnComparison]:
        """Return the changed columns in the table's order."""
        changed = [column for column in columns if column in self.columns]
        for kind in ANNOTATED:
            alike = [self.columns[column] for column in changed if types[column] == kind]
            seasons = {season for cells in alike for season in cells.seasons}
            if len(alike) >= MANY_COLUMNS and _in_many(seasons, self.reading):
                for cells in alike:
                    cells.systematic = True
        return [self.columns[column].result() for column in changed]


class _Rows:
    """Rows of one side: all that belong to seasons that were over, if they are not too many."""

    def __init__(self, reading: Reading) -> None:
        self.reading = reading
        self.seasons: Counter[str] = Counter()
        self.rows = self.rows_of_old = 0
        self.kept: list[RowExample] = []

    def take(self, season: str | None, described: Callable[[], RowExample]) -> None:
        self.rows += 1
        if season is not None:
            self.seasons[season] += 1
        unfinished = season in self.reading.unfinished
        self.rows_of_old += not unfinished
        if self.seasons[season or ""] == 1 or (self.rows_of_old <= MANY_CHANGES and not unfinished):
            self.kept.append(described())

    def result(self) -> RowChanges:
        return RowChanges(
            rows=self.rows,
            seasons=dict(sorted(self.seasons.items())),
            systematic=_in_many(self.seasons, self.reading),
            examples=self.kept
            if self.rows_of_old <= MANY_CHANGES
            else _spread(self.kept, self.reading.examples),
        )


class _Cells:
    """Changed cells of one column, equal ones of a season counted together."""

    def __init__(self, column: str, reading: Reading) -> None:
        self.column = column
        self.reading = reading
        self.systematic = False
        self.seasons: Counter[str] = Counter()
        self.also: dict[tuple[str | None, str | None, str | None], list[str]] = defaultdict(list)
        self.filled_by_season: Counter[str] = Counter()
        self.cells = self.filled = self.emptied = self.changes_of_old = 0
        self.kept: dict[tuple[str | None, str | None, str | None], CellChange] = {}
        self.counts: Counter[tuple[str | None, str | None, str | None]] = Counter()

    def take(
        self,
        season: str | None,
        before: str | None,
        after: str | None,
        described: Callable[[], RowExample],
    ) -> None:
        self.cells += 1
        self.filled += before is None
        self.filled_by_season[season or ""] += before is None
        self.emptied += after is None
        if season is not None:
            self.seasons[season] += 1
        change = (season, before, after)
        if change not in self.kept:
            unfinished = season in self.reading.unfinished
            self.changes_of_old += not unfinished
            if self.seasons[season or ""] != 1 and (
                self.changes_of_old > MANY_CHANGES or unfinished
            ):
                return
            row = described()
            self.kept[change] = CellChange(
                season=season, label=row.label, key=row.key, before=before, after=after
            )
        elif len(self.also[change]) < ALSO_NAMED:
            self.also[change].append(described().label)
        self.counts[change] += 1

    def result(self) -> ColumnComparison:
        examples = [
            kept.model_copy(update={"cells": self.counts[change], "also": self.also[change]})
            for change, kept in self.kept.items()
        ]
        systematic = (
            self.systematic
            or self.changes_of_old > MANY_CHANGES
            or _in_many(self.seasons, self.reading)
        )
        return ColumnComparison(
            column=self.column,
            cells=self.cells,
            filled=self.filled,
            emptied=self.emptied,
            seasons=dict(sorted(self.seasons.items())),
            filled_by_season={
                season: cells
                for season, cells in sorted(self.filled_by_season.items())
                if season and cells
            },
            systematic=systematic,
            examples=_spread(examples, self.reading.examples) if systematic else examples,
        )


def _in_many(seasons: Collection[str], reading: Reading) -> bool:
    return len(set(seasons) - set(reading.unfinished)) >= MANY_SEASONS


def _spread(examples: list[Example], wanted: int) -> list[Example]:
    """Choose as many as wanted, of as many seasons as there are."""
    first: dict[str | None, Example] = {}
    for example in examples:
        first.setdefault(example.season, example)
    chosen = _evenly(list(first.values()), wanted)
    seasons_first = {id(example) for example in chosen}
    others = [example for example in examples if id(example) not in seasons_first]
    return chosen + _evenly(others, wanted - len(chosen))


def _evenly(examples: list[Example], wanted: int) -> list[Example]:
    if len(examples) <= wanted:
        return examples
    return [examples[number * len(examples) // wanted] for number in range(wanted)]
