"""What an audit tells: a line per check for a person, rows in `ops.check_results`, an exit code."""

from __future__ import annotations

import gc
import re
import sys
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import groupby

import psycopg

from include.log_groups import END, GROUP
from include.quality.session import AuditError
from include.warehouse.checks import CheckResult, Outcome, Tool, record_check_results
from include.warehouse.connection import ConnectionSettings, MissingSetting
from include.warehouse.schemas import AUDITOR

# Exit codes of the audit programs.
PASSED = 0
BLOCKED = 1
COULD_NOT_RUN = 2

# The report's last lines, one per check that blocks the release, start like this.
BLOCKS = "Blocks the release:"

# Failing rows shown and recorded as evidence for a check.
SAMPLE_SIZE = 5

_MARKS: dict[Outcome, str] = {
    "passed": "ok   ",
    "warned": "warn ",
    "failed": "FAIL ",
    "error": "ERROR",
}


def check_id(layer: str, table: str, name: str) -> str:
    """Return the id of a check, such as `bronze.castaways.every_castaway_has_an_id`.

    It stays the same as long as the name does.
    """
    return f"{layer}.{table}.{re.sub(r'[^a-z0-9]+', '_', name.lower()).strip('_')}"


def lines(results: Sequence[CheckResult]) -> list[str]:
    """Return one readable line per check, grouped by table and folded; what stands out; a summary.

    What did not pass stands outside the fold, blocking checks last, where a log is read first.
    """
    told = [f"{GROUP}Every check"]
    for table, checks in groupby(results, key=lambda result: (result.layer, result.table_name)):
        told.append(".".join(table))
        told += [f"  {_MARKS[check.outcome]} {check.description}" for check in checks]
    told.append(END)
    noteworthy = [check for check in results if check.outcome != "passed"]
    for check in sorted(noteworthy, key=lambda check: check.blocks):
        where = f"{check.layer}.{check.table_name}"
        told.append(f"{_MARKS[check.outcome]} {where}: {check.description}")
        told.append(f"      {check.message}")
    counts = Counter(result.outcome for result in results)
    told.append(
        f"{len(results)} checks: {counts['passed']} passed, {counts['warned']} warned, "
        f"{counts['failed']} failed, {counts['error']} could not be evaluated."
    )
    return told


def conclude(
    tool: Tool, release_id: int, audit: Callable[[ConnectionSettings], Sequence[CheckResult]]
) -> int:
    """Run an audit on the warehouse that `DB_*` names, record and print what it found.

    Returns:
        The exit code of the program.
    """
    print(f"Release {release_id}: audit with {tool}")
    # Imports are most of an audit and leave hardly any garbage. Looking for it, meanwhile and once
    # more when the process ends, would take half as long again as they do.
    gc.disable()
    try:
        settings = ConnectionSettings.from_environment()
        results = audit(settings)
        with settings.connect(role=AUDITOR) as connection:
            record_check_results(connection, release_id, tool, results)
    except (AuditError, MissingSetting, psycopg.Error) as error:
        print(f"The audit could not run: {error}", file=sys.stderr)
        return COULD_NOT_RUN
    except Exception:  # noqa: BLE001
        # Python's own exit code for a bug would say that the release is bad.
        traceback.print_exc()
        return COULD_NOT_RUN
    finally:
        gc.freeze()
        gc.enable()
    for line in lines(results):
        print(line)
    blocking = [result.check_id for result in results if result.blocks]
    for name in blocking:
        print(f"{BLOCKS} {name}")
    return BLOCKED if blocking else PASSED
