"""What a run of Airflow cost, read from its metadata and its tasks' logs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from benchmarks.airflow import BEGINS, ENDED, FORKED, PARSED, Run, RunFailed, Task
from benchmarks.pipeline import STAGES, shares
from include.local.api import DagRun

START = datetime(2026, 6, 12, tzinfo=UTC)
LINES = ((FORKED, 0.1), (PARSED, 0.5), (BEGINS, 0.6), (ENDED, 1.8), (BEGINS, 1.9))


def after(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def task(
    folder: Path, name: str, start: float, end: float, lines: Sequence[tuple[str, float]] = LINES
) -> Task:
    log = folder / f"{name}.log"
    entries = [
        {"timestamp": after(start + offset).isoformat(), "event": event} for event, offset in lines
    ]
    log.write_text("\n".join(["no JSON", *map(json.dumps, entries)]))
    return Task(name, "success", log, after(start - 0.3), after(start), after(end))


def run_of(*tasks: Task, ended: float = 10) -> Run:
    dag_run = DagRun(dag_id="pipeline", dag_run_id="one", state="success")
    return Run(dag_run, START, after(ended), tasks, cpu=1, peak_mib=1)


def test_the_time_of_a_task_is_divided_where_its_log_says(tmp_path: Path) -> None:
    phases = task(tmp_path, "load", 1, 3).phases()
    assert {name: round(seconds, 3) for name, seconds in phases.items()} == {
        "queued": 0.3,
        "fork": 0.1,
        "read the DAG file": 0.4,
        "prepare": 0.1,
        "our code": 1.2,
        "finish": 0.2,
    }


def test_a_log_without_the_lines_that_divide_it_is_an_error(tmp_path: Path) -> None:
    """Another Airflow would else be measured as one that takes no time for anything."""
    with pytest.raises(RunFailed, match="Post Execute"):
        task(tmp_path, "load", 1, 3, LINES[:3]).phases()


def test_no_task_runs_before_the_first_between_two_and_after_the_last(tmp_path: Path) -> None:
    run = run_of(
        task(tmp_path, "first", 1, 3),
        task(tmp_path, "beside", 2, 6),
        task(tmp_path, "within", 4, 5),
        task(tmp_path, "last", 7, 9.5),
    )
    assert run.idle() == pytest.approx(1 + 1 + 0.5)


def test_a_group_is_one_stage_from_its_first_start_to_its_last_end(tmp_path: Path) -> None:
    run = run_of(
        task(tmp_path, "dbt_build", 1, 3),
        task(tmp_path, "models.castaway_profile", 4, 5),
        task(tmp_path, "models.season_context", 4.5, 7),
    )
    assert run.span("models") == 3
    assert run.span("dbt_build", "models") == 6


def test_a_stage_that_did_not_run_is_an_error_that_names_it(tmp_path: Path) -> None:
    stages = [task(tmp_path, stage, 1, 3) for stage in STAGES if stage != "load_bronze"]
    with pytest.raises(RunFailed, match="no load_bronze"):
        shares(run_of(*stages))


def test_a_task_of_no_stage_is_an_error_that_names_it(tmp_path: Path) -> None:
    stages = [task(tmp_path, stage, 1, 3) for stage in (*STAGES, "load_silver")]
    with pytest.raises(RunFailed, match="load_silver"):
        shares(run_of(*stages))
