"""Every role may do its part and nothing else: what it must not do is really tried.

The tables below say who may do what. Whatever a role is not listed with must be refused, and
whatever it is listed with must work. Each login is a member of one role only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import psycopg
import pytest
from psycopg import sql

from include.ingestion.sources import ResolvedSource
from include.warehouse.connection import ConnectionSettings
from include.warehouse.publication import publish_when_free, show_release
from include.warehouse.releases import open_release
from include.warehouse.schemas import (
    AUDITOR,
    LAYERS,
    LOADER,
    OWNER,
    READER,
    REFERENCE,
    SCHEMA_OWNERS,
    TRANSFORMER,
    release_schema,
)
from tests.integration.logins import login_of

ROLES = (READER, LOADER, TRANSFORMER, AUDITOR, OWNER)

PUBLISHED, UNPUBLISHED = 1, 2

VERBS = {
    "select": "select * from {relation}",
    "insert": "insert into {relation} default values",
    "update": "update {relation} set {column} = {column}",
    "delete": "delete from {relation}",
    "truncate": "truncate {relation} cascade",
    "alter": "alter table {relation} rename {column} to renamed",
    "drop": "drop {kind} {relation} cascade",
}
EVERYTHING = set(VERBS)
READ = {"select"}
RECORD = {"select", "insert", "delete"}

# Who may do what with the tables and views of a schema. The owner may do everything.
MAY: dict[str, dict[str, set[str]]] = {
    "bronze": {READER: READ, TRANSFORMER: READ, LOADER: READ},
    "silver": {READER: READ},
    "gold": {READER: READ},
    f"bronze_r{PUBLISHED}": {TRANSFORMER: READ, AUDITOR: READ},
    f"{REFERENCE}_r{PUBLISHED}": {AUDITOR: READ},
    f"silver_r{PUBLISHED}": {AUDITOR: READ},
    f"gold_r{PUBLISHED}": {AUDITOR: READ},
    f"bronze_r{UNPUBLISHED}": {LOADER: EVERYTHING, TRANSFORMER: READ, AUDITOR: READ},
    f"{REFERENCE}_r{UNPUBLISHED}": {TRANSFORMER: EVERYTHING, AUDITOR: READ},
    f"silver_r{UNPUBLISHED}": {TRANSFORMER: EVERYTHING, AUDITOR: READ},
    f"gold_r{UNPUBLISHED}": {TRANSFORMER: EVERYTHING, AUDITOR: READ},
    "ops": {LOADER: READ, AUDITOR: READ},
}
# Where a table of `ops` is more to somebody.
MAY_RECORD = {
    "ingestion_runs": LOADER,
    "dataset_versions": LOADER,
    "schema_drift": LOADER,
    "check_results": AUDITOR,
}

# Who may make a table in which schema.
MAY_CREATE_IN = {
    "public": set(),
    **{schema: {OWNER} for schema in (*LAYERS, "ops")},
    **{release_schema(layer, PUBLISHED): {OWNER} for layer in SCHEMA_OWNERS},
    **{
        release_schema(layer, UNPUBLISHED): {OWNER, builder}
        for layer, builder in SCHEMA_OWNERS.items()
    },
}

# Who may do what with the database and the server.
MAY_ON_SERVER: dict[str, set[str]] = {
    "select 1": set(ROLES),
    "create schema mine": {OWNER},
    "create temporary table mine (x int)": {LOADER, TRANSFORMER, OWNER},
    "create role mine": set(),
    "create database mine": set(),
    # Of those that the server calls trusted.
    "create extension pg_trgm": {OWNER},
    "create function public.mine() returns int language sql as 'select 1'": set(),
    "alter role current_user superuser": set(),
    "alter role current_user createrole": set(),
    f"alter role {READER} login": set(),
    f"grant {OWNER} to {READER}": set(),
    f"grant {LOADER} to {READER}": set(),
    f"drop role {READER}": set(),
    "alter system set work_mem = '1GB'": set(),
    "set session authorization postgres": set(),
    "set role postgres": set(),
    "set session_replication_role = replica": set(),
    "select * from pg_authid": set(),
    "select * from pg_shadow": set(),
    "select pg_read_file('/etc/passwd')": set(),
    "select pg_ls_dir('.')": set(),
    "copy (select 1) to program 'true'": set(),
    "copy (select 1) to '/tmp/gamebot-written-by-the-server'": set(),
    "select lo_import('/etc/passwd')": set(),
}


@pytest.fixture(scope="module")
def admin(create_warehouse: Callable[[], ConnectionSettings]) -> ConnectionSettings:
    """A warehouse with release 1, which readers see, and release 2, which is being built."""
    admin = create_warehouse()
    for release in (PUBLISHED, UNPUBLISHED):
        with admin.connect(role=OWNER) as owner:
            source = ResolvedSource(kind="directory", version="1", location="-", fingerprint="1")
            assert release == open_release(
                owner, source, code_fingerprint="-", target_layer="gold", triggered_by="a test"
            )
        for layer, builder in SCHEMA_OWNERS.items():
            with admin.connect(role=builder) as connection:
                table = sql.Identifier(release_schema(layer, release), "things")
                connection.execute(sql.SQL("create table {} as select 1 as x").format(table))
        if release == PUBLISHED:
            with admin.connect(role=OWNER, autocommit=True) as owner:
                publish_when_free(owner, lambda: show_release(owner, PUBLISHED, LAYERS))
                owner.execute("update ops.releases set state = 'published'")
    return admin


@pytest.fixture(scope="module", params=ROLES, ids=lambda role: role.removeprefix("gamebot_"))
def role(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def session(admin: ConnectionSettings, role: str) -> Iterator[psycopg.Connection]:
    """A session of a login that is a member of the role and of no other."""
    with login_of(admin, role).connect(role=role, autocommit=True) as connection:
        yield connection


def is_allowed(session: psycopg.Connection, statement: str | sql.Composed) -> bool:
    """Try a statement and take it back."""
    try:
        with session.transaction(force_rollback=True):
            session.execute(statement)  # type: ignore[arg-type]
    except psycopg.errors.InsufficientPrivilege:
        return False
    except psycopg.errors.IntegrityError:
        # Privileges come first: what breaks a constraint was allowed.
        return True
    except psycopg.errors.ActiveSqlTransaction:
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            session.execute(statement)  # type: ignore[arg-type]
        return False
    return True


def relations(admin: ConnectionSettings) -> list[tuple[str, str, str, str]]:
    """Return schema, name, kind and a column of every table and view of the warehouse."""
    with admin.connect() as connection:
        return connection.execute(
            """
            select
                nspname, relname, case relkind when 'v' then 'view' else 'table' end, attname
            from pg_class
            join pg_namespace on pg_namespace.oid = relnamespace
            join pg_attribute on attrelid = pg_class.oid and attnum = (
                -- An identity cannot be updated, whoever asks.
                select max(attnum) from pg_attribute
                where attrelid = pg_class.oid and not attisdropped
            )
            where nspname = any(%s) and relkind in ('r', 'v')
            """,
            (list(MAY),),
        ).fetchall()


def test_a_role_does_with_tables_what_it_may_and_nothing_else(
    admin: ConnectionSettings, role: str, session: psycopg.Connection
) -> None:
    found = relations(admin)
    assert {schema for schema, *_ in found} == set(MAY)
    wrong = []
    for schema, name, kind, column in found:
        may = EVERYTHING if role == OWNER else MAY[schema].get(role, set())
        if schema == "ops" and MAY_RECORD.get(name) == role:
            may = RECORD
        for verb, statement in VERBS.items():
            if kind == "view" and verb == "truncate":
                continue
            allowed = is_allowed(
                session,
                sql.SQL(statement).format(  # type: ignore[arg-type]
                    relation=sql.Identifier(schema, name),
                    column=sql.Identifier(column),
                    kind=sql.SQL(kind),  # type: ignore[arg-type]
                ),
            )
            if allowed != (verb in may):
                wrong.append(f"{verb} {schema}.{name}: {'allowed' if allowed else 'refused'}")
    assert not wrong


def test_a_role_makes_tables_where_it_may_and_nowhere_else(
    role: str, session: psycopg.Connection
) -> None:
    for schema, may in MAY_CREATE_IN.items():
        statement = sql.SQL("create table {} (x int)").format(sql.Identifier(schema, "mine"))
        assert is_allowed(session, statement) == (role in may), schema


def test_a_role_does_with_the_server_what_it_may_and_nothing_else(
    role: str, session: psycopg.Connection
) -> None:
    wrong = [
        f"{statement}: {'refused' if role in may else 'allowed'}"
        for statement, may in MAY_ON_SERVER.items()
        if is_allowed(session, statement) != (role in may)
    ]
    assert not wrong


def test_no_login_becomes_another_role(role: str, session: psycopg.Connection) -> None:
    """Only the owner acts for the stages, since it takes over and drops what they made."""
    session.execute("reset role")
    for other in ROLES:
        may = other == role or (role == OWNER and other != READER)
        assert is_allowed(session, f"set role {other}") == may, other


def test_a_login_of_the_server_without_a_role_stays_outside(admin: ConnectionSettings) -> None:
    """Postgres lets everybody in, to list tables and fill the disk with temporary ones."""
    from include.local.databases import ensure_login

    with admin.connect(autocommit=True) as connection:
        ensure_login(connection, "stranger", "stranger")
    login = {"user": "stranger", "password": "stranger"}  # pragma: allowlist secret
    stranger = type(admin).model_validate(admin.model_dump() | login)
    with pytest.raises(psycopg.OperationalError, match=r"include\.warehouse --grant-to LOGIN"):
        stranger.connect()


def test_a_database_that_everybody_may_write_to_is_closed(admin: ConnectionSettings) -> None:
    """Servers upgraded from Postgres 14 let everybody create tables in schema `public`."""
    from include.warehouse.bootstrap import bootstrap

    with admin.connect(autocommit=True) as connection:
        connection.execute("grant create on schema public to public")
        connection.execute("grant usage on schema ops to gamebot_transformer")
    bootstrap(admin)
    bootstrap(admin)
    with admin.connect(role=TRANSFORMER, autocommit=True) as transformer:
        assert not is_allowed(transformer, "create table public.mine (x int)")
        assert not is_allowed(transformer, "select * from ops.releases")
