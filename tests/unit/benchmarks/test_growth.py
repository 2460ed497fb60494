"""What follows from the seconds that stages took at several sizes."""

from __future__ import annotations

import pytest

from benchmarks.growth import TIMES, GrowthResult, Point, fitted_exponent
from benchmarks.measure import Sample


def point(cpu: float, server_cpu: float = 0, peak_mib: float = 100, failed: int = 0) -> Point:
    return Point(Sample(cpu + server_cpu, cpu, peak_mib), server_cpu, 10, failed)


def result(points: dict[int, Point], stage: str = "models") -> GrowthResult:
    return GrowthResult(
        rows={copies: 1000 * copies for copies in points},
        mib={copies: {"bronze": 1.0 * copies} for copies in points},
        starts={"dbt": Sample(4, 4)},
        points={stage: points},
    )


@pytest.mark.parametrize("exponent", [1, 1.5, 2])
def test_the_exponent_is_the_slope(exponent: float) -> None:
    seconds = {copies: 3 * copies**exponent for copies in (1, 10, 50)}
    assert fitted_exponent(seconds) == pytest.approx(exponent)


def test_what_no_clock_can_tell_from_nothing_has_no_exponent() -> None:
    assert fitted_exponent({1: 0.01, 10: 0.02, 50: 2}) is None


def test_what_it_costs_to_start_does_not_hide_growth() -> None:
    grown = result({copies: point(4, 0.1 * copies**2) for copies in (1, 10, 50)})
    assert grown.exponent("models") == pytest.approx(2)
    assert (grown.exponent("models", with_start=True) or 0) < 1.5
    assert "exponent ≤ 1.05: **missed**" in grown.markdown()


def test_the_table_says_what_grows_what_failed_and_what_it_takes_on_disk() -> None:
    grown = result({1: point(5, 1), 50: point(54, 50, peak_mib=130, failed=3)}, "tests")
    table = grown.markdown()
    assert grown.memory_ratio("tests") == pytest.approx(1.3)
    assert "same memory: **missed**" in table
    assert (
        f"* 50{TIMES}: 50,000 rows of bronze; MiB on disk: bronze 50; "
        "not passed: dbt: data tests 3." in table
    )
    assert grown.as_json()["exponents"].keys() == {"tests"}


def test_a_stage_may_be_missing_at_a_size() -> None:
    grown = result({1: point(1), 10: point(10)}, "bronze")
    grown.rows[50], grown.mib[50] = 50_000, {}
    assert grown.exponent("bronze") == pytest.approx(1)
    assert grown.whole.keys() == {1, 10}
    assert "| bronze: files to tables | 1.0 | 10.0 |  |" in grown.markdown()
