"""A person who reads the report knows what is wrong; a program knows from the exit code."""

from __future__ import annotations

import os
from typing import Any

import pytest

from include.quality.report import COULD_NOT_RUN, check_id, conclude, lines
from include.quality.session import AuditError, audit_session
from include.warehouse.checks import CheckResult
from include.warehouse.connection import ConnectionSettings

SETTINGS = ConnectionSettings.from_environment(
    {
        "DB_HOST": "db",
        "DB_NAME": "warehouse",
        "DB_USER": "loader",
        "DB_PASSWORD": "hunter2",  # pragma: allowlist secret
    }
)


def result(**changes: Any) -> CheckResult:
    values = {
        "tool": "soda",
        "check_id": "bronze.castaways.one_row",
        "layer": "bronze",
        "table_name": "castaways",
        "description": "one row per castaway",
        "severity": "blocking",
        "outcome": "passed",
    }
    return CheckResult.model_validate(values | changes)


def test_an_id_is_made_of_the_name() -> None:
    assert check_id("gold", "t", "A juror's vote is 0 or 1") == "gold.t.a_juror_s_vote_is_0_or_1"


def test_the_report_folds_what_passed_and_ends_with_what_blocks() -> None:
    """Among 227 lines nobody found the one check that failed."""
    assert lines(
        [
            result(),
            result(outcome="failed", description="ages are plausible", message="found 3"),
            result(table_name="episodes", outcome="warned", severity="warning", message="found 1"),
        ]
    ) == [
        "::group::Every check",
        "bronze.castaways",
        "  ok    one row per castaway",
        "  FAIL  ages are plausible",
        "bronze.episodes",
        "  warn  one row per castaway",
        "::endgroup::",
        "warn  bronze.episodes: one row per castaway",
        "      found 1",
        "FAIL  bronze.castaways: ages are plausible",
        "      found 3",
        "3 checks: 1 passed, 1 warned, 1 failed, 0 could not be evaluated.",
    ]


@pytest.mark.parametrize("error", [AuditError("no such release"), KeyError("a bug")])
def test_an_audit_that_breaks_gives_no_verdict(
    error: Exception, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def audit(settings: ConnectionSettings) -> list[CheckResult]:
        raise error

    for name, value in SETTINGS.as_environment().items():
        monkeypatch.setenv(name, value)
    assert conclude("soda", 1, audit) == COULD_NOT_RUN
    assert str(error.args[0]) in capsys.readouterr().err


def test_a_session_lends_the_password_to_libpq_and_takes_it_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PGHOST", "elsewhere")
    with audit_session(SETTINGS, ["silver_r4", "bronze_r4"]):
        assert os.environ["PGHOST"] == "db"
        assert os.environ["PGPASSWORD"] == "hunter2"
        assert "search_path=silver_r4,bronze_r4" in os.environ["PGOPTIONS"]
        assert "role=gamebot_auditor" in os.environ["PGOPTIONS"]
        assert "default_transaction_read_only=on" in os.environ["PGOPTIONS"]
    assert os.environ["PGHOST"] == "elsewhere"
    assert "PGPASSWORD" not in os.environ
