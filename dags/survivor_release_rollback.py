"""An earlier release, shown to readers again by whoever triggers this."""

from __future__ import annotations

import os
from datetime import timedelta

from airflow.sdk import Param, dag

from include.interface import QUEUE, duration, show_release


@dag(
    dag_id="survivor_release_rollback",
    dag_display_name="Survivor release rollback",
    description="Shows readers an earlier release of the Survivor warehouse again",
    schedule=None,
    catchup=False,
    max_active_runs=1,
    params={
        "release_id": Param(
            None,
            title="Release",
            type=["null", "integer"],
            description="The number of the release. Without one the log says which there are.",
        )
    },
    default_args={
        "owner": "gamebot",
        "pool": os.environ.get("GAMEBOT_POOL", "default_pool"),
        "queue": QUEUE,
        "retries": 2,
        "retry_delay": duration("GAMEBOT_RETRY_SECONDS", timedelta(seconds=1), default=10),
        "execution_timeout": timedelta(minutes=15),
    },
    tags=["survivor", "operations"],
)
def survivor_release_rollback() -> None:
    """### An earlier release, shown to readers again

    For a published release that turns out to be wrong: `docs/runbooks/rollback.md`. It takes a
    second, readers see no gap, and the way back is the same. Also for an audited **replay** that
    readers are to see after all.

    Pause `survivor_medallion_pipeline` first if its next run could bring the mistake back.
    """
    show_release()


survivor_release_rollback()
