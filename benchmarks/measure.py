"""Measure work in a process of its own, and cases of a suite in turns.

Nothing heavy is imported here: every measured process reads this module too.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parents[1]
LINES_OF_A_FAILURE = 40


@dataclass(frozen=True)
class Sample:
    """What one repetition took.

    Attributes:
        wall: seconds.
        cpu: CPU seconds of the measured process and its children. Postgres' are not among them.
        peak_mib: resident memory of the largest of these processes.
        parts: seconds of named shares of it.
    """

    wall: float
    cpu: float
    peak_mib: float = 0
    parts: dict[str, float] = field(default_factory=dict)


@dataclass
class Stopwatch:
    """Seconds and CPU seconds of a block, once it is left."""

    wall: float = 0
    cpu: float = 0

    def sample(self, **parts: float) -> Sample:
        """Return it as what a measured function returns."""
        return Sample(self.wall, self.cpu, parts=parts)


@contextmanager
def stopwatch() -> Iterator[Stopwatch]:
    """Time a block in this process, with the children that it waits for."""
    watch = Stopwatch()
    cpu, started = _cpu_seconds(), time.perf_counter()
    yield watch
    watch.wall, watch.cpu = time.perf_counter() - started, _cpu_seconds() - cpu


def _cpu_seconds() -> float:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def measured_child(
    function: str, /, *, environment: Mapping[str, str] | None = None, **arguments: Any
) -> Sample:
    """Call a function in a new interpreter of this environment, and measure that process.

    Args:
        function: `module:function`. What it returns are parts of the whole process' time; or a
            sample of what alone is to count (`stopwatch`), to which the memory of the process and a
            part `process`, the seconds of all of it, are added.
        environment: variables for it besides this process' own.
        arguments: what JSON can hold. Passwords are safe in them.

    Raises:
        CommandFailed: it raised; the message ends with its traceback.
    """
    with tempfile.TemporaryDirectory(prefix="gamebot-bench-") as folder:
        result = Path(folder, "result")
        sample = measured_command(
            [sys.executable, "-m", "benchmarks.child", function, str(result)],
            {"PYTHONPATH": str(PROJECT), **(environment or {})},
            given=json.dumps(arguments),
        )
        told = json.loads(result.read_text())
    if "sample" not in told:
        return replace(sample, parts=told["parts"] or {})
    counted = Sample(**told["sample"])
    parts = {**counted.parts, "process": sample.wall}
    return replace(counted, peak_mib=sample.peak_mib, parts=parts)


def measured_command(
    command: Sequence[str | Path],
    env: Mapping[str, str] | None = None,
    cwd: Path = PROJECT,
    *,
    given: str = "",
) -> Sample:
    """Run a program to its end and measure it.

    Args:
        env: variables added to this process' own, of which those that belong to another project or
            warehouse are not passed on.
        given: what it reads from stdin.

    Raises:
        CommandFailed: it ended with an exit code other than 0; the message holds its last lines.
    """
    from include.environments import NO_TELEMETRY, CommandFailed
    from include.local.airflow_home import own_environment

    with (
        tempfile.TemporaryDirectory(prefix="gamebot-bench-") as folder,
        tempfile.TemporaryFile("w+") as stdin,
        Path(folder, "output").open("w+", errors="replace") as output,
    ):
        report = Path(folder, "report")
        stdin.write(given)
        stdin.seek(0)
        process = subprocess.Popen(
            [
                sys.executable,
                "-I",
                "-S",
                str(PROJECT / "benchmarks" / "launch.py"),
                report,
                *command,
            ],
            env={**own_environment(), **NO_TELEMETRY, **(env or {})},
            cwd=cwd,
            stdin=stdin,
            # A file: a full pipe would make the program wait for us.
            stdout=output,
            stderr=subprocess.STDOUT,
            # A group of its own, so that whatever it started ends with it.
            start_new_session=True,
        )
        try:
            process.wait()
        except BaseException:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            raise
        used = json.loads(report.read_text()) if report.exists() else {"returncode": 127}
        if code := used.pop("returncode"):
            output.seek(0)
            lines = output.read().splitlines()[-LINES_OF_A_FAILURE:]
            raise CommandFailed(Path(command[0]).name, code, lines)
    return Sample(**used)


@dataclass(frozen=True)
class Case:
    """One way to do a piece of work, to be measured some times.

    Attributes:
        title: what a person reads in the table.
        run: does it once. What prepares it is not in the sample that it returns.
        quick_repetitions: in quick mode; 0 leaves the case out.
        baseline: the case of the suite that it is divided by.
        target: the most that this ratio may be.
        most_seconds: the most that its median may be.
        most_mib: the most that its largest peak of memory may be.
    """

    suite: str
    name: str
    title: str
    run: Callable[[], Sample]
    repetitions: int
    quick_repetitions: int = 1
    baseline: str | None = None
    target: float | None = None
    most_seconds: float | None = None
    most_mib: float | None = None


class CaseFailed(RuntimeError):
    """A case could not be measured; the message names it and holds its output."""

    def __init__(self, case: Case, error: BaseException) -> None:
        super().__init__(f"{case.suite}.{case.name} ({case.title}) failed:\n{error}")


@dataclass(frozen=True)
class Spread:
    """Where some values lie."""

    n: int
    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Sum up at least one value."""
        return cls(len(values), statistics.median(values), min(values), max(values))


@dataclass(frozen=True)
class Result:
    """The samples of a case, and its ratio to its baseline in each round in which both ran."""

    case: Case
    samples: list[Sample]
    ratios: list[float]

    @property
    def wall(self) -> Spread:
        """Seconds."""
        return Spread.of([sample.wall for sample in self.samples])

    @property
    def cpu(self) -> Spread:
        """CPU seconds."""
        return Spread.of([sample.cpu for sample in self.samples])

    @property
    def peak_mib(self) -> Spread:
        """Memory."""
        return Spread.of([sample.peak_mib for sample in self.samples])

    @property
    def ratio(self) -> Spread | None:
        """The case divided by its baseline, within a round."""
        return Spread.of(self.ratios) if self.ratios else None

    @property
    def parts(self) -> dict[str, Spread]:
        """Seconds of each part that a sample names."""
        names = dict.fromkeys(name for sample in self.samples for name in sample.parts)
        return {
            name: Spread.of([it.parts[name] for it in self.samples if name in it.parts])
            for name in names
        }

    @property
    def verdicts(self) -> dict[str, bool]:
        """Whether each target of the case is met."""
        found = {}
        if self.case.target is not None and self.ratio:
            found[f"ratio ≤ {self.case.target:g}"] = self.ratio.median <= self.case.target
        if self.case.most_seconds is not None:
            met = self.wall.median <= self.case.most_seconds
            found[f"≤ {self.case.most_seconds:g} s"] = met
        if self.case.most_mib is not None:
            found[f"≤ {self.case.most_mib:g} MiB"] = self.peak_mib.high <= self.case.most_mib
        return found


# Told which case comes next, and how many of how many measurements are done.
OnProgress = Callable[[Case, int, int], None]


def interleaved(cases: Sequence[Case], quick: bool, on_progress: OnProgress) -> list[Result]:
    """Measure the cases of a suite round by round, so that the machine's moods hit all alike.

    A case with fewer repetitions than others is in the first rounds only.

    Raises:
        CaseFailed: one of them could not be measured.
        ValueError: a baseline is no case of the suite, or a name is there twice.
    """
    repetitions = {
        case.name: case.quick_repetitions if quick else case.repetitions for case in cases
    }
    if len(repetitions) < len(cases):
        raise ValueError("a suite has two cases of one name")
    if unknown := {case.baseline for case in cases if case.baseline} - repetitions.keys():
        raise ValueError(f"no case of the suite is called {', '.join(sorted(unknown))}")
    samples: dict[str, list[Sample]] = {case.name: [] for case in cases}
    done = 0
    for number in range(max(repetitions.values(), default=0)):
        for case in cases:
            if number < repetitions[case.name]:
                on_progress(case, done, sum(repetitions.values()))
                try:
                    samples[case.name].append(case.run())
                except Exception as error:
                    raise CaseFailed(case, error) from error
                done += 1
    return [
        Result(
            case, samples[case.name], _ratios(samples[case.name], samples.get(case.baseline or ""))
        )
        for case in cases
        if samples[case.name]
    ]


def _ratios(samples: Sequence[Sample], baseline: Sequence[Sample] | None) -> list[float]:
    # The first of one ran beside the first of the other; some rounds only one of them has.
    pairs = zip(samples, baseline or (), strict=False)
    return [sample.wall / other.wall for sample, other in pairs if other.wall]
