"""Audit gold of one release with Great Expectations and write its Data Docs.

    python -m include.quality.gx_audit --release 42 --docs-dir site

Runs in the quality environment with `DB_*` set. The expectations lie in `expectations/<table>.py`.
"""

from __future__ import annotations

import argparse
import importlib.util
import logging
import os
import sys
import traceback
from collections.abc import Mapping
from copy import copy
from pathlib import Path
from typing import TYPE_CHECKING, Any

from include.quality.data_docs import link_from_index, make_self_contained
from include.quality.report import SAMPLE_SIZE, check_id, conclude
from include.quality.session import audit_session, require_layers, require_tables
from include.warehouse.checks import CheckResult, Outcome, Severity
from include.warehouse.connection import ConnectionSettings
from include.warehouse.schemas import AUDITOR, LAYERS, release_schema

if TYPE_CHECKING:
    from great_expectations.core import ExpectationValidationResult
    from great_expectations.data_context import AbstractDataContext

SITE = "gold"
# A failing row is shown by its key.
KEY = ("version_season", "castaway_id")

# What is asked about a table first and, where an expectation does not hold, once more: the counts
# are the same in both, the rows that fail are in the second only.
COUNTS: dict[str, Any] = {"result_format": "BASIC", "partial_unexpected_count": SAMPLE_SIZE}
EVIDENCE = COUNTS | {"result_format": "COMPLETE", "unexpected_index_column_names": list(KEY)}

# Great Expectations imports them for expectations that gold has none of: a sixth of its imports.
UNUSED = ("altair", "scipy.stats")


def audit(settings: ConnectionSettings, release_id: int, docs_dir: Path) -> list[CheckResult]:
    """Check every expectation on a release and write the Data Docs into `docs_dir`.

    Raises:
        AuditError: the release, its gold layer or one of the tables does not exist.
        psycopg.OperationalError: the warehouse cannot be reached.
    """
    # A few seconds of imports, which nothing but this program should pay.
    for module in UNUSED:
        _import_when_used(module)
    import great_expectations as gx
    from great_expectations.core.run_identifier import RunIdentifier
    from great_expectations.data_context.types.base import ProgressBarsConfig

    # It warns of every average that it turns from a decimal into a float.
    logging.getLogger("great_expectations").setLevel(logging.ERROR)

    from include.quality.expectations import SUITES

    with settings.connect(role=AUDITOR) as connection:
        require_layers(connection, release_id, ["gold"])
        require_tables(connection, release_id, "gold", SUITES)
    # Gold is compared with what it was made from, so its queries see every layer.
    search_path = [release_schema(layer, release_id) for layer in reversed(LAYERS)]
    with audit_session(settings, search_path):
        # Everything after the driver comes from the variables of the audit session.
        os.environ["GAMEBOT_GX_URL"] = "postgresql+psycopg2://"
        context = gx.get_context(mode="ephemeral")
        context.variables.progress_bars = ProgressBarsConfig(globally=False)
        release = context.data_sources.add_postgres(
            f"release_{release_id}",
            connection_string="${GAMEBOT_GX_URL}",
            # Otherwise it begins and rolls back a transaction around each query.
            kwargs={"isolation_level": "AUTOCOMMIT"},
        )
        run_id = RunIdentifier(run_name=release.name)
        results: list[CheckResult] = []
        for table, expectations in SUITES.items():
            rows = release.add_table_asset(table, table_name=table)
            # Tables share expectations, suites may not.
            suite = gx.ExpectationSuite(table, expectations=[copy(each) for each in expectations])
            validation = context.validation_definitions.add(
                gx.ValidationDefinition(
                    name=table,
                    data=rows.add_batch_definition_whole_table("every row"),
                    suite=context.suites.add(suite),
                )
            )
            found = validation.run(run_id=run_id, result_format=COUNTS)
            # Two queries for every expectation, which find nothing where it holds.
            if not found.success:
                found = validation.run(run_id=run_id, result_format=EVIDENCE)
            results += [_result(table, expectation) for expectation in found.results]
        _write_docs(context, docs_dir)
    _write_distributions(settings, release_id, docs_dir)
    return results


def _import_when_used(module: str) -> None:
    """Let imports of a module cost nothing until something of it is used."""
    spec = importlib.util.find_spec(module)
    assert spec is not None and spec.loader is not None
    spec.loader = importlib.util.LazyLoader(spec.loader)
    sys.modules[module] = lazy = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(lazy)


def _write_docs(context: AbstractDataContext, docs_dir: Path) -> None:
    site: Any = {
        "class_name": "SiteBuilder",
        "show_how_to_buttons": False,
        "store_backend": {
            "class_name": "TupleFilesystemStoreBackend",
            "base_directory": str(docs_dir.resolve()),
        },
        "site_index_builder": {"class_name": "DefaultSiteIndexBuilder"},
    }
    context.add_data_docs_site(site_name=SITE, site_config=site)
    context.build_data_docs(site_names=[SITE])
    make_self_contained(docs_dir)


def _write_distributions(settings: ConnectionSettings, release_id: int, docs_dir: Path) -> None:
    """Add the pages about the features; without them a release is as good as with them."""
    from include.quality.distributions import write_distributions

    try:
        with settings.connect(role=AUDITOR) as connection:
            connection.read_only = True
            pages = write_distributions(connection, release_id, docs_dir)
        link_from_index(docs_dir, "How the features are distributed", pages)
    except Exception:  # noqa: BLE001
        print("The pages about the features' distributions could not be made:", file=sys.stderr)
        traceback.print_exc()


def _result(table: str, validated: ExpectationValidationResult) -> CheckResult:
    """Translate the verdict of Great Expectations on one expectation."""
    expectation: Any = validated.expectation_config
    severity: Severity = "blocking" if expectation.severity == "critical" else "warning"
    found = dict(validated.result)
    outcome: Outcome
    message: str | None
    if error := _error(validated.exception_info):
        outcome, message = "error", f"Great Expectations could not evaluate it: {error}"
    elif validated.success:
        outcome, message = "passed", None
    else:
        outcome = "failed" if severity == "blocking" else "warned"
        message = _told(found)
    value = found.get("unexpected_count", found.get("observed_value"))
    sample = _sample(found) if outcome in ("failed", "warned") else []
    return CheckResult(
        tool="great_expectations",
        check_id=check_id("gold", table, expectation.description),
        layer="gold",
        table_name=table,
        column_name=expectation.kwargs.get("column"),
        description=expectation.description,
        severity=severity,
        outcome=outcome,
        observed={"expectation": expectation.type, "value": value}
        | ({"sample": sample} if sample else {}),
        message=message,
    )


def _error(information: Mapping[str, Any]) -> str | None:
    """Return why an expectation raised: stated at the top, or for each metric that it needs."""
    entries = [information, *(entry for entry in information.values() if isinstance(entry, dict))]
    for entry in entries:
        if entry.get("raised_exception"):
            return str(entry["exception_message"]).strip().splitlines()[0]
    return None


def _sample(found: Mapping[str, Any]) -> list[dict[str, str]]:
    rows = found.get("details", {}).get("unexpected_rows") or found.get(
        "partial_unexpected_index_list", []
    )
    return [{name: str(value) for name, value in row.items()} for row in rows[:SAMPLE_SIZE]]


def _told(found: Mapping[str, Any]) -> str:
    if "unexpected_count" in found:
        told = f"{found['unexpected_count']} of {found['element_count']} rows do not meet it"
    else:
        told = f"found {found.get('observed_value')}"
    if sample := _sample(found):
        told += "; such as " + ", ".join(f"{name}={value}" for name, value in sample[0].items())
    return told


def main() -> int:
    parser = argparse.ArgumentParser(description="Audit gold of a release with Great Expectations.")
    parser.add_argument("--release", type=int, required=True, help="number of the release")
    parser.add_argument("--docs-dir", type=Path, required=True, help="folder for the Data Docs")
    arguments = parser.parse_args()
    return conclude(
        "great_expectations",
        arguments.release,
        lambda settings: audit(settings, arguments.release, arguments.docs_dir),
    )


if __name__ == "__main__":
    sys.exit(main())
