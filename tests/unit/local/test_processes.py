"""What is started in the background can be stopped, whatever became of it."""

from __future__ import annotations

import time
from pathlib import Path

import psutil
import pytest

from include.local.processes import Processes
from include.local.state import read_json


@pytest.mark.parametrize("restarted", [False, True])
def test_what_a_killed_process_had_started_is_ended(tmp_path: Path, restarted: bool) -> None:
    """A killed scheduler's workers stayed, and with them its lock on a run: the next one waited."""
    processes = Processes(tmp_path / "processes.json", tmp_path)
    path = {"PATH": "/usr/bin:/bin"}
    processes.start("scheduler", ["sh", "-c", "sleep 300 & wait"], path, tmp_path)
    leader = psutil.Process(read_json(tmp_path / "processes.json")["scheduler"]["pid"])
    deadline = time.monotonic() + 10
    while not (children := leader.children()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    leader.kill()
    leader.wait()

    assert processes.running() == []
    if restarted:
        processes.start("scheduler", ["sleep", "300"], path, tmp_path)
        assert not any(child.is_running() for child in children)
    assert processes.stop() == (["scheduler"] if restarted else [])
    assert not any(child.is_running() for child in children)
