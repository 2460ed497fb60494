"""The errata list is one that people read to its end."""

from __future__ import annotations

from include.comparison.errata import errata_by_season
from include.comparison.models import CellChange, ColumnComparison, TableComparison


def table(name: str, *changes: CellChange, column: str = "castaway") -> TableComparison:
    return TableComparison(
        layer="bronze", table=name, key=[], rows_before=9, rows_after=9, rows_changed=len(changes),
        columns=[
            ColumnComparison(
                column=column, cells=sum(one.cells for one in changes), filled=0, emptied=0,
                seasons={"US06": len(changes)}, systematic=False, examples=list(changes),
            )
        ],
    )  # fmt: skip


def change(label: str, before: str, after: str, cells: int = 1) -> CellChange:
    return CellChange(season="US06", label=label, key={}, before=before, after=after, cells=cells)


def lines(*tables: TableComparison) -> list[str]:
    return [str(line) for line in errata_by_season(tables, (), {}).get("US06", [])]


def test_a_name_that_is_spelled_otherwise_in_a_dozen_tables_is_one_line() -> None:
    assert lines(
        table("castaways", change("Rob C.", "Rob", "Rob C.")),
        table("confessionals", change("Rob C., episode 1", "Rob", "Rob C.", cells=13)),
        table("vote_history", change("Jenna M., exit 1", "Jenna", "Jenna M.", cells=9)),
    ) == [
        "Rob C., 14 rows: is called Rob C., not Rob (`castaways`, `confessionals`)",
        "Jenna M., exit 1 and 8 more rows: is called Jenna M., not Jenna (`vote_history`)",
    ]


def test_what_happened_to_two_people_is_not_put_together() -> None:
    assert lines(
        table("challenge_results", change("Ann, challenge 1", "0", "1"), column="won"),
        table("challenge_summary", change("Bob, challenge 1", "0", "1"), column="won"),
    ) == [
        "Ann, challenge 1: `won` is 1, not 0 (`challenge_results`)",
        "Bob, challenge 1: `won` is 1, not 0 (`challenge_summary`)",
    ]


def test_a_season_that_was_gone_through_is_a_line_per_table() -> None:
    many = [change(f"challenge {number}", "false", "true") for number in range(7)]
    assert lines(table("challenge_description", *many, column="water")) == [
        "7 cells changed: `water` (7); such as challenge 0: `water` is true, not false "
        "(`challenge_description`)"
    ]
