"""dbt in Airflow: one task that builds the release, and a task per model that says how it went.

Cosmos draws the models from the manifest and runs the one `dbt build`; a node converter makes each
model's task a report of that build. So a release costs one dbt start, a retry of the build is an
ordinary retry, and a model's task is red exactly when that model or one of its own tests failed.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any, ClassVar

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.providers.standard.operators.python import PythonOperator
from airflow.sdk import Context, TriggerRule
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException
from cosmos import (
    DbtTaskGroup,
    ExecutionConfig,
    LoadMode,
    ProfileConfig,
    ProjectConfig,
    RenderConfig,
)
from cosmos.constants import DbtResourceType, InvocationMode, TestBehavior
from cosmos.operators.local import DbtBuildLocalOperator
from cosmos.profiles import PostgresUserPasswordProfileMapping

from include import lineage
from include.artifacts import keep_files
from include.environments import NO_TELEMETRY, executable, on_a_leash
from include.parameters import HEAVY_QUEUE
from include.transformation.manifest import DBT_PROJECT_DIR, manifest_path
from include.transformation.results import NodeVerdict, read_build_results, read_definitions
from include.warehouse.checks import record_check_results
from include.warehouse.connection import TLS_SETTINGS, ConnectionSettings, connection_id
from include.warehouse.definitions import record_definitions
from include.warehouse.occupancy import working_on
from include.warehouse.releases import ReleaseError, mark_built, note_failure
from include.warehouse.schemas import AUDITOR, OWNER, TRANSFORMER

log = logging.getLogger(__name__)

THREADS = 4
VERDICTS = "verdicts"

# Rendered when the task runs.
RELEASE_ID = "{{ ti.xcom_pull(task_ids='open_release') }}"
SELECTED_NODES = (
    "source:* path:seeds path:models/rules path:models/silver"
    "{{ ' path:models/gold' if params.target_layer == 'gold' else '' }}"
)


class WarehouseProfileMapping(PostgresUserPasswordProfileMapping):
    """Cosmos' own mapping, with the rest of libpq's TLS settings; a certificate may do alone."""

    airflow_param_mapping: ClassVar = {
        **PostgresUserPasswordProfileMapping.airflow_param_mapping,
        **{name: f"extra.{name}" for name in TLS_SETTINGS},
    }

    def get_dbt_value(self, name: str) -> Any:
        """Return what the connection has; an empty password where it has none."""
        value = super().get_dbt_value(name)
        return "" if name == "password" and value is None else value


def profile_config() -> ProfileConfig:
    """Return how dbt reaches the warehouse; the password passes through its environment only."""
    return ProfileConfig(
        profile_name="survivor",
        target_name="release",
        profile_mapping=WarehouseProfileMapping(
            conn_id=connection_id(TRANSFORMER),
            profile_args={
                "schema": "release",
                "role": TRANSFORMER,
                "threads": THREADS,
                "application_name": "gamebot dbt_build r{{ env_var('GAMEBOT_RELEASE_ID') }}",
            },
        ),
    )


class ReleaseBuildOperator(DbtBuildLocalOperator):
    """Cosmos' `dbt build`, which holds the release for as long as dbt works on it."""

    def execute(self, context: Context, **kwargs: Any) -> None:
        """Run dbt.

        Raises:
            AirflowFailException: the release cannot be worked on any more.
            ReleaseBusy: another task works on it.
        """
        if context["params"]["target_layer"] == "bronze":
            raise AirflowSkipException("The target layer is bronze: no model is built.")
        release_id = int(context["ti"].xcom_pull(task_ids="open_release"))
        settings = ConnectionSettings.from_airflow()
        # dbt says less well which setting keeps it out.
        settings.connect(role=TRANSFORMER).close()
        try:
            with working_on(settings, release_id, "dbt_build"):
                log.info("Release %s: dbt build", release_id)
                super().execute(context, **kwargs)
        except ReleaseError as error:
            raise AirflowFailException(str(error)) from error

    def calculate_openlineage_events_completes(self, *_: Any, **__: Any) -> bool:
        """Leave lineage to `record_build` and the models' tasks.

        Cosmos would put the password into this process's environment to find all tables that were
        read and all that were written, without saying which was made from which.
        """
        return False


def dbt_build() -> DbtBuildLocalOperator:
    """Return the task that runs the release's one `dbt build`: seeds, models and their tests."""
    program, *arguments = [*on_a_leash(), str(executable("dbt", "dbt"))]
    return ReleaseBuildOperator(
        task_id="dbt_build",
        queue=HEAVY_QUEUE,
        project_dir=str(DBT_PROJECT_DIR),
        profile_config=profile_config(),
        dbt_executable_path=program,
        invocation_mode=InvocationMode.SUBPROCESS,
        install_deps=False,
        emit_datasets=False,
        should_store_compiled_sql=False,
        dbt_cmd_global_flags=[*arguments, "--no-use-colors"],
        select=SELECTED_NODES,
        # A test that also reads what is not built waits for the run that builds it.
        indirect_selection="cautious",
        env={**NO_TELEMETRY, "GAMEBOT_RELEASE_ID": RELEASE_ID},
        append_env=True,
        callback=record_build,
    )


def dbt_models() -> DbtTaskGroup:
    """Return a group with one task per seed and model, drawn from the manifest."""
    return DbtTaskGroup(
        group_id="models",
        project_config=ProjectConfig(
            dbt_project_path=DBT_PROJECT_DIR,
            manifest_path=manifest_path(),
            install_dbt_deps=False,
        ),
        profile_config=profile_config(),
        execution_config=ExecutionConfig(dbt_executable_path=executable("dbt", "dbt")),
        render_config=RenderConfig(
            load_method=LoadMode.DBT_MANIFEST,
            test_behavior=TestBehavior.NONE,
            emit_datasets=False,
            node_converters={
                DbtResourceType.MODEL: _report_task,
                DbtResourceType.SEED: _report_task,
            },
        ),
    )


def record_build(project_dir: str, context: Context) -> None:
    """Keep what dbt found: check results in the warehouse, verdicts for the models' tasks.

    Cosmos calls this after every build, a failed one included.

    Raises:
        RuntimeError: dbt left nothing to record.
        AirflowFailException: tests failed, as they would again; a model that could not be built
            may have met a passing fault, so Cosmos raises for that and Airflow tries again.
    """
    release_id = int(context["ti"].xcom_pull(task_ids="open_release"))
    _keep_dbt_files(Path(project_dir), release_id)
    try:
        results = read_build_results(Path(project_dir) / "target")
    except FileNotFoundError as error:
        raise RuntimeError(
            "dbt ended without a report. If it said why, that stands above. If it did not, it was "
            "killed, as happens where memory runs out: give the worker more."
        ) from error
    context["ti"].xcom_push(
        key=VERDICTS, value={name: node.model_dump() for name, node in results.nodes.items()}
    )
    for test, query in results.queries.items():
        log.info("Query of the test %r:\n%s", test, query)
    settings = ConnectionSettings.from_airflow()
    with settings.connect(role=AUDITOR) as connection:
        record_check_results(connection, release_id, "dbt", results.checks)
    definitions = read_definitions(Path(project_dir) / "target", release_id)
    with settings.connect(role=OWNER) as connection:
        record_definitions(connection, release_id, definitions)
        if results.succeeded:
            mark_built(connection, release_id)
        else:
            note_failure(connection, release_id, f"dbt: {'; '.join(results.problems)}")
    lineage.report(context["ti"], lambda: lineage.of_checks(settings, release_id, "dbt"))
    if results.failed_in_tests_only:
        raise AirflowFailException("; ".join(results.problems))


def _keep_dbt_files(project_dir: Path, release_id: int) -> None:
    """Keep dbt's log and what it says of each model and test, which go with its folder."""
    kept = project_dir / "kept"
    try:
        kept.mkdir()
        for name in ("logs/dbt.log", "target/run_results.json", "target/manifest.json"):
            if (project_dir / name).exists():
                (kept / Path(name).name).hardlink_to(project_dir / name)
    except OSError:
        log.exception("dbt's files could not be gathered")
    keep_files(kept, release_id, "dbt")


def report_node(unique_id: str, context: Context) -> None:
    """Take on the state that dbt gave one model or seed.

    Raises:
        AirflowFailException: dbt could not build it, or one of its tests failed.
        AirflowSkipException: dbt did not get to it, or was not asked to.
    """
    verdicts = context["ti"].xcom_pull(task_ids="dbt_build", key=VERDICTS)
    if not verdicts or unique_id not in verdicts:
        raise AirflowSkipException("dbt was not asked to build this, or ended before it got here.")
    verdict = NodeVerdict.model_validate(verdicts[unique_id])
    if verdict.state != "skipped":
        lineage.report(context["ti"], lambda: _lineage_of(verdict, context))
    for problem in verdict.problems:
        log.log(logging.ERROR if verdict.state == "failed" else logging.WARNING, "%s", problem)
    if verdict.state == "failed":
        raise AirflowFailException(verdict.problems[0])
    if verdict.state == "skipped":
        raise AirflowSkipException("Not built, because something that it reads failed.")
    log.info(
        "Built in %.2f s: %s; %d tests passed.",
        verdict.seconds,
        "a view" if verdict.rows is None else f"{verdict.rows:,} rows",
        verdict.tests_passed,
    )


def _lineage_of(verdict: NodeVerdict, context: Context) -> lineage.Lineage:
    release_id = int(context["ti"].xcom_pull(task_ids="open_release"))
    return lineage.of_model(
        ConnectionSettings.from_airflow(),
        release_id,
        verdict.reads,
        None if verdict.errored else verdict.relation,
        verdict.rows,
    )


def _report_task(node: Any, dag: Any, task_group: Any, **_: Any) -> Any:
    task = {
        "task_id": node.name,
        "dag": dag,
        "task_group": task_group,
        "doc_md": node.description if hasattr(node, "description") else None,
    }
    if node.config.get("materialized") == "ephemeral":
        # With a callback it would be run by a worker, to do nothing.
        return EmptyOperator(**task, on_execute_callback=None)
    return PythonOperator(
        python_callable=_report,
        op_kwargs={"unique_id": node.unique_id},
        # The build's verdict counts, whatever became of the tasks before this one.
        trigger_rule=TriggerRule.ALL_DONE,
        **task,
    )


def _report(unique_id: str, **context: Any) -> None:
    report_node(unique_id, context)
