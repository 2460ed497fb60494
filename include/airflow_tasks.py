"""The pipeline's stages as Airflow tasks: connection in, XCom out, nothing else.

The work is in `include.pipeline` and `include.quality`, imported when a task runs, so that reading
the DAG file stays cheap.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from airflow.sdk import Asset, AssetAlias, Context, Metadata, TaskInstanceState, TriggerRule, task
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException
from structlog.contextvars import bind_contextvars

from include import lineage
from include.alerts import FAILURE
from include.artifacts import keep_files
from include.environments import temporary_folder
from include.log_groups import MOST_LINES, log_group, shortened
from include.parameters import HEAVY_QUEUE
from include.run_notes import NOTE, release_link
from include.task_links import DataDocsLink, ReleaseLink, linked
from include.warehouse.connection import ConnectionSettings
from include.warehouse.schemas import LAYERS

if TYPE_CHECKING:
    from include.ingestion.sources import SourceRequest
    from include.warehouse.checks import Tool
    from include.warehouse.releases import Release

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

# What a log says of its release on each line, left in XCom by the task that knows it first.
LOG_KEYS = "log_keys"
AUDITS = ("dbt_test", "audit_with_soda", "audit_with_great_expectations")


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
        lines = str(error).splitlines()
        if len(lines) > MOST_LINES:
            with log_group(log, f"All {len(lines)} lines of what is wrong"):
                for line in lines:
                    log.info("%s", line)
            # What is wrong stands at the beginning, what to do at the end.
            lines = [*shortened(lines[:-1]), lines[-1]]
        # Without its cause, which would say all of it once more.
        raise AirflowFailException("\n".join(lines)) from None


def name_release_in_log(context: Context) -> None:
    """Put the release on every line that this task logs from here on, whoever logs it."""
    for task_id in ("open_release", "find_release"):
        if task_id in context["dag"].task_ids and task_id != context["ti"].task_id:
            keys = context["ti"].xcom_pull(task_ids=task_id, key=LOG_KEYS)
            bind_contextvars(**(keys or {}))


def _name_in_log(ti: Any, release_id: int, commit: str | None) -> None:
    keys = {"release_id": release_id, "commit": commit}
    bind_contextvars(**keys)
    ti.xcom_push(key=LOG_KEYS, value=keys)


@task.short_circuit(task_display_name="Detect changes")
def detect_changes(params: dict[str, Any] | None = None, ti: Any = None) -> dict[str, Any] | None:
    """Find out what the source holds now. All that follows is skipped when a release holds it.

    **Red?** `docs/runbooks/failed-run.md`, "detect_changes".
    """
    from include import pipeline
    from include.ingestion.sources import SourceError, SourceUnavailable
    from include.warehouse.bootstrap import NotBootstrapped

    assert params is not None
    # A ValueError is a combination of parameters that means nothing.
    final = (SourceError, ValueError, NotBootstrapped)
    with no_retry_after(*final, unless=(SourceUnavailable,)):
        detection = pipeline.detect_changes(
            ConnectionSettings.from_airflow(),
            requested_source(params),
            target_layer=params["target_layer"],
            force=params["force"] or not params["publish"],
        )
    log.info("%s", detection.summary)
    if not detection.changed:
        ti.xcom_push(key=NOTE, value=detection.summary)
        return None
    return detection.source.model_dump(mode="json")


def requested_source(params: dict[str, Any]) -> SourceRequest:
    """Return the source that the parameters of a run ask for.

    Raises:
        ValueError: parameters contradict each other, or name what there is not.
    """
    from pydantic import ValidationError

    from include.ingestion.catalog import load_catalog
    from include.ingestion.sources import SourceRequest

    load_catalog().refuse_unknown(params["accept_falls"] or ())
    try:
        return SourceRequest(
            source=params["source"], ref=params["ref"], directory=params["source_dir"]
        )
    except ValidationError as error:
        reasons = [each["msg"].removeprefix("Value error, ") for each in error.errors()]
        raise ValueError(f"These parameters do not go together: {'; '.join(reasons)}.") from None


@task(task_display_name="Open release")
def open_release(
    source: dict[str, Any],
    params: dict[str, Any] | None = None,
    dag_run: Any = None,
    ti: Any = None,
) -> int:
    """Open the release that this run builds: a number, and schemas where nobody looks."""
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
    _name_in_log(ti, release_id, source["commit"])
    log.info("Release %s is open.", release_id)
    return release_id


@task(task_display_name="Load bronze", queue=HEAVY_QUEUE)
def load_bronze(
    source: dict[str, Any], release_id: int, params: dict[str, Any] | None = None, ti: Any = None
) -> None:
    """Load every dataset of the source into the release, exactly as it is.

    Nothing is loaded where upstream changed in a way that must not reach readers.

    **Red?** `docs/runbooks/failed-run.md`, "load_bronze"; `docs/runbooks/upstream-changed.md`.
    """
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
            accept_falls=params["accept_falls"] or (),
        )
    lineage.report(ti, lambda: lineage.of_bronze(settings, release_id, resolved))


@linked(ReleaseLink())
@task(
    task_display_name="Audit with Soda",
    trigger_rule=TriggerRule.NONE_FAILED,
    queue=HEAVY_QUEUE,
)
def audit_with_soda(release_id: int, ti: Any = None, *, again: bool = False) -> None:
    """Run the Soda checks on bronze and silver.

    The log has a line per check that did not pass, with rows that fail it; so has table
    `ops.check_results`.

    **Red?** `docs/runbooks/failed-run.md`, "audit_with_soda".
    """
    from include.quality.run import audit_with_soda as audit
    from include.warehouse.schemas import layers_up_to

    settings = ConnectionSettings.from_airflow()
    with _held_for_audit(settings, release_id, "audit_with_soda", again=again) as release:
        layers = [layer for layer in layers_up_to(release.target_layer) if layer != "gold"]
        try:
            audit(release_id, settings, layers, on_line=log.info)
        finally:
            lineage.report(ti, lambda: lineage.of_checks(settings, release_id, "soda"))


@linked(ReleaseLink(), DataDocsLink())
@task(
    task_display_name="Audit with Great Expectations",
    trigger_rule=TriggerRule.NONE_FAILED,
    queue=HEAVY_QUEUE,
)
def audit_with_great_expectations(release_id: int, ti: Any = None, *, again: bool = False) -> None:
    """Run the expectations on gold and keep their Data Docs.

    **Red?** `docs/runbooks/failed-run.md`, "audit_with_great_expectations".
    """
    from include.quality.run import audit_with_great_expectations as audit

    tool: Tool = "great_expectations"
    settings = ConnectionSettings.from_airflow()
    with (
        temporary_folder() as folder,
        _held_for_audit(settings, release_id, f"audit_with_{tool}", again=again) as release,
    ):
        if release.target_layer != "gold":
            raise AirflowSkipException(f"Release {release_id} ends with {release.target_layer}.")
        try:
            audit(release_id, settings, folder, on_line=log.info)
        finally:
            keep_files(folder, release_id, tool)
            lineage.report(ti, lambda: lineage.of_checks(settings, release_id, tool))


@contextmanager
def _held_for_audit(
    settings: ConnectionSettings, release_id: int, stage: str, *, again: bool
) -> Iterator[Release]:
    from include.quality.run import AuditFailed
    from include.warehouse.occupancy import looking_at, working_on
    from include.warehouse.releases import ReleaseError

    hold = (
        looking_at(settings, release_id, stage)
        if again
        else working_on(settings, release_id, stage, shared=True)
    )
    with no_retry_after(AuditFailed, ReleaseError), hold as release:
        yield release


@task(task_display_name="Find the release")
def find_release(params: dict[str, Any] | None = None, ti: Any = None) -> int:
    """Find the release to audit again: the one that was named, or what readers see."""
    from include import pipeline
    from include.warehouse.releases import ReleaseError

    assert params is not None
    with no_retry_after(ReleaseError):
        release = pipeline.release_to_audit(ConnectionSettings.from_airflow(), params["release_id"])
    _name_in_log(ti, release.release_id, release.source_commit)
    log.info("Release %s is audited again. It is %s.", release.release_id, release.state)
    return release.release_id


@linked(ReleaseLink())
@task(task_display_name="Conclude the audit", trigger_rule=TriggerRule.ALL_DONE)
def conclude_audit(release_id: int | None, ti: Any = None) -> None:
    """Say what the audits mean for readers, and what may be done about it.

    **Red?** `docs/runbooks/rollback.md`, "Audit again".
    """
    from include import pipeline
    from include.run_notes import checks_line

    if release_id is None:
        raise AirflowFailException("No release was audited: see the log of find_release.")
    states = ti.get_task_states(dag_id=ti.dag_id, run_ids=[ti.run_id])[ti.run_id]
    red = [task for task in AUDITS if states[task] in ("failed", "upstream_failed")]
    outcome = pipeline.audit_outcome(ConnectionSettings.from_airflow(), release_id)
    checked = checks_line(outcome.checks)
    log.info("%s", checked)
    note = [f"**{release_link(release_id)}**, audited again. {checked}"]
    if red:
        note.append(outcome.consequence)
    ti.xcom_push(key=NOTE, value="\n\n".join(note))
    if red:
        raise AirflowFailException(
            f"Release {release_id} did not pass {', '.join(red)}: see there why. "
            f"{outcome.consequence}"
        )
    log.info("Release %s holds. Nothing changed for readers.", release_id)


@linked(ReleaseLink())
@task(
    task_display_name="Publish release",
    trigger_rule=TriggerRule.NONE_FAILED,
    outlets=[WAREHOUSE, PUBLISHED_LAYERS],
)
def publish_release(release_id: int, ti: Any = None) -> Any:
    """Show the audited release to readers, in one transaction.

    It asks the results of the audits, not the colour of their tasks. A replay is skipped here.

    **Red?** `docs/runbooks/failed-run.md`, "publish_release".
    """
    from include import pipeline
    from include.warehouse.publication import PublicationBlocked
    from include.warehouse.releases import ReleaseError

    settings = ConnectionSettings.from_airflow()
    with no_retry_after(ReleaseError, PublicationBlocked):
        publication = pipeline.publish(settings, release_id)
    if not publication["layers"]:
        raise AirflowSkipException(f"Release {release_id} is a replay: audited, and not shown.")
    lineage.report(ti, lambda: lineage.of_publication(settings, release_id, publication["layers"]))
    for layer in publication["layers"]:
        rows = publication["rows"][layer]
        log.info("Readers see release %s in %s: %s rows.", release_id, layer, f"{rows:,}")
    yield from asset_events(publication)
    return publication


@linked(ReleaseLink())
@task(task_display_name="Close release")
def close_release(
    release_id: int | None, ti: Any = None, params: dict[str, Any] | None = None
) -> None:
    """Close the release as failed unless it was published; the run has failed unless it published.

    A replay is not to be published, and good once it is audited. Tables of old releases go.
    """
    from include import pipeline

    # The run's state is this task's. It cannot be left to publish_release: whoever marks a run as
    # failed in the UI leaves that skipped, which Airflow takes for a success.

    states = ti.get_task_states(dag_id=ti.dag_id, run_ids=[ti.run_id])[ti.run_id]
    if release_id is None:
        before = [states.get("detect_changes"), states.get("open_release")]
        if before == [TaskInstanceState.SUCCESS, TaskInstanceState.SKIPPED]:
            raise AirflowSkipException("Nothing new: no release was opened.")
        raise AirflowFailException(
            "No release was opened, because a task before this one failed: see its log."
        )
    settings = ConnectionSettings.from_airflow()
    failure = pipeline.close_release(settings, release_id)
    _leave_note(ti, lambda: pipeline.release_note(settings, release_id))
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


def _leave_note(ti: Any, describe: Callable[[], str]) -> None:
    """Leave the note of the run; a run is not worse because that failed."""
    try:
        ti.xcom_push(key=NOTE, value=describe())
    except Exception:
        log.exception("The note of the run could not be written")


@task(task_display_name="Show the release", outlets=[WAREHOUSE, PUBLISHED_LAYERS])
def show_release(params: dict[str, Any] | None = None, dag_run: Any = None, ti: Any = None) -> Any:
    """Show readers the release that somebody chose, in one transaction.

    **Red?** `docs/runbooks/rollback.md` explains each refusal.
    """
    from include import pipeline
    from include.warehouse.publication import PublicationBlocked
    from include.warehouse.releases import ReleaseError

    assert params is not None and dag_run is not None
    settings = ConnectionSettings.from_airflow()
    with no_retry_after(ReleaseError, PublicationBlocked):
        publication = pipeline.show_release(
            settings, params["release_id"], done_by=dag_run.triggering_user_name or dag_run.run_id
        )
    shown = params["release_id"]
    layers = ", ".join(publication["layers"])
    log.info("Readers see release %s in %s.", shown, layers)
    _leave_note(ti, lambda: f"Readers see **{release_link(shown)}** in {layers}.")
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
