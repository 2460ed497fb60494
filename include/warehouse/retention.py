"""Which releases keep their tables, and how the others lose them. Their rows in `ops` stay."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping

import psycopg
from psycopg import sql
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from include.warehouse.connection import MissingSetting
from include.warehouse.history import record_event
from include.warehouse.occupancy import take_if_free
from include.warehouse.publication import lock_releases
from include.warehouse.releases import fail_release
from include.warehouse.schemas import SCHEMA_OWNERS, release_schema

log = logging.getLogger(__name__)

# Between two tasks of a living run nobody holds its release: a retry pauses, a pool is full.
GRACE = "10 minutes"

# Views before what they read.
KINDS = {"v": "view", "m": "materialized view", "r": "table"}


class Retention(BaseModel):
    """How many releases that readers once saw keep their tables, and for how long."""

    model_config = ConfigDict(frozen=True)

    kept: int = Field(3, ge=1)
    kept_days: int = Field(0, ge=0)
    """Days since readers last saw it, or since a replay was audited; 0: however old."""

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> Retention:
        """Read `GAMEBOT_RELEASES_KEPT` and `GAMEBOT_RELEASES_KEPT_DAYS`.

        Raises:
            MissingSetting: names the variable that is no whole number, or too small.
        """
        variables = {"kept": "GAMEBOT_RELEASES_KEPT", "kept_days": "GAMEBOT_RELEASES_KEPT_DAYS"}
        given = {name: environ.get(variable) for name, variable in variables.items()}
        try:
            return cls.model_validate({name: value for name, value in given.items() if value})
        except ValidationError as error:
            wrong = error.errors()[0]
            variable = variables[str(wrong["loc"][0])]
            raise MissingSetting(f"{variable}: {wrong['msg']}, not {wrong['input']!r}.") from None


def close_orphans(connection: psycopg.Connection) -> list[int]:
    """Close as failed, and drop, what killed runs left open. Returns what was closed.

    An orphan is open, held by nobody, and without a sign of life for a while. Once a newer release
    was published it is closed without waiting, since it can never be published any more; a replay
    needs no such turn.

    Args:
        connection: acting as `gamebot_owner`, outside a transaction.
    """
    with connection.transaction():
        lock_releases(connection)
        open_releases = connection.execute(
            """
            select release_id from ops.releases
            where
                state in ('building', 'audited')
                and closed_at is null
                and (
                    active_at < clock_timestamp() - %s::interval
                    or (
                        not is_replay
                        and release_id
                        < (select max(release_id) from ops.releases where published_at is not null)
                    )
                )
            order by release_id
            """,
            (GRACE,),
        ).fetchall()
        orphans = [orphan for (orphan,) in open_releases if take_if_free(connection, orphan)]
        for orphan in orphans:
            fail_release(connection, orphan, "interrupted: its run ended without closing it")
            _drop_tables(connection, orphan)
    return orphans


def prune_releases(connection: psycopg.Connection, retention: Retention | None = None) -> list[int]:
    """Drop the tables of old releases. Returns what was dropped.

    Kept are the newest releases that readers saw, as many and as old as `retention` says, and the
    newest replay of that age. Whatever the settings, so are: what a public view shows; the newest
    failed run and the newest failed replay, whose tables are the evidence; an open release; what
    somebody reads or works on at this moment; what an object of somebody else's depends on.

    Args:
        connection: acting as `gamebot_owner`, outside a transaction.
    """
    with connection.transaction():
        lock_releases(connection)
        retention = retention or Retention()
        candidates = connection.execute(
            """
            with kinds as (
                select
                    release_id,
                    pruned_at,
                    closed_at,
                    case
                        when published_at is not null then 'seen'
                        when state = 'failed' and is_replay then 'failed replay'
                        when state = 'failed' then 'failed'
                        when closed_at is not null then 'replay'
                        else 'open'
                    end as kind
                from ops.releases
                -- What was dropped counts among what readers saw, but is no evidence.
                where pruned_at is null or published_at is not null
            ),
            numbered as (
                select
                    *,
                    row_number() over (partition by kind order by release_id desc) as number
                from kinds
            )
            select release_id from numbered
            where
                pruned_at is null
                and kind <> 'open'
                and release_id not in (select release_id from ops.published_layers)
                and (
                    number > case kind when 'seen' then %(kept)s else 1 end
                    or (
                        kind in ('seen', 'replay')
                        and %(days)s > 0
                        and closed_at < clock_timestamp() - make_interval(days => %(days)s)
                    )
                )
            order by release_id
            """,
            {"kept": retention.kept, "days": retention.kept_days},
        ).fetchall()
        return [
            release_id
            for (release_id,) in candidates
            if take_if_free(connection, release_id) and _drop_tables(connection, release_id)
        ]


def pruned_releases(connection: psycopg.Connection) -> set[int]:
    """Return the releases whose tables are gone."""
    with connection.transaction():
        found = connection.execute(
            "select release_id from ops.releases where pruned_at is not null"
        ).fetchall()
    return {release_id for (release_id,) in found}


def _drop_tables(connection: psycopg.Connection, release_id: int) -> bool:
    """Drop a release's schemas and nothing else; needs `lock_releases`. Returns whether it could.

    Never `cascade`: what others built on a table of the release would go with it.
    """
    schemas = [release_schema(layer, release_id) for layer in SCHEMA_OWNERS]
    try:
        with connection.transaction():
            for code, kind in KINDS.items():
                relations = connection.execute(
                    "select nspname, relname from pg_class "
                    "join pg_namespace on pg_namespace.oid = relnamespace "
                    "where nspname = any(%s) and relkind = %s",
                    (schemas, code),
                ).fetchall()
                if relations:
                    # All at once, so that they may depend on each other.
                    connection.execute(
                        sql.SQL("drop {} {}").format(
                            sql.SQL(kind),
                            sql.SQL(", ").join(sql.Identifier(*names) for names in relations),
                        )
                    )
            connection.execute(
                sql.SQL("drop schema if exists {}").format(
                    sql.SQL(", ").join(map(sql.Identifier, schemas))
                )
            )
    except psycopg.errors.LockNotAvailable:
        return False
    except psycopg.errors.DependentObjectsStillExist as error:
        detail = f"{error.diag.message_detail}"
        log.warning("The tables of old release %s stay: %s", release_id, detail)
        record_event(connection, release_id, "kept", detail=detail)
        return False
    connection.execute(
        "update ops.releases set pruned_at = clock_timestamp() where release_id = %s", (release_id,)
    )
    record_event(connection, release_id, "dropped")
    return True
