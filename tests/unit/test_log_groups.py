"""What matters stands in the open; what folds the rest is no message of its own."""

from __future__ import annotations

import logging
from contextlib import suppress

import pytest

from include.log_groups import MOST_LINES, log_group, shortened


def test_a_group_is_closed_however_it_ends(caplog: pytest.LogCaptureFixture) -> None:
    """An open one would swallow the error that follows."""
    log = logging.getLogger("include.test")
    caplog.set_level(logging.INFO, "include.test")
    with suppress(ValueError), log_group(log, "Every check"):
        log.info("ok")
        raise ValueError("killed")
    assert caplog.messages == ["::group::Every check", "ok", "::endgroup::"]


def test_many_lines_are_few_and_a_number() -> None:
    assert shortened(["a", "b"]) == ["a", "b"]
    assert shortened(["a"] * (MOST_LINES + 7))[-1] == "and 7 more"
