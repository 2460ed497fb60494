"""What came of a benchmark: everything as JSON, and the tables of docs/performance.md."""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

import psutil
from rich.markdown import Markdown

from benchmarks.measure import PROJECT, Result, Spread
from include.environments import Environment, executable

DOCUMENT = PROJECT / "docs" / "performance.md"
TABLE = re.compile(r"(<!-- table of (\w+): make bench DOCS=1 -->\n).*?(<!-- end -->)", re.DOTALL)

PACKAGES = {
    "Airflow": "apache-airflow",
    "Cosmos": "astronomer-cosmos",
    "pandas": "pandas",
    "psycopg": "psycopg",
}
PACKAGES_ELSEWHERE: dict[Environment, dict[str, str]] = {
    "dbt": {"dbt": "dbt-core"},
    "quality": {"Soda": "soda-core-postgres", "Great Expectations": "great-expectations"},
}


class SuiteResult(Protocol):
    """What a suite found."""

    def as_json(self) -> Any:
        """Return all of it, every sample included."""

    def markdown(self) -> str:
        """Return its table."""


@dataclass(frozen=True)
class CaseTable:
    """The results of a suite's cases."""

    results: Sequence[Result]

    def as_json(self) -> list[dict[str, Any]]:
        """Return every case with its samples, ratios and verdicts."""
        return [
            {
                "name": result.case.name,
                "title": result.case.title,
                "baseline": result.case.baseline,
                "samples": [asdict(sample) for sample in result.samples],
                "ratios": result.ratios,
                "verdicts": result.verdicts,
            }
            for result in self.results
        ]

    def markdown(self) -> str:
        """Return a line per case, and one below it per part of its time."""
        lines = [
            "| case | n | seconds | CPU seconds | MiB | ratio | target |",
            "|---|---:|---:|---:|---:|---:|---|",
        ]
        for result in self.results:
            cells = [
                f"`{result.case.name}` {result.case.title}",
                str(len(result.samples)),
                told(result.wall),
                told(result.cpu),
                f"{result.peak_mib.high:.0f}",
                f"{told(result.ratio)} of `{result.case.baseline}`" if result.ratio else "",
                ", ".join(
                    f"{target}: {'met' if met else '**missed**'}"
                    for target, met in result.verdicts.items()
                ),
            ]
            lines.append(f"| {' | '.join(cells)} |")
            lines += [
                f"| … {part} | {spread.n} | {told(spread)} | | | | |"
                for part, spread in result.parts.items()
            ]
        return "\n".join(lines)


def told(spread: Spread) -> str:
    """Return a median with its range: `1.23 (1.20 to 1.41)`."""
    digits = 1 if spread.median >= 20 else 2 if spread.median >= 0.1 else 3
    median, low, high = (f"{it:.{digits}f}" for it in (spread.median, spread.low, spread.high))
    return median if spread.n == 1 else f"{median} ({low} to {high})"


@dataclass(frozen=True)
class Setting:
    """Where and on what a benchmark ran."""

    machine: dict[str, str]
    versions: dict[str, str]
    commit: str
    is_clean: bool
    started_at: datetime
    load: float
    """How many processes wanted to run on average in the minute before."""
    data: str

    @classmethod
    def now(cls, started_at: datetime, postgres: str, data: str) -> Setting:
        """Look around.

        Args:
            postgres: version of the server.
            data: what is loaded, for a person.
        """
        commit = _git("rev-parse", "--short=12", "HEAD")
        return cls(
            machine=_machine(),
            versions=_versions() | {"Postgres": postgres},
            commit=commit or "unknown",
            is_clean=bool(commit) and not _git("status", "--porcelain"),
            started_at=started_at,
            load=round(os.getloadavg()[0], 1),
            data=data,
        )

    def sentence(self) -> str:
        """Return all of it as one paragraph for below a table."""
        state = "" if self.is_clean else " with changes"
        machine = ", ".join(self.machine.values())
        versions = ", ".join(f"{name} {number}" for name, number in self.versions.items())
        return (
            f"Measured on {self.started_at:%Y-%m-%d} at commit {self.commit}{state}, {self.data}. "
            f"{machine}, load {self.load} before. {versions}."
        )


def write_json(
    path: Path, setting: Setting, suites: Mapping[str, SuiteResult], **more: Any
) -> None:
    """Write down everything."""
    path.parent.mkdir(parents=True, exist_ok=True)
    told = asdict(setting) | {"started_at": setting.started_at.isoformat()} | more
    told["suites"] = {name: result.as_json() for name, result in suites.items()}
    path.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")


def rewritten(document: str, blocks: Mapping[str, str]) -> str:
    """Return the document with these blocks between the markers of their suites.

    Raises:
        ValueError: the document has no place for one of them.
    """
    places = {match[2] for match in TABLE.finditer(document)}
    if missing := blocks.keys() - places:
        raise ValueError(f"{DOCUMENT.name} has no markers for {', '.join(sorted(missing))}")
    return TABLE.sub(
        lambda match: (
            f"{match[1]}\n{blocks[match[2]]}\n\n{match[3]}" if match[2] in blocks else match[0]
        ),
        document,
    )


def update_document(setting: Setting, suites: Mapping[str, SuiteResult]) -> None:
    """Write the tables into docs/performance.md."""
    blocks = {name: f"{it.markdown()}\n\n{setting.sentence()}" for name, it in suites.items()}
    text = rewritten(DOCUMENT.read_text(encoding="utf-8"), blocks)
    DOCUMENT.write_text(text, encoding="utf-8")


def rendered(name: str, result: SuiteResult) -> Markdown:
    """Return a suite's table for a terminal."""
    return Markdown(f"## {name}\n\n{result.markdown()}")


def _machine() -> dict[str, str]:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "processor": _processor(),
        "cores": f"{cores} cores",
        "memory": f"{psutil.virtual_memory().total / 2**30:.0f} GiB",
        "system": _system(),
    }


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists() and (model := re.search(r"model name\s*: (.*)", cpuinfo.read_text())):
        return model[1]
    return platform.processor() or platform.machine()


def _system() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        return f"{platform.system()} {platform.release()}"


def _versions() -> dict[str, str]:
    found = {"Python": platform.python_version()}
    found |= {name: version(package) for name, package in PACKAGES.items()}
    for environment, packages in PACKAGES_ELSEWHERE.items():
        asked = "import sys, importlib.metadata as m; print(*map(m.version, sys.argv[1:]))"
        command = [str(executable(environment)), "-c", asked, *packages.values()]
        numbers = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
        found |= dict(zip(packages, numbers, strict=True))
    return found


def _git(*arguments: str) -> str:
    """Return what git says of the checkout, nothing where there is none."""
    command = ["git", "-C", str(PROJECT), *arguments]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""
