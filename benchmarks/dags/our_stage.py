"""The dbt stage alone, as the pipeline has it: one build, and a task per model that reports it."""

from __future__ import annotations

from airflow.sdk import Param, chain, dag, task

from include.interface import DEFAULT_ARGS, dbt_build, dbt_models


@dag(
    schedule=None,
    params={"release_id": Param(0, type="integer"), "target_layer": "gold"},
    default_args=DEFAULT_ARGS,
)
def our_stage() -> None:
    """Build the models of a release that is loaded."""

    # The build looks under this name for its release.
    @task
    def open_release(params: dict) -> int:
        return int(params["release_id"])

    build = dbt_build()
    chain(open_release(), build, dbt_models(build))


our_stage()
