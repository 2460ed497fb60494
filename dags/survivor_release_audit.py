"""A release that is there already, audited again."""

from __future__ import annotations

from airflow.sdk import dag

from include.interface import (
    AUDIT_PARAMS,
    DEFAULT_ARGS,
    OWNER_LINKS,
    alert_failure,
    audit_with_great_expectations,
    audit_with_soda,
    conclude_audit,
    dbt_test,
    find_release,
    name_release_in_log,
    note_failure,
)


@dag(
    dag_id="survivor_release_audit",
    dag_display_name="Survivor release audit",
    description="Audits a release of the Survivor warehouse again; readers see no change",
    schedule=None,
    catchup=False,
    max_active_runs=1,
    params=AUDIT_PARAMS,
    default_args={
        **DEFAULT_ARGS,
        "on_execute_callback": name_release_in_log,
        "on_failure_callback": note_failure,
    },
    on_failure_callback=alert_failure,
    owner_links=OWNER_LINKS,
    tags=["survivor", "operations"],
)
def survivor_release_audit() -> None:
    """### A release that is there already, audited again

    With the tests, checks and expectations **of today**, which may know more than those that the
    release once passed: after a doubt, a new check, or a repair of the database. What they find
    takes the place of what they found before, and the Data Docs are made anew. Nothing changes for
    readers, whatever is found.

    - **Red?** `conclude_audit` says what does not hold, whether readers see it, and which release
      [a rollback](dags/survivor_release_rollback) could show them instead.
    - **What was found**: [the console](gamebot/), or table `ops.check_results`.
    - **What to do**: `docs/runbooks/rollback.md`, "Audit again".
    """
    release = find_release()
    audits = [
        dbt_test(),
        audit_with_soda(release, again=True),
        audit_with_great_expectations(release, again=True),
    ]
    release >> audits >> conclude_audit(release)


survivor_release_audit()
