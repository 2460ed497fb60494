"""The way from files on disk to committed tables, beside its floor and what people would write.

The floor reads every file once and has the server itself copy the same rows, from files that it
wrote before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.measure import Case, Sample, measured_child, stopwatch

if TYPE_CHECKING:
    import pandas as pd
    import psycopg

    from benchmarks.workspace import Warehouse, Workspace

# Where everything but the pipeline writes.
SCHEMA = "elsewhere"

# One file is enough to tell the readers apart: the other one takes a minute and more for all.
READ_TWICE = "vote_history"


def suite(workspace: Workspace, quick: bool) -> list[Case]:
    """Return the load, its floor, and what takes its place elsewhere."""
    bench = _Bench.prepared(workspace)
    case = partial(Case, "bronze")
    others = [
        ("execute_values", "psycopg2's execute_values, 1,000 rows at once", 2, 1),
        ("to_sql", "pandas.to_sql", 1, 0),
        ("executemany", "psycopg2's executemany", 1, 0),
    ]
    return [
        case("floor", "Floor: read once, COPY by the server from its own files",
             partial(bench.elsewhere, "floor"), 7, 2),
        case("load_bronze", "load_bronze, in a new interpreter", partial(bench.load, 1), 7, 2,
             baseline="floor", target=2, most_mib=300),
        case("load_bronze_again", "load_bronze, once more in the same interpreter",
             partial(bench.load, 2), 3, 0, baseline="floor"),
        *(
            case(name, title, partial(bench.elsewhere, name), repetitions, in_quick_mode,
                 baseline="floor")
            for name, title, repetitions, in_quick_mode in others
        ),
        case("reader", f"{READ_TWICE}.rda alone, by our reader", partial(bench.read, "ours"), 3, 0),
        case("rdata", f"{READ_TWICE}.rda alone, by rdata", partial(bench.read, "rdata"), 3, 0,
             baseline="reader"),
    ]  # fmt: skip


@dataclass(frozen=True)
class _Bench:
    workspace: Workspace
    warehouse: Warehouse
    loaded: str
    """The schema with the rows as they should be."""
    copies: Path
    """The server's own files of them."""

    @classmethod
    def prepared(cls, workspace: Workspace) -> _Bench:
        """Load a release and show it to readers, so that the next one is held against it."""
        from include.ingestion.load import load_bronze
        from include.warehouse.publication import publish_when_free, show_release
        from include.warehouse.schemas import LOADER, OWNER, release_schema

        warehouse = workspace.create_warehouse()
        release_id = workspace.open_release(warehouse)
        with warehouse.pipeline.connect(role=LOADER) as connection:
            load_bronze(connection, release_id, workspace.source, on_progress=lambda _: None)
        with warehouse.pipeline.connect(role=OWNER, autocommit=True) as connection:
            publish_when_free(
                connection, lambda: _done(show_release(connection, release_id, ["bronze"]))
            )
        copies = workspace.temporary_folder()
        # Where root benches, the server is somebody else.
        copies.chmod(0o777)
        schema = release_schema("bronze", release_id)
        with warehouse.superuser.connect() as connection:
            for table in _tables(connection, schema):
                _execute(
                    connection, "copy {}.{} to {} (format binary)",
                    schema, table, _Text(f"{copies / table}.copy"),
                )  # fmt: skip
        return cls(workspace, warehouse, schema, copies)

    def load(self, times: int) -> Sample:
        """Load releases one after the other in one process; the last one counts."""
        releases = [self.workspace.open_release(self.warehouse) for _ in range(times)]
        sample = measured_child(
            "benchmarks.bronze:load",
            warehouse=self.warehouse.pipeline.as_environment(),
            releases=releases,
            source=self.workspace.source.model_dump(mode="json"),
        )
        for release_id in releases:
            self._check_and_drop(f"bronze_r{release_id}")
        return sample

    def elsewhere(self, function: str) -> Sample:
        """Fill tables of the same columns in some other way."""
        with self.warehouse.superuser.connect() as connection:
            _execute(connection, "create schema {}", SCHEMA)
        sample = measured_child(
            f"benchmarks.bronze:{function}",
            warehouse=self.warehouse.superuser.as_environment(),
            like=self.loaded,
            files=str(self.workspace.source_folder),
            copies=str(self.copies),
        )
        self._check_and_drop(SCHEMA)
        return sample

    def read(self, reader: str) -> Sample:
        """Read one file."""
        file = self.workspace.source_folder / f"{READ_TWICE}.rda"
        return measured_child(f"benchmarks.bronze:read_{reader}", file=str(file))

    def _check_and_drop(self, schema: str) -> None:
        """Make sure that a schema holds the rows that it should, and delete it."""
        with self.warehouse.superuser.connect() as connection:
            expected, found = (_rows(connection, name) for name in (self.loaded, schema))
            if found != expected:
                raise ValueError(f"{schema} holds {found} instead of {expected}")
            _execute(connection, "drop schema {} cascade", schema)


def load(warehouse: dict[str, str], releases: list[int], source: dict[str, Any]) -> Sample:
    """The stage as a task calls it."""
    with stopwatch() as imports:
        from include import pipeline
        from include.ingestion.sources import ResolvedSource
        from include.warehouse.connection import ConnectionSettings
    settings = ConnectionSettings.from_environment(warehouse)
    resolved = ResolvedSource.model_validate(source)
    for release_id in releases:
        with stopwatch() as watch:
            pipeline.load_bronze(settings, release_id, resolved, on_progress=print)
    return watch.sample(imports=imports.wall)


def floor(warehouse: dict[str, str], like: str, files: str, copies: str) -> Sample:
    """Read every file once; let the server copy the same rows."""
    import psycopg  # noqa: F401 -- imports are not measured

    from include.ingestion.reader import read_table

    with stopwatch() as reading:
        for file in sorted(Path(files).glob("*.rda")):
            read_table(file)
    with stopwatch() as copying, _connection(warehouse) as connection:
        for table in _create_tables(connection, like):
            _execute(
                connection, "copy {}.{} from {} (format binary)",
                SCHEMA, table, _Text(f"{Path(copies) / table}.copy"),
            )  # fmt: skip
    return Sample(
        reading.wall + copying.wall,
        reading.cpu + copying.cpu,
        parts={"reading": reading.wall, "COPY by the server": copying.wall},
    )


def to_sql(warehouse: dict[str, str], like: str, files: str, copies: str) -> Sample:
    """What a notebook does."""
    import sqlalchemy

    from include.warehouse.connection import ConnectionSettings

    uri = ConnectionSettings.from_environment(warehouse).uri()
    engine = sqlalchemy.create_engine(uri.replace("postgresql", "postgresql+psycopg2", 1))
    with stopwatch() as watch, engine.begin() as connection:
        for table, frame in _frames(files):
            frame.to_sql(table, connection, schema=SCHEMA, index=False)
    return watch.sample()


def execute_values(warehouse: dict[str, str], like: str, files: str, copies: str) -> Sample:
    """What a script does whose author has read about speed."""
    from psycopg2.extras import execute_values as insert

    def fill(cursor: Any, target: str, rows: list[tuple[Any, ...]]) -> None:
        insert(cursor, f"insert into {target} values %s", rows, page_size=1000)  # noqa: S608

    return _by_psycopg2(warehouse, like, files, fill)


def executemany(warehouse: dict[str, str], like: str, files: str, copies: str) -> Sample:
    """What a script does."""

    def fill(cursor: Any, target: str, rows: list[tuple[Any, ...]]) -> None:
        places = ", ".join(["%s"] * len(rows[0]))
        cursor.executemany(f"insert into {target} values ({places})", rows)  # noqa: S608

    return _by_psycopg2(warehouse, like, files, fill)


def read_ours(file: str) -> Sample:
    """The reader of the pipeline."""
    from include.ingestion.reader import read_table

    with stopwatch() as watch:
        read_table(Path(file))
    return watch.sample()


def read_rdata(file: str) -> Sample:
    """The reader that Python has otherwise under a licence like ours."""
    import rdata

    with stopwatch() as watch:
        rdata.read_rda(file, default_encoding="utf-8")
    return watch.sample()


def _by_psycopg2(
    warehouse: dict[str, str], like: str, files: str, fill: Callable[[Any, str, list[Any]], None]
) -> Sample:
    import psycopg2

    from include.warehouse.connection import ConnectionSettings

    uri = ConnectionSettings.from_environment(warehouse).uri()
    with stopwatch() as watch:
        with _connection(warehouse) as own:
            _create_tables(own, like)
        connection = psycopg2.connect(uri)
        with connection, connection.cursor() as cursor:
            for table, frame in _frames(files):
                fill(cursor, f"{SCHEMA}.{table}", _as_rows(frame))
        connection.close()
    return watch.sample()


def _frames(files: str) -> Iterator[tuple[str, pd.DataFrame]]:
    """Read every file, and give its rows the two columns that ours have."""
    from include.ingestion.reader import read_table

    for file in sorted(Path(files).glob("*.rda")):
        frame = read_table(file).frame
        yield file.stem, frame.assign(_row_number=range(1, len(frame) + 1), _release_id=1)


def _as_rows(frame: pd.DataFrame) -> list[tuple[Any, ...]]:
    values = frame.astype(object)
    return list(values.where(values.notna(), None).itertuples(index=False, name=None))


def _connection(warehouse: dict[str, str]) -> psycopg.Connection:
    from include.warehouse.connection import ConnectionSettings

    return ConnectionSettings.from_environment(warehouse).connect()


def _create_tables(connection: psycopg.Connection, like: str) -> list[str]:
    tables = _tables(connection, like)
    for table in tables:
        _execute(connection, "create table {}.{} (like {}.{})", SCHEMA, table, like, table)
    return tables


def _tables(connection: psycopg.Connection, schema: str) -> list[str]:
    found = connection.execute(
        "select tablename from pg_tables where schemaname = %s order by 1", (schema,)
    )
    return [table for (table,) in found]


def _rows(connection: psycopg.Connection, schema: str) -> dict[str, int]:
    return {
        table: _execute(connection, "select count(*) from {}.{}", schema, table).fetchall()[0][0]
        for table in _tables(connection, schema)
    }


def _done(_result: object) -> None:
    """Where nothing may be returned."""


class _Text(str):
    """A value among the names of a statement."""


def _execute(connection: psycopg.Connection, statement: str, *names: str) -> psycopg.Cursor:
    from psycopg import sql

    return connection.execute(
        sql.SQL(statement).format(
            *(sql.Literal(str(it)) if isinstance(it, _Text) else sql.Identifier(it) for it in names)
        )
    )
