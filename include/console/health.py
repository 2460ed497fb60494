"""Whether the warehouse is well and how old what readers see is: states and numbers, no words.

Whoever watches the machines asks without signing in, so an answer names no host, login or error;
the API server's log does.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from datetime import datetime
from typing import Literal

import psycopg
from psycopg.rows import class_row
from pydantic import BaseModel

from include.warehouse.bootstrap import NOT_PREPARED
from include.warehouse.connection import ConnectionSettings
from include.warehouse.schemas import AUDITOR, Layer

log = logging.getLogger(__name__)

# A monitor asks every few seconds at most, and gives up on an answer after five or ten.
CONNECT_SECONDS = 2
QUERY_SECONDS = 2
ANSWER_SECONDS = 4
FRESH_SECONDS = 5


class WarehouseHealth(BaseModel, frozen=True):
    """Unreachable is also what refuses the login, unprepared what lacks our roles or tables.

    Tables of another version are no ill health: the next run brings them up to date.
    """

    status: Literal["healthy", "unprepared", "unreachable"]


class PublishedLayer(BaseModel, frozen=True):
    """What readers see of one layer."""

    release_id: int
    published_at: datetime
    age_seconds: int


class Health(BaseModel, frozen=True):
    """The answer."""

    warehouse: WarehouseHealth
    published: dict[Layer, PublishedLayer] = {}
    """The layers that were ever published."""

    @property
    def is_healthy(self) -> bool:
        """Whether readers can be served and the pipeline can work."""
        return self.warehouse.status == "healthy"


UNREACHABLE = Health(warehouse=WarehouseHealth(status="unreachable"))
UNPREPARED = Health(warehouse=WarehouseHealth(status="unprepared"))


def examine_warehouse() -> Health:
    """Ask the warehouse; takes `CONNECT_SECONDS` and some more for each address of its host."""
    try:
        settings = ConnectionSettings.from_airflow(AUDITOR)
        with settings.connect(
            role=AUDITOR,
            connect_timeout=CONNECT_SECONDS,
            options=f"-c statement_timeout={QUERY_SECONDS}s",
        ) as connection:
            connection.read_only = True
            return _published(connection)
    except NOT_PREPARED:
        log.warning("The warehouse is not prepared", exc_info=True)
        return UNPREPARED
    # Whatever it is, the monitor is told that something is wrong, and nothing more.
    except Exception:
        log.warning("The warehouse cannot be reached", exc_info=True)
        return UNREACHABLE


def _published(connection: psycopg.Connection) -> Health:
    class Row(PublishedLayer, frozen=True):
        layer: Layer

    with connection.cursor(row_factory=class_row(Row)) as cursor:
        rows = cursor.execute(
            """
            select
                layer,
                release_id,
                published_at,
                extract(epoch from clock_timestamp() - published_at)::bigint as age_seconds
            from ops.published_layers
            order by array_position(array['bronze', 'silver', 'gold'], layer)
            """
        ).fetchall()
    return Health(
        warehouse=WarehouseHealth(status="healthy"),
        published={
            row.layer: PublishedLayer.model_validate(row.model_dump(exclude={"layer"}))
            for row in rows
        },
    )


class HealthProbe:
    """Asks in a thread of its own, once for all who wait and once every few seconds at most.

    So neither a warehouse that hangs nor many who ask at once hold up the API server.
    """

    def __init__(self, examine: Callable[[], Health] = examine_warehouse) -> None:
        """Describe it; nothing is asked yet."""
        self._examine = examine
        self._asked: asyncio.Task[Health] | None = None
        self._asked_at = 0.0

    async def current(self) -> Health:
        """Return an answer of the last seconds; without one in time, that it is unreachable."""
        if self._asked is None or (self._asked.done() and self._is_old()):
            self._asked = asyncio.create_task(asyncio.to_thread(self._examine))
            self._asked_at = time.monotonic()
        # Not cancelled when time is up: a thread cannot be, and another one would join it.
        done, _ = await asyncio.wait({self._asked}, timeout=ANSWER_SECONDS)
        return self._asked.result() if done else UNREACHABLE

    def _is_old(self) -> bool:
        return time.monotonic() - self._asked_at > FRESH_SECONDS
