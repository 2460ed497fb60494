"""Compares two releases that are in the warehouse, or says what it cannot compare and why."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

import psycopg
from psycopg import sql

from include.comparison.causes import (
    BronzeChange,
    Evidence,
    attribute,
    bronze_cause,
    changed_seasons,
    repaired_datasets,
)
from include.comparison.files import BronzeFile, compare_files, read_files
from include.comparison.models import (
    ReleaseComparison,
    ReleaseFacts,
    SeedComparison,
    TableComparison,
)
from include.comparison.names import Names
from include.comparison.relations import Relation, layer_relations
from include.comparison.seeds import compare_seeds, mark_repaired, read_repairs
from include.comparison.tables import Reading, compare_tables, count_rows
from include.warehouse.definitions import list_definitions
from include.warehouse.releases import (
    Release,
    ReleaseError,
    get_release,
    list_releases,
    published_release,
)
from include.warehouse.schemas import LAYERS, Layer, layers_up_to

EXAMPLES = 10

# Enough to sort a table of today in memory, whatever the server gives; what is larger goes to its
# disk. Compiling queries of a hundred columns would take longer than they do.
SETTINGS = "set local work_mem = '64MB'; set local jit = off; set local cursor_tuple_fraction = 1"

Relations = Mapping[str, Relation]


def compare_releases(
    connection: psycopg.Connection, older: int, newer: int, *, examples: int = EXAMPLES
) -> ReleaseComparison:
    """Compare two releases, cell by cell.

    Args:
        connection: may read both releases' schemas, as `gamebot_owner` may; outside a transaction.
        older: number of the release that stands for "before"; it need not be the lower one.
        newer: number of the other.
        examples: how many examples there are of what is too much to be told one by one.

    Raises:
        ReleaseError: there is no such release, or its tables are being dropped.
    """
    with connection.transaction():
        # One state of both, whatever is published, built or dropped meanwhile.
        connection.execute("set transaction isolation level repeatable read, read only")
        connection.execute(SETTINGS)
        before, after = get_release(connection, older), get_release(connection, newer)
        return _Comparison(connection, before, after, examples).result()


def choose_releases(
    connection: psycopg.Connection, older: int | None = None, newer: int | None = None
) -> tuple[int, int]:
    """Fill in what was not named: what readers see now, and what they saw before it.

    Raises:
        ReleaseError: nothing was ever published, or nothing before it.
    """
    if newer is None:
        published = published_release(connection)
        if published is None:
            raise ReleaseError("Nothing is published yet: name the two releases to compare.")
        newer = published.release_id
    if older is None:
        opened = get_release(connection, newer).opened_at
        before = [
            release.release_id
            for release in list_releases(connection)
            if release.published_at and not release.is_replay and release.opened_at < opened
        ]
        if not before:
            raise ReleaseError(
                f"Readers saw no release before release {newer}: name the one to compare it with."
            )
        older = before[0]
    return older, newer


class _Comparison:
    """Everything that one comparison needs again and again."""

    def __init__(
        self, connection: psycopg.Connection, older: Release, newer: Release, examples: int
    ) -> None:
        self.connection = connection
        self.older, self.newer = older, newer
        self.examples = examples
        self.notes: list[str] = []

    def result(self) -> ReleaseComparison:
        """Compare what both have."""
        older, newer = self.older, self.newer
        facts = {"older": _facts(older), "newer": _facts(newer)}
        if older.release_id == newer.release_id:
            self.notes.append(
                f"Release {newer.release_id} is compared with itself: nothing can differ."
            )
            return ReleaseComparison(**facts, tables=[], notes=self.notes)
        files = [read_files(self.connection, one.release_id) for one in (older, newer)]
        pruned = [one for one in (older, newer) if one.pruned_at]
        if pruned:
            self.notes += [
                f"The tables of release {one.release_id} were dropped on {one.pruned_at:%Y-%m-%d}: "
                "bronze is compared by the files that were loaded, with their columns and numbers "
                "of rows, and silver and gold are not."
                for one in pruned
            ]
            return ReleaseComparison(
                **facts, compared="files", tables=compare_files(*files), notes=self.notes
            )
        return self._compare_tables(facts, *files)

    def _compare_tables(
        self,
        facts: Mapping[str, ReleaseFacts],
        files_before: Mapping[str, BronzeFile],
        files_after: Mapping[str, BronzeFile],
    ) -> ReleaseComparison:
        layers = self._layers()
        before, after = (self._relations(one, layers) for one in (self.older, self.newer))
        relations = {layer: (before[layer], after[layer]) for layer in layers}
        _hold(self.connection, relations.values())
        names = Names.of(self.connection, *relations["bronze"])
        reading = Reading(
            label=names.label,
            examples=self.examples,
            unfinished=names.unfinished(),
            renamed_seasons=names.renamed(),
        )
        seeds = compare_seeds(self.connection, self.older.release_id, self.newer.release_id)
        repairs = read_repairs(self.connection, self.older.release_id, self.newer.release_id)
        tables: list[TableComparison] = []
        bronze: dict[str, BronzeChange] = {}
        for name, table, people in self._compare_layer("bronze", relations["bronze"], reading):
            if not table.is_equal:
                same_file = _same_file(files_before.get(name), files_after.get(name))
                table = table.model_copy(update={"cause": bronze_cause(same_file=same_file)})
                assert table.cause is not None
                bronze[name] = BronzeChange(table.cause, _seasons(table, people, names))
                table = mark_repaired(table, repairs)
            tables.append(table)
        if made := layers[1:]:
            evidence = self._evidence(bronze, seeds)
            for layer in made:
                for _, table, _ in self._compare_layer(layer, relations[layer], reading):
                    tables.append(attribute(table, evidence))
        return ReleaseComparison(
            **facts,
            tables=tables,
            seasons=names.compare_seasons() if all(relations["bronze"]) else [],
            seeds=seeds,
            names=_named(tables, names),
            notes=self.notes,
        )

    def _layers(self) -> list[Layer]:
        """Return the layers that both were to have."""
        for release in (self.older, self.newer):
            if missing := LAYERS[len(layers_up_to(release.target_layer)) :]:
                self.notes.append(
                    f"Release {release.release_id} was built up to {release.target_layer} only: "
                    f"{' and '.join(missing)} cannot be compared."
                )
        lower = min(self.older.target_layer, self.newer.target_layer, key=LAYERS.index)
        return list(layers_up_to(lower))

    def _relations(self, release: Release, layers: Collection[Layer]) -> dict[Layer, Relations]:
        found: dict[Layer, Relations] = {
            layer: layer_relations(self.connection, layer, release.release_id) for layer in layers
        }
        if empty := [layer for layer in layers if not found[layer]]:
            self.notes.append(
                f"Release {release.release_id} ({release.state}) has no tables in "
                f"{', '.join(empty)}" + (f": {release.failure}." if release.failure else ".")
            )
        return found

    def _compare_layer(
        self, layer: Layer, relations: tuple[Relations, Relations], reading: Reading
    ) -> Iterator[tuple[str, TableComparison, frozenset[str]]]:
        before, after = relations
        if not (before and after):
            return
        for name in sorted(before.keys() | after.keys()):
            if name in before and name in after:
                compared = compare_tables(
                    self.connection, layer, before[name], after[name], reading
                )
                yield (name, *compared)
            else:
                yield name, self._one_side(layer, before.get(name), after.get(name)), frozenset()

    def _one_side(
        self, layer: Layer, before: Relation | None, after: Relation | None
    ) -> TableComparison:
        there = before or after
        assert there is not None
        return TableComparison(
            layer=layer,
            table=there.name,
            key=list(there.key),
            rows_before=count_rows(self.connection, before) if before else None,
            rows_after=count_rows(self.connection, after) if after else None,
            columns_added=dict(after.columns) if after else {},
            columns_removed=dict(before.columns) if before else {},
        )

    def _evidence(
        self, bronze: Mapping[str, BronzeChange], seeds: Collection[SeedComparison]
    ) -> Evidence:
        evidence = Evidence(
            bronze=bronze,
            before=list_definitions(self.connection, self.older.release_id),
            after=list_definitions(self.connection, self.newer.release_id),
            same_code=self.older.code_fingerprint == self.newer.code_fingerprint,
            repaired=repaired_datasets(seeds),
        )
        unknown = [
            release.release_id
            for release, known in ((self.older, evidence.before), (self.newer, evidence.after))
            if not known
        ]
        if unknown and not evidence.same_code and bronze:
            self.notes.append(
                f"By which definitions release {' and release '.join(map(str, unknown))} was built "
                "was not kept, and the code is not the same: whether upstream or we changed silver "
                "and gold is not known."
            )
        return evidence


def _hold(connection: psycopg.Connection, layers: Collection[tuple[Relations, Relations]]) -> None:
    """Keep the tables from being dropped until the comparison is done."""
    held = [
        sql.Identifier(relation.schema, relation.name)
        for sides in layers
        for side in sides
        for relation in side.values()
    ]
    if not held:
        return
    try:
        connection.execute(
            sql.SQL("lock table {} in access share mode").format(sql.SQL(", ").join(held))
        )
    except psycopg.errors.UndefinedTable as error:
        raise ReleaseError(
            f"Tables of these releases were dropped at this moment ({error.diag.message_primary}): "
            "compare again to see what is still known."
        ) from error


def _same_file(before: BronzeFile | None, after: BronzeFile | None) -> bool:
    return before is not None and after is not None and before.sha256 == after.sha256


def _seasons(
    table: TableComparison, people: Collection[str], names: Names
) -> frozenset[str] | None:
    """Return the seasons that a change of bronze can have reached; None: any."""
    if table.schema_changed or (not people and not changed_seasons(table)):
        return None
    return frozenset(changed_seasons(table)) | names.seasons_of(people)


def _named(tables: Collection[TableComparison], names: Names) -> dict[str, str]:
    """Return the names of all castaways whose ids are values in examples."""
    values = {
        value
        for table in tables
        for column in table.columns
        for change in column.examples
        for value in (change.before, change.after)
        if value
    }
    return {value: names.people[value] for value in sorted(values & names.people.keys())}


def _facts(release: Release) -> ReleaseFacts:
    return ReleaseFacts.model_validate(release.model_dump())
