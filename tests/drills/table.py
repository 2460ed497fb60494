"""The table of drills: what was injected, what happened, what readers saw, what came next."""

from __future__ import annotations

import os
import platform
import re
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import psutil
from pydantic import BaseModel
from rich import box
from rich.console import Console
from rich.table import Table

MARKER = "<!-- written by make drills -->\n"


class Row(BaseModel):
    """One drill."""

    fault: str
    injected: str = ""
    happened: str = ""
    readers: str = ""
    next_run: str = ""
    outcome: str = ""
    """`held`, `FAILED`, or why it was skipped."""


HEADERS = {
    "fault": "Fault",
    "injected": "How it was injected",
    "happened": "What happened",
    "readers": "What readers saw",
    "next_run": "Next run",
    "outcome": "",
}


def show(rows: list[Row], console: Console) -> None:
    """Print the table."""
    table = Table(*HEADERS.values(), box=box.SIMPLE_HEAD, show_lines=True)
    for row in rows:
        table.add_row(*(getattr(row, name) for name in HEADERS))
    console.print(table, markup=False)
    console.print(summary(rows))


def summary(rows: list[Row]) -> str:
    """One line on how many held."""
    held = sum(row.outcome == "held" for row in rows)
    failed = sum(row.outcome == "FAILED" for row in rows)
    return f"{held} drills held, {failed} failed, {len(rows) - held - failed} were skipped."


def write(rows: list[Row], page: Path) -> None:
    """Put the table in place of the last one in the documentation."""
    before, _, _ = page.read_text(encoding="utf-8").partition(MARKER)
    memory = psutil.virtual_memory().total / 2**30
    lines = [
        f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores and {memory:.0f} GiB, "
        f"{platform.system()} {platform.machine()}, Python {platform.python_version()}. "
        f"{summary(rows)}",
        "",
        "| " + " | ".join(HEADERS.values()) + " |",
        "|---" * len(HEADERS) + "|",
        *("| " + " | ".join(_cell(getattr(row, name)) for name in HEADERS) + " |" for row in rows),
    ]
    page.write_text(before + MARKER + "\n" + "\n".join(lines) + "\n", encoding="utf-8")


def _cell(text: str) -> str:
    # Where this machine keeps temporary files concerns nobody.
    text = re.sub(rf"{re.escape(tempfile.gettempdir())}/(\S+/)*", "…/", text)
    return " ".join(text.replace("|", "\\|").replace("<", "&lt;").split())
