"""What readers saw when, and what became of the tables of old releases: `ops.release_events`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

import psycopg
from psycopg.rows import class_row
from pydantic import BaseModel, ConfigDict

from include.warehouse.schemas import Layer

Event = Literal["published", "rolled_back", "dropped", "kept"]


class ReleaseEvent(BaseModel):
    """One row of `ops.release_events`."""

    model_config = ConfigDict(frozen=True)

    release_id: int
    event: Event
    layers: list[Layer]
    happened_at: datetime
    done_by: str | None
    """The run or person, as far as the caller knew."""
    login: str | None
    """The login of the database session, whatever the caller said."""
    waited_seconds: float | None
    detail: str | None


def record_event(
    connection: psycopg.Connection,
    release_id: int,
    event: Event,
    *,
    layers: Sequence[Layer] = (),
    done_by: str | None = None,
    waited_seconds: float | None = None,
    detail: str | None = None,
) -> None:
    """Add a row, unless the newest one of the release says the same of its tables."""
    connection.execute(
        """
        insert into ops.release_events (
            release_id, event, layers, done_by, waited_seconds, detail
        )
        select %(release_id)s, %(event)s, %(layers)s::text[], %(done_by)s, %(waited)s, %(detail)s
        where not exists (
            select from (
                select event, detail from ops.release_events
                where release_id = %(release_id)s
                order by event_id desc limit 1
            ) as newest
            where newest.event = 'kept' and %(event)s = 'kept' and newest.detail = %(detail)s
        )
        """,
        {
            "release_id": release_id,
            "event": event,
            "layers": list(layers),
            "done_by": done_by,
            "waited": waited_seconds,
            "detail": detail,
        },
    )


def list_events(
    connection: psycopg.Connection, events: Sequence[Event] = ("published", "rolled_back")
) -> list[ReleaseEvent]:
    """Return what happened, newest first."""
    with connection.transaction(), connection.cursor(row_factory=class_row(ReleaseEvent)) as cursor:
        return cursor.execute(
            "select * from ops.release_events where event = any(%s) order by event_id desc",
            (list(events),),
        ).fetchall()
