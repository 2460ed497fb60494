"""The same stage in Cosmos' own modes with a task per model: a DAG for each."""

from __future__ import annotations

from typing import Any

from airflow.sdk import DAG, Param, chain, task
from cosmos import DbtTaskGroup, ExecutionConfig, LoadMode, ProjectConfig, RenderConfig
from cosmos.constants import (
    ExecutionMode,
    InvocationMode,
    TestBehavior,
    TestIndirectSelection,
)

from include.environments import NO_TELEMETRY, executable
from include.interface import DEFAULT_ARGS
from include.transformation.manifest import DBT_PROJECT_DIR, manifest_path
from include.transformation.rendering import BUILT_RELEASE, profile_config

# The pipeline's flags and environment, as far as they are no matter of the mode.
OPERATOR_ARGS: dict[str, Any] = {
    "append_env": True,
    "emit_datasets": False,
    "should_store_compiled_sql": False,
    "dbt_cmd_global_flags": ["--no-use-colors"],
}


def stage(
    name: str,
    mode: ExecutionMode,
    invocation: InvocationMode,
    tests: TestBehavior,
    selection: TestIndirectSelection,
    **operator_args: Any,
) -> DAG:
    """Return a DAG that builds the models of a release that is loaded."""
    with DAG(
        dag_id=name,
        schedule=None,
        params={"release_id": Param(0, type="integer")},
        default_args=DEFAULT_ARGS | {"retries": 0},
    ) as dag:

        @task
        def open_release(params: dict) -> int:
            return int(params["release_id"])

        models = DbtTaskGroup(
            group_id="models",
            project_config=ProjectConfig(
                dbt_project_path=DBT_PROJECT_DIR,
                manifest_path=manifest_path(),
                install_dbt_deps=False,
                env_vars={**NO_TELEMETRY, "GAMEBOT_RELEASE_ID": BUILT_RELEASE},
            ),
            profile_config=profile_config(),
            execution_config=ExecutionConfig(
                execution_mode=mode,
                invocation_mode=invocation,
                dbt_executable_path=executable("dbt", "dbt"),
                test_indirect_selection=selection,
            ),
            render_config=RenderConfig(
                load_method=LoadMode.DBT_MANIFEST,
                test_behavior=tests,
                emit_datasets=False,
            ),
            operator_args={**OPERATOR_ARGS, **operator_args},
        )
        chain(open_release(), models)
    return dag


# One build, and sensors that wait for their model. Rendering no tests would leave them out of the
# build too; the flags bring them back.
watcher = stage(
    "cosmos_watcher",
    ExecutionMode.WATCHER,
    InvocationMode.SUBPROCESS,
    TestBehavior.NONE,
    TestIndirectSelection.CAUTIOUS,
    dbt_cmd_flags=["--resource-type", "test", "--resource-type", "unit_test"],
    deferrable=False,
    poke_interval=1,
)

# A build per model, with the tests whose other models stand before it.
local = stage(
    "cosmos_local",
    ExecutionMode.LOCAL,
    InvocationMode.SUBPROCESS,
    TestBehavior.BUILD,
    TestIndirectSelection.BUILDABLE,
)
