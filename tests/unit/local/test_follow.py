"""What a person sees of a run: a line per task, the newest message, the decisive error."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from include.local.api import DagRun, TaskInstance
from include.local.follow import error_lines, follow, follow_caused, log_file, newest_message

RUN = DagRun(dag_id="pipeline", dag_run_id="manual__1", state="running")


def task(name: str, state: str | None, **changes: Any) -> TaskInstance:
    values = {
        "dag_id": RUN.dag_id,
        "dag_run_id": RUN.dag_run_id,
        "task_id": name,
        "map_index": -1,
        "state": state,
        "try_number": 1,
        "duration": 1.5,
        "start_date": "2026-06-12T10:00:00Z",
        "end_date": "2026-06-12T10:00:01Z",
    }
    return TaskInstance.model_validate(values | changes)


def write_log(path: Path, *entries: dict[str, Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    return path


class Airflow:
    """Answers like the api-server, one step of the story per poll."""

    def __init__(self, *story: tuple[str, list[TaskInstance]]) -> None:
        self._story = list(story)
        self.asked = 0

    def run(self, dag_id: str, run_id: str) -> DagRun:
        self.asked += 1
        return DagRun(dag_id=dag_id, dag_run_id=run_id, state=self._story[0][0])

    def task_instances(self, run: DagRun) -> list[TaskInstance]:
        return (self._story.pop(0) if len(self._story) > 1 else self._story[0])[1]


@pytest.fixture
def console() -> Console:
    return Console(file=io.StringIO(), width=200)


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("include.local.follow.POLL_SECONDS", 0)


def printed(console: Console) -> list[str]:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


def test_each_task_is_reported_once_with_what_it_said_last(
    tmp_path: Path, console: Console
) -> None:
    load = task("load_bronze", "success")
    write_log(
        log_file(load, tmp_path),
        {"logger": "include.airflow_tasks", "event": "190,856 rows in 21 tables"},
        {"logger": "task", "event": "::endgroup::"},
    )
    story = Airflow(
        ("running", [task("load_bronze", "running", end_date=None)]),
        ("running", [load, task("dbt_build", "running", end_date=None)]),
        ("success", [load, task("dbt_build", "success"), task("models.x", "skipped")]),
    )
    assert follow(story, RUN, tmp_path, console).state == "success"  # type: ignore[arg-type]
    lines = printed(console)
    assert len(lines) == 2
    assert "load_bronze" in lines[0] and "190,856 rows in 21 tables" in lines[0]
    assert "dbt_build" in lines[1]


def test_a_run_is_not_asked_for_while_a_task_is_at_work(tmp_path: Path, console: Console) -> None:
    """Airflow loads all its tasks for that: twice a second it cost more than they did."""
    story = Airflow(
        ("running", [task("load_bronze", "queued")]),
        ("running", [task("load_bronze", "running")]),
        ("running", [task("load_bronze", "up_for_retry")]),
        ("running", [task("load_bronze", "running", try_number=2)]),
        ("success", [task("load_bronze", "success", try_number=2)]),
    )
    assert follow(story, RUN, tmp_path, console).state == "success"  # type: ignore[arg-type]
    assert story.asked == 3


def test_a_retry_says_at_once_why_the_first_try_failed(tmp_path: Path, console: Console) -> None:
    first = task("load_bronze", "up_for_retry")
    error = {"exc_type": "SourceUnavailable", "exc_value": "no answer"}
    write_log(log_file(first, tmp_path), {"level": "error", "error_detail": [error]})
    story = Airflow(
        ("running", [first]), ("success", [task("load_bronze", "success", try_number=2)])
    )
    follow(story, RUN, tmp_path, console)  # type: ignore[arg-type]
    retry, success = printed(console)
    assert "tried again: SourceUnavailable: no answer" in retry
    assert "✓" in success


def test_the_decisive_error_comes_first_and_markup_in_it_is_just_text(
    tmp_path: Path, console: Console
) -> None:
    failed = task("load_bronze", "failed")
    detail = [
        {"exc_type": "ContractViolation", "exc_value": "boot_mapping fell to 14 rows\n[red]"},
        {"exc_type": "KeyError", "exc_value": "its cause"},
    ]
    log = write_log(
        log_file(failed, tmp_path),
        {"level": "info", "logger": "task", "event": "fine so far"},
        {"level": "error", "logger": "include.x", "event": "\x1b[0m09:46:36  one model failed"},
        {"level": "error", "logger": "task", "event": "Task failed", "error_detail": detail},
    )
    assert error_lines(log) == [
        "ContractViolation: boot_mapping fell to 14 rows",
        "[red]",
        "one model failed",
    ]
    follow(Airflow(("failed", [failed])), RUN, tmp_path, console)  # type: ignore[arg-type]
    assert "boot_mapping fell to 14 rows" in printed(console)[0]


def test_a_log_that_is_not_there_or_just_being_written_is_no_error(tmp_path: Path) -> None:
    assert newest_message(tmp_path / "none.log") == ""
    half = tmp_path / "half.log"
    half.write_text('{"logger": "include.x", "event": "1 of 21"}\n{"logger": "incl')
    assert newest_message(half) == "1 of 21"


def test_the_newest_message_of_a_long_log_is_found_without_its_beginning(tmp_path: Path) -> None:
    chatter = {"logger": "airflow", "event": "x" * 300}
    telling = {"logger": "include.x", "event": "21 of 21"}
    log = write_log(tmp_path / "long.log", *[chatter] * 1000, telling, chatter)
    assert newest_message(log) == "21 of 21"


def test_runs_that_a_publish_starts_are_waited_for(tmp_path: Path, console: Console) -> None:
    class WithConsumer(Airflow):
        asked = 0

        def runs_caused_by(self, run: DagRun) -> tuple[list[DagRun], bool]:
            self.asked += 1
            return ([], True) if self.asked == 1 else ([RUN], False)

    airflow = WithConsumer(("success", [task("export", "success")]))
    assert [run.state for run in follow_caused(airflow, RUN, tmp_path, console)] == ["success"]  # type: ignore[arg-type]
