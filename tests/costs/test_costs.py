"""What the pipeline costs, in figures that no machine changes, is what was recorded.

Seconds on a shared machine tell little, so nothing here is timed: a task, an import, a statement or
a row more costs everywhere.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.costs.records import Difference, Records, told


@pytest.mark.slow
def test_a_run_costs_what_was_recorded(
    figures: dict[str, int], pytestconfig: pytest.Config
) -> None:
    """A change that costs more says so itself, before anybody waits for it."""
    records = Records.read()
    differences = records.differences(figures)
    if pytestconfig.getoption("record_costs", default=False):
        records.write(figures)
        print(told(differences) if differences else "Nothing differs from what was recorded.")
        return
    if differences:
        pytest.fail(f"The costs are not those recorded.\n{told(differences)}", pytrace=False)


def test_more_less_new_and_gone_are_differences() -> None:
    """A gain that is not recorded could be lost again unseen."""
    records = Records({"more": 10, "less": 10, "same": 10, "gone": 10, "none": 0}, {})
    found = {"more": 11, "less": 9, "same": 10, "new": 1}
    assert records.differences(found) == [
        Difference("gone", 10, 0),
        Difference("less", 10, 9),
        Difference("more", 10, 11),
        Difference("new", 0, 1),
    ]


def test_a_tolerance_is_a_share_of_what_was_recorded() -> None:
    records = Records({"modules of a": 20, "modules of b": 20, "rows": 20}, {"modules of *": 0.1})
    assert records.differences({"modules of a": 22, "modules of b": 23, "rows": 21}) == [
        Difference("modules of b", 20, 23),
        Difference("rows", 20, 21),
    ]


def test_the_table_names_the_figure_and_what_to_do() -> None:
    text = told([Difference("load_bronze: statements: insert", 41, 1_041)])
    (line,) = [line for line in text.splitlines() if "load_bronze" in line]
    assert line.split()[-3:] == ["41", "1,041", "+1,000"]
    assert "make costs" in text


def test_recording_leaves_what_is_within_its_tolerance(tmp_path: Path) -> None:
    """Another Python imports some modules more, and its diff would hide what has changed."""
    path = tmp_path / "recorded.json"
    records = Records({"modules": 100, "rows": 5, "gone": 1}, {"modules": 0.1})
    records.write({"rows": 6, "modules": 101, "new": 2}, path)
    again = Records.read(path)
    assert again.figures == {"modules": 100, "new": 2, "rows": 6}
    assert again.tolerances == records.tolerances
    assert '\n    "new": 2,\n' in path.read_text()
