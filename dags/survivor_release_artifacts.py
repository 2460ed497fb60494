"""The published release as files and pages that people take away or look at."""

from __future__ import annotations

from datetime import UTC, datetime

from airflow.sdk import Asset, chain, dag

from include.interface import (
    ARTIFACT_PARAMS,
    DEFAULT_ARGS,
    OWNER_LINKS,
    alert_failure,
    build_data_package,
    choose_release,
    compare_with_previous,
    document_models,
    note_failure,
    show_soda_results,
)


@dag(
    dag_id="survivor_release_artifacts",
    dag_display_name="Survivor release artifacts",
    description="Makes the data package, the changes and the pages of the published release",
    schedule=Asset("survivor_warehouse"),
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    params=ARTIFACT_PARAMS,
    default_args={**DEFAULT_ARGS, "on_failure_callback": note_failure},
    on_failure_callback=alert_failure,
    owner_links=OWNER_LINKS,
    tags=["survivor", "artifacts"],
)
def survivor_release_artifacts() -> None:
    """### The published release, to take away and to look at

    Runs by itself after every publication and rollback, and by hand for any release that has its
    tables. All of it lies below `GAMEBOT_ARTIFACTS_URL`, in `releases/<release>/`:

    - `package`: Parquet, DuckDB, SQLite and their description (`docs/data-package.md`). When
      readers see the release, `package.json` names it, last of all.
    - `changes`: what is different from the release before.
    - `dbt_docs` and `soda`: the models with their lineage, and what Soda found.

    Red? The release is published all the same, and `package.json` names the last package that is
    whole. Clear the red task once the cause is gone.
    """
    release = choose_release()
    chain(compare_with_previous(release), build_data_package(release))
    document_models(release)
    show_soda_results(release)


survivor_release_artifacts()
