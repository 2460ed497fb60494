"""How pages say durations, and what they leave out of what tools said."""

from __future__ import annotations

import pytest

from include.console.words import seconds, signed, without_login


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (None, ""),
        (0.04, "0.0 s"),
        (12.4, "12 s"),
        (59.6, "1 min"),
        (200, "3 min 20 s"),
        (3600, "1 h"),
        (7500, "2 h 5 min"),
        (49 * 3600, "2 days"),
    ],
)
def test_a_duration_is_said_as_people_do(value: float | None, said: str) -> None:
    assert seconds(value) == said


def test_a_change_has_a_sign_also_when_there_is_none() -> None:
    assert [signed(value) for value in (None, 0, 12, -3)] == ["", "±0", "+12", "\u22123"]


@pytest.mark.parametrize(
    "text",
    [
        "no answer from postgresql://gamebot:hunter2@db",  # pragma: allowlist secret
        "s3://KEY:hunter2@bucket/path",  # pragma: allowlist secret
        "FATAL: password=hunter2 was refused",
        "Token: hunter2",
    ],
)
def test_no_password_of_an_error_is_shown(text: str) -> None:
    told = without_login(text)
    assert "hunter2" not in told
    assert told.split()[0] == text.split()[0] or "…" in told
