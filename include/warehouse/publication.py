"""Point the public schemas at a release: plain views, replaced in one transaction.

Views are replaced in place, so that what analysts built on top of them keeps working. When a column
went away or changed its type, a view must be dropped and made anew, which Postgres refuses while
something depends on it. If that something uses the column it blocks the publication; else the
column stays, as null.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import psycopg
from psycopg import sql
from tenacity import (
    Retrying,
    retry_if_exception_type,
    stop_after_delay,
    wait_random,
)

from include.warehouse.schemas import OWNER, REFERENCE, Layer, release_schema

# A query that reads a public view holds off its replacement, and a waiting replacement holds off
# every later query: so wait briefly, step aside, and try again.
LOCK_TIMEOUT = "250ms"

# Nobody queues for the tables of a new release. Autovacuum comes to seeds and, before transaction
# numbers wrap around, to all; it makes way for who has waited `deadlock_timeout`, a second.
LOCK_TIMEOUT_OF_TABLES = "3s"

RETRY_PAUSE_SECONDS = (0.5, 2.0)
GIVE_UP_AFTER_SECONDS = 600

# Metadata views of the bootstrap: they belong to no release.
PERMANENT_VIEWS = {"bronze": {"ingestion_runs", "dataset_versions"}}

Columns = dict[str, str]


class PublicationBlocked(RuntimeError):
    """Something that somebody else put into the warehouse is in the way of a publication."""


class OldSnapshots(RuntimeError):
    """Transactions that are older than a release would find its tables empty."""


def lock_releases(connection: psycopg.Connection) -> None:
    """Keep other sessions from publishing or dropping releases until this transaction ends."""
    make_durable(connection)
    connection.execute("select pg_advisory_xact_lock(hashtext('gamebot.releases'))")
    connection.execute(f"set local lock_timeout = '{LOCK_TIMEOUT}'")


def make_durable(connection: psycopg.Connection) -> None:
    """Let a crash of the server not take back this transaction, whatever its settings allow."""
    connection.execute("set local synchronous_commit = on")


def publish_when_free(
    connection: psycopg.Connection, step: Callable[[], None], *, new_tables: bool = True
) -> None:
    """Run `step` in a transaction of its own, again and again while readers are in its way.

    Args:
        connection: acting as `gamebot_owner`, outside a transaction.
        step: checks, replaces and records; all of it or nothing happens.
        new_tables: the step shows tables that readers never saw, so transactions that began before
            they were filled are in its way, too.

    Raises:
        psycopg.errors.LockNotAvailable: readers held a view for ten minutes on end.
        OldSnapshots: such a transaction went on for as long.
    """
    with connection.transaction():
        ((now,),) = connection.execute(
            "select pg_snapshot_xmax(pg_current_snapshot())::xid::text"
        ).fetchall()
    for attempt in Retrying(
        retry=retry_if_exception_type((psycopg.errors.LockNotAvailable, OldSnapshots)),
        wait=wait_random(*RETRY_PAUSE_SECONDS),
        stop=stop_after_delay(GIVE_UP_AFTER_SECONDS),
        reraise=True,
    ):
        with attempt, connection.transaction():
            lock_releases(connection)
            if new_tables:
                _refuse_older_snapshots(connection, now)
            step()


def _refuse_older_snapshots(connection: psycopg.Connection, transaction: str) -> None:
    """Stop while somebody reads the warehouse as it was before this transaction number.

    Such a reader (a dump, a notebook in a repeatable read) sees a view's new definition at once and
    none of the rows that came after its own beginning: no error, and empty tables.
    """
    readers = connection.execute(
        """
        select format('pid %%s (login %%s, %%s)', pid, usename, application_name)
        from pg_stat_activity
        where
            datname = current_database()
            and usesysid is not null
            and pid <> pg_backend_pid()
            and age(backend_xmin) > age(%s::xid)
        order by pid
        """,
        (transaction,),
    ).fetchall()
    if readers:
        raise OldSnapshots(
            "Transactions that began before this release was built still read, and would find its "
            f"tables empty: {', '.join(reader for (reader,) in readers)}. Let them end, or end "
            "them with `select pg_terminate_backend(PID)`, then clear this task."
        )


def show_release(
    connection: psycopg.Connection, release_id: int, layers: Sequence[Layer]
) -> list[str]:
    """Make every table of these layers visible in its public schema, and nothing else.

    The tables pass to `gamebot_owner`, so that no stage can change any more what readers see, nor
    the seeds that it was made with.

    Returns:
        The columns that the release lacks and the public views must keep, as null, because
        somebody's view depends on the others.

    Raises:
        PublicationBlocked: names what is in the way: views that depend on a column that is gone,
            or a relation of somebody else's that has the name of a table.
    """
    schemas = {name: release_schema(name, release_id) for name in (*layers, REFERENCE)}
    tables = {name: relations(connection, schema) for name, schema in schemas.items()}
    for layer in layers:
        if not tables[layer]:
            raise PublicationBlocked(
                f"Schema {schemas[layer]} holds no table: there is nothing to show."
            )
    # Before the first view is locked, so that no reader waits along.
    connection.execute(f"set local lock_timeout = '{LOCK_TIMEOUT_OF_TABLES}'")
    for name, schema in schemas.items():
        _take_over(connection, schema, tables[name])
    connection.execute(f"set local lock_timeout = '{LOCK_TIMEOUT}'")
    left_null: list[str] = []
    for layer in layers:
        left_null += _replace_views(connection, layer, schemas[layer], tables[layer])
    return left_null


def _take_over(connection: psycopg.Connection, schema: str, tables: dict[str, Columns]) -> None:
    # What is ours already needs no lock, which somebody who reads it would hold off.
    for name in tables.keys() - relations(connection, schema, owned_only=True).keys():
        connection.execute(
            sql.SQL("alter table {} owner to {}").format(
                sql.Identifier(schema, name), sql.Identifier(OWNER)
            )
        )
    connection.execute(
        sql.SQL("alter schema {} owner to {}").format(sql.Identifier(schema), sql.Identifier(OWNER))
    )


def _replace_views(
    connection: psycopg.Connection, public: str, source: str, tables: dict[str, Columns]
) -> list[str]:
    views = relations(connection, public, owned_only=True)
    for name in views.keys() - tables.keys() - PERMANENT_VIEWS.get(public, set()):
        _drop_view(connection, public, name, "the release has no such table")
    left_null = []
    for name, columns in sorted(tables.items()):
        shown = views.get(name, {})
        lost = [column for column, kind in shown.items() if columns.get(column) != kind]
        grants: list[sql.Composed] = []
        if lost:
            reason = f"columns gone or retyped: {', '.join(lost)}"
            grants = _grants(connection, public, name)
            try:
                with connection.transaction():
                    _drop_view(connection, public, name, reason)
                shown = {}
            except PublicationBlocked:
                _refuse_if_used(connection, public, name, lost, reason)
                if not columns.keys().isdisjoint(lost):
                    raise
                left_null += [f"{public}.{name}.{column}" for column in lost]
        _create_view(connection, public, source, name, shown, columns)
        for grant in grants:
            connection.execute(grant)
    return left_null


def _create_view(
    connection: psycopg.Connection,
    public: str,
    source: str,
    name: str,
    shown: Columns,
    columns: Columns,
) -> None:
    # `create or replace` wants the columns that are there, in their order, and takes more after
    # them. One that the table lacks cannot go then, and is null.
    selected = [
        sql.Identifier(column)
        if column in columns
        else sql.SQL("null::{} as {}").format(sql.SQL(kind), sql.Identifier(column))
        for column, kind in (shown | columns).items()
    ]
    try:
        connection.execute(
            sql.SQL("create or replace view {} as select {} from {}").format(
                sql.Identifier(public, name),
                sql.SQL(", ").join(selected),
                sql.Identifier(source, name),
            )
        )
    except (psycopg.errors.WrongObjectType, psycopg.errors.InsufficientPrivilege) as error:
        raise PublicationBlocked(
            f"{public}.{name} exists already and is not the pipeline's view "
            f"({error.diag.message_primary}). Rename or drop it, then run again."
        ) from error


def _refuse_if_used(
    connection: psycopg.Connection, schema: str, name: str, columns: Sequence[str], reason: str
) -> None:
    """Block when somebody uses one of these columns of a view, or uses who does.

    Whoever uses others of its columns is not harmed.
    """
    users = connection.execute(
        """
        with recursive uses as (
            select
                case when ev_class is null then classid else 'pg_class'::regclass end as classid,
                coalesce(ev_class, objid) as objid,
                refobjid,
                refobjsubid
            from pg_depend
            left join pg_rewrite on classid = 'pg_rewrite'::regclass and pg_rewrite.oid = objid
            where
                refclassid = 'pg_class'::regclass
                and deptype = 'n'
                and coalesce(ev_class, objid) <> refobjid
        ),
        users as (
            select classid, objid
            from uses
            join pg_attribute on attrelid = refobjid and attnum = refobjsubid
            where refobjid = to_regclass(%s) and attname = any(%s)
            union
            select uses.classid, uses.objid
            from users
            join uses on users.classid = 'pg_class'::regclass and refobjid = users.objid
        )
        select pg_describe_object(classid, objid, 0) from users order by objid
        """,
        (sql.Identifier(schema, name).as_string(connection), list(columns)),
    ).fetchall()
    if users:
        raise PublicationBlocked(
            f"{schema}.{name} must be made anew ({reason}), but "
            f"{', '.join(f'{user} depends on that' for (user,) in users)}. "
            "Change or drop what depends on it, then run again."
        )


def _grants(connection: psycopg.Connection, schema: str, name: str) -> list[sql.Composed]:
    """Return the statements that grant again what others were granted on a view."""
    granted = connection.execute(
        """
        select
            case grantee when 0 then 'public' else grantee::regrole::text end,
            privilege_type,
            is_grantable
        from pg_class, aclexplode(relacl)
        where oid = to_regclass(%s) and grantee <> relowner
        """,
        (sql.Identifier(schema, name).as_string(connection),),
    ).fetchall()
    return [
        sql.SQL("grant {} on {} to {}{}").format(
            sql.SQL(privilege),
            sql.Identifier(schema, name),
            sql.SQL(grantee),
            sql.SQL(" with grant option" if grantable else ""),
        )
        for grantee, privilege, grantable in granted
    ]


def _drop_view(connection: psycopg.Connection, schema: str, name: str, reason: str) -> None:
    try:
        connection.execute(sql.SQL("drop view {}").format(sql.Identifier(schema, name)))
    except psycopg.errors.DependentObjectsStillExist as error:
        raise PublicationBlocked(
            f"{schema}.{name} must be made anew ({reason}), but {error.diag.message_detail}. "
            "Change or drop the dependent view, then run again."
        ) from error


def relations(
    connection: psycopg.Connection, schema: str, *, owned_only: bool = False
) -> dict[str, Columns]:
    """Return the tables and views of a schema with their columns and types, in order."""
    found: dict[str, Columns] = {}
    for relation, column, kind in connection.execute(
        """
        select pg_class.relname, attname, format_type(atttypid, atttypmod)
        from pg_class
        join pg_namespace on pg_namespace.oid = relnamespace
        join pg_attribute on attrelid = pg_class.oid and attnum > 0 and not attisdropped
        where
            nspname = %s
            and relkind in ('r', 'v')
            and (pg_get_userbyid(relowner) = current_user or not %s)
        order by pg_class.relname, attnum
        """,
        (schema, owned_only),
    ):
        found.setdefault(relation, {})[column] = kind
    return found
