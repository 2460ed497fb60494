"""Audit bronze and silver of one release with Soda.

    python -m include.quality.soda_audit --release 42 --layers bronze,silver

Runs in the quality environment with `DB_*` set. The checks lie in `soda/<layer>/<table>.yml`; a
table that the release's source does not offer, as the loader recorded, is skipped.
"""

from __future__ import annotations

import argparse
import logging
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from include.quality.report import SAMPLE_SIZE, check_id, conclude
from include.quality.session import audit_session, require_layers, require_tables
from include.warehouse.checks import CheckResult, Outcome, Severity
from include.warehouse.connection import ConnectionSettings
from include.warehouse.schemas import AUDITOR, Layer, release_schema

CHECKS_DIR = Path(__file__).with_name("soda")
AUDITED_LAYERS: tuple[Layer, ...] = ("bronze", "silver")

_OUTCOMES: dict[str | None, Outcome] = {"pass": "passed", "warn": "warned", "fail": "failed"}


@dataclass(frozen=True)
class DeclaredCheck:
    """A check as its file states it, before Soda has seen it."""

    layer: Layer
    table: str
    name: str
    severity: Severity
    rule: str
    thresholds: Mapping[str, str]

    @property
    def check_id(self) -> str:
        return check_id(self.layer, self.table, self.name)

    @property
    def limit(self) -> str:
        """What the check tolerates, in SodaCL's words."""
        if self.thresholds:
            return ", ".join(f"{level} {when}" for level, when in self.thresholds.items())
        return "no row may fail" if self.rule == "failed rows" else self.rule


def check_files(layer: Layer) -> dict[str, Path]:
    """Return the file of checks of every table of a layer."""
    return {path.stem: path for path in sorted((CHECKS_DIR / layer).glob("*.yml"))}


def declared_checks(layer: Layer, document: Mapping[str, Any]) -> Iterator[DeclaredCheck]:
    """Read the checks of one parsed SodaCL document.

    A check blocks unless it can only warn: SodaCL fails a check whose threshold stands in its
    first line, and one that states none.
    """
    for header, checks in document.items():
        table = header.removeprefix("checks for ")
        for check in checks:
            ((rule, configuration),) = check.items()
            thresholds = {
                level: configuration[level] for level in ("warn", "fail") if level in configuration
            }
            yield DeclaredCheck(
                layer=layer,
                table=table,
                name=configuration["name"],
                severity="warning" if set(thresholds) == {"warn"} else "blocking",
                rule=rule,
                thresholds=thresholds,
            )


def audit(
    settings: ConnectionSettings, release_id: int, layers: Sequence[Layer]
) -> list[CheckResult]:
    """Run every check of `layers` on a release.

    Raises:
        AuditError: the release, one of the layers or one of their tables does not exist.
        psycopg.OperationalError: the warehouse cannot be reached.
    """
    files = {layer: check_files(layer) for layer in layers}
    with settings.connect(role=AUDITOR) as connection:
        require_layers(connection, release_id, layers)
        unavailable = unavailable_datasets(connection, release_id)
        for table in sorted(unavailable & set(files.get("bronze", ()))):
            print(f"Skipped: bronze.{table}, which the source of release {release_id} lacks.")
            del files["bronze"][table]
        for layer in layers:
            require_tables(connection, release_id, layer, files[layer])
    # Silver is compared with bronze, so every layer sees both.
    search_path = [release_schema(layer, release_id) for layer in AUDITED_LAYERS]
    with audit_session(settings, search_path):
        return [result for layer in layers for result in _scan(layer, files[layer].values())]


def unavailable_datasets(connection: psycopg.Connection, release_id: int) -> set[str]:
    """Return the datasets that the loader recorded as not offered by the release's source."""
    found = connection.execute(
        """
        select dataset from ops.schema_drift
        where release_id = %s
          and kind in ('unavailable_dataset', 'missing_dataset')
          and severity = 'recorded'
        """,
        (release_id,),
    )
    return {dataset for (dataset,) in found}


def _scan(layer: Layer, files: Iterable[Path]) -> list[CheckResult]:
    _silence_soda()
    from ruamel.yaml import YAML
    from soda.sampler.sampler import Sampler
    from soda.scan import Scan

    class Evidence(Sampler):
        """Keeps the first failing rows of each check, which Soda would send to its cloud."""

        def __init__(self) -> None:
            self.rows: dict[tuple[str, str], list[dict[str, str]]] = {}

        def store_sample(self, context: Any) -> None:
            columns = [column.name for column in context.sample.get_schema().columns]
            self.rows[context.partition.table.table_name, context.check_name] = [
                dict(zip(columns, map(str, row), strict=True))
                for row in context.sample.get_rows()[:SAMPLE_SIZE]
            ]

    evidence = Evidence()
    scan = Scan()
    scan.set_data_source_name(layer)
    # Whatever is not said here, libpq reads from the variables of the audit session.
    scan.add_configuration_yaml_str(
        f"data_source {layer}:\n"
        "  type: postgres\n"
        "  host: ${PGHOST}\n"
        "  sslmode: ${PGSSLMODE}\n"
        "  sampler:\n"
        f"    samples_limit: {SAMPLE_SIZE}\n"
    )
    scan.sampler = evidence
    declared: list[DeclaredCheck] = []
    # Written in C; Soda's own reader, which keeps comments and line numbers, is not.
    yaml = YAML(typ="safe")
    for path in files:
        scan.add_sodacl_yaml_file(str(path))
        declared += declared_checks(layer, yaml.load(path))
    scan.execute()
    evaluated = {
        (check["table"], check["name"]): check for check in scan.get_scan_results()["checks"]
    }
    errors = scan.get_error_logs()
    return [
        _result(
            check,
            evaluated.get((check.table, check.name)),
            evidence.rows.get((check.table, check.name), []),
            errors,
        )
        for check in declared
    ]


def _silence_soda() -> None:
    """Turn Soda's telemetry off, which it reads from a file that it would write into the home."""
    from soda.common.config_helper import ConfigHelper

    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "config.yml"
        config.write_text("send_anonymous_usage_stats: false\nuser_cookie_id: none\n")
        ConfigHelper.get_instance(str(config))
    # Its log repeats each failure with the whole query; the report says what matters.
    logging.getLogger("soda").setLevel(logging.CRITICAL)


def _result(
    check: DeclaredCheck,
    evaluated: Mapping[str, Any] | None,
    sample: list[dict[str, str]],
    errors: Sequence[Any],
) -> CheckResult:
    """Translate Soda's verdict on one check; without a verdict, it could not be evaluated."""
    outcome = _OUTCOMES.get(evaluated["outcome"]) if evaluated else None
    value = evaluated["diagnostics"]["value"] if evaluated else None
    if outcome is None:
        message = f"Soda could not evaluate {check.rule!r}: {_reason(errors, check)}"
    elif outcome == "passed":
        message = None
    else:
        message = f"found {value}; {check.limit}"
        if sample:
            message += f"; such as {_told(sample[0])}"
    return CheckResult(
        tool="soda",
        check_id=check.check_id,
        layer=check.layer,
        table_name=check.table,
        column_name=_column(evaluated),
        description=check.name,
        severity=check.severity,
        outcome=outcome or "error",
        observed={"value": value, "limit": check.limit}
        | ({"sample": sample} if outcome not in (None, "passed") and sample else {}),
        message=message,
    )


def _column(evaluated: Mapping[str, Any] | None) -> str | None:
    column = evaluated["column"] if evaluated else None
    return column.strip('"') if column else None


def _reason(errors: Sequence[Any], check: DeclaredCheck) -> str:
    """Return the first of Soda's errors about a table: the query that failed, not its echoes."""
    for error in errors:
        if f".{check.table}." in error.message:
            return str(error.exception or error.message).strip().splitlines()[0]
    return "; ".join(error.message.splitlines()[0] for error in errors[:1]) or "it says not why"


def _told(row: Mapping[str, str]) -> str:
    return ", ".join(f"{column}={value}" for column, value in list(row.items())[:6])


def main() -> int:
    parser = argparse.ArgumentParser(description="Audit bronze and silver of a release with Soda.")
    parser.add_argument("--release", type=int, required=True, help="number of the release")
    parser.add_argument(
        "--layers",
        type=lambda value: value.split(","),
        default=list(AUDITED_LAYERS),
        help="comma-separated: bronze, silver",
    )
    arguments = parser.parse_args()
    if unknown := set(arguments.layers) - set(AUDITED_LAYERS):
        parser.error(
            f"Soda audits {' and '.join(AUDITED_LAYERS)}, not {', '.join(sorted(unknown))}."
        )
    return conclude(
        "soda",
        arguments.release,
        lambda settings: audit(settings, arguments.release, arguments.layers),
    )


if __name__ == "__main__":
    sys.exit(main())
