"""The live warehouse: what Postgres shows its readers now.

Its tables are copied into DuckDB when they are asked for, so that a query means the same as over a
package. They are small, and each release is copied once.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from io import BytesIO
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa
from pyarrow import csv

from gamebot.catalogue import Column, Release, Table
from gamebot.errors import MissingExtra, NoData, Unreachable

if TYPE_CHECKING:
    import psycopg

READER = "gamebot_reader"
LAYERS = ["bronze", "silver", "gold"]
CONNECT_SECONDS = 10

# Everything else is read as text.
TYPES = {
    "smallint": pa.int16(),
    "integer": pa.int32(),
    "bigint": pa.int64(),
    "real": pa.float32(),
    "double precision": pa.float64(),
    "numeric": pa.float64(),
    "boolean": pa.bool_(),
    "date": pa.date32(),
    "timestamp with time zone": pa.timestamp("us", "UTC"),
    "timestamp without time zone": pa.timestamp("us"),
}

# A public view is one of a release's table, which never changes; others may be anything.
RELEASE = re.compile(r"\bFROM (?:bronze|silver|gold)_r(\d+)\.")

CATALOGUE = """
select
    n.nspname, c.relname, pg_get_viewdef(c.oid), coalesce(obj_description(c.oid, 'pg_class'), ''),
    array_agg(a.attname::text order by a.attnum),
    array_agg(format_type(a.atttypid, null) order by a.attnum),
    array_agg(coalesce(col_description(c.oid, a.attnum), '') order by a.attnum)
from pg_class as c
join pg_namespace as n on n.oid = c.relnamespace
join pg_attribute as a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
where
    n.nspname = any(%s)
    and c.relkind in ('r', 'v', 'm')
    and has_schema_privilege(n.oid, 'usage')
    and has_table_privilege(c.oid, 'select')
group by n.nspname, c.relname, c.oid
order by 1, 2
"""


class Warehouse:
    """A source of tables: the public schemas of a Postgres server."""

    def __init__(self, where: str, settings: Mapping[str, Any]) -> None:
        self._where = where
        self._settings: dict[str, Any] = {
            "connect_timeout": CONNECT_SECONDS,
            "application_name": "gamebot-client",
            **settings,
        }
        self._copied: dict[str, str] = {}
        self._definitions: dict[str, str] = {}
        if not self.tables():
            raise NoData(
                f"{where} shows no table to this login: publish a release (make run), or let an "
                "administrator run python -m include.warehouse --grant-to LOGIN --role reader."
            )

    @classmethod
    def at(cls, uri: str) -> Warehouse:
        """Open the warehouse of a URI postgresql://…"""
        where = re.sub(r"//[^@/]*@", "//", uri).partition("?")[0]
        return cls(where, {"conninfo": uri})

    @classmethod
    def of_environment(cls, environ: Mapping[str, str]) -> Warehouse:
        """Open the warehouse that the variables DB_* name."""
        names = {"host": "DB_HOST", "dbname": "DB_NAME", "user": "DB_USER"}
        if missing := [name for name in names.values() if not environ.get(name)]:
            raise NoData(
                f"{', '.join(missing)} is not set: the live warehouse is read with DB_HOST, "
                "DB_PORT, DB_NAME, DB_USER and DB_PASSWORD, or a URI postgresql://…"
            )
        names |= {"port": "DB_PORT", "password": "DB_PASSWORD"}  # pragma: allowlist secret
        tls = ("sslmode", "sslrootcert", "sslcert", "sslkey")
        names |= {name: f"DB_{name.upper()}" for name in tls}
        settings = {key: environ[name] for key, name in names.items() if environ.get(name)}
        port = settings.get("port", "5432")
        return cls(f"postgresql://{settings['host']}:{port}/{settings['dbname']}", settings)

    def release(self) -> Release:
        """Return the release that gold shows, or the highest layer that there is."""
        with self._connect() as connection:
            self._read_catalogue(connection)
            return self._read_release(connection)

    def tables(self) -> dict[str, Table]:
        """Return the tables by their full names, as they are now."""
        with self._connect() as connection:
            return self._read_catalogue(connection)

    def rows(self) -> dict[str, int]:
        """Return how many rows each table has."""
        from psycopg import sql

        with self._connect() as connection:
            counts = {}
            for name, table in self._read_catalogue(connection).items():
                identifier = sql.Identifier(table.layer, table.name)
                counted = connection.execute(sql.SQL("select count(*) from {}").format(identifier))
                counts[name] = int(counted.fetchall()[0][0])
            return counts

    def show(self, engine: duckdb.DuckDBPyConnection, tables: Iterable[Table]) -> Release:
        """Copy tables into DuckDB, all as one moment shows them; return the release they are of.

        Raises:
            Unreachable: the server does not answer, or refuses the login.
        """
        with self._connect() as connection:
            now = self._read_catalogue(connection)
            for table in tables:
                name = table.full_name
                definition = self._definitions.get(name, "")
                if name not in now:
                    raise NoData(f"{self._where} does not show {name} any more.")
                if RELEASE.search(definition) and self._copied.get(name) == definition:
                    continue
                copied = _copy(connection, now[name])
                engine.register("copied", copied)
                engine.execute(f"create or replace table {table.quoted} as from copied")
                engine.unregister("copied")
                self._copied[name] = definition
            return self._read_release(connection)

    def _read_catalogue(self, connection: psycopg.Connection) -> dict[str, Table]:
        found = connection.execute(CATALOGUE, (LAYERS,)).fetchall()
        tables, self._definitions = {}, {}
        for layer, name, definition, comment, labels, types, said in found:
            full_name = f"{layer}.{name}"
            columns = tuple(map(Column, labels, types, said))
            tables[full_name] = Table(layer, name, columns, comment)
            self._definitions[full_name] = definition or ""
        return tables

    def _read_release(self, connection: psycopg.Connection) -> Release:
        shown = {
            name.partition(".")[0]: int(found[1])
            for name, definition in self._definitions.items()
            if (found := RELEASE.search(definition))
        }
        numbers = [shown[layer] for layer in reversed(LAYERS) if layer in shown]
        if not numbers:
            return Release(None, None, None, self._where)
        commits = connection.execute(
            "select min(source_version) from bronze.dataset_versions "
            "where release_id = %s and source_kind = 'upstream'",
            (numbers[0],),
        ).fetchone()
        return Release(numbers[0], commits[0] if commits else None, None, self._where)

    def _connect(self) -> psycopg.Connection:
        try:
            import psycopg
        except ImportError:
            raise MissingExtra(
                "The live warehouse needs psycopg: pip install 'gamebot-client[warehouse]'."
            ) from None
        try:
            connection: psycopg.Connection = psycopg.connect(**self._settings)
            connection.read_only = True
            # All that one question reads is of one release.
            connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            connection.execute("set local timezone to 'UTC'")
            connection.execute("set local datestyle to 'ISO'")
            # A login of the pipeline may do more: here it reads what readers see.
            connection.execute(
                "select set_config('role', rolname, true) from pg_roles "
                "where rolname = %s and pg_has_role(oid, 'member')",
                (READER,),
            )
        except psycopg.OperationalError as error:
            raise Unreachable(
                f"{self._where} cannot be read: {str(error).strip()} Correct the URI or DB_*, or "
                "start the server (make warehouse)."
            ) from error
        return connection


def _copy(connection: psycopg.Connection, table: Table) -> pa.Table:
    """Return a table of Postgres, by its own CSV: null is an empty field, an empty text is not."""
    from psycopg import sql

    types = {column.name: TYPES.get(column.type, pa.string()) for column in table.columns}
    content = BytesIO()
    statement = sql.SQL("copy (select * from {}) to stdout (format csv)").format(
        sql.Identifier(table.layer, table.name)
    )
    with connection.cursor().copy(statement) as rows:
        for part in rows:
            content.write(part)
    if not content.tell():
        schema = pa.schema([pa.field(name, kind) for name, kind in types.items()])
        return schema.empty_table()
    content.seek(0)
    return csv.read_csv(
        content,
        read_options=csv.ReadOptions(column_names=list(types)),
        # A single column that is null is an empty line.
        parse_options=csv.ParseOptions(newlines_in_values=True, ignore_empty_lines=False),
        convert_options=csv.ConvertOptions(
            column_types=types,
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
            true_values=["t"],
            false_values=["f"],
        ),
    )
