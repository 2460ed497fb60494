"""What a sample holds, in which order cases are measured, and what is made of the samples."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from benchmarks.measure import (
    PROJECT,
    Case,
    CaseFailed,
    Sample,
    Spread,
    interleaved,
    measured_child,
    measured_command,
    stopwatch,
)
from include.environments import CommandFailed

HERE = "tests.unit.benchmarks.test_measure"


def a_case(name: str, run: Callable[[], Sample], repetitions: int = 3, **options: object) -> Case:
    return Case("suite", name, f"the {name} one", run, repetitions, **options)


def seconds(*values: float) -> Callable[[], Sample]:
    """Takes as long as these, one after the other."""
    left = itertools.cycle(values)
    return lambda: Sample(wall=next(left), cpu=1)


def test_a_ratio_is_the_median_of_those_within_a_round() -> None:
    """The machine was three times slower in the second round, and it hit both."""
    floor = a_case("floor", seconds(1, 3, 1))
    load = a_case("load", seconds(2, 6, 2.5), baseline="floor", target=2)
    _, result = interleaved([floor, load], quick=False, on_progress=lambda *_: None)
    assert result.ratios == [2, 2, 2.5]
    assert result.ratio == Spread(n=3, median=2, low=2, high=2.5)
    assert result.wall == Spread(n=3, median=2.5, low=2, high=6)
    assert result.verdicts == {"ratio ≤ 2": True}


def test_cases_take_turns_and_one_with_fewer_repetitions_drops_out() -> None:
    ran: list[str] = []

    def noted(name: str) -> Callable[[], Sample]:
        def run() -> Sample:
            ran.append(name)
            return Sample(1, 1)

        return run

    cases = [a_case("a", noted("a")), a_case("b", noted("b"), repetitions=2, baseline="a")]
    told: list[tuple[str, int, int]] = []
    results = interleaved(
        cases,
        quick=False,
        on_progress=lambda case, done, total: told.append((case.name, done, total)),
    )
    assert ran == ["a", "b", "a", "b", "a"]
    assert [len(result.samples) for result in results] == [3, 2]
    assert len(results[1].ratios) == 2
    assert told == [("a", 0, 5), ("b", 1, 5), ("a", 2, 5), ("b", 3, 5), ("a", 4, 5)]


def test_quick_mode_leaves_out_what_has_no_place_in_it() -> None:
    """And a ratio to what was left out."""
    cases = [
        a_case("a", seconds(1), quick_repetitions=0),
        a_case("b", seconds(2), quick_repetitions=2, baseline="a", target=1),
    ]
    (result,) = interleaved(cases, quick=True, on_progress=lambda *_: None)
    assert (result.case.name, len(result.samples)) == ("b", 2)
    assert result.ratio is None
    assert result.verdicts == {}


def test_every_target_has_a_verdict() -> None:
    samples = iter([Sample(1, 1, peak_mib=200), Sample(3, 1, peak_mib=310)])
    case = a_case("a", lambda: next(samples), 2, most_seconds=2, most_mib=300)
    (result,) = interleaved([case], quick=False, on_progress=lambda *_: None)
    # The median of the seconds, but not of the memory: a machine that has less is out of it once.
    assert result.verdicts == {"≤ 2 s": True, "≤ 300 MiB": False}


def test_parts_are_summed_up_by_name() -> None:
    samples = iter([Sample(1, 1, parts={"x": 1}), Sample(1, 1, parts={"x": 2, "y": 5})])
    (result,) = interleaved([a_case("a", lambda: next(samples), 2)], False, lambda *_: None)
    assert result.parts == {"x": Spread(2, 1.5, 1, 2), "y": Spread(1, 5, 5, 5)}


def test_a_suite_that_does_not_fit_together_is_refused() -> None:
    with pytest.raises(ValueError, match="no case of the suite is called floor"):
        interleaved([a_case("a", seconds(1), baseline="floor")], False, lambda *_: None)
    with pytest.raises(ValueError, match="two cases of one name"):
        interleaved([a_case("a", seconds(1)), a_case("a", seconds(1))], False, lambda *_: None)


def test_a_failing_case_names_itself_and_its_output() -> None:
    case = a_case("a", lambda: measured_command(["sh", "-c", "echo what went wrong; exit 3"]))
    with pytest.raises(CaseFailed, match=r"suite\.a \(the a one\) failed:\n.*3:\nwhat went wrong"):
        interleaved([case], False, lambda *_: None)


def test_a_program_is_measured_with_what_it_started() -> None:
    hungry = "import time; kept = bytearray(64 << 20)\nwhile time.process_time() < 0.2: pass"
    script = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {hungry!r}])"
    sample = measured_command([sys.executable, "-S", "-c", script])
    assert sample.cpu >= 0.2
    assert 64 < sample.peak_mib < 128
    assert sample.wall > 0


def test_a_program_does_not_begin_with_the_memory_of_the_benchmark() -> None:
    """On Linux it would: what starts a program hands on its own peak."""
    kept = bytearray(b"x" * (256 << 20))
    assert measured_command(["sleep", "0"]).peak_mib < 64
    assert len(kept) == 256 << 20


def test_a_program_gets_what_is_meant_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """A DB_HOST or AIRFLOW_HOME of the shell belongs to another warehouse."""
    monkeypatch.setenv("DB_HOST", "elsewhere")
    script = 'test "$(cat)" = given && test "$OWN" = yes && test -z "$DB_HOST"'
    measured_command(["sh", "-c", script], {"OWN": "yes"}, given="given")


def test_a_program_that_is_not_there_says_so() -> None:
    with pytest.raises(CommandFailed, match="no-such-program"):
        measured_command(["no-such-program"])


def parts_of(first: float) -> dict[str, float]:
    return {"first": first}


def only_a_part() -> Sample:
    with stopwatch() as watch:
        time.sleep(0.05)
    return watch.sample(more=2)


def broken() -> None:
    raise ValueError("the reason")


def test_a_function_is_measured_as_a_process() -> None:
    assert measured_child(f"{HERE}:parts_of", first=3).parts == {"first": 3}


def test_a_function_may_count_only_a_part_of_its_process() -> None:
    sample = measured_child(f"{HERE}:only_a_part")
    assert sample.parts["more"] == 2
    assert 0.05 <= sample.wall < sample.parts["process"]
    assert sample.cpu < 0.05
    assert sample.peak_mib > 5


def test_a_function_that_fails_leaves_its_traceback() -> None:
    with pytest.raises(CommandFailed, match="the reason"):
        measured_child(f"{HERE}:broken")


def test_an_interrupt_ends_what_is_measured(tmp_path: Path) -> None:
    """A dbt that went on would be there when the server is stopped, or after it."""
    number = tmp_path / "number"
    script = (
        "import signal\nfrom benchmarks.measure import measured_command\n"
        # A shell that starts tests in the background has them ignore it.
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        f"measured_command(['sh', '-c', 'echo $$ > {number}; exec sleep 600'])"
    )
    bench = subprocess.Popen([sys.executable, "-c", script], cwd=PROJECT, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not (number.exists() and number.read_text().strip()) and time.monotonic() < deadline:
        time.sleep(0.05)
    measured = psutil.Process(int(number.read_text()))
    os.kill(bench.pid, signal.SIGINT)
    assert bench.wait(30) != 0
    assert not psutil.wait_procs([measured], timeout=30)[1]
