"""Messages about runs: what they say, and through which channels they go."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("airflow")

from include import alerts
from include.alerts import Alert, deadline, failure_alert, notifiers, send, success_alert

ALERT = Alert(
    subject="the pipeline failed",
    lines=["load_bronze: column '<script>{{ var.value.secret }}' is gone"],
    run_url="http://localhost/run",
    runbook="docs/runbooks/failed-run.md",
)


def context(states: dict[str, str], reasons: dict[str, str], **changes: Any) -> Any:
    """As much of a run's context as a message needs."""
    ti = SimpleNamespace(
        get_task_states=lambda **_: {"nightly": states},
        xcom_pull=lambda task_ids, key="return_value": (
            reasons.get(task_ids) if key == alerts.FAILURE else changes.get("release")
        ),
        get_previous_dagrun=lambda: changes.get("previous"),
    )
    return {
        "dag": SimpleNamespace(dag_id="pipeline"),
        "run_id": "nightly",
        "reason": "task_failure",
        "ti": ti,
        "dag_run": SimpleNamespace(clear_number=changes.get("cleared", 0)),
    }


@pytest.fixture(autouse=True)
def unreachable_warehouse(monkeypatch: pytest.MonkeyPatch) -> None:
    """The warehouse is the first thing that may have failed."""

    def refuse(*_: Any) -> Any:
        raise ConnectionError("connection refused")

    monkeypatch.setattr(alerts.ConnectionSettings, "from_airflow", refuse)
    for setting in ("EMAILS", "SLACK_CONN_ID"):
        monkeypatch.delenv(f"GAMEBOT_ALERT_{setting}", raising=False)


def test_what_upstream_wrote_is_text_in_a_mail() -> None:
    assert "&lt;script&gt;" in ALERT.html and "<script>" not in ALERT.html


def test_a_long_message_is_cut() -> None:
    alert = ALERT.model_copy(update={"lines": [f"line {number}" for number in range(100)]})
    assert "line 19" in alert.text and "line 20" not in alert.text and "and 80 more" in alert.text


def test_a_failure_is_told_without_the_warehouse() -> None:
    alert = failure_alert(
        context(
            {"detect_changes": "success", "load_bronze": "failed", "close_release": "failed"},
            {"load_bronze": "a disk is full", "close_release": "a disk is full"},
        )
    )
    assert alert.lines == [
        "Run nightly failed (task_failure).",
        "load_bronze: a disk is full",
        "What readers see could not be asked for: connection refused",
    ]


def test_a_task_that_was_killed_leaves_no_reason() -> None:
    alert = failure_alert(context({"dbt_build": "failed", "close_release": "failed"}, {}))
    assert "dbt_build: see its log" in alert.lines


def test_a_run_that_nobody_needs_to_hear_of_sends_nothing() -> None:
    previous = SimpleNamespace(state="success")
    assert success_alert(context({}, {}, previous=previous)) is None
    assert success_alert(context({}, {}, previous=None)) is None


def test_the_end_of_a_failure_is_told_once_cleared_or_in_the_next_run() -> None:
    failed = SimpleNamespace(state="failed")
    for found in (
        success_alert(context({}, {}, previous=failed)),
        success_alert(context({}, {}, cleared=1)),
    ):
        assert found is not None and found.subject == "pipeline works again"


def test_a_channel_that_is_down_does_not_silence_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    sent = []

    class Channel:
        def __init__(self, works: bool) -> None:
            self.works = works

        def notify(self, _: Any) -> None:
            if not self.works:
                raise OSError("mail server is down")
            sent.append(self)

    monkeypatch.setattr(alerts, "notifiers", lambda _: [Channel(False), Channel(True)])
    with pytest.raises(OSError, match="mail server is down"):
        send(ALERT, context({}, {}))
    assert len(sent) == 1


def test_nor_does_it_when_a_run_is_late(monkeypatch: pytest.MonkeyPatch) -> None:
    sent = []

    class Channel:
        def __init__(self, works: bool) -> None:
            self.works = works

        async def async_notify(self, _: Any) -> None:
            if not self.works:
                raise OSError("mail server is down")
            sent.append(self)

    monkeypatch.setattr(alerts, "notifiers", lambda _: [Channel(False), Channel(True)])
    run = {"dag_id": "pipeline", "dag_run_id": "r", "logical_date": "2026-01-01T00:00:00Z"}
    with pytest.raises(OSError, match="mail server is down"):
        asyncio.run(alerts.alert_late({"dag_run": run}))
    assert len(sent) == 1


def test_without_a_setting_nobody_is_told() -> None:
    assert notifiers(ALERT) == []


def test_the_deadline_is_a_number_of_minutes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GAMEBOT_DEADLINE_MINUTES", raising=False)
    assert deadline() == timedelta(hours=1)
    monkeypatch.setenv("GAMEBOT_DEADLINE_MINUTES", "1.5")
    assert deadline() == timedelta(seconds=90)
    for wrong in ("soon", "0", "-5", "1e999", "nan"):
        monkeypatch.setenv("GAMEBOT_DEADLINE_MINUTES", wrong)
        with pytest.raises(ValueError, match="GAMEBOT_DEADLINE_MINUTES must be"):
            deadline()
