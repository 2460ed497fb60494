"""Who works on a release: a stage holds it for as long as it works, by an advisory lock.

The lock belongs to a database session of its own, so it goes with the process that holds it,
however that ends. An open release that nobody holds is between two tasks or an orphan.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psycopg
from psycopg import sql

from include.warehouse.connection import ConnectionSettings
from include.warehouse.releases import (
    Release,
    finished_release,
    get_release,
    resume_release,
)
from include.warehouse.schemas import OWNER

log = logging.getLogger(__name__)

WAIT = "30s"


class ReleaseBusy(RuntimeError):
    """Somebody else works on the release, or may have meanwhile: another try may find it free."""


@contextmanager
def working_on(
    settings: ConnectionSettings, release_id: int, stage: str, *, shared: bool = False
) -> Iterator[Release]:
    """Hold a release, reopened after a failed try, while a stage works on it.

    Args:
        settings: a login that may act as `gamebot_owner`.
        stage: what `pg_stat_activity` and messages call the holder.
        shared: beside others that only read the release, as audits do.

    Raises:
        ReleaseError: the release cannot be worked on any more.
        ReleaseBusy: another task holds it, or this one lost its hold.
    """
    with settings.connect(role=OWNER, autocommit=True) as connection:
        _hold(connection, release_id, stage, shared=shared)
        resume_release(connection, release_id)
        _note_activity(connection, release_id)
        try:
            yield get_release(connection, release_id)
        except BaseException:
            with suppress(psycopg.Error):
                _note_activity(connection, release_id)
            raise
        try:
            _note_activity(connection, release_id)
        except psycopg.OperationalError as error:
            raise _lost(release_id, stage) from error


@contextmanager
def looking_at(settings: ConnectionSettings, release_id: int, stage: str) -> Iterator[Release]:
    """Hold a finished release, so that its tables stay while somebody reads them.

    Beside others that read it, and beside whoever shows it to readers, which changes no table.

    Args:
        settings: a login that may act as `gamebot_owner`.
        stage: what `pg_stat_activity` and messages call the holder.

    Raises:
        ReleaseError: it is not finished, not whole, or its tables are gone.
        ReleaseBusy: a task that changes it holds it, or this one lost its hold.
    """
    with settings.connect(role=OWNER, autocommit=True) as connection:
        _hold(connection, release_id, stage, shared=True)
        # Asked under the lock, before which it may have been dropped.
        yield finished_release(connection, release_id)
        try:
            connection.execute("select")
        except psycopg.OperationalError as error:
            raise _lost(release_id, stage) from error


def name_session(connection: psycopg.Connection, stage: str, release_id: int) -> None:
    """Let an operator see in `pg_stat_activity` what a session works on."""
    _name(connection, f"gamebot {stage} r{release_id}")


def take_if_free(connection: psycopg.Connection, release_id: int) -> bool:
    """Hold a release until this transaction ends, unless a stage works on it."""
    taken = connection.execute(
        "select pg_try_advisory_xact_lock(hashtext('gamebot.release'), %s)", (release_id,)
    ).fetchone()
    return taken is not None and taken[0]


def _hold(connection: psycopg.Connection, release_id: int, stage: str, *, shared: bool) -> None:
    _name(connection, f"gamebot {stage} holds r{release_id}")
    # A machine that died without a word is noticed within a minute, and silence is no reason
    # to end the session.
    connection.execute(
        "set tcp_keepalives_idle = 30; set tcp_keepalives_interval = 10; "
        "set tcp_keepalives_count = 3; set idle_session_timeout = 0"
    )
    _take(connection, release_id, shared=shared)


def _lost(release_id: int, stage: str) -> ReleaseBusy:
    return ReleaseBusy(
        f"The session that held release {release_id} for {stage} was lost, so somebody else may "
        "have worked on it: this is to be done again."
    )


def _take(connection: psycopg.Connection, release_id: int, *, shared: bool) -> None:
    take = "pg_advisory_lock_shared" if shared else "pg_advisory_lock"
    # As the login itself, which sees more of its own sessions than a role does, and may end them.
    connection.execute("set role none")
    try:
        connection.execute(f"set lock_timeout = '{WAIT}'")
        connection.execute(
            sql.SQL("select {}(hashtext('gamebot.release'), %s)").format(sql.SQL(take)),
            (release_id,),
        )
        connection.execute("reset lock_timeout")
    except psycopg.errors.LockNotAvailable as error:
        raise ReleaseBusy(
            f"Release {release_id} is being worked on by {_holders(connection, release_id)}. "
            f"Waited {WAIT} for it. If that is a task that Airflow has given up, this one succeeds "
            "once it ends; `select pg_terminate_backend(PID)` ends it."
        ) from error
    if not shared:
        _end_leftovers(connection, release_id)
    connection.execute(sql.SQL("set role {}").format(sql.Identifier(OWNER)))


def _holders(connection: psycopg.Connection, release_id: int) -> str:
    holders = connection.execute(
        """
        select format(
            'pid %%s (%%s%%s, since %%s)',
            pid,
            application_name,
            ' on ' || host(client_addr),
            to_char(backend_start, 'HH24:MI:SS TZ')
        )
        from pg_locks
        join pg_stat_activity using (pid)
        where
            locktype = 'advisory'
            and database = (select oid from pg_database where datname = current_database())
            and classid = hashtext('gamebot.release')::oid
            and objid = %s::oid
            and objsubid = 2
            and granted
        """,
        (release_id,),
    ).fetchall()
    return ", ".join(holder for (holder,) in holders) or "a session that has just ended"


def _end_leftovers(connection: psycopg.Connection, release_id: int) -> None:
    """End what a killed task left running, such as its dbt: with its hold it lost its right."""
    ended = connection.execute(
        """
        select application_name, pg_terminate_backend(pid, 5000)
        from pg_stat_activity
        where
            datname = current_database()
            and application_name like 'gamebot %%'
            and application_name like '%% r' || %s
            and application_name not like '%% holds r%%'
            and pg_has_role(usesysid, 'usage')
        """,
        (release_id,),
    ).fetchall()
    for name, _ in ended:
        log.warning("Ended a database session that a killed task left: %s", name)


def _name(connection: psycopg.Connection, name: str) -> None:
    connection.execute("select set_config('application_name', %s, false)", (name,))
    if not connection.autocommit:
        connection.commit()


def _note_activity(connection: psycopg.Connection, release_id: int) -> None:
    connection.execute(
        "update ops.releases set active_at = clock_timestamp() where release_id = %s",
        (release_id,),
    )
