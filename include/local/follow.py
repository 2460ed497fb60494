"""Follows a DAG run to its end and shows what happens, on a terminal or in a log."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.spinner import Spinner
from rich.table import Table

from include.local.api import AirflowApi, DagRun, TaskInstance
from include.log_groups import END, GROUP

POLL_SECONDS = 0.5
CAUSED_RUNS_TIMEOUT = 15
ERROR_LINES = 6

# Whose messages tell a person something; the rest of a task's log is Airflow's own housekeeping.
TELLING_LOGGERS = ("include.", "cosmos.hooks", "task.stdout", "task.stderr")
# What Cosmos says of the subprocess, what folds lines, and what dbt puts before each line.
SUBPROCESS_CHATTER = ("Command ", "Tmp dir ", "Running command", GROUP, END)
LINE_PREFIX = re.compile(r"^(?:\x1b\[[0-9;]*m)*(?:\d\d:\d\d:\d\d\s+)?")
ANSI_CODES = re.compile(r"\x1b\[[0-9;]*m")

MARKS = {
    "success": "[green]✓[/]",
    "failed": "[red]✗[/]",
    "up_for_retry": "[yellow]↻[/]",
}


def follow(api: AirflowApi, run: DagRun, task_logs: Path, console: Console) -> DagRun:
    """Show a run's tasks as they end, and on a terminal what the running ones say.

    Returns:
        The run in its final state.
    """
    shown: set[tuple[str, int, int, str]] = set()
    current, at_work = run, False
    with _live(console) as live:
        while True:
            # Airflow takes its time over a run, and none ends while a task is at work. Before the
            # tasks: they are at least as far then.
            if not at_work:
                current = api.run(run.dag_id, run.dag_run_id)
            tasks = api.task_instances(run)
            for task in sorted(tasks, key=_order):
                key = (task.task_id, task.map_index, task.try_number, task.state or "")
                if key not in shown and task.state in MARKS and not task.is_empty:
                    shown.add(key)
                    console.print(_line(task, task_logs), soft_wrap=True)
            if live:
                live.update(_activity(tasks, task_logs))
            if current.finished:
                return current
            at_work = any(task.state in ("queued", "running") for task in tasks)
            time.sleep(POLL_SECONDS)


def follow_caused(api: AirflowApi, run: DagRun, task_logs: Path, console: Console) -> list[DagRun]:
    """Follow the runs that a finished run's asset events start; returns them as they ended.

    Readers see the release already: what follows are files and pages made from it.
    """
    deadline = time.monotonic() + CAUSED_RUNS_TIMEOUT
    caused, pending = api.runs_caused_by(run)
    while pending and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
        caused, pending = api.runs_caused_by(run)
    ended = []
    # One run can come of several events.
    for other in {one.dag_run_id: one for one in caused}.values():
        console.print(f"[dim]Published, which started {other.dag_id}[/]")
        ended.append(follow(api, other, task_logs, console))
    return ended


def log_file(task: TaskInstance, task_logs: Path) -> Path:
    """Return the file to which Airflow logs this try of a task."""
    folder = (
        task_logs
        / f"dag_id={task.dag_id}"
        / f"run_id={task.dag_run_id}"
        / f"task_id={task.task_id}"
    )
    if task.map_index >= 0:
        folder /= f"map_index={task.map_index}"
    return folder / f"attempt={task.try_number}.log"


def newest_message(log: Path) -> str:
    """Return the last line of a task's log that tells a person something."""
    for entry in reversed(list(_entries(log, last_bytes=32_768))):
        message = _plain(str(entry.get("event", "")))
        is_telling = str(entry.get("logger", "")).startswith(TELLING_LOGGERS)
        if is_telling and message and not message.startswith(SUBPROCESS_CHATTER):
            return message.splitlines()[-1]
    return ""


def error_lines(log: Path) -> list[str]:
    """Return the lines of a task's log that say why it failed, the exception first."""
    said: list[str] = []
    raised: list[str] = []
    for entry in _entries(log):
        if entry.get("level") not in ("error", "critical"):
            continue
        details = entry.get("error_detail")
        if details:
            # The first is the exception that ended the task; the others are its causes.
            raised = f"{details[0]['exc_type']}: {details[0]['exc_value']}".splitlines()
        else:
            said += _plain(str(entry.get("event", ""))).splitlines()
    # An exception begins with what matters; the output of a program ends with it.
    lines = [line.rstrip() for line in (*raised[:ERROR_LINES], *said[-ERROR_LINES:])]
    return list(dict.fromkeys(line for line in lines if line.strip()))


def _plain(message: str) -> str:
    return ANSI_CODES.sub("", LINE_PREFIX.sub("", message)).strip()


def _live(console: Console) -> Any:
    if console.is_terminal:
        return Live(console=console, refresh_per_second=8, transient=True)
    return _NoLive()


class _NoLive:
    """What stands in for the moving part where output goes to a file."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, *_: object) -> None:
        return None


def _order(task: TaskInstance) -> float:
    return task.end_date.timestamp() if task.end_date else float("inf")


def _line(task: TaskInstance, task_logs: Path) -> str:
    duration = f"{task.duration:6.1f} s" if task.duration is not None else " " * 8
    if task.state == "success":
        note = newest_message(log_file(task, task_logs))
    else:
        note = (error_lines(log_file(task, task_logs)) or [""])[0]
        if task.state == "up_for_retry":
            note = f"failed, will be tried again: {note}"
    return f"{MARKS[task.state or '']} {task.task_id:<32} {duration}  [dim]{escape(note)}[/]"


def _activity(tasks: list[TaskInstance], task_logs: Path) -> RenderableType:
    running = [task for task in tasks if task.state == "running"]
    table = Table.grid(padding=(0, 1))
    for task in running:
        elapsed = f"{time.time() - task.start_date.timestamp():.0f} s" if task.start_date else ""
        message = newest_message(log_file(task, task_logs))
        table.add_row(Spinner("dots"), task.task_id, elapsed, f"[dim]{escape(message)}[/]")
    done = sum(task.finished for task in tasks)
    return Group(table, f"[dim]{done} of {len(tasks)} tasks done[/]")


def _entries(log: Path, last_bytes: int | None = None) -> Iterator[dict[str, Any]]:
    try:
        with log.open("rb") as file:
            if last_bytes and log.stat().st_size > last_bytes:
                file.seek(-last_bytes, 2)
                file.readline()
            lines = file.read().decode(errors="replace").splitlines()
    except FileNotFoundError:
        return
    for line in lines:
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if isinstance(entry, dict):
            yield entry
