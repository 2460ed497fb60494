"""What must hold in gold: one module per table, one list of expectations in each.

Importing this package imports Great Expectations: seconds that only the audit should spend. To add
a table, write its module and name it here.
"""

from __future__ import annotations

from collections.abc import Sequence

from great_expectations.expectations import Expectation

from include.quality.expectations import (
    ml_features_as_of,
    ml_features_hybrid,
    ml_features_non_edit,
)

SUITES: dict[str, Sequence[Expectation]] = {
    "ml_features_non_edit": ml_features_non_edit.EXPECTATIONS,
    "ml_features_hybrid": ml_features_hybrid.EXPECTATIONS,
    "ml_features_as_of": ml_features_as_of.EXPECTATIONS,
}
