"""What the server does while something is measured: its processes are no children of ours."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

SECONDS_BETWEEN_LOOKS = 0.3


@dataclass
class ServerUse:
    """What a server used during a block, once it is left.

    Attributes:
        cpu: CPU seconds of all its processes.
        backend_mib: most memory that one of its processes had to itself, shared buffers apart.
    """

    cpu: float = 0
    backend_mib: float = 0


@contextmanager
def watched(data: Path) -> Iterator[ServerUse]:
    """Watch the server whose data lies there; sessions that matter must end within the block."""
    postmaster = psutil.Process(int((data / "postmaster.pid").read_text().split()[0]))
    use = ServerUse()
    before = _cpu_seconds(postmaster)
    done = threading.Event()
    watcher = threading.Thread(target=_watch_memory, args=(postmaster, use, done), daemon=True)
    watcher.start()
    try:
        yield use
    finally:
        done.set()
        watcher.join()
        use.cpu = _cpu_seconds(postmaster) - before


def _cpu_seconds(postmaster: psutil.Process) -> float:
    # The postmaster's own figure has those of its children that ended.
    own = postmaster.cpu_times()
    seconds = own.user + own.system + own.children_user + own.children_system
    for child in postmaster.children():
        with suppress(psutil.Error):
            times = child.cpu_times()
            seconds += times.user + times.system
    return float(seconds)


def _watch_memory(postmaster: psutil.Process, use: ServerUse, done: threading.Event) -> None:
    while not done.wait(SECONDS_BETWEEN_LOOKS):
        for child in postmaster.children():
            # Linux alone says what is shared, and the rest would be mostly the shared buffers.
            with suppress(psutil.Error, AttributeError):
                memory = child.memory_info()
                use.backend_mib = max(use.backend_mib, (memory.rss - memory.shared) / 2**20)
