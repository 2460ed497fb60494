"""Load one source into the bronze schema of one release: everything, or nothing.

All files are fetched first. Then one transaction takes dataset after dataset, holds it against the
contract and writes it, while the next file is read; it is committed when every dataset has passed.
So each file is read once, and memory holds two datasets. What happened is recorded in `ops` in any
case.
"""

from __future__ import annotations

import contextlib
import logging
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from functools import partial
from itertools import count
from typing import Any

import psycopg
from psycopg import sql
from psycopg.pq import TransactionStatus
from psycopg.types.json import Jsonb
from pydantic import BaseModel

from include.environments import temporary_folder
from include.ingestion.catalog import POSTGRES_TYPES, Catalog, load_catalog
from include.ingestion.contract import (
    Drift,
    Published,
    Shape,
    check_columns,
    check_datasets,
    check_sizes,
    refuse_blocking,
)
from include.ingestion.copy_format import HEADER, TRAILER, encoded_rows
from include.ingestion.reader import Table
from include.ingestion.sources import FetchedSource, ResolvedSource, fetch
from include.warehouse.schemas import release_schema

log = logging.getLogger(__name__)

ROW_NUMBER, RELEASE_ID = "_row_number", "_release_id"


class BronzeReport(BaseModel):
    """What was loaded.

    Attributes:
        datasets: tables created.
        rows: rows in all of them.
        drift: differences from the catalogue that did not stop the load.
    """

    datasets: int
    rows: int
    drift: list[Drift]


def load_bronze(
    connection: psycopg.Connection,
    release_id: int,
    source: ResolvedSource,
    *,
    accept_falls: Collection[str] = (),
    on_progress: Callable[[str], None] = log.info,
) -> BronzeReport:
    """Load every dataset of a source into `bronze_r<release_id>`, in place of an earlier attempt.

    Args:
        connection: outside a transaction, acting as the role that owns the schema and may insert
            into and delete from `ops.ingestion_runs`, `dataset_versions` and `schema_drift`.
        release_id: an open release.
        source: what `resolve_source` returned.
        accept_falls: datasets in which fewer rows or seasons than published are meant.
        on_progress: called with one line for a person per step.

    Raises:
        ContractViolation: the source changed in a way that must not reach readers.
        SourceError: the source cannot be reached or does not hold what was resolved.
        UnreadableFile: a file is damaged or of an unknown form.
        psycopg.Error: the warehouse refuses the data.
    """
    if connection.info.transaction_status != TransactionStatus.IDLE:
        raise ValueError("load_bronze needs a connection outside a transaction: commit first.")
    catalog = load_catalog()
    catalog.refuse_unknown(accept_falls)
    with connection.transaction():
        # The server's clock, as for all that it records: a worker's may be wrong.
        ((started_at,),) = connection.execute("select clock_timestamp()").fetchall()
    drift: list[Drift] = []
    try:
        with temporary_folder() as folder:
            if source.note:
                on_progress(f"source  {source.note}")
            fetched = fetch(source, catalog.datasets.keys(), folder, on_progress)
            with connection.transaction():
                _drop_tables(connection, release_id)
                published = _published(connection, catalog)
                numbers = count(1)

                def write(table: Table, shape: Shape) -> None:
                    _write_table(connection, release_id, table, shape)
                    on_progress(
                        f"bronze  {next(numbers):2}/{len(fetched.files)}  {table.name}  "
                        f"{shape.rows:,} rows"
                    )

                shapes = inspect(catalog, source, fetched, published, accept_falls, drift, write)
                drift += check_sizes(catalog, shapes, published, accept_falls)
                for finding in drift:
                    on_progress(f"drift   {finding.severity}  {finding.kind}  {finding}")
                refuse_blocking(drift)
                _record(connection, release_id, source, started_at, shapes, drift)
                _record_files(connection, release_id, source, fetched, shapes)
    except BaseException as error:
        # The data is rolled back; why must not be. A dead connection leaves only the log.
        with contextlib.suppress(psycopg.OperationalError):
            connection.rollback()
            with connection.transaction():
                _record(connection, release_id, source, started_at, {}, drift, error)
        raise
    rows = sum(shape.rows for shape in shapes.values())
    on_progress(f"bronze  {rows:,} rows in {len(shapes)} tables")
    return BronzeReport(datasets=len(shapes), rows=rows, drift=drift)


def _published(connection: psycopg.Connection, catalog: Catalog) -> dict[str, Published]:
    found = connection.execute(
        """
        select dataset, rows, seasons, case when source_kind <> 'snapshot' then r_types end
        from ops.dataset_versions
        join ops.published_layers using (release_id)
        where layer = 'bronze'
        """
    ).fetchall()
    return {
        name: Published(
            rows=rows,
            seasons=seasons,
            r_types=r_types or {},
            values=partial(_published_values, connection, name),
            casts=partial(_published_casts, connection, name),
        )
        for name, rows, seasons, r_types in found
        if name in catalog.datasets
    }


def _published_values(
    connection: psycopg.Connection, dataset: str, column: str
) -> Counter[Any] | None:
    found = _query_published(connection, dataset, [column])
    return (
        None
        if found is None
        else Counter({value: rows for value, rows in found if value is not None})
    )


def _published_casts(
    connection: psycopg.Connection, dataset: str
) -> dict[str, frozenset[str]] | None:
    found = _query_published(connection, dataset, ["version_season", "castaway_id"])
    if found is None:
        return None
    casts: dict[str, set[str]] = {}
    for season, castaway, _ in found:
        casts.setdefault(season, set()).add(castaway)
    return {season: frozenset(cast) for season, cast in casts.items()}


def _query_published(
    connection: psycopg.Connection, dataset: str, columns: list[str]
) -> list[tuple[Any, ...]] | None:
    """Return the different values of columns that readers see, with their number of rows."""
    names = sql.SQL(", ").join(map(sql.Identifier, columns))
    query = sql.SQL("select {names}, count(*) from {table} group by {names}").format(
        names=names, table=sql.Identifier("bronze", dataset)
    )
    try:
        with connection.transaction():
            return connection.execute(query).fetchall()
    except (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn):
        return None  # a column or dataset that the published release did not have


def inspect(
    catalog: Catalog,
    source: ResolvedSource,
    fetched: FetchedSource,
    published: Mapping[str, Published],
    accept_falls: Collection[str],
    drift: list[Drift],
    write: Callable[[Table, Shape], None],
) -> dict[str, Shape]:
    """Read every dataset; add what differs from the catalogue to `drift`.

    Args:
        write: called with each dataset that may be loaded.
    """
    drift += check_datasets(catalog, fetched.files.keys(), fetched.unknown, source.kind)
    shapes = {}
    names = [name for name in catalog.datasets if name in fetched.files]
    for table in _read_ahead(fetched, names):
        shapes[table.name], found = check_columns(
            table.name,
            catalog.datasets[table.name],
            table,
            source.kind,
            published.get(table.name),
            accept_falls=table.name in accept_falls,
        )
        drift += found
        # Once something is blocking, nothing will be loaded; and what does not fit its type cannot
        # be encoded.
        if not any(finding.severity == "blocking" for finding in drift):
            write(table, shapes[table.name])
        del table  # before the next but one is read
    return shapes


def _read_ahead(fetched: FetchedSource, names: Sequence[str]) -> Iterator[Table]:
    """Give one dataset after the other, and read the next one meanwhile."""
    with ThreadPoolExecutor(max_workers=1) as reader:
        coming = [reader.submit(fetched.read, name) for name in names[:1]]
        for following in (*names[1:], None):
            table = coming.pop().result()
            if following:
                coming.append(reader.submit(fetched.read, following))
            yield table
            del table


def _drop_tables(connection: psycopg.Connection, release_id: int) -> None:
    """Drop what an earlier attempt left."""
    schema = release_schema("bronze", release_id)
    leftovers = connection.execute(
        "select tablename from pg_tables where schemaname = %s", (schema,)
    ).fetchall()
    for (leftover,) in leftovers:
        # Without cascade: a release that readers see has views on it and must not be reloaded.
        connection.execute(sql.SQL("drop table {}").format(sql.Identifier(schema, leftover)))


def _write_table(
    connection: psycopg.Connection, release_id: int, table: Table, shape: Shape
) -> None:
    target = sql.Identifier(release_schema("bronze", release_id), table.name)
    types = {column: POSTGRES_TYPES[kind] for column, kind in shape.columns.items()}
    types |= {ROW_NUMBER: "integer", RELEASE_ID: "integer"}
    definitions = [
        sql.SQL("{} {}").format(sql.Identifier(column), sql.SQL(kind))
        for column, kind in types.items()
    ]
    # Nothing changes in it later: autovacuum would read it all again, and hold off its publication.
    connection.execute(
        sql.SQL("create table {} ({}) with (autovacuum_enabled = false)").format(
            target, sql.SQL(", ").join(definitions)
        )
    )
    with (
        connection.cursor() as cursor,
        cursor.copy(sql.SQL("copy {} from stdin (format binary)").format(target)) as copy,
    ):
        copy.write(HEADER)
        for rows in encoded_rows(table.frame, shape.columns, release_id):
            copy.write(rows)
        copy.write(TRAILER)
    # dbt runs next, and plans badly on a table without statistics.
    connection.execute(sql.SQL("analyze {}").format(target))


def _record(
    connection: psycopg.Connection,
    release_id: int,
    source: ResolvedSource,
    started_at: datetime,
    shapes: Mapping[str, Shape],
    drift: list[Drift],
    error: BaseException | None = None,
) -> None:
    """Record this attempt, and what it found in place of what an earlier attempt found."""
    connection.execute(
        """
        insert into ops.ingestion_runs (
            release_id, source_kind, source_version, source_location, source_note, status,
            datasets, rows, started_at, finished_at, failure
        )
        values (%s, %s, %s, %s, %s, %s, %s, %s, %s, clock_timestamp(), %s)
        """,
        (
            release_id,
            source.kind,
            source.version,
            source.location,
            source.note,
            "failed" if error else "succeeded",
            len(shapes),
            sum(shape.rows for shape in shapes.values()),
            started_at,
            f"{type(error).__name__}: {error}" if error else None,
        ),
    )
    connection.execute("delete from ops.schema_drift where release_id = %s", (release_id,))
    with connection.cursor() as cursor:
        cursor.executemany(
            """
            insert into ops.schema_drift (
                release_id, dataset, column_name, kind, severity, detail
            )
            values (%s, %s, %s, %s, %s, %s)
            """,
            [
                (
                    release_id,
                    finding.dataset,
                    finding.column_name,
                    finding.kind,
                    finding.severity,
                    finding.detail,
                )
                for finding in drift
            ],
        )


def _record_files(
    connection: psycopg.Connection,
    release_id: int,
    source: ResolvedSource,
    fetched: FetchedSource,
    shapes: Mapping[str, Shape],
) -> None:
    connection.execute("delete from ops.dataset_versions where release_id = %s", (release_id,))
    with connection.cursor() as cursor:
        cursor.executemany(
            """
            insert into ops.dataset_versions (
                release_id, dataset, source_kind, source_version, file_name, sha256, etag,
                size_bytes, rows, columns, seasons, r_types
            )
            values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
            """,
            [
                (
                    release_id,
                    name,
                    source.kind,
                    source.version,
                    fetched.files[name].path.name,
                    fetched.files[name].sha256,
                    fetched.files[name].etag,
                    fetched.files[name].size,
                    shape.rows,
                    len(shape.columns),
                    None if shape.seasons is None else len(shape.seasons),
                    Jsonb(shape.r_types),
                )
                for name, shape in shapes.items()
            ],
        )
