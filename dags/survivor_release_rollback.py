"""An earlier release, shown to readers again by whoever triggers this."""

from __future__ import annotations

from airflow.sdk import dag

from include.interface import DEFAULT_ARGS, OWNER_LINKS, ROLLBACK_PARAMS, show_release


@dag(
    dag_id="survivor_release_rollback",
    dag_display_name="Survivor release rollback",
    description="Shows readers an earlier release of the Survivor warehouse again",
    schedule=None,
    catchup=False,
    max_active_runs=1,
    params=ROLLBACK_PARAMS,
    default_args=DEFAULT_ARGS,
    owner_links=OWNER_LINKS,
    tags=["survivor", "operations"],
)
def survivor_release_rollback() -> None:
    """### An earlier release, shown to readers again

    For a published release that turns out to be wrong. It takes a second, readers see no gap, and
    the way back is the same. Also for an audited **replay** that readers are to see after all.

    - **Which one?** The [console](gamebot/) lists them, and compares any two.
    - **Before**: pause [the pipeline](dags/survivor_medallion_pipeline) if its next run could bring
      the mistake back.
    - **What else is to be done**, and what each refusal means: `docs/runbooks/rollback.md`.
    """
    show_release()


survivor_release_rollback()
