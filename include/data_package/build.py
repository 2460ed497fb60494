"""Build the data package of one release in an empty folder, and read it back."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import psycopg
import pyarrow as pa
from pydantic import BaseModel, ConfigDict

from include.data_package import duckdb_file, parquet, sqlite_file
from include.data_package.contents import Contents, Table, read_contents
from include.data_package.documents import (
    DESCRIPTOR,
    Written,
    write_descriptor,
    write_readme,
    write_sums,
)
from include.data_package.errors import ExportError
from include.data_package.reading import content_hash, read_table
from include.folders import replacing
from include.warehouse.connection import ConnectionSettings
from include.warehouse.occupancy import looking_at
from include.warehouse.releases import Release
from include.warehouse.schemas import AUDITOR


class Progress(BaseModel):
    """How far a build is: every table is written once and read back once."""

    model_config = ConfigDict(frozen=True)

    done: int
    total: int
    step: str


class Package(BaseModel):
    """A package that was built and read back."""

    model_config = ConfigDict(frozen=True)

    release: Release
    tables: int
    rows: int
    size: int
    """Bytes of all files."""

    @property
    def summary(self) -> str:
        """One sentence for a person."""
        return (
            f"Release {self.release.release_id}: {self.tables} tables, {self.rows:,} rows, "
            f"{self.size / 1e6:.1f} MB; every file was read back."
        )


def build_package(
    settings: ConnectionSettings,
    release_id: int,
    folder: Path,
    *,
    manifest: Mapping[str, Any],
    changes: str,
    on_progress: Callable[[Progress], None] = lambda progress: None,
) -> Package:
    """Write a release into an empty folder; in memory is one of its tables at a time.

    What is read are the release's own tables, which nobody changes any more: a publication
    meanwhile neither waits for this nor mixes with it.

    Args:
        settings: a login that may act as `gamebot_owner` and `gamebot_auditor`.
        release_id: finished, with its tables still there.
        folder: empty, and on a disk with room for it.
        manifest: dbt's, of the code that built the release.
        changes: CHANGES.md.
        on_progress: told after every table.

    Raises:
        ExportError: the release cannot be packaged, or what was read back differs.
        ReleaseError: it is not finished, not whole, or its tables are gone.
        ReleaseBusy: a task that changes it holds it.
    """
    with (
        _explained(folder),
        looking_at(settings, release_id, "data_package") as release,
        settings.connect(role=AUDITOR, autocommit=True) as connection,
    ):
        contents = read_contents(connection, release, manifest)
        counter = iter(range(1, 2 * len(contents.tables) + 1))

        def tell(step: str) -> None:
            on_progress(Progress(done=next(counter), total=2 * len(contents.tables), step=step))

        written = _write_tables(connection, folder, contents, tell)
    with _explained(folder):
        _read_back(folder, contents, written, tell)
        (folder / "CHANGES.md").write_text(changes, encoding="utf-8")
        write_descriptor(folder, contents, written)
        write_readme(folder, contents, written)
        write_sums(folder)
    return Package(
        release=contents.release,
        tables=len(contents.tables),
        rows=sum(table.rows for table in written.values()),
        size=sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()),
    )


def _write_tables(
    connection: psycopg.Connection,
    folder: Path,
    contents: Contents,
    tell: Callable[[str], None],
) -> dict[str, Written]:
    written: dict[str, Written] = {}
    duckdb_writer = duckdb_file.DuckDBFile(folder, contents.tables)
    sqlite_writer = sqlite_file.SQLiteFile(folder, contents)
    for table in contents.tables:
        rows = read_table(connection, table)
        parquet.write(folder, contents, table, rows)
        duckdb_writer.insert(table, rows)
        sqlite_writer.insert(table, rows)
        written[table.full_name] = Written(
            rows=rows.num_rows,
            content_hash=content_hash(rows),
            sqlite_hash=content_hash(sqlite_file.storable(rows)),
        )
        tell(f"{table.full_name}: {rows.num_rows:,} rows")
    duckdb_writer.close()
    sqlite_writer.close(contents.tables)
    shutil.rmtree(folder / ".duckdb", ignore_errors=True)
    return written


def _read_back(
    folder: Path,
    contents: Contents,
    written: Mapping[str, Written],
    tell: Callable[[str], None],
) -> None:
    """Compare every table in every file with what the warehouse holds.

    Raises:
        ExportError: names the tables and files that differ.
    """
    wrong: list[str] = []
    with duckdb_file.opened(folder) as in_duckdb, sqlite_file.opened(folder) as in_sqlite:
        wrong += [f"{sqlite_file.NAME}: {problem}" for problem in sqlite_file.damage(in_sqlite)]
        for table in contents.tables:
            readers: dict[str, Callable[[], pa.Table]] = {
                parquet.path_of(table): partial(parquet.read, folder, table),
                duckdb_file.NAME: partial(duckdb_file.read, in_duckdb, table),
                sqlite_file.NAME: partial(sqlite_file.read, in_sqlite, table),
            }
            for name, read in readers.items():
                expected = written[table.full_name]
                content = (
                    expected.sqlite_hash if name == sqlite_file.NAME else expected.content_hash
                )
                wrong += _difference(name, table, read, expected.rows, content)
            tell(f"{table.full_name}: read back")
    if wrong:
        raise ExportError(
            "The data package differs from the warehouse and is thrown away:\n"
            + "\n".join(f"* {problem}" for problem in wrong)
        )


def _difference(
    name: str, table: Table, read: Callable[[], pa.Table], expected_rows: int, expected_hash: str
) -> Iterator[str]:
    try:
        rows = read()
    except (pa.ArrowException, duckdb.Error, sqlite3.Error, OSError) as error:
        yield f"{name}: {table.full_name} cannot be read: {error}"
        return
    if rows.num_rows != expected_rows:
        yield f"{name}: {table.full_name} has {rows.num_rows:,} rows, not {expected_rows:,}"
    elif content_hash(rows) != expected_hash:
        yield f"{name}: {table.full_name} has other values than the warehouse"


@contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """Make a folder to build in, which takes the place of `target` once all went well.

    Raises:
        ExportError: the target holds something else, or cannot be written.
    """
    target = target.absolute()
    refuse_foreign(target)
    with _explained(target), replacing(target) as draft:
        yield draft


@contextmanager
def _explained(folder: Path) -> Iterator[None]:
    """Name the folder when something cannot be written, by whichever of the libraries."""
    try:
        yield
    except (OSError, duckdb.IOException, sqlite3.OperationalError) as error:
        raise ExportError(
            f"{folder} cannot be written: {error}. It must be a folder that can be, on a disk with "
            "room for the package."
        ) from error


def refuse_foreign(target: Path) -> None:
    """Raise if there is something at `target` that is no data package and may not be replaced."""
    if target.is_dir():
        ours = (target / DESCRIPTOR).is_file() and (target / parquet.FOLDER).is_dir()
        if ours or not any(target.iterdir()):
            return
        raise ExportError(
            f"{target} holds files that are no data package: name an empty or new folder, or that "
            "of an earlier package, as in make export TO=folder."
        )
    if target.exists():
        raise ExportError(f"{target} is no folder: name one, as in make export TO=folder.")
