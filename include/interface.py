"""What DAG files may use of this folder, and nothing else of it.

`astro deploy --dags` replaces the DAG files alone, so they may be newer or older than the image
that has this folder: a name here keeps its meaning until no DAG file uses it any more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from include.airflow_tasks import (
    audit_with_great_expectations,
    audit_with_soda,
    close_release,
    conclude_audit,
    detect_changes,
    find_release,
    load_bronze,
    name_release_in_log,
    note_failure,
    open_release,
    publish_release,
    show_release,
)
from include.alerts import alert_failure, alert_late, alert_success, deadline
from include.artifact_tasks import (
    build_data_package,
    choose_release,
    compare_with_previous,
    document_models,
    show_soda_results,
)
from include.parameters import (
    ARTIFACT_PARAMS,
    AUDIT_PARAMS,
    DEFAULT_ARGS,
    OWNER_LINKS,
    PARAMS,
    ROLLBACK_PARAMS,
)
from include.transformation.rendering import dbt_build, dbt_models, dbt_test

__all__ = [
    "ARTIFACT_PARAMS",
    "AUDIT_PARAMS",
    "DEFAULT_ARGS",
    "OWNER_LINKS",
    "PARAMS",
    "ROLLBACK_PARAMS",
    "alert_failure",
    "alert_late",
    "alert_success",
    "audit_with_great_expectations",
    "audit_with_soda",
    "build_data_package",
    "choose_release",
    "close_release",
    "compare_with_previous",
    "conclude_audit",
    "dbt_build",
    "dbt_models",
    "dbt_test",
    "deadline",
    "detect_changes",
    "document_models",
    "find_release",
    "load_bronze",
    "name_release_in_log",
    "note_failure",
    "open_release",
    "publish_release",
    "show_release",
    "show_soda_results",
]

if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        if name.startswith("__"):
            raise AttributeError(name)
        raise ImportError(
            f"This image's include/ has no {name!r}: it is of another version than the DAG files. "
            "Deploy both together: astro deploy, without --dags."
        )
