"""dbt in Airflow: one task that builds the release, and a task per model that says how it went.

Cosmos draws the models from the manifest and runs the one `dbt build`; a node converter makes each
model's task a report of that build. So a release costs one dbt start, a retry of the build is an
ordinary retry, and a model's task is red exactly when that model or one of its own tests failed.
"""

from __future__ import annotations

import json
import logging
import shlex
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any, ClassVar

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import BaseOperator, Context, TriggerRule
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowSkipException
from cosmos import (
    DbtTaskGroup,
    ExecutionConfig,
    LoadMode,
    ProfileConfig,
    ProjectConfig,
    RenderConfig,
)
from cosmos.constants import DbtResourceType, InvocationMode, TestBehavior
from cosmos.hooks.subprocess import FullOutputSubprocessResult
from cosmos.operators.local import DbtBuildLocalOperator
from cosmos.profiles import PostgresUserPasswordProfileMapping

from include import lineage
from include.artifacts import keep_files
from include.environments import NO_TELEMETRY, executable, on_a_leash
from include.log_groups import log_group, shortened
from include.parameters import HEAVY_QUEUE
from include.task_links import ReleaseLink
from include.transformation.manifest import DBT_PROJECT_DIR, graph_path
from include.transformation.results import (
    BuildResults,
    NodeVerdict,
    packed,
    read_build_results,
    read_definitions,
    unpacked,
)
from include.warehouse.checks import record_check_results
from include.warehouse.connection import TLS_SETTINGS, ConnectionSettings, connection_id
from include.warehouse.definitions import record_definitions
from include.warehouse.occupancy import looking_at, working_on
from include.warehouse.releases import Release, ReleaseError, mark_built, note_failure
from include.warehouse.schemas import AUDITOR, OWNER, TRANSFORMER

log = logging.getLogger(__name__)

THREADS = 4
# All that the models' tasks need of the build, in one piece: each asks for it once.
BUILT = "built"

# Rendered when the task runs.
BUILT_RELEASE = "{{ ti.xcom_pull(task_ids='open_release') }}"
AUDITED_RELEASE = "{{ ti.xcom_pull(task_ids='find_release') }}"
UP_TO_SILVER = "source:* path:seeds path:models/rules path:models/silver"
SELECTED_NODES = UP_TO_SILVER + "{{ ' path:models/gold' if params.target_layer == 'gold' else '' }}"


DOC_OF_DBT_BUILD = """\
One `dbt build`: seeds, silver, gold, and their tests, in the schemas of the release. Its unit tests
are left out: they ask our code and not the data.

What came of each model shows its own task, with its SQL in *Rendered Templates*. dbt's log, its
`run_results.json` with the SQL of every test, and its manifest are kept where the log says
"Files of dbt".

**Red?** `docs/runbooks/failed-run.md`, "dbt: a model or a test".
"""
DOC_OF_DBT_TEST = """\
dbt's tests of today on the tables of the release.

**Red?** `docs/runbooks/rollback.md`, "Audit again".
"""


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


def profile_config(role: str = TRANSFORMER, stage: str = "dbt_build") -> ProfileConfig:
    """Return how dbt reaches the warehouse; the password passes through its environment only."""
    return ProfileConfig(
        profile_name="survivor",
        target_name="release",
        profile_mapping=WarehouseProfileMapping(
            conn_id=connection_id(role),
            profile_args={
                "schema": "release",
                "role": role,
                "threads": THREADS,
                "application_name": f"gamebot {stage} r{{{{ env_var('GAMEBOT_RELEASE_ID') }}}}",
            },
        ),
    )


class ReleaseBuildOperator(DbtBuildLocalOperator):
    """Cosmos' `dbt build`, which holds the release for as long as dbt works on it.

    Its rendered template shows the command that ran, its log what came of it, with all that dbt
    said in a group.
    """

    template_fields: Sequence[str] = ("env", "select", "dbt_command")
    template_fields_renderers: ClassVar = {"dbt_command": "bash"}
    operator_extra_links = (ReleaseLink(),)
    role: ClassVar = TRANSFORMER
    fold: ExitStack

    def __init__(self, **kwargs: Any) -> None:
        """Take what Cosmos takes."""
        self.dbt_command = ""
        super().__init__(**kwargs)

    def execute(self, context: Context, **_: Any) -> None:
        """Run dbt.

        Raises:
            AirflowFailException: the release cannot be worked on any more.
            ReleaseBusy: another task works on it.
        """
        if context["params"]["target_layer"] == "bronze":
            raise AirflowSkipException("The target layer is bronze: no model is built.")
        self._run(context, int(context["ti"].xcom_pull(task_ids="open_release")), working_on)

    def _run(
        self,
        context: Context,
        release_id: int,
        hold: Callable[[ConnectionSettings, int, str], AbstractContextManager[Release]],
    ) -> None:
        settings = ConnectionSettings.from_airflow()
        # dbt says less well which setting keeps it out.
        settings.connect(role=self.role).close()
        try:
            with hold(settings, release_id, self.task_id) as release:
                log.info("Release %s: dbt %s", release_id, self.base_cmd[0])
                self.prepare(release)
                with ExitStack() as self.fold:
                    self.fold.enter_context(log_group(log, "What dbt and Cosmos said"))
                    super().execute(context)
        except ReleaseError as error:
            raise AirflowFailException(str(error)) from error

    def prepare(self, release: Release) -> None:
        """Adapt the command to the release, where that decides."""

    def run_subprocess(
        self, command: list[str], env: dict[str, str], cwd: str, **_: Any
    ) -> FullOutputSubprocessResult:
        """Run dbt, and let the rendered template show how."""
        self.dbt_command = shlex.join(command).replace(" --", " \\\n    --")
        self.overwrite_rtif_after_execution = True
        with self.fold:
            said: FullOutputSubprocessResult = self.subprocess_hook.run_command(
                command=command, env=env, cwd=cwd, output_encoding=self.output_encoding
            )
        return said

    def handle_exception_subprocess(self, result: FullOutputSubprocessResult) -> None:
        """Fail if dbt did, where its report did not say why. Cosmos repeats all that dbt said.

        Raises:
            AirflowException: as Cosmos does.
        """
        if result.exit_code:
            raise AirflowException(f"dbt ended with exit code {result.exit_code}: {result.output}")

    def calculate_openlineage_events_completes(self, *_: Any, **__: Any) -> bool:
        """Leave lineage to `record_build` and the models' tasks.

        Cosmos would put the password into this process's environment to find all tables that were
        read and all that were written, without saying which was made from which.
        """
        return False


class ReleaseTestOperator(ReleaseBuildOperator):
    """`dbt test` on a release that is there already, as the auditor, who may change nothing."""

    base_cmd: ClassVar = ["test"]
    role: ClassVar = AUDITOR

    def execute(self, context: Context, **_: Any) -> None:
        """Run dbt.

        Raises:
            AirflowFailException: the release cannot be looked at.
            ReleaseBusy: a task that changes it works on it.
        """
        self._run(context, int(context["ti"].xcom_pull(task_ids="find_release")), looking_at)

    def prepare(self, release: Release) -> None:
        """Test what the release has."""
        if release.target_layer == "bronze":
            raise AirflowSkipException(f"Release {release.release_id} has no layer of dbt's.")
        self.select = UP_TO_SILVER + (" path:models/gold" if release.target_layer == "gold" else "")


def dbt_build() -> DbtBuildLocalOperator:
    """Return the task that runs the release's one `dbt build`: seeds, models and their tests."""
    return ReleaseBuildOperator(
        task_id="dbt_build",
        task_display_name="Build and test with dbt",
        doc_md=DOC_OF_DBT_BUILD,
        select=SELECTED_NODES,
        env={**NO_TELEMETRY, "GAMEBOT_RELEASE_ID": BUILT_RELEASE},
        callback=record_build,
        **_dbt(TRANSFORMER, "dbt_build"),
    )


def dbt_test() -> DbtBuildLocalOperator:
    """Return the task that runs dbt's tests on a release that is there already."""
    return ReleaseTestOperator(
        task_id="dbt_test",
        task_display_name="Test with dbt",
        doc_md=DOC_OF_DBT_TEST,
        env={**NO_TELEMETRY, "GAMEBOT_RELEASE_ID": AUDITED_RELEASE},
        callback=record_tests,
        **_dbt(AUDITOR, "dbt_test"),
    )


def _dbt(role: str, stage: str) -> dict[str, Any]:
    program, *arguments = [*on_a_leash(), str(executable("dbt", "dbt"))]
    return {
        "queue": HEAVY_QUEUE,
        "project_dir": str(DBT_PROJECT_DIR),
        "profile_config": profile_config(role, stage),
        "dbt_executable_path": program,
        "invocation_mode": InvocationMode.SUBPROCESS,
        "install_deps": False,
        "emit_datasets": False,
        "should_store_compiled_sql": False,
        "dbt_cmd_global_flags": [*arguments, "--no-use-colors"],
        # Unit tests ask our code and not the data: the project's own tests run them.
        "dbt_cmd_flags": ["--exclude-resource-type", "unit_test"],
        # A test that also reads what is not built waits for the run that builds it.
        "indirect_selection": "cautious",
        "append_env": True,
    }


def dbt_models(build: BaseOperator) -> DbtTaskGroup:
    """Return a group with one task per seed and model, drawn from the manifest."""
    graph = graph_path()
    # Cosmos does not keep the descriptions.
    nodes = json.loads(graph.read_text(encoding="utf-8"))["nodes"]

    def report_task(node: Any, dag: Any, task_group: Any, **_: Any) -> Any:
        return _report_task(node, nodes[node.unique_id]["description"], dag, task_group)

    project = ProjectConfig(dbt_project_path=DBT_PROJECT_DIR, install_dbt_deps=False)
    # As an argument it would become a path of any object store, whose libraries are imported then.
    project.manifest_path = graph
    group = DbtTaskGroup(
        group_id="models",
        group_display_name="Seeds and models",
        tooltip="How each seed and model came out of the one dbt build",
        project_config=project,
        profile_config=profile_config(),
        execution_config=ExecutionConfig(dbt_executable_path=executable("dbt", "dbt")),
        render_config=RenderConfig(
            load_method=LoadMode.DBT_MANIFEST,
            test_behavior=TestBehavior.NONE,
            emit_datasets=False,
            node_converters={
                DbtResourceType.MODEL: report_task,
                DbtResourceType.SEED: report_task,
            },
        ),
    )
    tasks = {task.task_id: task for task in group.children.values()}
    for task in tasks.values():
        # What stands between it and the build must have a state of its own to wait for.
        if isinstance(task, ModelReportOperator) and not any(
            isinstance(tasks[parent], ModelReportOperator) for parent in task.upstream_task_ids
        ):
            build >> task
    return group


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
    results = _read(project_dir)
    ti = context["ti"]
    nodes = {name: node.model_dump(mode="json") for name, node in results.nodes.items()}
    ti.xcom_push(key=BUILT, value={"nodes": nodes, "sql": packed(results.sql)})
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
    lineage.report(ti, lambda: lineage.of_checks(settings, release_id, "dbt"))
    _tell(results)
    if results.failed_in_tests_only:
        raise AirflowFailException(_told(results.problems))
    if results.problems:
        raise AirflowException(_told(results.problems))


def record_tests(project_dir: str, context: Context) -> None:
    """Keep what dbt's tests found in a release that is there already.

    Raises:
        RuntimeError: dbt left nothing to record.
        AirflowFailException: tests failed, as they would again.
    """
    release_id = int(context["ti"].xcom_pull(task_ids="find_release"))
    results = _read(project_dir)
    settings = ConnectionSettings.from_airflow()
    with settings.connect(role=AUDITOR) as connection:
        record_check_results(connection, release_id, "dbt", results.checks)
    lineage.report(context["ti"], lambda: lineage.of_checks(settings, release_id, "dbt"))
    _tell(results)
    if results.problems:
        raise AirflowFailException(_told(results.problems))


def _read(project_dir: str) -> BuildResults:
    try:
        return read_build_results(Path(project_dir) / "target")
    except FileNotFoundError as error:
        raise RuntimeError(
            "dbt ended without a report. If it said why, that stands above. If it did not, it was "
            "killed, as happens where memory runs out: give the worker more."
        ) from error


def _tell(results: BuildResults) -> None:
    """Log what a person wants to know of the build, now that dbt has said it all."""
    if results.queries:
        with log_group(log, f"Queries of the {len(results.queries)} tests that did not pass"):
            for test, query in results.queries.items():
                log.info("Query of the test %r:\n%s", test, query)
    if results.slowest:
        slowest = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in results.slowest)
        log.info("Slowest: %s.", slowest)
    for line in shortened([c.description for c in results.checks if c.outcome == "warned"]):
        log.warning("warned: %s", line)
    for line in shortened(results.failures):
        log.error("failed: %s", line)
    log.info("%s", results.summary)


def _told(problems: list[str]) -> str:
    return "; ".join(shortened(problems))


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


def report_node(verdict: NodeVerdict | None, context: Context) -> None:
    """Take on the state that dbt gave one model or seed, if it gave it any.

    Raises:
        AirflowFailException: dbt could not build it, or one of its tests failed.
        AirflowSkipException: dbt did not get to it, or was not asked to.
    """
    if verdict is None:
        raise AirflowSkipException("dbt was not asked to build this, or ended before it got here.")
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


class ModelReportOperator(BaseOperator):
    """The state of one model or seed; its rendered template shows the SQL that dbt ran."""

    template_fields: Sequence[str] = ("compiled_sql",)
    template_fields_renderers: ClassVar = {"compiled_sql": "sql"}

    def __init__(self, *, unique_id: str, **kwargs: Any) -> None:
        """Report the node that dbt knows by this id."""
        super().__init__(**kwargs)
        self.unique_id = unique_id
        self.compiled_sql = ""
        self.verdict: NodeVerdict | None = None

    def render_template_fields(self, context: Context, jinja_env: Any = None) -> None:  # noqa: ARG002
        """Ask what became of it. The SQL is shown as it is, and never rendered."""
        if built := context["ti"].xcom_pull(task_ids="dbt_build", key=BUILT):
            self.compiled_sql = unpacked(built["sql"]).get(self.unique_id, "")
            if found := built["nodes"].get(self.unique_id):
                self.verdict = NodeVerdict.model_validate(found)

    def execute(self, context: Context) -> None:
        """Take on its state.

        Raises:
            AirflowFailException: as `report_node` does.
            AirflowSkipException: as `report_node` does.
        """
        report_node(self.verdict, context)


def _report_task(node: Any, description: str, dag: Any, task_group: Any) -> Any:
    file = Path(node.file_path).relative_to(DBT_PROJECT_DIR)
    task = {
        "task_id": node.name,
        "task_display_name": node.name,
        "dag": dag,
        "task_group": task_group,
        "doc_md": f"{description}\n\nSource: `include/dbt/{file}`".strip(),
    }
    if node.config.get("materialized") == "ephemeral":
        # With a callback it would be run by a worker, to do nothing.
        return EmptyOperator(**task, on_execute_callback=None)
    return ModelReportOperator(
        unique_id=node.unique_id,
        # The build's verdict counts, whatever became of the tasks before this one; where dbt did
        # not get to run there is none, and no worker need say so.
        trigger_rule=TriggerRule.ONE_DONE,
        **task,
    )
