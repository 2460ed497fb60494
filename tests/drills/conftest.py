"""Every drill is watched by a reader and gives a row of the table that `make drills` prints."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from tests.drills.reader import Reader
from tests.drills.table import Row, show, write

# Airflow reads its settings when it is first imported, before any fixture could change them.
if "airflow" not in sys.modules:
    HOME = tempfile.TemporaryDirectory(prefix="gamebot-airflow-")
    os.environ.setdefault("AIRFLOW_HOME", HOME.name)
    os.environ.setdefault("AIRFLOW__CORE__LOAD_EXAMPLES", "False")

HERE = Path(__file__).parent
ROW = pytest.StashKey[Row]()
ROWS = pytest.StashKey[list[Row]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let `make drills` say where the table goes."""
    parser.addoption("--drills-page", type=Path, help="put the table of drills into this page")


def pytest_configure(config: pytest.Config) -> None:
    """Begin an empty table."""
    config.stash[ROWS] = []


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark them, so that `-m "not integration"` leaves them out."""
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.integration)


@pytest.fixture
def drill(request: pytest.FixtureRequest, reader: Reader) -> Iterator[Row]:
    """The drill's row of the table; afterwards, readers must have noticed nothing."""
    row = request.node.stash[ROW]
    since = time.time()
    yield row
    reader.wait_for_look(time.time())
    verdict = reader.judge(since)
    row.readers = str(verdict)
    assert not verdict.complaints, verdict.complaints[:3]


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Begin a row for each drill, so that one which cannot run is in the table too."""
    if "drill" in getattr(item, "fixturenames", ()):
        description = (getattr(item, "function", None).__doc__ or item.name).strip()
        fault = description.splitlines()[0].rstrip(".")
        parameters = getattr(item, "callspec", None)
        if parameters:
            fault = f"{fault}: {parameters.id}"
        item.stash[ROW] = Row(fault=fault)
        item.config.stash[ROWS].append(item.stash[ROW])


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[Any]) -> Any:
    """Note in the row how its drill came out."""
    report = yield
    row = item.stash.get(ROW, None)
    if row:
        if report.failed:
            row.outcome = "FAILED"
        elif report.skipped and isinstance(report.longrepr, tuple):
            row.outcome = report.longrepr[2]
        elif report.when == "call":
            row.outcome = "held"
    return report


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Print the table, and keep it in the documentation when asked to."""
    rows = config.stash[ROWS]
    page = config.getoption("--drills-page", default=None)
    if rows and (page or config.option.verbose > 0):
        terminalreporter.section("drills")
        show(rows, Console(width=max(terminalreporter._tw.fullwidth, 160)))
    if rows and page:
        write(rows, page)
