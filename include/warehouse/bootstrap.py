"""Prepare a database to be the warehouse: roles, public schemas, grants and the `ops` tables.

Idempotent: every run of the pipeline starts with it and a prepared database costs one query.
"""

from __future__ import annotations

from pathlib import Path

import psycopg
from psycopg import sql

from include.warehouse.connection import ConnectionSettings
from include.warehouse.schemas import AUDITOR, LAYERS, LOADER, OWNER, READER, TRANSFORMER

STAGE_ROLES = (LOADER, TRANSFORMER, AUDITOR)
MIGRATIONS = Path(__file__).with_name("migrations")


class NotBootstrapped(RuntimeError):
    """The database is not prepared and this login may not prepare it."""


def bootstrap(admin: ConnectionSettings, pipeline_login: str | None = None) -> None:
    """Create or complete everything that the pipeline and its readers need in the database.

    Args:
        admin: a login that may create roles and schemas.
        pipeline_login: the login of connection `survivor_postgres` when it is another one; it
            becomes a member of the roles that the pipeline acts as.

    Raises:
        NotBootstrapped: `admin` lacks a privilege that this needs.
    """
    try:
        with admin.connect() as connection:
            # Two runs that start at once must not both create the roles.
            connection.execute("select pg_advisory_xact_lock(hashtext('gamebot.bootstrap'))")
            _create_roles(connection, pipeline_login)
            _create_schemas(connection)
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
        NotBootstrapped: it is not, and the login may not do it.
    """
    if not _is_current(settings):
        bootstrap(settings)


def _is_current(settings: ConnectionSettings) -> bool:
    with settings.connect() as connection:
        row = connection.execute("select to_regclass('ops.alembic_version') is not null").fetchone()
        if not row or not row[0]:
            return False
        try:
            connection.execute(sql.SQL("set role {}").format(sql.Identifier(OWNER)))
            applied = connection.execute("select version_num from ops.alembic_version").fetchone()
        except (psycopg.errors.InsufficientPrivilege, psycopg.errors.InvalidParameterValue):
            return False
    return applied is not None and applied[0] == max(
        path.name.split("_")[0] for path in (MIGRATIONS / "versions").glob("[0-9]*.py")
    )


def _create_roles(connection: psycopg.Connection, pipeline_login: str | None) -> None:
    existing = {name for (name,) in connection.execute("select rolname from pg_roles")}
    for role in (OWNER, *STAGE_ROLES, READER):
        if role not in existing:
            connection.execute(sql.SQL("create role {} nologin").format(sql.Identifier(role)))
    # The owner opens, publishes and drops what the stages own.
    members = [OWNER] if pipeline_login is None else [OWNER, pipeline_login]
    for member in members:
        for role in (*STAGE_ROLES, *(() if member == OWNER else (OWNER,))):
            connection.execute(
                sql.SQL("grant {} to {}").format(sql.Identifier(role), sql.Identifier(member))
            )
    database = sql.Identifier(connection.info.dbname)
    connection.execute(
        sql.SQL("grant create on database {} to {}").format(database, sql.Identifier(OWNER))
    )


def _create_schemas(connection: psycopg.Connection) -> None:
    owner, reader, transformer = (sql.Identifier(role) for role in (OWNER, READER, TRANSFORMER))
    for schema in ("ops", *LAYERS):
        connection.execute(
            sql.SQL("create schema if not exists {} authorization {}").format(
                sql.Identifier(schema), owner
            )
        )
    connection.execute(
        sql.SQL("grant usage on schema ops to {}").format(
            sql.SQL(", ").join(sql.Identifier(role) for role in STAGE_ROLES)
        )
    )
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
