"""What people get of a release besides its tables: files and pages, as plain functions.

`include.artifact_tasks` calls them in Airflow, `make export` on a person's machine. Each can be
done again at any time, and none changes what readers of the warehouse see.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path

from include.artifacts import (
    local_copy,
    point_at_package,
    read_file,
    read_pointer,
    upload_folder,
)
from include.data_package.build import Package, Progress, build_package, new_folder
from include.data_package.changes import MARKDOWN, changes_of
from include.data_package.documents import SUMS, differences
from include.data_package.facts import moment
from include.environments import temporary_folder
from include.pages.soda import write_soda_page
from include.transformation.docs import write_release_docs
from include.transformation.manifest import manifest_path
from include.warehouse.connection import ConnectionSettings
from include.warehouse.releases import Release, ReleaseError, finished_release, published_release
from include.warehouse.schemas import LAYERS, OWNER

log = logging.getLogger(__name__)

PACKAGE = "package"


def choose_release(settings: ConnectionSettings, release_id: int | None = None) -> Release:
    """Return the release to make files of: the one that is asked for, or what readers see.

    Of layers that show different releases, as after a run up to silver, the highest decides: its
    release has all of them.

    Raises:
        ReleaseError: nothing is published, or the one asked for is not whole.
    """
    with settings.connect(role=OWNER) as connection:
        if release_id is not None:
            return finished_release(connection, release_id)
        shown = [published_release(connection, layer) for layer in reversed(LAYERS)]
    found = [release for release in shown if release]
    if not found:
        raise ReleaseError("There is no published release yet: run the pipeline first.")
    return found[0]


def keep_changes(settings: ConnectionSettings, release_id: int) -> str:
    """Keep what is different from the release before. Returns a sentence for a log.

    Raises:
        ArtifactsError: it cannot be kept.
    """
    changes = changes_of(settings, release_id)
    with temporary_folder() as folder:
        changes.write(folder)
        return f"{changes.summary} {upload_folder(folder, release_id, 'changes')}"


def keep_package(
    settings: ConnectionSettings,
    release_id: int,
    on_progress: Callable[[Progress], None] = lambda progress: None,
) -> str:
    """Keep the data package of a release, and point at it if it is what readers see.

    One that is there and whole is not built again.

    Returns:
        A sentence for a log.

    Raises:
        ArtifactsError: it cannot be kept.
        ExportError: it cannot be built.
    """
    problems = _problems(release_id)
    if not problems:
        told = f"The data package of release {release_id} is there already, and whole."
    else:
        log.info("The data package of release %s is built: %s.", release_id, problems[0])
        with temporary_folder() as folder:
            package = _build(settings, release_id, folder, on_progress)
            url = upload_folder(folder, release_id, PACKAGE, last=SUMS)
        told = f"{package.summary} {url}"
    return f"{told} {_point(settings, release_id)}"


def export_package(
    settings: ConnectionSettings,
    release_id: int,
    target: Path,
    on_progress: Callable[[Progress], None],
) -> Package:
    """Build the data package of a release in a folder of a person's choice.

    Raises:
        ExportError: it cannot be built, or the folder cannot be written or holds something else.
    """
    with new_folder(target) as folder:
        return _build(settings, release_id, folder, on_progress)


def keep_dbt_docs(settings: ConnectionSettings, release_id: int) -> str:
    """Keep dbt's page about the release's models. Returns its URL.

    Raises:
        ArtifactsError: it cannot be kept.
        MissingEnvironment: dbt, which has the page, was not installed.
    """
    with temporary_folder() as folder:
        write_release_docs(settings, release_id, folder, _manifest(release_id))
        return upload_folder(folder, release_id, "dbt_docs")


def keep_soda_page(settings: ConnectionSettings, release_id: int) -> str:
    """Keep a page of what Soda found in the release. Returns a sentence for a log.

    Raises:
        ArtifactsError: it cannot be kept.
    """
    with temporary_folder() as folder:
        counts = write_soda_page(settings, release_id, folder)
        found = ", ".join(f"{count} {outcome}" for outcome, count in sorted(counts.items()))
        return f"Soda: {found or 'nothing'}. {upload_folder(folder, release_id, 'soda')}"


def _build(
    settings: ConnectionSettings,
    release_id: int,
    folder: Path,
    on_progress: Callable[[Progress], None],
) -> Package:
    return build_package(
        settings,
        release_id,
        folder,
        manifest=json.loads(_manifest(release_id)),
        changes=_changes(settings, release_id),
        on_progress=on_progress,
    )


def _problems(release_id: int) -> list[str]:
    with local_copy(release_id, PACKAGE) as folder:
        return differences(folder) if folder else ["there is none"]


def _manifest(release_id: int) -> bytes:
    """Return what dbt said of the models when it built the release; else of them as they are."""
    return read_file(release_id, "dbt/manifest.json") or manifest_path().read_bytes()


def _changes(settings: ConnectionSettings, release_id: int) -> str:
    """Return what was kept: the release before may be gone by now."""
    kept = read_file(release_id, f"changes/{MARKDOWN}")
    return kept.decode() if kept else changes_of(settings, release_id).markdown


def _point(settings: ConnectionSettings, release_id: int) -> str:
    release = choose_release(settings)
    if release.release_id != release_id:
        return f"Readers see release {release.release_id}, so package.json stays as it is."
    before = read_pointer()
    facts = {"published_at": moment(release.published_at), "commit": release.source_commit}
    point_at_package(release_id, facts)
    if before and before["release_id"] != release_id:
        return f"package.json, which named release {before['release_id']}, names this one."
    return "package.json names it."
