"""The stages of a run, in order, as plain functions: what the DAG's tasks call.

Each opens its own connections and leaves its state in the warehouse, so the tasks may run on
different machines and any of them may be run again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable
from contextlib import nullcontext
from datetime import UTC
from typing import Any

import psycopg
from pydantic import BaseModel

from include import run_notes
from include.environments import PROJECT_DIR
from include.ingestion.catalog import load_catalog
from include.ingestion.load import BronzeReport
from include.ingestion.load import load_bronze as load_bronze_tables
from include.ingestion.sources import ResolvedSource, SourceRequest, resolve_source
from include.run_notes import release_link
from include.transformation.manifest import fingerprint
from include.warehouse.bootstrap import ensure_bootstrapped
from include.warehouse.connection import ConnectionSettings
from include.warehouse.news import release_news
from include.warehouse.occupancy import name_session, working_on
from include.warehouse.releases import (
    Release,
    ReleaseError,
    fail_release,
    finished_release,
    get_release,
    list_releases,
    newest_release,
    note_failure,
    publish_release,
    published_release,
    show_again,
)
from include.warehouse.releases import (
    open_release as open_new_release,
)
from include.warehouse.retention import Retention, close_orphans, prune_releases, pruned_releases
from include.warehouse.schemas import LOADER, OWNER, Layer
from include.warehouse.summary import count_checks, release_summary

log = logging.getLogger(__name__)

# What decides the content of a release besides upstream's files.
CODE_FILES = (
    "include/dbt/dbt_project.yml",
    "include/dbt/models/**/*",
    "include/dbt/macros/**/*",
    "include/dbt/seeds/**/*",
    "include/dbt/tests/**/*",
    "include/ingestion/**/*.py",
    "include/ingestion/**/*.txt",
    "include/ingestion/**/*.yml",
    "include/quality/**/*.py",
    "include/quality/**/*.yml",
)


class Detection(BaseModel):
    """What a run would load, and whether readers already have it."""

    source: ResolvedSource
    built: Release | None
    """The release that holds it already, built by the same code."""
    changed: bool

    @property
    def summary(self) -> str:
        """One sentence for a person."""
        commit = f", commit {self.source.commit[:12]}" if self.source.commit else ""
        content = f"{self.source.kind} {self.source.version[:12]}{commit}"
        if self.changed or self.built is None or self.built.published_at is None:
            return f"A release will be built from {content}."
        published_at = self.built.published_at.astimezone(UTC)
        return (
            f"Nothing new: release {self.built.release_id} holds {content}, built by the same "
            f"code. It was published on {published_at:%Y-%m-%d at %H:%M} UTC."
        )


def detect_changes(
    settings: ConnectionSettings,
    request: SourceRequest,
    target_layer: Layer,
    force: bool = False,
) -> Detection:
    """Find out what the source holds now, and compare it and our code with what is published.

    Raises:
        NotBootstrapped: the database is not prepared and this login may not prepare it.
        SourceError: the source cannot be reached or does not hold what was asked for.
        MissingSetting: a setting of the retention is malformed.
    """
    retention = Retention.from_environment()
    ensure_bootstrapped(settings)
    with settings.connect(role=OWNER) as connection:
        # Here too, since a night with nothing new closes no release.
        close_orphans(connection)
        prune_releases(connection, retention)
        loaded = published_release(connection)
        # Also the newest, which readers do not see after a rollback: what was rolled away must not
        # come back by itself.
        known = [
            published_release(connection, target_layer),
            newest_release(connection, target_layer),
        ]
    source = resolve_source(request, published_kind=loaded.source_kind if loaded else None)
    code = code_fingerprint()
    same = [
        release
        for release in known
        if release
        and release.source_fingerprint == source.fingerprint
        and release.code_fingerprint == code
    ]
    return Detection(source=source, built=same[0] if same else None, changed=force or not same)


def open_release(
    settings: ConnectionSettings,
    source: ResolvedSource,
    target_layer: Layer,
    triggered_by: str,
    *,
    run_type: str | None = None,
    triggering_user: str | None = None,
    is_replay: bool = False,
) -> int:
    """Open the release that this run builds and return its number.

    Args:
        triggered_by: the run.
        run_type: how the run came to be started, in Airflow's words.
        triggering_user: who started it, where a person did.
        is_replay: it is not to be published at the end of the run.
    """
    with settings.connect(role=OWNER) as connection:
        close_orphans(connection)
        return open_new_release(
            connection,
            source,
            code_fingerprint=code_fingerprint(),
            target_layer=target_layer,
            triggered_by=triggered_by,
            run_type=run_type,
            triggering_user=triggering_user,
            is_replay=is_replay,
        )


def load_bronze(
    settings: ConnectionSettings,
    release_id: int,
    source: ResolvedSource,
    on_progress: Callable[[str], None],
    accept_falls: Collection[str] = (),
) -> BronzeReport:
    """Load every dataset of the source into the release.

    Args:
        accept_falls: datasets in which fewer rows or seasons than published are meant; in a
            replay they are in every dataset.

    Raises:
        SourceError: the source cannot be reached or does not hold what was resolved.
        UnreadableFile: a file is damaged.
        ContractViolation: upstream changed in a way that must not reach readers.
        ReleaseError: the release cannot be worked on any more.
        ReleaseBusy: another task works on it.
    """
    with (
        working_on(settings, release_id, "load_bronze") as release,
        settings.connect(role=LOADER) as connection,
    ):
        name_session(connection, "load_bronze", release_id)
        if release.is_replay:
            accept_falls = {*accept_falls, *load_catalog().datasets}
        return load_bronze_tables(
            connection, release_id, source, accept_falls=accept_falls, on_progress=on_progress
        )


def publish(settings: ConnectionSettings, release_id: int) -> dict[str, Any]:
    """Show the audited release to readers; close a replay, which shows no layer.

    Returns:
        What the asset events say: the release, its commit, the layers shown and the rows of each.

    Raises:
        ReleaseError: an audit is missing, a blocking check failed, or a newer release was faster.
        ReleaseBusy: another task works on it.
        PublicationBlocked: something of somebody else's is in the way.
    """
    with settings.connect(role=OWNER) as connection:
        done = get_release(connection, release_id).state == "published"
    # What readers see cannot be held, and a task that is run again after its commit need not.
    with (
        nullcontext() if done else working_on(settings, release_id, "publish_release"),
        settings.connect(role=OWNER) as connection,
    ):
        name_session(connection, "publish_release", release_id)
        layers = publish_release(connection, release_id)
        return _publication(connection, release_id, layers)


def _publication(
    connection: psycopg.Connection, release_id: int, layers: Iterable[Layer]
) -> dict[str, Any]:
    summary = release_summary(connection, release_id)
    return {
        "release_id": release_id,
        "commit": summary.release.source_commit,
        "layers": list(layers),
        "rows": {layer: sum(summary.rows[layer].values()) for layer in layers},
    }


def show_release(
    settings: ConnectionSettings, release_id: int | None, done_by: str
) -> dict[str, Any]:
    """Show readers a release that they saw before, or a replay.

    Returns:
        What the asset events say, as `publish` does.

    Raises:
        ReleaseError: none is named, or it cannot be shown; the message lists those that can.
        PublicationBlocked: something of somebody else's is in the way.
    """
    with settings.connect(role=OWNER) as connection:
        if release_id is None:
            raise ReleaseError(f"Name the release to show. {_choice(connection)}")
        name_session(connection, "show_release", release_id)
        try:
            layers = show_again(connection, release_id, done_by)
        except ReleaseError as error:
            raise ReleaseError(f"{error} {_choice(connection)}") from error
        return _publication(connection, release_id, layers)


def _choice(connection: psycopg.Connection) -> str:
    shown = [
        f"{release.release_id} ({release.source_kind} {release.source_version[:12]}, "
        f"{release.opened_at.astimezone(UTC):%Y-%m-%d})"
        for release in list_releases(connection)
        if release.can_be_shown
    ]
    return f"These can be shown: {', '.join(shown) or 'none'}."


def release_to_audit(settings: ConnectionSettings, release_id: int | None) -> Release:
    """Return the release to look at again: the one named, or what readers see.

    Raises:
        ReleaseError: nothing is published, or the release cannot be looked at.
    """
    with settings.connect(role=OWNER) as connection:
        if release_id is None:
            published = published_release(connection)
            if published is None:
                raise ReleaseError("Nothing is published yet: name the release.")
            return published
        return finished_release(connection, release_id)


class AuditOutcome(BaseModel):
    """What a release that was audited again was found to be, and what that means for readers."""

    checks: dict[str, dict[str, int]]
    """Number of checks per outcome, per tool."""
    consequence: str


def audit_outcome(settings: ConnectionSettings, release_id: int) -> AuditOutcome:
    """Say what the newest results of a release's checks mean for readers, should some be bad."""
    with settings.connect(role=OWNER) as connection:
        release = get_release(connection, release_id)
        checks = count_checks(connection, release_id)
        consequence = "Readers do not see it: nothing needs to be done for them."
        if release.shown_layers:
            consequence = (
                f"Readers see it in {', '.join(release.shown_layers)}, and nothing was changed for "
                "them. To show them another one, trigger survivor_release_rollback "
                f"(docs/runbooks/rollback.md). {_choice(connection)}"
            )
    return AuditOutcome(checks=checks, consequence=consequence)


def release_note(settings: ConnectionSettings, release_id: int) -> str:
    """Sum a closed release up, for whoever looks at the run that built it."""
    with settings.connect(role=OWNER) as connection:
        summary = release_summary(connection, release_id)
        if summary.release.state == "failed":
            seen = published_release(connection)
            keep = f"keep {release_link(seen.release_id)}" if seen else "see nothing yet"
            return f"{release_link(release_id)} is not published. Readers {keep}."
        earlier = [
            release.release_id
            for release in list_releases(connection)
            if release.release_id < release_id
            and release.published_at
            and not (release.is_replay or release.pruned_at)
        ]
        before = release_summary(connection, earlier[0]) if earlier else None
        return run_notes.release_note(summary, before, release_news(connection, release_id))


def record_failure(settings: ConnectionSettings, release_id: int, reason: str) -> None:
    """Note why a release will not be published, if nothing noted it before."""
    with settings.connect(role=OWNER) as connection:
        note_failure(connection, release_id, reason)


def close_release(settings: ConnectionSettings, release_id: int) -> str | None:
    """Close the release as failed unless it came to its end, and drop what is old.

    Returns:
        Why it failed, None when it was published or is an audited replay.
    """
    with settings.connect(role=OWNER) as connection:
        fail_release(connection, release_id, "its run ended before it was published")
        close_orphans(connection)
        prune_releases(connection, Retention.from_environment())
        release = get_release(connection, release_id)
        _prune_pages(pruned_releases(connection))
    return release.failure if release.state == "failed" else None


def _prune_pages(pruned: Collection[int]) -> None:
    """Delete the pages of releases whose tables are gone; another run can do it as well."""
    if not pruned:
        return
    from include.artifacts import ArtifactsError, delete_folders

    try:
        delete_folders(pruned)
    except ArtifactsError as error:
        log.error("The pages of old releases could not be deleted. %s", error)


def code_fingerprint() -> str:
    """Return a short hash of everything of ours that decides what a release holds."""
    return fingerprint(PROJECT_DIR, CODE_FILES)
