"""`make debug`: is everything there that a run needs, and what to do when not."""

from __future__ import annotations

import platform
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import psycopg
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from include.environments import NO_TELEMETRY, CommandFailed, MissingEnvironment, executable, run
from include.local.airflow_home import own_environment
from include.local.databases import LocalDatabases
from include.local.postgres import PostgresError
from include.local.stack import AirflowStack
from include.local.state import State
from include.warehouse.bootstrap import NotBootstrapped
from include.warehouse.releases import published_release
from include.warehouse.schemas import AUDITOR, LOADER, OWNER, TRANSFORMER

FREE_SPACE_NEEDED = 2 * 1024**3


class Failed(Exception):
    """A check does not hold: what was found, and what to do about it."""

    def __init__(self, found: str, remedy: str) -> None:
        super().__init__(found)
        self.found, self.remedy = found, remedy


def examine(state: State, console: Console) -> int:
    """Run all checks and show them as a table; returns the exit code, 0 when all hold."""
    databases = LocalDatabases.of(state)
    checks: dict[str, Callable[[], str]] = {
        "Python": _python,
        "State folder": lambda: _writable(state.folder),
        "Artifacts folder": lambda: _writable(state.artifacts),
        "Temporary folder": lambda: _writable(Path(tempfile.gettempdir())),
        "Postgres": lambda: _postgres(databases),
        "Pipeline's login": lambda: _pipeline_login(databases),
        "Reader's login": lambda: _reader_login(databases),
        "Published release": lambda: _published(databases),
        "dbt": lambda: _dbt(state, databases),
        "Soda, Great Expectations": _audit_tools,
        "Airflow": lambda: _airflow(state, databases),
    }
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="bold")
    for column in ("Check", "", "Found", "What to do"):
        table.add_column(column, overflow="fold")
    failures = 0
    for name, check in checks.items():
        try:
            found, remedy, mark = check(), "", "[green]ok[/]"
        except Failed as failure:
            found, remedy, mark = failure.found, failure.remedy, "[bold red]failed[/]"
            failures += 1
        table.add_row(name, mark, escape(found), escape(remedy))
    console.print(table)
    return 1 if failures else 0


def _python() -> str:
    return f"{platform.python_version()} on {platform.system()} {platform.machine()}"


def _writable(folder: Path) -> str:
    try:
        with tempfile.TemporaryFile(dir=folder):
            free = shutil.disk_usage(folder).free
    except OSError as error:
        raise Failed(f"{folder}: {error.strerror}", "Make it writable.") from error
    if free < FREE_SPACE_NEEDED:
        raise Failed(f"{folder}: {free / 1024**3:.1f} GiB free", "Free at least 2 GiB.")
    return f"{folder}, {free / 1024**3:.0f} GiB free"


def _postgres(databases: LocalDatabases) -> str:
    try:
        databases.start()
        with databases.server.settings().connect() as connection:
            version = connection.info.server_version // 10000
    except (PostgresError, NotBootstrapped, psycopg.Error) as error:
        raise Failed(str(error), "See its log; make down and make run start it anew.") from error
    return f"version {version} on 127.0.0.1:{databases.server.port}"


def _pipeline_login(databases: LocalDatabases) -> str:
    for role in (OWNER, LOADER, TRANSFORMER, AUDITOR):
        try:
            databases.pipeline.connect(role=role).close()
        except psycopg.Error as error:
            raise Failed(f"as {role}: {error}", "make clean, then make run.") from error
    return f"{databases.pipeline.user} may act as every role"


def _reader_login(databases: LocalDatabases) -> str:
    try:
        databases.reader.connect().close()
    except psycopg.Error as error:
        raise Failed(str(error), "make clean, then make run.") from error
    return f"{databases.reader.user} can connect (make dsn)"


def _published(databases: LocalDatabases) -> str:
    try:
        with databases.pipeline.connect(role=OWNER) as connection:
            release = published_release(connection)
    except psycopg.Error as error:
        raise Failed(str(error), "make clean, then make run.") from error
    if release is None:
        return "none yet (make run)"
    return f"{release.release_id}, from {release.source_kind} {release.source_version[:12]}"


def _dbt(state: State, databases: LocalDatabases) -> str:
    project = state.checkout / "include" / "dbt"
    version: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        try:
            run(
                [executable("dbt", "dbt"), "debug"],
                env={
                    **databases.pipeline.as_environment(),
                    "DB_ROLE": TRANSFORMER,
                    "DBT_PROJECT_DIR": str(project),
                    "DBT_PROFILES_DIR": str(project),
                    "DBT_LOG_PATH": folder,
                    "DBT_TARGET_PATH": folder,
                },
                on_line=lambda line: version.append(line) if "dbt version" in line else None,
            )
        except MissingEnvironment as error:
            raise Failed(str(error), "make run builds it.") from error
        except CommandFailed as error:
            raise Failed(str(error), "make dbt ARGS=debug shows all of it.") from error
    return f"connects ({version[0].split('dbt')[-1].strip()})" if version else "connects"


def _audit_tools() -> str:
    code = (
        "import importlib.metadata as m, soda.scan, great_expectations; "
        "print(m.version('soda-core-postgres'), m.version('great-expectations'), sep=' and ')"
    )
    try:
        finished = subprocess.run(
            [executable("quality"), "-c", code],
            env=own_environment() | NO_TELEMETRY,
            capture_output=True,
            text=True,
            check=True,
        )
    except MissingEnvironment as error:
        raise Failed(str(error), "make run builds it.") from error
    except subprocess.CalledProcessError as error:
        found = error.stderr.strip().splitlines()[-1:] or ["they cannot be imported"]
        raise Failed(found[0], "rm -r .venvs/quality; make run builds it anew.") from error
    return finished.stdout.strip()


def _airflow(state: State, databases: LocalDatabases) -> str:
    stack = AirflowStack(state, databases)
    running = stack.running()
    if not running:
        return "not running (make up)"
    # The triggerer comes with `make up` only.
    wanted = {"scheduler", "dag_processor", *(name.replace("-", "_") for name in running)}
    wanted.discard("api_server")
    ill = [name for name in sorted(wanted) if not stack.api().is_healthy((name,))]
    if ill:
        raise Failed(
            f"{', '.join(running)} run, but not well: {', '.join(ill)}",
            f"See {state.logs}; make down, make up.",
        )
    return f"{stack.url}: {', '.join(running)}"
