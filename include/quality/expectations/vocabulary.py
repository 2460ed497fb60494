"""The few kinds of expectation that the suites are made of, each with a sentence for people.

The sentence names the expectation in the report and gives it its id, so it is unique in a table.
Critical expectations block a release, warnings only speak up.
"""

from __future__ import annotations

from typing import Any

import great_expectations.expectations as gxe
from great_expectations.expectations import Expectation
from great_expectations.expectations.metadata_types import FailureSeverity
from great_expectations.validator.validator import ValidationDependencies

CRITICAL = FailureSeverity.CRITICAL
WARNING = FailureSeverity.WARNING

ROWS = "unexpected_rows_query.table"


class QueryFindsNoRows(gxe.UnexpectedRowsExpectation):
    """Expect a query to find nothing.

    Great Expectations runs such a query twice, for the number of rows and for the rows, which it
    shows in a complete result only. Here they are asked for only then.
    """

    def get_validation_dependencies(
        self, execution_engine: Any = None, runtime_configuration: Any = None
    ) -> ValidationDependencies:
        """Return what is asked of the warehouse for the result that is wanted."""
        needed = super().get_validation_dependencies(execution_engine, runtime_configuration)
        if needed.result_format["result_format"] != "COMPLETE":
            needed.remove_metric_configuration(ROWS)
        return needed

    def _validate(
        self,
        metrics: dict[str, Any],
        runtime_configuration: Any = None,
        execution_engine: Any = None,
    ) -> Any:
        return super()._validate({ROWS: None, **metrics}, runtime_configuration, execution_engine)


def key(*columns: str) -> list[Expectation]:
    """Expect the columns to identify a row and to be known."""
    return [
        gxe.ExpectCompoundColumnsToBeUnique(
            column_list=list(columns),
            description=f"one row per {', '.join(columns)}",
            severity=CRITICAL,
        ),
        *known(*columns),
    ]


def known(*columns: str) -> list[Expectation]:
    """Expect every row to have a value."""
    return [
        gxe.ExpectColumnValuesToNotBeNull(
            column=column, description=f"{column} is always known", severity=CRITICAL
        )
        for column in columns
    ]


def one_of(column: str, *values: Any, severity: FailureSeverity = CRITICAL) -> Expectation:
    """Expect no other values; null is allowed."""
    return gxe.ExpectColumnValuesToBeInSet(
        column=column,
        value_set=list(values),
        description=f"{column} has known values only",
        severity=severity,
    )


def between(*columns: str, low: float, high: float | None) -> list[Expectation]:
    """Expect values within limits; null is allowed."""
    limits = f"at least {low}" if high is None else f"between {low} and {high}"
    return [
        gxe.ExpectColumnValuesToBeBetween(
            column=column,
            min_value=low,
            max_value=high,
            description=f"{column} is {limits}",
            severity=CRITICAL,
        )
        for column in columns
    ]


def rates(*columns: str) -> list[Expectation]:
    """Expect shares of a whole, null where there is no whole."""
    return between(*columns, low=0, high=1)


def counts(*columns: str) -> list[Expectation]:
    """Expect numbers of things."""
    return between(*columns, low=0, high=None)


def mean(column: str, low: float, high: float) -> Expectation:
    """Expect a plausible average: a warning, since the game itself may change."""
    return gxe.ExpectColumnMeanToBeBetween(
        column=column,
        min_value=low,
        max_value=high,
        description=f"the average {column} is between {low} and {high}",
        severity=WARNING,
    )


def no_rows(sentence: str, query: str, severity: FailureSeverity = CRITICAL) -> Expectation:
    """Expect a query over `{batch}` and the tables of the other layers to find nothing.

    Great Expectations names `{batch}` itself, except in a query with a join, which must.
    """
    return QueryFindsNoRows(unexpected_rows_query=query, description=sentence, severity=severity)
