"""What the audits take, and how much of that is the start of their tools."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.measure import Case, Sample, measured_child, measured_command, stopwatch

if TYPE_CHECKING:
    from benchmarks.workspace import Workspace

# What each process imports before its first query.
IMPORTS = {
    "soda": "import include.quality.soda_audit, soda.scan",
    "great_expectations": "import include.quality.gx_audit, great_expectations",
}
TITLES = {"soda": "Soda", "great_expectations": "Great Expectations"}


def suite(workspace: Workspace, quick: bool) -> list[Case]:
    """Return each audit as the pipeline runs it, and a process that only imports its tool."""
    workspace.built_release  # noqa: B018 -- now, not while somebody waits for the first case
    cases = []
    for tool, title in TITLES.items():
        importing = Case(
            "audits", f"{tool}_imports", f"{title}: start and imports alone",
            partial(_import, tool), repetitions=3, quick_repetitions=1,
        )  # fmt: skip
        auditing = Case(
            "audits", tool, f"{title}: the whole audit", partial(_audit, workspace, tool),
            repetitions=3, quick_repetitions=1, baseline=importing.name,
        )  # fmt: skip
        cases += [importing, auditing]
    return cases


def _import(tool: str) -> Sample:
    from include.environments import executable

    return measured_command([executable("quality"), "-c", IMPORTS[tool]])


def _audit(workspace: Workspace, tool: str) -> Sample:
    built = workspace.built_release
    return measured_child(
        f"benchmarks.audits:audit_with_{tool}",
        warehouse=built.warehouse.pipeline.as_environment(),
        release_id=built.release_id,
        folder=str(workspace.temporary_folder()),
    )


def audit_with_soda(warehouse: dict[str, str], release_id: int, folder: str) -> Sample:
    """Audit bronze and silver."""
    from include.quality.run import audit_with_soda as audit
    from include.warehouse.connection import ConnectionSettings

    settings = ConnectionSettings.from_environment(warehouse)
    with stopwatch() as watch:
        audit(release_id, settings, ["bronze", "silver"], on_line=print)
    return watch.sample()


def audit_with_great_expectations(
    warehouse: dict[str, str], release_id: int, folder: str
) -> Sample:
    """Audit gold."""
    from include.quality.run import audit_with_great_expectations as audit
    from include.warehouse.connection import ConnectionSettings

    settings = ConnectionSettings.from_environment(warehouse)
    with stopwatch() as watch:
        audit(release_id, settings, Path(folder), on_line=print)
    return watch.sample()
