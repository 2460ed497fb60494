"""The tables of docs/performance.md, and where they are written."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from benchmarks import report
from benchmarks.__main__ import suites
from benchmarks.measure import Case, Result, Sample, Spread
from benchmarks.report import DOCUMENT, TABLE, CaseTable, Setting, rewritten, told, write_json

SETTING = Setting(
    machine={"processor": "Some CPU", "cores": "2 cores"},
    versions={"Python": "3.12.0"},
    commit="0123456789ab",
    is_clean=False,
    started_at=datetime(2026, 6, 12, tzinfo=UTC),
    load=0.3,
    data="survivoR of 2026-06-12",
)


def a_table() -> CaseTable:
    floor = Case("bronze", "floor", "the floor", lambda: Sample(1, 1), 2)
    load = Case(
        "bronze", "load", "the load", lambda: Sample(1, 1), 2,
        baseline="floor", target=2, most_mib=300,
    )  # fmt: skip
    samples = [Sample(1, 0.5, 90, {"reading": 0.25}), Sample(1.5, 0.6, 99.6, {"reading": 0.5})]
    return CaseTable(
        [
            Result(floor, samples, []),
            Result(load, [Sample(3, 2, 299), Sample(3, 2, 301)], [3.0, 2.0]),
        ]
    )


def test_a_table_has_a_line_per_case_and_per_part() -> None:
    assert a_table().markdown().splitlines()[2:] == [
        "| `floor` the floor | 2 | 1.25 (1.00 to 1.50) | 0.55 (0.50 to 0.60) | 100 |  |  |",
        "| … reading | 2 | 0.38 (0.25 to 0.50) | | | | |",
        "| `load` the load | 2 | 3.00 (3.00 to 3.00) | 2.00 (2.00 to 2.00) | 301 "
        "| 2.50 (2.00 to 3.00) of `floor` | ratio ≤ 2: **missed**, ≤ 300 MiB: **missed** |",
    ]


@pytest.mark.parametrize(
    ("spread", "expected"),
    [
        (Spread(1, 61.234, 61.234, 61.234), "61.2"),
        (Spread(3, 1.234, 1.1, 2.0), "1.23 (1.10 to 2.00)"),
        (Spread(3, 0.0123, 0.0111, 0.2), "0.012 (0.011 to 0.200)"),
    ],
)
def test_a_figure_has_as_many_digits_as_it_deserves(spread: Spread, expected: str) -> None:
    assert told(spread) == expected


def test_only_the_tables_that_were_measured_are_rewritten() -> None:
    document = (
        "# Before\n\n<!-- table of bronze: make bench DOCS=1 -->\nold\n<!-- end -->\n\nbetween\n\n"
        "<!-- table of dbt: make bench DOCS=1 -->\nkept\n<!-- end -->\nafter\n"
    )
    # What a table says is no pattern.
    once = rewritten(document, {"bronze": r"| new \1 |"})
    assert once == document.replace("\nold\n", "\n\n| new \\1 |\n\n", 1)
    assert rewritten(once, {"bronze": r"| new \1 |"}) == once
    with pytest.raises(ValueError, match="no markers for parsing"):
        rewritten(document, {"bronze": "", "parsing": ""})


def test_the_document_is_written_with_what_was_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = tmp_path / DOCUMENT.name
    copy.write_bytes(DOCUMENT.read_bytes())
    monkeypatch.setattr(report, "DOCUMENT", copy)
    report.update_document(SETTING, {"bronze": a_table()})
    written = copy.read_text(encoding="utf-8")
    assert f"{a_table().markdown()}\n\n{SETTING.sentence()}\n\n<!-- end -->" in written


def test_every_suite_has_its_place_in_the_document() -> None:
    places = [name for _, name, _ in TABLE.findall(DOCUMENT.read_text(encoding="utf-8"))]
    assert len(places) == len(set(places))
    assert set(suites()) <= set(places)
    assert {"audits", "bronze", "parsing"} <= set(suites())
    assert "workspace" not in suites()


def test_whoever_reads_a_table_learns_where_it_comes_from() -> None:
    assert SETTING.sentence() == (
        "Measured on 2026-06-12 at commit 0123456789ab with changes, survivoR of 2026-06-12. "
        "Some CPU, 2 cores, load 0.3 before. Python 3.12.0."
    )


def test_every_sample_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "results" / "one.json"
    write_json(path, SETTING, {"bronze": a_table()}, quick=True)
    found = json.loads(path.read_text())
    assert found["commit"] == "0123456789ab" and found["quick"] and not found["is_clean"]
    floor, load = found["suites"]["bronze"]
    assert [sample["wall"] for sample in floor["samples"]] == [1, 1.5]
    assert load["ratios"] == [3, 2] and load["verdicts"]["ratio ≤ 2"] is False


def test_this_machine_can_be_described() -> None:
    setting = Setting.now(datetime.now(UTC), "18.6", "survivoR")
    assert "cores" in setting.sentence() and "Airflow 3" in setting.sentence()
