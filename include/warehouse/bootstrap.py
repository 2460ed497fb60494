"""Prepare a database to be the warehouse: roles, public schemas, grants and the `ops` tables.

Idempotent: every run of the pipeline starts with it and a prepared database costs one query.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import psycopg
from psycopg import sql

from include.warehouse.connection import ConnectionSettings
from include.warehouse.schemas import AUDITOR, LAYERS, LOADER, OWNER, READER, TRANSFORMER

STAGE_ROLES = (LOADER, TRANSFORMER, AUDITOR)
PIPELINE_ROLES = (OWNER, *STAGE_ROLES)
MIGRATIONS = Path(__file__).with_name("migrations")


# What a database raises that is not prepared; in turn: no such role, not a member of it, no such
# table or schema.
NOT_PREPARED = (
    psycopg.errors.InvalidParameterValue,
    psycopg.errors.InsufficientPrivilege,
    psycopg.errors.UndefinedTable,
    psycopg.errors.InvalidSchemaName,
)


class NotBootstrapped(RuntimeError):
    """The database is not prepared for this code, and this login may not prepare it."""


def bootstrap(
    admin: ConnectionSettings,
    grant_to: str | None = None,
    roles: Sequence[str] = PIPELINE_ROLES,
) -> None:
    """Create or complete everything that the pipeline and its readers need in the database.

    Args:
        admin: a login that may create roles and schemas.
        grant_to: another login, such as that of connection `survivor_postgres`.
        roles: what that login becomes a member of.

    Raises:
        NotBootstrapped: `admin` lacks a privilege that this needs.
    """
    try:
        # Two runs that start at once must not both do it; the migration has its own transaction.
        with admin.connect(autocommit=True) as guard, admin.connect() as connection:
            guard.execute("select pg_advisory_lock(hashtext('gamebot.bootstrap'))")
            _create_roles(connection)
            if grant_to:
                _grant_roles(connection, grant_to, roles)
            _restrict_everybody(connection)
            _create_schemas(connection)
            connection.commit()
            _migrate(admin)
    except psycopg.errors.InsufficientPrivilege as error:
        raise NotBootstrapped(
            f"Login {admin.user!r} may not prepare database {admin.dbname!r} "
            f"({error.diag.message_primary}). Run `python -m include.warehouse` once with DB_USER "
            "and DB_PASSWORD of an administrator and --grant-to of the pipeline's login."
        ) from error


def ensure_bootstrapped(settings: ConnectionSettings) -> None:
    """Bootstrap with the pipeline's own login unless the database is already up to date.

    Raises:
        NotBootstrapped: it is not, and the login may not do it, or newer code prepared it.
    """
    if not _is_current(settings):
        bootstrap(settings)


def _is_current(settings: ConnectionSettings) -> bool:
    try:
        with settings.connect(role=OWNER) as connection:
            applied = connection.execute("select version_num from ops.alembic_version").fetchone()
    except NOT_PREPARED:
        return False
    newest = max(path.name.split("_")[0] for path in (MIGRATIONS / "versions").glob("[0-9]*.py"))
    if applied and applied[0] > newest:
        raise NotBootstrapped(
            f"Database {settings.dbname!r} is of a newer version ({applied[0]}) than this code "
            f"({newest}), as after the rollback of a deploy. Deploy code that is as new; readers "
            "keep what is published."
        )
    return applied is not None and applied[0] == newest


def _create_roles(connection: psycopg.Connection) -> None:
    existing = {name for (name,) in connection.execute("select rolname from pg_roles")}
    for role in (*PIPELINE_ROLES, READER):
        if role not in existing:
            connection.execute(sql.SQL("create role {} nologin").format(sql.Identifier(role)))
    # The owner opens, publishes and drops what the stages own. Whoever creates a role without being
    # a superuser, as on a managed Postgres, must become a member of it to act for it.
    _grant_roles(connection, OWNER, STAGE_ROLES)
    _grant_roles(connection, connection.info.user, PIPELINE_ROLES)


def _grant_roles(connection: psycopg.Connection, member: str, roles: Sequence[str]) -> None:
    for role in roles:
        if not _is_member(connection, member, role):
            connection.execute(
                sql.SQL("grant {} to {}").format(sql.Identifier(role), sql.Identifier(member))
            )


def _is_member(connection: psycopg.Connection, member: str, role: str) -> bool:
    # Since Postgres 16 a membership may be without the right to act as the role.
    kind = "set" if connection.info.server_version >= 160000 else "member"
    found = connection.execute("select pg_has_role(%s, %s, %s)", (member, role, kind)).fetchone()
    return found is not None and found[0]


def _restrict_everybody(connection: psycopg.Connection) -> None:
    """Leave to the roles what Postgres lets every login of the server do in a database."""
    names = {
        "database": sql.Identifier(connection.info.dbname),
        "owner": sql.Identifier(OWNER),
        "all": sql.SQL(", ").join(map(sql.Identifier, (*PIPELINE_ROLES, READER))),
        # dbt keeps the made-up rows of unit tests in temporary tables.
        "writers": sql.SQL(", ").join(map(sql.Identifier, (LOADER, TRANSFORMER))),
    }
    for statement in (
        "grant create on database {database} to {owner}",
        "grant connect on database {database} to {all}",
        "grant temporary on database {database} to {writers}",
        "revoke connect, temporary on database {database} from public",
    ):
        connection.execute(sql.SQL(statement).format(**names))
    # Where the server was upgraded from before version 15, everybody may create tables in it.
    if connection.execute("select to_regnamespace('public')").fetchone() != (None,):
        connection.execute("revoke create on schema public from public")


def _create_schemas(connection: psycopg.Connection) -> None:
    owner, reader, transformer = (sql.Identifier(role) for role in (OWNER, READER, TRANSFORMER))
    for schema in ("ops", *LAYERS):
        connection.execute(
            sql.SQL("create schema if not exists {} authorization {}").format(
                sql.Identifier(schema), owner
            )
        )
        found = connection.execute(
            "select nspowner::regrole::text from pg_namespace where nspname = %s", (schema,)
        ).fetchone()
        if found and found[0] != OWNER:
            raise NotBootstrapped(
                f"Database {connection.info.dbname!r} has a schema {schema!r} already, owned by "
                f"{found[0]}. Give the warehouse a database of its own, or rename that schema."
            )
    connection.execute(
        sql.SQL("grant usage on schema ops to {}, {}").format(
            sql.Identifier(LOADER), sql.Identifier(AUDITOR)
        )
    )
    # It once had it; nothing of the pipeline's bookkeeping concerns a model.
    connection.execute(sql.SQL("revoke usage on schema ops from {}").format(transformer))
    # The transformer reads the published bronze when a person develops models against it.
    for schema, roles in {
        "bronze": [reader, transformer],
        "silver": [reader],
        "gold": [reader],
    }.items():
        grant = {
            "schema": sql.Identifier(schema),
            "roles": sql.SQL(", ").join(roles),
            "owner": owner,
        }
        connection.execute(sql.SQL("grant usage on schema {schema} to {roles}").format(**grant))
        connection.execute(
            sql.SQL(
                "alter default privileges for role {owner} in schema {schema} "
                "grant select on tables to {roles}"
            ).format(**grant)
        )


def _migrate(admin: ConnectionSettings) -> None:
    from alembic import command
    from alembic.config import Config
    from sqlalchemy import create_engine

    engine = create_engine("postgresql+psycopg://", creator=lambda: admin.connect(role=OWNER))
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
    engine.dispose()
