"""The files and pages of a release as Airflow tasks: connection in, a line in the log out.

The work is in `include.release_artifacts`, imported when a task runs, so that reading the DAG file
stays cheap.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from airflow.sdk import task
from structlog.contextvars import bind_contextvars

from include.airflow_tasks import no_retry_after
from include.parameters import HEAVY_QUEUE
from include.warehouse.connection import ConnectionSettings

if TYPE_CHECKING:
    from include.data_package.build import Progress

log = logging.getLogger(__name__)


@task(task_display_name="Choose the release")
def choose_release(params: dict[str, Any] | None = None) -> int:
    """Return the number of the release to make files of, as it is at this moment."""
    from include import release_artifacts
    from include.warehouse.releases import ReleaseError

    assert params is not None
    with no_retry_after(ReleaseError):
        release = release_artifacts.choose_release(
            ConnectionSettings.from_airflow(), params["release_id"]
        )
    log.info("Release %s is %s.", release.release_id, release.state)
    return release.release_id


@task(task_display_name="Compare with the release before")
def compare_with_previous(release_id: int) -> None:
    """Keep what is different from the release that readers saw before."""
    from include import release_artifacts

    bind_contextvars(release_id=release_id)
    log.info("%s", release_artifacts.keep_changes(ConnectionSettings.from_airflow(), release_id))


@task(task_display_name="Build the data package", queue=HEAVY_QUEUE)
def build_data_package(release_id: int) -> None:
    """Keep the release as files to take away, and let package.json name them."""
    from include import release_artifacts
    from include.data_package.errors import ExportError

    bind_contextvars(release_id=release_id)
    settings = ConnectionSettings.from_airflow()
    with no_retry_after(ExportError):
        told = release_artifacts.keep_package(settings, release_id, _log_now_and_then())
    log.info("%s", told)


@task(task_display_name="Document the models")
def document_models(release_id: int) -> None:
    """Keep dbt's page about the release's models and tables."""
    from include import release_artifacts

    bind_contextvars(release_id=release_id)
    settings = ConnectionSettings.from_airflow()
    log.info("dbt's page: %s", release_artifacts.keep_dbt_docs(settings, release_id))


@task(task_display_name="Show what Soda found")
def show_soda_results(release_id: int) -> None:
    """Keep a page of what Soda found in the release."""
    from include import release_artifacts

    bind_contextvars(release_id=release_id)
    settings = ConnectionSettings.from_airflow()
    log.info("%s", release_artifacts.keep_soda_page(settings, release_id))


def _log_now_and_then() -> Any:
    """Return what logs every tenth step: dozens of lines say no more."""

    def tell(progress: Progress) -> None:
        if progress.done % 10 == 0 or progress.done == progress.total:
            log.info("%s of %s: %s", progress.done, progress.total, progress.step)

    return tell
