"""The pipeline's stages as Airflow tasks: connection in, XCom out, nothing else.

The work is in `include.pipeline` and `include.quality`, imported when a task runs, so that reading
the DAG file stays cheap. With `include.transformation.rendering` and `include.parameters` this is
the only code here that knows Airflow.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from airflow.sdk import Asset, Context, Metadata, TriggerRule, task
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from include.warehouse.connection import ConnectionSettings

log = logging.getLogger(__name__)

WAREHOUSE = Asset("survivor_warehouse")
REASON_LENGTH = 500


@contextmanager
def no_retry_after(*errors: type[Exception]) -> Iterator[None]:
    """Fail the task at once for errors that another try would only repeat."""
    try:
        yield
    except errors as error:
        raise AirflowFailException(str(error)) from error


@task.short_circuit
def detect_changes(params: dict[str, Any] | None = None) -> dict[str, Any] | None:
    """Return the source to load, or nothing when readers already have it."""
    from include import pipeline
    from include.ingestion.sources import SourceRequest

    assert params is not None
    detection = pipeline.detect_changes(
        ConnectionSettings.from_airflow(),
        SourceRequest(source=params["source"], ref=params["ref"], directory=params["source_dir"]),
        target_layer=params["target_layer"],
        force=params["force"],
    )
    log.info("%s", detection.summary)
    return detection.source.model_dump(mode="json") if detection.changed else None


@task
def open_release(
    source: dict[str, Any], params: dict[str, Any] | None = None, run_id: str | None = None
) -> int:
    """Open the release that this run builds and return its number."""
    from include import pipeline
    from include.ingestion.sources import ResolvedSource

    assert params is not None and run_id is not None
    return pipeline.open_release(
        ConnectionSettings.from_airflow(),
        ResolvedSource.model_validate(source),
        target_layer=params["target_layer"],
        triggered_by=run_id,
    )


@task
def load_bronze(source: dict[str, Any], release_id: int) -> int:
    """Load every dataset of the source into the release, exactly as it is; return its number."""
    from include import pipeline
    from include.ingestion.contract import ContractViolation
    from include.ingestion.reader import UnreadableFile
    from include.ingestion.sources import ResolvedSource

    with no_retry_after(ContractViolation, UnreadableFile):
        pipeline.load_bronze(
            ConnectionSettings.from_airflow(),
            release_id,
            ResolvedSource.model_validate(source),
            on_progress=log.info,
        )
    return release_id


@task(trigger_rule=TriggerRule.NONE_FAILED)
def audit_with_soda(release_id: int, params: dict[str, Any] | None = None) -> None:
    """Run the Soda checks on bronze and silver."""
    from include.quality.run import AuditFailed
    from include.quality.run import audit_with_soda as audit
    from include.warehouse.schemas import layers_up_to

    assert params is not None
    layers = [layer for layer in layers_up_to(params["target_layer"]) if layer != "gold"]
    with no_retry_after(AuditFailed):
        audit(release_id, ConnectionSettings.from_airflow(), layers, on_line=log.info)


@task(trigger_rule=TriggerRule.NONE_FAILED)
def audit_with_great_expectations(release_id: int, params: dict[str, Any] | None = None) -> str:
    """Run the expectations on gold; return the URL of their Data Docs."""
    from include.artifacts import upload_folder
    from include.quality.run import AuditFailed
    from include.quality.run import audit_with_great_expectations as audit

    assert params is not None
    if params["target_layer"] != "gold":
        raise AirflowSkipException(f"The target layer is {params['target_layer']}.")
    with tempfile.TemporaryDirectory() as folder, no_retry_after(AuditFailed):
        try:
            audit(release_id, ConnectionSettings.from_airflow(), Path(folder), on_line=log.info)
        finally:
            url = upload_folder(Path(folder), release_id, "great_expectations")
    return url


@task(trigger_rule=TriggerRule.NONE_FAILED, outlets=[WAREHOUSE])
def publish_release(release_id: int) -> Any:
    """Show the audited release to readers, in one transaction."""
    from include import pipeline
    from include.warehouse.publication import PublicationBlocked
    from include.warehouse.releases import ReleaseError

    with no_retry_after(ReleaseError, PublicationBlocked):
        publication = pipeline.publish(ConnectionSettings.from_airflow(), release_id)
    yield Metadata(WAREHOUSE, publication)
    return publication


@task
def close_release(release_id: int) -> None:
    """Close the release as failed unless it was published; then the run has failed too.

    Whoever marks a run as failed in the UI leaves its other tasks skipped, which Airflow takes for
    a success.
    """
    from include import pipeline

    failure = pipeline.close_release(ConnectionSettings.from_airflow(), release_id)
    if failure:
        raise AirflowFailException(f"Release {release_id} is not published: {failure}")


def note_failure(context: Context) -> None:
    """Write why a task failed for good beside its release, where an operator looks first."""
    from include import pipeline

    ti = context["ti"]
    release_id = ti.xcom_pull(task_ids="open_release")
    if release_id is not None:
        reason = f"{ti.task_id}: {context.get('exception')}"[:REASON_LENGTH]
        pipeline.record_failure(ConnectionSettings.from_airflow(), release_id, reason)
