"""The pipeline's stages as Airflow tasks: connection in, XCom out, nothing else.

The work is in `include.pipeline` and `include.quality`, imported when a task runs, so that reading
the DAG file stays cheap.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from airflow.sdk import Asset, AssetAlias, Context, Metadata, TaskInstanceState, TriggerRule, task
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException
from structlog.contextvars import bind_contextvars

from include import lineage
from include.alerts import FAILURE
from include.artifacts import keep_files
from include.environments import temporary_folder
from include.parameters import HEAVY_QUEUE
from include.warehouse.connection import ConnectionSettings
from include.warehouse.schemas import LAYERS

log = logging.getLogger(__name__)

# Any publication, and one of the layer that a reader needs. The URIs name no host, so that they are
# the same everywhere; `x-` is for schemes that mean nothing to Airflow.
WAREHOUSE = Asset("survivor_warehouse")
LAYER_ASSETS = {
    layer: Asset(f"survivor_{layer}", uri=f"x-survivor://warehouse/{layer}") for layer in LAYERS
}
# Every asset among a task's outlets gets an event. Behind an alias, those do that the task names.
PUBLISHED_LAYERS = AssetAlias("survivor_published_layers")
REASON_LENGTH = 500


@contextmanager
def no_retry_after(
    *errors: type[Exception], unless: tuple[type[Exception], ...] = ()
) -> Iterator[None]:
    """Fail the task at once for errors that another try would only repeat."""
    try:
        yield
    except unless:
        raise
    except errors as error:
        raise AirflowFailException(str(error)) from error


def name_release_in_log(context: Context) -> None:
    """Put the release on every line that this task logs from here on, whoever logs it."""
    ti = context["ti"]
    release_id = ti.xcom_pull(task_ids="open_release")
    if release_id is not None:
        _name_in_log(int(release_id), ti.xcom_pull(task_ids="detect_changes"))


def _name_in_log(release_id: int, source: dict[str, Any]) -> None:
    bind_contextvars(release_id=release_id, commit=source["commit"])


@task.short_circuit
def detect_changes(params: dict[str, Any] | None = None) -> dict[str, Any] | None:
    """Return the source to load, or nothing when a release already holds it."""
    from pydantic import ValidationError

    from include import pipeline
    from include.ingestion.sources import SourceError, SourceRequest, SourceUnavailable
    from include.warehouse.bootstrap import NotBootstrapped

    assert params is not None
    final = (SourceError, ValidationError, NotBootstrapped)
    with no_retry_after(*final, unless=(SourceUnavailable,)):
        detection = pipeline.detect_changes(
            ConnectionSettings.from_airflow(),
            SourceRequest(
                source=params["source"], ref=params["ref"], directory=params["source_dir"]
            ),
            target_layer=params["target_layer"],
            force=params["force"] or not params["publish"],
        )
    log.info("%s", detection.summary)
    return detection.source.model_dump(mode="json") if detection.changed else None


@task
def open_release(
    source: dict[str, Any], params: dict[str, Any] | None = None, dag_run: Any = None
) -> int:
    """Open the release that this run builds and return its number."""
    from include import pipeline
    from include.ingestion.sources import ResolvedSource

    assert params is not None and dag_run is not None
    release_id = pipeline.open_release(
        ConnectionSettings.from_airflow(),
        ResolvedSource.model_validate(source),
        target_layer=params["target_layer"],
        triggered_by=dag_run.run_id,
        run_type=dag_run.run_type,
        triggering_user=dag_run.triggering_user_name,
        is_replay=not params["publish"],
    )
    _name_in_log(release_id, source)
    log.info("Release %s is open.", release_id)
    return release_id


@task(queue=HEAVY_QUEUE)
def load_bronze(
    source: dict[str, Any], release_id: int, params: dict[str, Any] | None = None, ti: Any = None
) -> None:
    """Load every dataset of the source into the release, exactly as it is."""
    from include import pipeline
    from include.ingestion.contract import ContractViolation
    from include.ingestion.sources import ResolvedSource, SourceError, SourceUnavailable
    from include.warehouse.releases import ReleaseError

    assert params is not None
    # A ValueError is an unreadable file or a parameter that names nothing.
    final = (ContractViolation, SourceError, ReleaseError, ValueError)
    settings, resolved = ConnectionSettings.from_airflow(), ResolvedSource.model_validate(source)
    with no_retry_after(*final, unless=(SourceUnavailable,)):
        pipeline.load_bronze(
            settings,
            release_id,
            resolved,
            on_progress=log.info,
            accept_falls=params["accept_falls"],
        )
    lineage.report(ti, lambda: lineage.of_bronze(settings, release_id, resolved))


@task(trigger_rule=TriggerRule.NONE_FAILED, queue=HEAVY_QUEUE)
def audit_with_soda(release_id: int, params: dict[str, Any] | None = None, ti: Any = None) -> None:
    """Run the Soda checks on bronze and silver."""
    from include.quality.run import AuditFailed
    from include.quality.run import audit_with_soda as audit
    from include.warehouse.occupancy import working_on
    from include.warehouse.releases import ReleaseError
    from include.warehouse.schemas import layers_up_to

    assert params is not None
    settings = ConnectionSettings.from_airflow()
    layers = [layer for layer in layers_up_to(params["target_layer"]) if layer != "gold"]
    with (
        no_retry_after(AuditFailed, ReleaseError),
        working_on(settings, release_id, "audit_with_soda", shared=True),
    ):
        try:
            audit(release_id, settings, layers, on_line=log.info)
        finally:
            lineage.report(ti, lambda: lineage.of_checks(settings, release_id, "soda"))


@task(trigger_rule=TriggerRule.NONE_FAILED, queue=HEAVY_QUEUE)
def audit_with_great_expectations(
    release_id: int, params: dict[str, Any] | None = None, ti: Any = None
) -> None:
    """Run the expectations on gold and keep their Data Docs."""
    from include.quality.run import AuditFailed
    from include.quality.run import audit_with_great_expectations as audit
    from include.warehouse.occupancy import working_on
    from include.warehouse.releases import ReleaseError

    assert params is not None
    if params["target_layer"] != "gold":
        raise AirflowSkipException(f"The target layer is {params['target_layer']}.")
    settings = ConnectionSettings.from_airflow()
    with (
        temporary_folder() as folder,
        no_retry_after(AuditFailed, ReleaseError),
        working_on(settings, release_id, "audit_with_great_expectations", shared=True),
    ):
        try:
            audit(release_id, settings, folder, on_line=log.info)
        finally:
            keep_files(folder, release_id, "great_expectations")
            lineage.report(
                ti, lambda: lineage.of_checks(settings, release_id, "great_expectations")
            )


@task(trigger_rule=TriggerRule.NONE_FAILED, outlets=[WAREHOUSE, PUBLISHED_LAYERS])
def publish_release(release_id: int, ti: Any = None) -> Any:
    """Show the audited release to readers, in one transaction."""
    from include import pipeline
    from include.warehouse.publication import PublicationBlocked
    from include.warehouse.releases import ReleaseError

    settings = ConnectionSettings.from_airflow()
    with no_retry_after(ReleaseError, PublicationBlocked):
        publication = pipeline.publish(settings, release_id)
    if not publication["layers"]:
        raise AirflowSkipException(f"Release {release_id} is a replay: audited, and not shown.")
    lineage.report(ti, lambda: lineage.of_publication(settings, release_id, publication["layers"]))
    yield from asset_events(publication)
    return publication


@task
def close_release(
    release_id: int | None, ti: Any = None, params: dict[str, Any] | None = None
) -> None:
    """Close the release as failed unless it was published; the run has failed unless it published.

    A replay is not to be published, and good once it is audited.

    The run's state is this task's. It cannot be left to `publish_release`: whoever marks a run as
    failed in the UI leaves that skipped, which Airflow takes for a success.
    """
    from include import pipeline

    states = ti.get_task_states(dag_id=ti.dag_id, run_ids=[ti.run_id])[ti.run_id]
    if release_id is None:
        before = [states.get("detect_changes"), states.get("open_release")]
        if before == [TaskInstanceState.SUCCESS, TaskInstanceState.SKIPPED]:
            raise AirflowSkipException("Nothing new: no release was opened.")
        raise AirflowFailException(
            "No release was opened, because a task before this one failed: see its log."
        )
    failure = pipeline.close_release(ConnectionSettings.from_airflow(), release_id)
    if failure:
        raise AirflowFailException(f"Release {release_id} is not published: {failure}")
    if params and not params["publish"]:
        return
    # Not its XCom, which outlives the clearing of a task that then does not get to run.
    if states["publish_release"] != TaskInstanceState.SUCCESS:
        raise AirflowFailException(
            f"This run did not get to publish_release; what readers see of release {release_id} is "
            "as it was."
        )


@task(outlets=[WAREHOUSE, PUBLISHED_LAYERS])
def show_release(params: dict[str, Any] | None = None, dag_run: Any = None, ti: Any = None) -> Any:
    """Show readers the release that somebody chose, in one transaction."""
    from include import pipeline
    from include.warehouse.publication import PublicationBlocked
    from include.warehouse.releases import ReleaseError

    assert params is not None and dag_run is not None
    settings = ConnectionSettings.from_airflow()
    with no_retry_after(ReleaseError, PublicationBlocked):
        publication = pipeline.show_release(
            settings, params["release_id"], done_by=dag_run.triggering_user_name or dag_run.run_id
        )
    log.info("Readers see release %(release_id)s in %(layers)s.", publication)
    shown = params["release_id"]
    lineage.report(ti, lambda: lineage.of_publication(settings, shown, publication["layers"]))
    yield from asset_events(publication)
    return publication


def asset_events(publication: dict[str, Any]) -> Iterator[Metadata]:
    """Tell those that wait for the warehouse, or for one of its layers, what readers see now."""
    yield Metadata(WAREHOUSE, publication)
    for layer in publication["layers"]:
        told = {name: publication[name] for name in ("release_id", "commit")}
        told["rows"] = publication["rows"][layer]
        yield Metadata(LAYER_ASSETS[layer], told, alias=PUBLISHED_LAYERS)


def note_failure(context: Context) -> None:
    """Keep why a task failed for good: beside its release, and for the message about its run."""
    from include import pipeline

    ti = context["ti"]
    reason = str(context.get("exception"))[:REASON_LENGTH]
    ti.xcom_push(key=FAILURE, value=reason)
    release_id = ti.xcom_pull(task_ids="open_release")
    if release_id is not None:
        pipeline.record_failure(
            ConnectionSettings.from_airflow(), release_id, f"{ti.task_id}: {reason}"
        )
