"""Releases: a whole warehouse built where nobody looks, published by moving views.

    building ──▶ audited ──▶ published ◀──▶ superseded
        └───────────┴──▶ failed

A replay ends as `audited`, and is published only when somebody asks for it by its number. A release
that is `building` or `audited` and was not closed is open: its run goes on, or died.

Every function takes a connection that acts as `gamebot_owner` and leaves no open transaction.
"""

from __future__ import annotations

import time
from datetime import datetime
from typing import Literal, LiteralString, Protocol

import psycopg
from psycopg import sql
from psycopg.rows import class_row
from pydantic import BaseModel, ConfigDict

from include.warehouse.history import Event, record_event
from include.warehouse.publication import make_durable, publish_when_free, show_release
from include.warehouse.schemas import (
    AUDITOR,
    LAYERS,
    LOADER,
    SCHEMA_OWNERS,
    TRANSFORMER,
    Layer,
    SourceKind,
    layers_up_to,
    release_schema,
)

State = Literal["building", "audited", "published", "superseded", "failed"]

# A layer may be published only when every one of these tools has looked at it.
AUDITS: dict[Layer, tuple[str, ...]] = {
    "bronze": ("soda",),
    "silver": ("dbt", "soda"),
    "gold": ("dbt", "great_expectations"),
}


class ReleaseError(RuntimeError):
    """A release cannot do what was asked of it; the message says why and what to do."""


class Source(Protocol):
    """What a release is built from, as the ingestion resolved it."""

    @property
    def kind(self) -> SourceKind: ...
    @property
    def version(self) -> str: ...
    @property
    def location(self) -> str: ...
    @property
    def commit(self) -> str | None: ...
    @property
    def fingerprint(self) -> str: ...
    @property
    def note(self) -> str | None: ...


class Release(BaseModel):
    """One row of `ops.releases`."""

    model_config = ConfigDict(frozen=True)

    release_id: int
    state: State
    source_kind: SourceKind
    source_version: str
    source_location: str
    source_commit: str | None
    source_fingerprint: str
    source_note: str | None
    code_fingerprint: str
    target_layer: Layer
    is_replay: bool
    """Built to be looked at: published only when somebody asks for it by its number."""
    triggered_by: str
    run_type: str | None
    triggering_user: str | None
    opened_at: datetime
    active_at: datetime
    built_at: datetime | None
    audited_at: datetime | None
    published_at: datetime | None
    closed_at: datetime | None
    pruned_at: datetime | None
    failure: str | None
    shown_layers: list[Layer]
    """The public schemas that show it now: also of a superseded release, after a partial run."""

    @property
    def is_open(self) -> bool:
        """Whether its run goes on, or died."""
        return self.state in ("building", "audited") and self.closed_at is None

    @property
    def is_whole(self) -> bool:
        """Whether it has all the tables that it will ever have, whatever its audits said."""
        was_built = self.state != "failed" or self.built_at is not None
        return not self.pruned_at and not self.is_open and was_built

    @property
    def can_be_shown(self) -> bool:
        """Whether somebody may show it to readers who see another one now."""
        finished_replay = self.is_replay and self.state == "audited" and not self.is_open
        return not self.pruned_at and (self.state == "superseded" or finished_replay)


def open_release(
    connection: psycopg.Connection,
    source: Source,
    *,
    code_fingerprint: str,
    target_layer: Layer,
    triggered_by: str,
    run_type: str | None = None,
    triggering_user: str | None = None,
    is_replay: bool = False,
) -> int:
    """Start a release: its row in `ops.releases` and its empty schemas. Returns its number."""
    with connection.transaction():
        make_durable(connection)
        inserted = connection.execute(
            """
            insert into ops.releases (
                source_kind, source_version, source_location, source_commit, source_fingerprint,
                source_note, code_fingerprint, target_layer, triggered_by, run_type,
                triggering_user, is_replay
            )
            values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
            returning release_id
            """,
            (
                source.kind,
                source.version,
                source.location,
                source.commit,
                source.fingerprint,
                source.note,
                code_fingerprint,
                target_layer,
                triggered_by,
                run_type,
                triggering_user,
                is_replay,
            ),
        )
        release_id: int = inserted.fetchall()[0][0]
        for layer, owner in SCHEMA_OWNERS.items():
            _create_schema(connection, release_schema(layer, release_id), owner)
    return release_id


def mark_built(connection: psycopg.Connection, release_id: int) -> None:
    """Note that dbt finished the release without an error."""
    with connection.transaction():
        connection.execute(
            "update ops.releases set built_at = clock_timestamp() where release_id = %s",
            (release_id,),
        )


def resume_release(connection: psycopg.Connection, release_id: int) -> None:
    """Make sure that a stage may still work on the release; reopen it after a failed try.

    Whoever clears a task of a failed run wants it to go on with the release that the run closed.

    Raises:
        ReleaseError: readers see the release, or its tables are gone, or a newer one was opened.
    """
    with connection.transaction():
        connection.execute(
            """
            update ops.releases
            set state = 'building', closed_at = null, failure = null
            where
                release_id = %s
                and (state = 'failed' or (state = 'audited' and closed_at is not null))
                and pruned_at is null
                and release_id = (
                    select max(newer.release_id) from ops.releases as newer
                    where newer.is_replay = releases.is_replay
                )
            """,
            (release_id,),
        )
    release = get_release(connection, release_id)
    if release.state not in ("building", "audited") or release.closed_at:
        reason = f" ({release.failure})" if release.failure else ""
        raise ReleaseError(
            f"Release {release_id} is {release.state}{reason} and cannot be worked on: start a new "
            "run."
        )


def publish_release(connection: psycopg.Connection, release_id: int) -> tuple[Layer, ...]:
    """Let readers see a release that passed its audits. Returns the layers published.

    A replay is closed as audited instead, and no layer returned.

    Raises:
        ReleaseError: the release is not being built any more, an audit is missing from
            `ops.check_results`, a blocking check failed, or readers saw a newer release already;
            nothing changes for readers.
        PublicationBlocked: something of somebody else's is in the way.
    """
    release = get_release(connection, release_id)
    layers = layers_up_to(release.target_layer)
    if release.state == "published":
        # A task that died after its commit is run again: there is nothing left to do.
        return layers
    _require_audits(connection, release_id, layers)
    with connection.transaction():
        connection.execute(
            """
            update ops.releases
            set
                state = 'audited',
                audited_at = clock_timestamp(),
                closed_at = case when is_replay then clock_timestamp() end,
                failure = case when is_replay then null else failure end
            where release_id = %s and state = 'building'
            """,
            (release_id,),
        )
    if release.is_replay:
        return ()
    _publish(connection, release_id, layers, "audited", "published", release.triggered_by)
    return layers


def publish_replay(
    connection: psycopg.Connection, release_id: int, done_by: str | None = None
) -> tuple[Layer, ...]:
    """Let readers see a replay, as somebody asked for. Returns the layers that changed.

    Raises:
        ReleaseError: it is not an audited replay, or its tables are gone.
        PublicationBlocked: as for `publish_release`.
    """
    release = get_release(connection, release_id)
    if not release.is_replay:
        raise ReleaseError(
            f"Release {release_id} is {release.state} and no replay. A run publishes what it built "
            "and audited; make rollback shows a superseded release again."
        )
    layers = layers_up_to(release.target_layer)
    _require_audits(connection, release_id, layers)
    _publish(connection, release_id, layers, "audited", "published", done_by)
    return layers


def roll_back(
    connection: psycopg.Connection, release_id: int, done_by: str | None = None
) -> tuple[Layer, ...]:
    """Let readers see an earlier release again. Returns the layers that changed.

    Raises:
        ReleaseError: the release was never published, is the published one, or its tables are gone.
        PublicationBlocked: as for `publish_release`.
    """
    layers = layers_up_to(get_release(connection, release_id).target_layer)
    _publish(connection, release_id, layers, "superseded", "rolled_back", done_by)
    return layers


def show_again(
    connection: psycopg.Connection, release_id: int, done_by: str | None = None
) -> tuple[Layer, ...]:
    """Let readers see a replay, or an earlier release again; nothing to do if they see it.

    Raises:
        ReleaseError: it never passed its audits, or its tables are gone.
        PublicationBlocked: as for `publish_release`.
    """
    release = get_release(connection, release_id)
    if release.state == "published":
        return layers_up_to(release.target_layer)
    show = publish_replay if release.state == "audited" else roll_back
    return show(connection, release_id, done_by)


def fail_release(connection: psycopg.Connection, release_id: int, reason: str) -> bool:
    """Close a release that did not get as far as its publication. Returns whether it was open."""
    with connection.transaction():
        closed = connection.execute(
            """
            update ops.releases
            set state = 'failed', closed_at = clock_timestamp(), failure = coalesce(failure, %s)
            where
                release_id = %s and state in ('building', 'audited') and closed_at is null
            """,
            (reason, release_id),
        )
    return closed.rowcount == 1


def note_failure(connection: psycopg.Connection, release_id: int, reason: str) -> None:
    """Keep the first reason why an open release will fail."""
    with connection.transaction():
        connection.execute(
            "update ops.releases set failure = coalesce(failure, %s) "
            "where release_id = %s and state in ('building', 'audited') and closed_at is null",
            (reason, release_id),
        )


def get_release(connection: psycopg.Connection, release_id: int) -> Release:
    """Return one release.

    Raises:
        ReleaseError: there is no such release.
    """
    releases = _select(connection, "where release_id = %s", (release_id,))
    if not releases:
        raise ReleaseError(f"There is no release {release_id}. See them with make releases.")
    return releases[0]


def finished_release(connection: psycopg.Connection, release_id: int) -> Release:
    """Return a release that is whole: what readers see or saw, a replay, or what failed its audits.

    Raises:
        ReleaseError: it is still being built, failed before it was, or its tables are gone.
    """
    release = get_release(connection, release_id)
    if release.pruned_at:
        raise ReleaseError(
            f"Release {release_id} has no tables any more: they were dropped on "
            f"{release.pruned_at:%Y-%m-%d}."
        )
    if release.state == "failed" and not release.built_at:
        raise ReleaseError(f"Release {release_id} failed ({release.failure}): it is not whole.")
    if release.is_open:
        raise ReleaseError(
            f"Release {release_id} is being built by {release.triggered_by}, which audits it."
        )
    return release


def list_releases(connection: psycopg.Connection) -> list[Release]:
    """Return all releases, newest first."""
    return _select(connection, "order by release_id desc")


def published_release(connection: psycopg.Connection, layer: Layer = "bronze") -> Release | None:
    """Return the release that readers see in `layer`, if anything was ever published there."""
    releases = _select(
        connection,
        "where release_id in (select release_id from ops.published_layers where layer = %s)",
        (layer,),
    )
    return releases[0] if releases else None


def newest_release(connection: psycopg.Connection, layer: Layer = "bronze") -> Release | None:
    """Return the newest release that readers ever saw `layer` of, rolled back or not.

    A replay holds old data, also when somebody published it.
    """
    releases = _select(
        connection,
        "where state in ('published', 'superseded') and not is_replay and target_layer = any(%s) "
        "order by release_id desc limit 1",
        (list(LAYERS[LAYERS.index(layer) :]),),
    )
    return releases[0] if releases else None


def _select(
    connection: psycopg.Connection, clause: LiteralString, parameters: tuple[object, ...] = ()
) -> list[Release]:
    with connection.transaction(), connection.cursor(row_factory=class_row(Release)) as cursor:
        query = sql.SQL(
            """
            select
                releases.*,
                array(
                    select layer from ops.published_layers
                    where published_layers.release_id = releases.release_id
                    order by array_position(%s, layer)
                ) as shown_layers
            from ops.releases
            {}
            """
        ).format(sql.SQL(clause))
        return cursor.execute(query, (list(LAYERS), *parameters)).fetchall()


def _create_schema(connection: psycopg.Connection, schema: str, owner: str) -> None:
    names = {
        "schema": sql.Identifier(schema),
        "owner": sql.Identifier(owner),
        "readers": sql.SQL(", ").join(
            sql.Identifier(role)
            for role in ((TRANSFORMER, AUDITOR) if owner == LOADER else (AUDITOR,))
        ),
    }
    for statement in (
        "create schema {schema} authorization {owner}",
        "grant usage on schema {schema} to {readers}",
        "alter default privileges for role {owner} in schema {schema} "
        "grant select on tables to {readers}",
    ):
        connection.execute(sql.SQL(statement).format(**names))


def _require_audits(
    connection: psycopg.Connection, release_id: int, layers: tuple[Layer, ...]
) -> None:
    """A release is good because every audit said so, not because no task happened to fail."""
    with connection.transaction():
        found = connection.execute(
            """
            select layer, tool, array_agg(check_id order by check_id)
                filter (where outcome = 'error' or (severity = 'blocking' and outcome = 'failed'))
            from ops.check_results
            where release_id = %s
            group by layer, tool
            """,
            (release_id,),
        ).fetchall()
    audited = {(layer, tool) for layer, tool, _ in found}
    missing = [
        f"{tool} on {layer}"
        for layer in layers
        for tool in AUDITS[layer]
        if (layer, tool) not in audited
    ]
    failed = [check for _, _, checks in found for check in checks or ()]
    if missing:
        raise ReleaseError(f"Release {release_id} was not audited by {', '.join(missing)}.")
    if failed:
        raise ReleaseError(
            f"Release {release_id} failed {len(failed)} checks: {', '.join(failed)}."
        )


def _publish(
    connection: psycopg.Connection,
    release_id: int,
    layers: tuple[Layer, ...],
    from_state: State,
    event: Event,
    done_by: str | None,
) -> None:
    started = time.monotonic()

    def step() -> None:
        waited_seconds = time.monotonic() - started
        # Asked under the lock, since waiting for readers can take minutes.
        connection.execute(
            "select from ops.releases where release_id = %s for update", (release_id,)
        )
        release = get_release(connection, release_id)
        if release.pruned_at:
            raise ReleaseError(
                f"The tables of release {release_id} were dropped on {release.pruned_at:%Y-%m-%d}: "
                "build its data again with FORCE=1 and the source that make releases shows."
            )
        if release.state != from_state or (release.is_replay and not release.closed_at):
            raise ReleaseError(
                f"Release {release_id} is {release.state}, not {from_state}, so readers keep what "
                "they see. A run publishes what it built and audited; make rollback shows a "
                "superseded release again (make releases lists them)."
            )
        if event == "published" and not release.is_replay:
            _refuse_if_overtaken(connection, release_id)
        left_null = show_release(connection, release_id, layers)
        connection.execute(
            """
            insert into ops.published_layers (layer, release_id, published_at)
            select layer, %s, clock_timestamp() from unnest(%s::text[]) as layer
            on conflict (layer) do update
            set release_id = excluded.release_id, published_at = excluded.published_at
            """,
            (release_id, list(layers)),
        )
        connection.execute(
            "update ops.releases set state = 'superseded', closed_at = clock_timestamp() "
            "where state = 'published' and release_id <> %s",
            (release_id,),
        )
        connection.execute(
            """
            update ops.releases
            set
                state = 'published',
                published_at = coalesce(published_at, clock_timestamp()),
                closed_at = null,
                -- What a first try met and a later one overcame is no failure of the release.
                failure = null
            where release_id = %s
            """,
            (release_id,),
        )
        record_event(
            connection,
            release_id,
            event,
            layers=layers,
            done_by=done_by,
            waited_seconds=waited_seconds,
            detail=f"null for want of data: {', '.join(left_null)}" if left_null else None,
        )

    publish_when_free(connection, step, new_tables=from_state == "audited")


def _refuse_if_overtaken(connection: psycopg.Connection, release_id: int) -> None:
    """Another run may have been faster: readers must not go back in time unseen."""
    newer = connection.execute(
        "select max(release_id) from ops.releases where release_id > %s and published_at is not "
        "null",
        (release_id,),
    ).fetchone()
    if newer and newer[0]:
        raise ReleaseError(
            f"Release {release_id} was opened before release {newer[0]}, which readers saw "
            "already: publishing it now would take them back. Start a new run."
        )
