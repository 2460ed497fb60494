"""What is started in the background can be stopped, whatever became of it."""

from __future__ import annotations

import time
from pathlib import Path

import psutil

from include.local.processes import Processes
from include.local.state import read_json


def test_what_a_killed_process_had_started_is_stopped_with_the_others(tmp_path: Path) -> None:
    """Workers of a scheduler that ran out of memory stayed for ever."""
    processes = Processes(tmp_path / "processes.json", tmp_path)
    command = ["sh", "-c", "sleep 300 & wait"]
    processes.start("scheduler", command, {"PATH": "/usr/bin:/bin"}, tmp_path)
    leader = psutil.Process(read_json(tmp_path / "processes.json")["scheduler"]["pid"])
    deadline = time.monotonic() + 10
    while not (children := leader.children()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    leader.kill()
    leader.wait()

    assert processes.running() == []
    assert processes.stop() == []
    assert not any(child.is_running() for child in children)
