"""Reading the warehouse for a page: bounded in time, in sessions and in what they may do."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import psycopg

from include.warehouse.bootstrap import NOT_PREPARED
from include.warehouse.connection import ConnectionSettings, MissingSetting
from include.warehouse.schemas import AUDITOR

log = logging.getLogger(__name__)

T = TypeVar("T")

CONNECT_SECONDS = 3
QUERY_SECONDS = 5
ANSWER_SECONDS = 10
"""How long a page waits for all of it."""
LONG_ANSWER_SECONDS = 50
"""Less than the minute after which most proxies give up."""

# Not Airflow's threads: however many pages wait for a warehouse that hangs, Airflow's do not.
_threads = ThreadPoolExecutor(max_workers=4, thread_name_prefix="gamebot-console")
# What takes long goes one after the other, and holds up no other page.
_long_threads = ThreadPoolExecutor(max_workers=1, thread_name_prefix="gamebot-console-long")


class WarehouseUnavailable(RuntimeError):
    """The page cannot be shown now; title and advice are for whoever looks at it."""

    def __init__(self, title: str, advice: str) -> None:
        """Say it without naming host, login or error: these are in the API server's log."""
        super().__init__(title)
        self.title, self.advice = title, advice


UNREACHABLE = (
    "The warehouse cannot be reached",
    "Readers may be unable to reach it as well. Airflow's connection survivor_postgres says where "
    "it is; the API server's log says what failed, and docs/runbooks/connection.md what to do.",
)
UNPREPARED = (
    "The warehouse is not prepared",
    "The database lacks our roles or tables: run survivor_medallion_pipeline once, or "
    "python -m include.warehouse (docs/settings.md).",
)
TOO_SLOW = (
    "The warehouse did not answer in time",
    "It is busy, or somebody holds a lock. Try again in a while; docs/runbooks/slow-run.md says "
    "how to see who works in it.",
)

STILL_AT_IT = (
    "This takes longer than a page waits",
    "It goes on all the same: load this page again in a minute.",
)


async def read_warehouse(
    work: Callable[[psycopg.Connection], T],
    *,
    query_seconds: int = QUERY_SECONDS,
    takes_long: bool = False,
) -> T:
    """Let `work` read, in a thread, in a session that can write nothing.

    Args:
        work: what to read.
        query_seconds: how long a statement may take.
        takes_long: it reads whole tables: it may take a minute, and waits for others of its kind.

    Raises:
        WarehouseUnavailable: it cannot be reached, is not prepared, or took too long.
    """
    threads = _long_threads if takes_long else _threads
    future = asyncio.get_running_loop().run_in_executor(threads, _read, work, query_seconds)
    patience = LONG_ANSWER_SECONDS if takes_long else ANSWER_SECONDS
    done, _ = await asyncio.wait({future}, timeout=patience)
    if not done:
        # Keeps it from beginning if it did not yet; what runs ends with its statement's time.
        future.cancel()
        raise WarehouseUnavailable(*(STILL_AT_IT if takes_long else TOO_SLOW))
    return future.result()


def _read(work: Callable[[psycopg.Connection], T], query_seconds: int) -> T:
    try:
        settings = ConnectionSettings.from_airflow(AUDITOR)
        with settings.connect(
            role=AUDITOR,
            connect_timeout=CONNECT_SECONDS,
            options=f"-c statement_timeout={query_seconds}s -c lock_timeout={query_seconds}s",
        ) as connection:
            connection.read_only = True
            return work(connection)
    except NOT_PREPARED as error:
        log.warning("The warehouse is not prepared", exc_info=True)
        raise WarehouseUnavailable(*UNPREPARED) from error
    except (psycopg.errors.QueryCanceled, psycopg.errors.LockNotAvailable) as error:
        log.warning("The warehouse did not answer in time", exc_info=True)
        raise WarehouseUnavailable(*TOO_SLOW) from error
    # No connection in Airflow, a setting that is malformed, no server, or the login is refused.
    except (psycopg.OperationalError, MissingSetting) as error:
        log.warning("The warehouse cannot be reached", exc_info=True)
        raise WarehouseUnavailable(*UNREACHABLE) from error
