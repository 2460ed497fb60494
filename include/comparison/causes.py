"""Whose change a difference is: upstream's, or ours because a table is defined otherwise now.

Bronze is a copy, so that its changes are upstream's unless the file was the very same. A table of
silver or gold depends on the definitions and on the bronze tables behind it. Where only one of the
two changed, that is the cause. Where both did, seasons help: in a season without a change in the
bronze behind it, nothing but a definition can have changed what looks at that season alone.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from include.comparison.models import Cause, ColumnComparison, SeedComparison, TableComparison
from include.warehouse.definitions import Definition

Definitions = Mapping[str, Definition]

REPAIRS = "reference.upstream_repairs"

# Columns that look at other seasons too: they can change where nothing of their own season did.
ACROSS_SEASONS = frozenset(
    (
        "appearance_number", "is_returnee", "previous_version_season",
        "returnee_count", "returnee_ratio", "season_returnee_ratio",
        "all_newbie_cast", "all_returnee_cast", "mixed_returnee_cast",
        "recency_in_version", "season_recency_weight",
    )
)  # fmt: skip


@dataclass(frozen=True)
class BronzeChange:
    """What differs in one bronze table."""

    cause: Cause
    seasons: frozenset[str] | None
    """None: any season may be concerned, as where a column came or went."""


@dataclass(frozen=True)
class Evidence:
    """What tells whose a change is."""

    bronze: Mapping[str, BronzeChange]
    """Changed tables by name."""
    before: Definitions
    after: Definitions
    """By `layer.table`; empty where the release has no record of them."""
    same_code: bool
    """All of our code was the same, which tells as much as a record of each definition."""
    repaired: frozenset[str] | None
    """The datasets with a repair that came, went or is another one now; None: not known."""


def bronze_cause(*, same_file: bool) -> Cause:
    """Return whose a change of a bronze table is: the same file read otherwise is our doing."""
    return "definition" if same_file else "upstream"


def attribute(table: TableComparison, evidence: Evidence) -> TableComparison:
    """Say of a changed table of silver or gold whose change it is, if that can be known."""
    if table.is_equal:
        return table
    if table.rows_before is None or table.rows_after is None:
        return table.model_copy(update={"cause": "definition"})
    name = f"{table.layer}.{table.table}"
    if not evidence.same_code and not (evidence.before and evidence.after):
        return table.model_copy(update={"cause": None if evidence.bronze else "definition"})
    behind = {name} | _ancestors(name, evidence.before) | _ancestors(name, evidence.after)
    redefined = [] if evidence.same_code else _redefined(behind, evidence)
    changed = _changed_bronze(behind, evidence)
    theirs = [change for change in changed if change.cause == "upstream"]
    ours = redefined or any(change.cause == "definition" for change in changed)
    if not (theirs and ours):
        cause: Cause | None = "upstream" if theirs else "definition" if ours else None
        return _told(table, cause, {}, redefined)
    of_its_own = changed_seasons(table, but=ACROSS_SEASONS)
    by_season: dict[str, Cause] = {
        season: "definition"
        if season in of_its_own
        and all(change.seasons is not None and season not in change.seasons for change in theirs)
        else "both"
        for season in sorted(changed_seasons(table))
    }
    kinds = set(by_season.values())
    return _told(table, kinds.pop() if len(kinds) == 1 else "both", by_season, redefined)


def changed_seasons(table: TableComparison, but: Collection[str] = ()) -> set[str]:
    """Return the seasons in which a row, or a cell of any but these columns, differs."""
    return {
        *table.added.seasons,
        *table.removed.seasons,
        *(
            season
            for column in table.columns
            if column.column not in but
            for season in column.seasons
        ),
    }


def repaired_datasets(seeds: Collection[SeedComparison]) -> frozenset[str] | None:
    """Return the datasets whose repairs changed; None where not all changes are at hand."""
    for seed in seeds:
        if f"reference.{seed.seed}" == REPAIRS:
            if seed.added + seed.removed + seed.changed > len(seed.examples):
                return None
            return frozenset(str(change.key["dataset"]) for change in seed.examples)
    return frozenset()


def _ancestors(name: str, definitions: Definitions) -> set[str]:
    found: set[str] = set()
    waiting = [name]
    while waiting:
        definition = definitions.get(waiting.pop())
        for read in definition.reads if definition else ():
            if read not in found:
                found.add(read)
                waiting.append(read)
    return found


def _redefined(behind: Collection[str], evidence: Evidence) -> list[str]:
    def is_another(name: str) -> bool:
        before, after = evidence.before.get(name), evidence.after.get(name)
        if before is None or after is None:
            return True
        if name == REPAIRS and evidence.repaired is not None:
            # The seed is one file: a repair of a dataset that nothing here reads says nothing.
            return any(f"bronze.{dataset}" in behind for dataset in evidence.repaired)
        return before.fingerprint != after.fingerprint

    return sorted(name for name in behind if not name.startswith("bronze.") and is_another(name))


def _changed_bronze(behind: Collection[str], evidence: Evidence) -> list[BronzeChange]:
    if not (evidence.before and evidence.after):
        return list(evidence.bronze.values())
    names = (name.removeprefix("bronze.") for name in behind if name.startswith("bronze."))
    return [evidence.bronze[name] for name in names if name in evidence.bronze]


def _told(
    table: TableComparison,
    cause: Cause | None,
    by_season: dict[str, Cause],
    redefined: list[str],
) -> TableComparison:
    def with_cause(column: ColumnComparison) -> ColumnComparison:
        by_season_of_row = {} if column.column in ACROSS_SEASONS else by_season
        examples = [
            change.model_copy(update={"cause": by_season_of_row.get(change.season or "", cause)})
            for change in column.examples
        ]
        return column.model_copy(update={"examples": examples})

    return table.model_copy(
        update={
            "cause": cause,
            "causes_by_season": by_season if len(set(by_season.values())) > 1 else {},
            "definitions_changed": redefined,
            "columns": [with_cause(column) for column in table.columns],
        }
    )
