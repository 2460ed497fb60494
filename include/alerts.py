"""Tell people what became of a run, through the channels that settings name.

A message is sent when a run failed, when the first one after a failure succeeded, when a published
release brought something that its predecessor did not have, and when a run is late. Each names the
runbook to follow. Airflow calls the functions: on failure and success in the DAG processor, on a
missed deadline in the triggerer.
"""

from __future__ import annotations

import asyncio
import html
import logging
import os
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

from include.parameters import duration
from include.run_notes import runbook
from include.warehouse.connection import ConnectionSettings

if TYPE_CHECKING:
    from airflow.sdk import BaseNotifier, Context

log = logging.getLogger(__name__)

# What a task that failed for good leaves for the message about its run.
FAILURE = "failure"
MOST_LINES = 20


class Alert(BaseModel):
    """One message: a subject, lines of plain text, where to look and what to read."""

    model_config = ConfigDict(frozen=True)

    subject: str
    lines: list[str]
    run_url: str
    runbook: str
    """A document of this project, seen from its root."""

    @property
    def text(self) -> str:
        """All of it, for a channel without markup."""
        return "\n".join([self.subject, "", *self._body()])

    @property
    def html(self) -> str:
        """All but the subject; whatever upstream or a database wrote into it is text."""
        return "<br>\n".join(html.escape(line) for line in self._body())

    def _body(self) -> list[str]:
        more = len(self.lines) - MOST_LINES
        cut = [f"and {more} more"] if more > 0 else []
        return [*self.lines[:MOST_LINES], *cut, "", f"Run: {self.run_url}", f"Do: {self.runbook}"]


def deadline() -> timedelta:
    """Return how long after its logical date a run is late.

    Raises:
        ValueError: as `duration` does.
    """
    return duration("GAMEBOT_DEADLINE_MINUTES", timedelta(minutes=1), default=60)


def alert_failure(context: Context) -> None:
    """Say that a run failed, where, why, and what readers see."""
    send(failure_alert(context), context)


def alert_success(context: Context) -> None:
    """Say that a run succeeded, if it ends a failure or published something worth knowing."""
    if alert := success_alert(context):
        send(alert, context)


async def alert_late(context: dict[str, Any]) -> None:
    """Say that a run has not ended at its deadline.

    Args:
        context: the run as the REST API describes it, which is all that a deadline knows.

    Raises:
        Exception: as `send` does.
    """
    run = context["dag_run"]
    due = datetime.fromisoformat(run["logical_date"]).astimezone(UTC)
    alert = Alert(
        subject=f"{run['dag_id']} is late",
        lines=[
            f"Run {run['dag_run_id']} of {due:%Y-%m-%d %H:%M} UTC has not ended within "
            f"{deadline().total_seconds() / 60:g} minutes.",
            "Readers keep what is published.",
        ],
        run_url=_run_url(run["dag_id"], run["dag_run_id"]),
        runbook="docs/runbooks/late-run.md",
    )
    log.info("%s", alert.text)
    sending = [notifier.async_notify(context) for notifier in notifiers(alert)]
    sent = await asyncio.gather(*sending, return_exceptions=True)
    if failures := [outcome for outcome in sent if isinstance(outcome, BaseException)]:
        raise failures[0]


def send(alert: Alert, context: Context) -> None:
    """Send it through every channel.

    Raises:
        Exception: what the first channel that failed raised, once all have been tried.
    """
    log.info("%s", alert.text)
    failures: list[Exception] = []
    for notifier in notifiers(alert):
        try:
            # Not by calling it, which renders the text as a template: upstream has a say in it.
            notifier.notify(context)
        except Exception as error:  # noqa: BLE001 whatever a provider raises
            log.error("%s could not send: %s", type(notifier).__name__, error)
            failures.append(error)
    if failures:
        raise failures[0]


def notifiers(alert: Alert) -> list[BaseNotifier]:
    """Return Airflow's notifiers for the message, one per channel that is set."""
    channels: list[BaseNotifier] = []
    if addresses := os.environ.get("GAMEBOT_ALERT_EMAILS"):
        from airflow.providers.smtp.notifications.smtp import SmtpNotifier

        channels.append(
            SmtpNotifier(
                to=[address.strip() for address in addresses.split(",")],
                subject=alert.subject,
                html_content=alert.html,
            )
        )
    if connection := os.environ.get("GAMEBOT_ALERT_SLACK_CONN_ID"):
        from airflow.providers.slack.notifications.slack_webhook import SlackWebhookNotifier

        channels.append(SlackWebhookNotifier(slack_webhook_conn_id=connection, text=alert.text))
    return channels


def failure_alert(context: Context) -> Alert:
    """Put together what an operator must know of a failed run.

    The warehouse may be what failed, so nothing in here needs it.
    """
    dag_id, run_id = context["dag"].dag_id, context["run_id"]
    lines = [f"Run {run_id} failed ({context.get('reason')})."]
    if ti := context.get("ti"):
        states = ti.get_task_states(dag_id=dag_id, run_ids=[run_id])[run_id]
        failed = sorted(task for task, state in states.items() if state == "failed")
        reasons = {task: ti.xcom_pull(task_ids=task, key=FAILURE) for task in failed}
        # close_release is red whenever another task is, and repeats its reason.
        causes = [task for task in failed if task != "close_release"] or failed
        lines += [f"{task}: {reasons[task] or 'see its log'}" for task in causes]
    lines.append(_published())
    return Alert(
        subject=f"{dag_id} failed",
        lines=lines,
        run_url=_run_url(dag_id, run_id),
        runbook=runbook(dag_id),
    )


def success_alert(context: Context) -> Alert | None:
    """Put together what is worth knowing of a run that succeeded; nothing for most of them."""
    from include.warehouse.news import release_news
    from include.warehouse.schemas import OWNER

    ti = context.get("ti")
    if ti is None:
        return None
    dag_id, run_id = context["dag"].dag_id, context["run_id"]
    release_id = ti.xcom_pull(task_ids="open_release")
    news: list[str] = []
    if release_id is not None:
        with ConnectionSettings.from_airflow().connect(role=OWNER) as connection:
            news = release_news(connection, int(release_id))
    recovered = _follows_a_failure(context)
    if not recovered and not news:
        return None
    return Alert(
        subject=f"{dag_id} works again" if recovered else f"{dag_id} has news",
        lines=[f"Run {run_id} succeeded.", _published(), *news],
        run_url=_run_url(dag_id, run_id),
        runbook="docs/runbooks/news.md" if news else "nothing",
    )


def _follows_a_failure(context: Context) -> bool:
    """Whether the run before failed, or this one did before its tasks were cleared.

    Runs are in the order of their logical dates, so one triggered without any follows none.
    """
    if context["dag_run"].clear_number:
        return True
    previous = context["ti"].get_previous_dagrun()
    return previous is not None and previous.state == "failed"


def _published() -> str:
    from include.warehouse.releases import published_release
    from include.warehouse.schemas import OWNER

    try:
        with ConnectionSettings.from_airflow().connect(role=OWNER) as connection:
            release = published_release(connection)
    except Exception as error:  # noqa: BLE001 a message without this line is better than none
        return f"What readers see could not be asked for: {error}"
    if release is None or release.published_at is None:
        return "Nothing is published yet."
    published_at = release.published_at.astimezone(UTC)
    return (
        f"Readers see release {release.release_id}, published on {published_at:%Y-%m-%d at %H:%M} "
        f"UTC from {release.source_kind} {release.source_version[:12]}."
    )


def _run_url(dag_id: str, run_id: str) -> str:
    from airflow.sdk.configuration import conf

    base = conf.get("api", "base_url", fallback="http://localhost:8080").rstrip("/")
    return f"{base}/dags/{dag_id}/runs/{run_id}"
