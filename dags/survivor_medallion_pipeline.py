"""survivoR in, an audited and published Postgres warehouse out."""

from __future__ import annotations

import os
from datetime import UTC, datetime

from airflow.sdk import AsyncCallback, DeadlineAlert, DeadlineReference, chain, dag

from include.interface import (
    DEFAULT_ARGS,
    OWNER_LINKS,
    PARAMS,
    alert_failure,
    alert_late,
    alert_success,
    audit_with_great_expectations,
    audit_with_soda,
    close_release,
    dbt_build,
    dbt_models,
    deadline,
    detect_changes,
    load_bronze,
    name_release_in_log,
    note_failure,
    open_release,
    publish_release,
)


@dag(
    dag_id="survivor_medallion_pipeline",
    dag_display_name="Survivor medallion pipeline",
    description="Builds, audits and publishes a release of the Survivor warehouse",
    schedule=os.environ.get("GAMEBOT_SCHEDULE") or None,
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    params=PARAMS,
    default_args={
        **DEFAULT_ARGS,
        "on_execute_callback": name_release_in_log,
        "on_failure_callback": note_failure,
    },
    on_failure_callback=alert_failure,
    on_success_callback=alert_success,
    # Not from when it was queued: Airflow 3.3 cannot clear a run that has such a deadline.
    deadline=DeadlineAlert(
        DeadlineReference.DAGRUN_LOGICAL_DATE, deadline(), AsyncCallback(alert_late)
    ),
    owner_links=OWNER_LINKS,
    tags=["survivor", "bronze", "silver", "gold"],
)
def survivor_medallion_pipeline() -> None:
    """### survivoR in, an audited and published Postgres warehouse out

    Every run builds a complete **release** in schemas of its own, where nobody looks; dbt tests,
    Soda and Great Expectations audit it. Only when every blocking check holds does one transaction
    point the public schemas `bronze`, `silver` and `gold` at it: a failed run changes nothing that
    a reader sees.

    - **Nothing new?** A release holds the same data, built by the same code: all after
      `detect_changes` is skipped.
    - **Red?** The note of the run says where and why, `docs/runbooks/failed-run.md` what to do.
    - **What came of it**: [the console](gamebot/), or the tables `ops.releases` and
      `ops.check_results`.
    - **A published release is wrong?** [Show an earlier one](dags/survivor_release_rollback);
      [audit it again](dags/survivor_release_audit).
    """
    source = detect_changes()
    release = open_release(source)
    bronze = load_bronze(source, release)
    build = dbt_build()
    models = dbt_models(build)
    audits = [audit_with_soda(release), audit_with_great_expectations(release)]
    published = publish_release(release)

    chain(bronze, build, models, audits, published)
    build >> audits
    published >> close_release(release).as_teardown(on_failure_fail_dagrun=True)


survivor_medallion_pipeline()
