"""What the audits found, kept in `ops.check_results`: one row per check and release."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import psycopg
from psycopg.types.json import Jsonb
from pydantic import BaseModel, ConfigDict

from include.warehouse.schemas import Layer

Tool = Literal["dbt", "soda", "great_expectations"]
Severity = Literal["blocking", "warning"]
Outcome = Literal["passed", "warned", "failed", "error"]


class CheckResult(BaseModel):
    """One dbt test, Soda check or expectation, evaluated on one release.

    `check_id` is unique within its tool and stable across releases. `error` means that the check
    could not be evaluated, which blocks a publish as a failure does.
    """

    model_config = ConfigDict(frozen=True)

    tool: Tool
    check_id: str
    layer: Layer
    table_name: str
    column_name: str | None = None
    description: str
    severity: Severity
    outcome: Outcome
    observed: dict[str, Any] = {}
    message: str | None = None

    @property
    def blocks(self) -> bool:
        """Whether this result keeps its release from being published."""
        return self.outcome == "error" or (self.severity == "blocking" and self.outcome == "failed")


def record_check_results(
    connection: psycopg.Connection, release_id: int, tool: Tool, results: Sequence[CheckResult]
) -> None:
    """Replace what an earlier attempt of `tool` recorded for the release, in one transaction.

    Args:
        connection: acting as `gamebot_auditor`.
    """
    with connection.transaction():
        connection.execute(
            "delete from ops.check_results where release_id = %s and tool = %s", (release_id, tool)
        )
        with connection.cursor() as cursor:
            cursor.executemany(
                """
                insert into ops.check_results (
                    release_id, tool, check_id, layer, table_name, column_name,
                    description, severity, outcome, observed, message
                )
                values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
                """,
                [
                    (
                        release_id,
                        result.tool,
                        result.check_id,
                        result.layer,
                        result.table_name,
                        result.column_name,
                        result.description,
                        result.severity,
                        result.outcome,
                        Jsonb(result.observed),
                        result.message,
                    )
                    for result in results
                ],
            )
