"""What the pages about the features' distributions show, and that it adds up."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd
import pytest

from include.quality.distributions.features import BINS, FEW_VALUES, Features, describe
from include.quality.distributions.pages import bars, most_shifted, write_pages


def numbers(*values: float | None) -> pd.Series:
    return pd.Series(values, dtype="float64")


def test_every_row_is_in_one_bin_or_unknown() -> None:
    """Otherwise a bar that is missing looks like a feature that is rare."""
    ages = numbers(*range(18, 80), None, None)
    found = describe("current_age", "integer", ages)
    assert found.is_ordered and len(found.bins) <= BINS
    assert sum(bin_.share for bin_ in found.bins) + found.now.unknown == pytest.approx(1)
    assert found.bins[0].label == "18 to 21"
    assert found.now.unknown == pytest.approx(2 / 64)
    assert (found.now.low, found.now.high, found.before) == (18, 79, None)
    assert found.shift is None


def test_rates_have_bins_of_equal_width_and_keep_their_largest_value() -> None:
    rates = numbers(*(place / 100 for place in range(101)))
    found = describe("vote_accuracy_rate", "double precision", rates)
    assert len(found.bins) == BINS
    assert sum(bin_.share for bin_ in found.bins) == pytest.approx(1)
    assert found.bins[-1].label == "0.95 to 1"


def test_both_releases_share_their_bins_and_the_shift_is_what_moved() -> None:
    """A feature in other units had a mean that nobody looked at."""
    before = numbers(0, 0, 0, 1, None)
    now = numbers(0, 0, 1, 1, None)
    found = describe("has_idol", "integer", now, before)
    assert [(bin_.label, bin_.share, bin_.share_before) for bin_ in found.bins] == [
        ("0", 0.4, 0.6),
        ("1", 0.4, 0.2),
    ]
    assert found.shift == pytest.approx(0.2)
    assert describe("has_idol", "integer", now, now).shift == 0


def test_values_that_became_unknown_are_a_shift() -> None:
    before, now = numbers(1, 2, 3, 4), numbers(1, 2, None, None)
    assert describe("wins", "integer", now, before).shift == pytest.approx(0.5)
    nothing = describe("wins", "integer", numbers(None, None), before)
    assert nothing.shift == pytest.approx(1)
    assert nothing.now.mean is None


def test_texts_too_many_for_a_bin_each_are_counted_together() -> None:
    words = pd.Series([f"word {place}" for place in range(FEW_VALUES + 5)] + ["None"] * 3)
    found = describe("occupation", "text", words)
    assert len(found.bins) == FEW_VALUES + 1
    assert found.bins[0].label == "None"
    assert found.bins[-1].label == "6 other values" and found.bins[-1].is_rest
    assert sum(bin_.share for bin_ in found.bins) == pytest.approx(1)


def test_a_table_without_rows_or_values_is_drawn_as_well() -> None:
    for kind in ("integer", "double precision", "text"):
        empty = describe("feature", kind, pd.Series([], dtype="object"))
        assert list(bars(empty)) == []
        unknown = describe("feature", kind, pd.Series([None, None], dtype="object"))
        assert [bar.kind for bar in bars(unknown)] == ["unknown"]


def test_pages_show_every_feature_with_its_numbers_and_load_nothing(tmp_path: Path) -> None:
    same = describe("same", "integer", numbers(1, 2), numbers(1, 2))
    moved = describe("moved", "integer", numbers(1, 1), numbers(2, 2))
    new = describe('<script>alert("new")</script>', "text", pd.Series(["<b>", "b"]))
    table = Features("things", 2, 2, [same, moved, new])
    assert [one.name for one in most_shifted(table.distributions)] == ["moved"]
    (page,) = write_pages(tmp_path, 8, 7, [table])
    html = page.read_text(encoding="utf-8")
    assert "release 7, the one published before" in html
    assert '<a href="#moved">moved</a> 100.0 %' in html
    assert "new or of another type in this release" in html
    assert html.count("<svg") == html.count("<table>") == 3
    assert "<script" not in html and " style=" not in html
    assert re.findall(r'(?:src|href)="([^"#]+)"', html) == [
        "distributions.css",
        "../index.html",
        "things.html",
    ]
    (page,) = write_pages(tmp_path, 8, None, [Features("things", 2, None, [new])])
    assert "no release before it" in page.read_text(encoding="utf-8")
