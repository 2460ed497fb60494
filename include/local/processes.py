"""Background processes that outlive the command which starts them.

Each leads a session of its own, so that a Ctrl-C meant for the command does not reach it and so
that it can be stopped together with whatever it started. A process is known by number and start
time: a number alone may belong to somebody else by now.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import psutil

from include.local.state import read_json, write_atomically

# Airflow's scheduler would wait for running tasks to end by themselves.
STOP_TIMEOUT = 8


class Processes:
    """The background processes recorded in one file."""

    def __init__(self, record: Path, logs: Path) -> None:
        """Describe them: `record` names them, each logs to `<logs>/<name>.log`."""
        self._record = record
        self._logs = logs

    def start(self, name: str, command: Sequence[str], env: Mapping[str, str], cwd: Path) -> None:
        """Start a process; its earlier log is kept as `<name>.log.1`."""
        # A killed scheduler's workers keep its database session open, and with it a lock on the run
        # that it worked on, for which the next scheduler would wait for ever.
        _end(self._left_behind())
        log = self.log(name)
        if log.exists():
            log.replace(log.with_name(f"{log.name}.1"))
        with log.open("w") as output:
            process = subprocess.Popen(
                command,
                env=dict(env),
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        started = psutil.Process(process.pid).create_time()
        self._write(self._read() | {name: {"pid": process.pid, "create_time": started}})

    def running(self) -> list[str]:
        """Return the names of the processes that are alive."""
        return [name for name in self._read() if self._find(name)]

    def started_at(self, name: str) -> datetime:
        """Return when a process was started."""
        return datetime.fromtimestamp(self._read()[name]["create_time"], UTC)

    def listens(self, name: str, port: int) -> bool:
        """Whether it is this process, or one that it started, that listens on a port."""
        process = self._find(name)
        if process is None:
            return False
        try:
            return any(
                connection.status == psutil.CONN_LISTEN and connection.laddr.port == port
                for member in (process, *process.children(recursive=True))
                for connection in member.net_connections("inet")
            )
        except psutil.NoSuchProcess:
            return False

    def log(self, name: str) -> Path:
        """Return the log file of a process."""
        return self._logs / f"{name}.log"

    def stop(self) -> list[str]:
        """Stop all of them and what they started; returns the names of those that were alive."""
        alive = {name: process for name in self._read() if (process := self._find(name))}
        # What a process started is asked too: a task may be in a session of its own.
        members = [
            *self._left_behind(),
            *(
                member
                for process in alive.values()
                for member in (process, *process.children(recursive=True))
            ),
        ]
        _end(members)
        self._write({})
        return list(alive)

    def _left_behind(self) -> list[psutil.Process]:
        """Return what a process that was killed had started, known by its session."""
        killed = {
            int(entry["pid"])
            for name, entry in self._read().items()
            if not self._find(name) and not _is_alive(int(entry["pid"]))
        }
        return [process for process in psutil.process_iter() if _session(process) in killed]

    def _find(self, name: str) -> psutil.Process | None:
        entry = self._read().get(name)
        if not entry:
            return None
        try:
            process = psutil.Process(int(entry["pid"]))
            is_ours = abs(process.create_time() - entry["create_time"]) < 1
            return process if is_ours and process.status() != psutil.STATUS_ZOMBIE else None
        except psutil.NoSuchProcess:
            return None

    def _read(self) -> dict[str, dict[str, float]]:
        return read_json(self._record)

    def _write(self, entries: Mapping[str, Mapping[str, float]]) -> None:
        write_atomically(self._record, json.dumps(entries))


def _is_alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _session(process: psutil.Process) -> int | None:
    # Another user's, on some systems; or it has ended meanwhile.
    with suppress(ProcessLookupError, PermissionError):
        return os.getsid(process.pid)
    return None


def _end(processes: Sequence[psutil.Process]) -> None:
    for process in processes:
        _quietly(process.terminate)
    _, stubborn = psutil.wait_procs(processes, timeout=STOP_TIMEOUT)
    for process in stubborn:
        _quietly(process.kill)
    psutil.wait_procs(stubborn, timeout=STOP_TIMEOUT)


def _quietly(signal: Callable[[], None]) -> None:
    # It may have ended of itself meanwhile.
    with suppress(psutil.NoSuchProcess):
        signal()
