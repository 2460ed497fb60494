"""A difference stays to be seen however long or close two values are."""

from __future__ import annotations

import pytest

from include.comparison.wording import both

LONG = "Two tribe members race down the beach. First, they crawl under a cargo net, then they dig."


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("6", "5", ("6", "5")),
        ("US0001", "US0002", ("Ann", "US0002")),
        (None, "4030000.0000000005", (None, "4,030,000")),
        ("0.46453001", "0.46451007", ("0.46453", "0.46451")),
        ("686333.3333333334", "755125", ("686,333", "755,125")),
        ("7.397845406718571e-06", "0.4935700003635", ("7.398e-06", "0.4936")),
        (LONG, LONG + " NA", ("“… net, then they dig.”", "“… net, then they dig. NA”")),
        ("", "x", ("empty", "x")),
    ],
)
def test_two_values_are_shortened_to_where_they_differ(
    before: str | None, after: str, said: tuple[str | None, str]
) -> None:
    """Descriptions of challenges differ in their last word, scores in their fifth digit."""
    assert both(before, after, {"US0001": "Ann"}) == said
