"""How time and memory grow with the number of seasons: each stage on 1, 10 and 50 times survivoR.

A stage's exponent is the slope of its CPU seconds, its own and the server's, over the number of
seasons on a double logarithmic scale, once without what it costs to start: 1 means twice the time
for twice the seasons. CPU seconds, since other programs of the machine change them least.

Tests that pin facts about the real seasons fail on copies, so dbt's models and tests are measured
apart, and what fails is counted.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np

from benchmarks.audits import IMPORTS
from benchmarks.measure import Sample, measured_child, measured_command, stopwatch
from benchmarks.server import watched

if TYPE_CHECKING:
    from benchmarks.workspace import Warehouse, Workspace
    from include.warehouse.connection import ConnectionSettings

COPIES = (1, 10, 50)
QUICK_COPIES = (1, 5)

# Python decodes what Postgres multiplies: beyond, bronze is what the loader made of the real files,
# multiplied in the database.
MOST_COPIES_AS_FILES = 10

OLDER = 5

TIMES = "\N{MULTIPLICATION SIGN}"

MOST_EXPONENT = 1.05
# Within which a peak of memory counts as the same, and below which a larger one does not matter.
MOST_MEMORY_RATIO = 1.25
SMALL_MIB = 16

STAGES = {
    "read": "bronze: read the files once",
    "bronze": "bronze: files to tables",
    "seeds": "dbt: seeds",
    "models": "dbt: models",
    "tests": "dbt: data tests",
    "soda": "Soda",
    "great_expectations": "Great Expectations",
    "publish": "publish",
    "roll_back": "roll back",
}
# What of these is the start of a program that does nothing yet.
START_OF = {
    "seeds": "dbt", "models": "dbt", "tests": "dbt",
    "soda": "soda", "great_expectations": "great_expectations",
}  # fmt: skip


@dataclass(frozen=True)
class Point:
    """One stage at one size.

    Attributes:
        server_cpu: CPU seconds of the server.
        server_mib: most memory that one of its processes had to itself.
        failed: checks that did not pass.
    """

    sample: Sample
    server_cpu: float
    server_mib: float
    failed: int = 0

    @property
    def cpu(self) -> float:
        """CPU seconds of the program and of the server."""
        return self.sample.cpu + self.server_cpu


@dataclass
class GrowthResult:
    """What a suite found; a stage that was not measured at a size is missing there."""

    rows: dict[int, int] = field(default_factory=dict)
    """Rows of bronze."""
    mib: dict[int, dict[str, float]] = field(default_factory=dict)
    """Size on disk per layer."""
    starts: dict[str, Sample] = field(default_factory=dict)
    """Programs that start and do nothing."""
    points: dict[str, dict[int, Point]] = field(default_factory=dict)

    def exponent(self, stage: str, *, with_start: bool = False) -> float | None:
        """Return how the stage's CPU seconds grow, those of its start left out if not asked for."""
        start = self.starts[START_OF[stage]].cpu if stage in START_OF and not with_start else 0
        return fitted_exponent(
            {copies: point.cpu - start for copies, point in self.points[stage].items()}
        )

    def memory_ratio(self, stage: str) -> float:
        """Return the peak of memory at the largest size over that at the smallest.

        The program's or the server's, whichever grew more.
        """
        points = self.points[stage]
        smallest, largest = points[min(points)], points[max(points)]
        ratios = [
            after / before
            for before, after in (
                (smallest.sample.peak_mib, largest.sample.peak_mib),
                (smallest.server_mib, largest.server_mib),
            )
            if before and after > SMALL_MIB
        ]
        return max(ratios, default=1)

    @property
    def whole(self) -> dict[int, Point]:
        """All stages but the reading, which the loading does again, where all were measured."""
        stages = [points for stage, points in self.points.items() if stage != "read"]
        return {
            copies: Point(
                Sample(
                    sum(points[copies].sample.wall for points in stages),
                    sum(points[copies].sample.cpu for points in stages),
                    max(points[copies].sample.peak_mib for points in stages),
                ),
                sum(points[copies].server_cpu for points in stages),
                max(points[copies].server_mib for points in stages),
                sum(points[copies].failed for points in stages),
            )
            for copies in self.rows
            if all(copies in points for points in stages)
        }

    def as_json(self) -> Any:
        """Return every figure and what follows from them."""
        return {
            **asdict(self),
            "exponents": {stage: self.exponent(stage) for stage in self.points},
            "exponents_with_start": {
                stage: self.exponent(stage, with_start=True) for stage in self.points
            },
            "memory_ratios": {stage: self.memory_ratio(stage) for stage in self.points},
        }

    def markdown(self) -> str:
        """Return a line per stage: seconds at each size, and how they and the memory grow."""
        sizes = sorted(self.rows)
        head = [f"{copies}{TIMES}" for copies in sizes]
        lines = [
            "| stage | "
            + " | ".join(f"{it} seconds" for it in head)
            + " | "
            + " | ".join(f"{it} CPU" for it in head)
            + " | exponent | with start | "
            + " | ".join(f"{it} MiB" for it in head)
            + " | target |",
            "|---|" + "---:|" * (3 * len(sizes) + 2) + "---|",
        ]
        stages = [(STAGES[name], name, points) for name, points in self.points.items()]
        for title, name, points in stages:
            exponent, with_start = self.exponent(name), self.exponent(name, with_start=True)
            lines.append(
                f"| {title} | "
                + " | ".join(
                    f"{points[it].sample.wall:.1f}" if it in points else "" for it in sizes
                )
                + " | "
                + " | ".join(f"{points[it].cpu:.1f}" if it in points else "" for it in sizes)
                + f" | {_told(exponent)} | {_told(with_start)} | "
                + " | ".join(_memory(points[it]) if it in points else "" for it in sizes)
                + f" | {', '.join(self._verdicts(name))} |"
            )
        return "\n".join([*lines, "", *self._notes()])

    def _verdicts(self, stage: str) -> Iterator[str]:
        exponent = self.exponent(stage)
        if exponent is not None:
            yield f"exponent ≤ {MOST_EXPONENT}: {_verdict(exponent <= MOST_EXPONENT)}"
        yield f"same memory: {_verdict(self.memory_ratio(stage) <= MOST_MEMORY_RATIO)}"

    def _notes(self) -> Iterator[str]:
        for copies, rows in sorted(self.rows.items()):
            sizes = ", ".join(f"{layer} {mib:,.0f}" for layer, mib in self.mib[copies].items())
            failed = {
                STAGES[stage]: points[copies].failed
                for stage, points in self.points.items()
                if copies in points and points[copies].failed
            }
            told = ", ".join(f"{stage} {count}" for stage, count in failed.items()) or "none"
            yield (
                f"* {copies}{TIMES}: {rows:,} rows of bronze; MiB on disk: {sizes}; "
                f"not passed: {told}."
            )
        starts = ", ".join(f"{name} {it.cpu:.1f}" for name, it in self.starts.items())
        yield f"* CPU seconds of a program's start, left out of the exponent: {starts}."
        if whole := self.whole:
            exponent = fitted_exponent({copies: point.cpu for copies, point in whole.items()})
            seconds = ", ".join(
                f"{copies}{TIMES} {point.sample.wall:.0f} s ({point.cpu:.0f} CPU seconds)"
                for copies, point in whole.items()
            )
            yield (
                f"* All stages but the reading, one after the other: {seconds}; "
                f"exponent {_told(exponent)}."
            )


def fitted_exponent(seconds: Mapping[int, float]) -> float | None:
    """Return the slope of seconds over sizes on a double logarithmic scale.

    None where there are no two sizes with seconds that a clock of ticks can tell apart from none.
    """
    known = {copies: value for copies, value in seconds.items() if value > 0.05}
    if len(known) < 2:
        return None
    slope, _ = np.polyfit(np.log(list(known)), np.log(list(known.values())), 1)
    return float(slope)


def _told(exponent: float | None) -> str:
    return "" if exponent is None else f"{exponent:.2f}"


def _verdict(met: bool) -> str:
    return "met" if met else "**missed**"


def _memory(point: Point) -> str:
    return f"{point.sample.peak_mib:.0f} + {point.server_mib:.0f}"


@dataclass
class Grown:
    """A release with more seasons, on its way through the stages, in a warehouse of its own."""

    workspace: Workspace
    copies: int
    warehouse: Warehouse
    release_id: int
    older: tuple[int, ...]
    folder: Path
    rows: int = 0
    points: dict[str, Point] = field(default_factory=dict)

    def measure(self, stage: str, run: Callable[[], Sample]) -> None:
        """Do a stage and keep what it took."""
        with watched(self.workspace.server.data) as use:
            sample = run()
        failed = int(sample.parts.get("failed", 0))
        self.points[stage] = Point(sample, use.cpu, use.backend_mib, failed)

    def child(self, function: str, /, **arguments: Any) -> Sample:
        """Run a function of this module, in a process of its own."""
        return measured_child(
            f"benchmarks.growth:{function}",
            warehouse=self.warehouse.pipeline.as_environment(),
            **arguments,
        )

    def dbt(self, command: str, *arguments: str) -> Sample:
        """Run dbt on the project whose seeds have as many copies."""
        from benchmarks.workspace import dbt_environment

        environment = dbt_environment(self.warehouse, self.release_id, self.folder)
        project = self.folder / "project"
        return measured_child(
            "benchmarks.growth:run_dbt",
            environment={**environment, "DBT_PROFILES_DIR": str(project)},
            command=[command, *arguments],
            project=str(project),
            target=environment["DBT_TARGET_PATH"],
        )

    def sizes(self) -> dict[str, float]:
        """Return the MiB on disk of each layer."""
        with self.warehouse.superuser.connect() as connection:
            found = connection.execute(
                """
                select
                    substring(nspname from '^[a-z]+'),
                    sum(pg_total_relation_size(pg_class.oid)) / 2 ^ 20
                from pg_class
                join pg_namespace on pg_namespace.oid = relnamespace
                where relkind = 'r' and nspname ~ %s
                group by 1
                order by 1
                """,
                (f"_r{self.release_id}$",),
            ).fetchall()
        return {layer: float(mib) for layer, mib in found}


_grown: WeakKeyDictionary[Workspace, dict[int, Grown]] = WeakKeyDictionary()


def built(workspace: Workspace, copies: int) -> Grown:
    """Return a release with so many copies of the seasons, built and measured once."""
    known = _grown.setdefault(workspace, {})
    if copies not in known:
        known[copies] = _build(workspace, copies)
    return known[copies]


def _build(workspace: Workspace, copies: int) -> Grown:
    from benchmarks.seasons import multiply_bronze, write_project, write_seasons
    from benchmarks.workspace import dbt_environment
    from include.ingestion.sources import SourceRequest, resolve_source
    from include.transformation.results import read_definitions
    from include.warehouse.definitions import record_definitions
    from include.warehouse.releases import mark_built
    from include.warehouse.schemas import OWNER

    warehouse, folder = workspace.create_warehouse(), workspace.temporary_folder()
    source = folder / "source"
    as_files = copies <= MOST_COPIES_AS_FILES
    rows = write_seasons(workspace.source_folder, source, copies if as_files else 1)
    with raised_limits():
        resolved = resolve_source(SourceRequest(source="directory", directory=str(source)))
    # Publications go forward only, so what readers saw before must be older.
    older = tuple(workspace.open_release(warehouse, resolved) for _ in range(OLDER))
    release_id = workspace.open_release(warehouse, resolved)
    grown = Grown(workspace, copies, warehouse, release_id, older, folder, rows)
    if as_files:
        grown.measure(
            "read",
            partial(measured_child, "benchmarks.growth:read_files", folder=str(source)),
        )
    loading = partial(
        grown.child, "load", release_id=release_id, source=resolved.model_dump(mode="json")
    )
    if as_files:
        grown.measure("bronze", loading)
    else:
        loading()
        with warehouse.superuser.connect() as connection:
            grown.rows = multiply_bronze(connection, release_id, copies)
    shutil.rmtree(source)
    write_project(folder / "project", copies)
    # Only what comes after is measured with what dbt knows from here.
    grown.dbt("parse")
    grown.measure("seeds", partial(grown.dbt, "seed"))
    grown.measure("models", partial(grown.dbt, "run"))
    target = Path(dbt_environment(warehouse, release_id, folder)["DBT_TARGET_PATH"])
    with warehouse.pipeline.connect(role=OWNER) as connection:
        record_definitions(connection, release_id, read_definitions(target, release_id))
        mark_built(connection, release_id)
    return grown


def run(workspace: Workspace, quick: bool) -> GrowthResult:
    """Measure every stage at every size."""
    # It begins a minute after a stage and would be counted among the CPU seconds of another.
    with workspace.server.settings().connect(autocommit=True) as connection:
        connection.execute("alter system set autovacuum = off")
        connection.execute("select pg_reload_conf()")
        try:
            return _run(workspace, quick)
        finally:
            connection.execute("alter system reset autovacuum")
            connection.execute("select pg_reload_conf()")


def _run(workspace: Workspace, quick: bool) -> GrowthResult:
    from benchmarks import publication
    from include.environments import executable

    result = GrowthResult()
    for copies in QUICK_COPIES if quick else COPIES:
        grown = built(workspace, copies)
        result.mib[copies] = grown.sizes()
        if not result.starts:
            result.starts["dbt"] = grown.dbt("parse")
            for tool, statement in IMPORTS.items():
                result.starts[tool] = measured_command([executable("quality"), "-c", statement])
        # In quick mode without what is mostly a start that does not grow.
        if not quick:
            testing = partial(grown.dbt, "test", "--exclude-resource-type", "unit_test")
            grown.measure("tests", testing)
        for tool in ("soda",) if quick else ("soda", "great_expectations"):
            grown.measure(
                tool,
                partial(
                    grown.child, "audit", tool=tool, release_id=grown.release_id,
                    folder=str(workspace.temporary_folder()),
                ),
            )  # fmt: skip
        for function in ("publish", "roll_back"):
            publication.show_older(grown, unseen=function == "publish")
            grown.measure(function, partial(publication.measured, grown, function))
        result.rows[copies] = grown.rows
        for stage, point in grown.points.items():
            result.points.setdefault(stage, {})[copies] = point
    result.points = {stage: result.points[stage] for stage in STAGES if stage in result.points}
    return result


# What follows runs in processes of its own.


def read_files(folder: str) -> Sample:
    """Read each file once, as the loader does, and keep none."""
    from include.ingestion import reader

    with raised_limits(), stopwatch() as watch:
        for path in sorted(Path(folder).glob("*.rda")):
            reader.read_table(path)
    return watch.sample()


def load(warehouse: dict[str, str], release_id: int, source: dict[str, Any]) -> Sample:
    """Load bronze."""
    from include.ingestion.load import load_bronze
    from include.ingestion.sources import ResolvedSource
    from include.warehouse.schemas import LOADER

    resolved = ResolvedSource.model_validate(source)
    with raised_limits(), stopwatch() as watch, _settings(warehouse).connect(role=LOADER) as it:
        load_bronze(it, release_id, resolved, on_progress=print)
    return watch.sample()


def run_dbt(command: list[str], project: str, target: str) -> Sample:
    """Run dbt, and count the tests that did not pass."""
    from include.environments import CommandFailed, executable, run

    with stopwatch() as watch:
        try:
            run([executable("dbt", "dbt"), *command], {}, print, cwd=Path(project))
        except CommandFailed as error:
            if error.returncode != 1 or command[0] != "test":
                raise
    if command[0] == "parse":
        return watch.sample()
    ran = json.loads(Path(target, "run_results.json").read_text(encoding="utf-8"))
    failed = [it for it in ran["results"] if it["status"] not in ("success", "pass")]
    return watch.sample(
        failed=len(failed),
        **{it["unique_id"].split(".")[2]: it["execution_time"] for it in _slowest(ran["results"])},
    )


def _slowest(results: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(results, key=lambda it: it["execution_time"], reverse=True)[:10]


def audit(warehouse: dict[str, str], tool: str, release_id: int, folder: str) -> Sample:
    """Audit a release, and count what did not pass."""
    from include.quality import run as quality
    from include.warehouse.schemas import AUDITOR

    settings = _settings(warehouse)
    with stopwatch() as watch:
        try:
            if tool == "soda":
                quality.audit_with_soda(release_id, settings, ["bronze", "silver"], print)
            else:
                docs = Path(folder)
                quality.audit_with_great_expectations(release_id, settings, docs, print)
        except quality.AuditFailed as error:
            print(error)
    with settings.connect(role=AUDITOR) as connection:
        ((failed,),) = connection.execute(
            "select count(*) from ops.check_results "
            "where release_id = %s and tool = %s and outcome <> 'passed'",
            (release_id, tool),
        ).fetchall()
    return watch.sample(failed=failed)


@contextmanager
def raised_limits() -> Iterator[None]:
    """Let this process read larger files than upstream may have: the benchmark made them itself."""
    from include.ingestion import reader
    from include.ingestion.sources import directory

    unlimited = 2**40
    places = [
        *((reader, name) for name in ("MAX_TEXTS", "MAX_RATIO")),
        *((directory, name) for name in ("MAX_FILE_BYTES", "MAX_TOTAL_BYTES")),
    ]
    before = [getattr(module, name) for module, name in places]
    defaults = reader.read_table.__defaults__
    for module, name in places:
        setattr(module, name, unlimited)
    reader.read_table.__defaults__ = (unlimited,)
    try:
        yield
    finally:
        reader.read_table.__defaults__ = defaults
        for (module, name), value in zip(places, before, strict=True):
            setattr(module, name, value)


def _settings(warehouse: dict[str, str]) -> ConnectionSettings:
    from include.warehouse.connection import ConnectionSettings

    return ConnectionSettings.from_environment(warehouse)
