"""Logs for people: what matters stands in the open, the rest in groups that Airflow folds."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

# How many lines of a kind stand in the open.
MOST_LINES = 20

# Lines that start like this fold others and say nothing themselves.
GROUP, END = "::group::", "::endgroup::"


@contextmanager
def log_group(log: logging.Logger, title: str) -> Iterator[None]:
    """Fold what is logged inside, under a title."""
    log.info("%s%s", GROUP, title)
    try:
        yield
    finally:
        log.info(END)


def shortened(lines: Sequence[str]) -> list[str]:
    """Return the first of many lines, and how many more there are."""
    more = len(lines) - MOST_LINES
    return [*lines[:MOST_LINES], *([f"and {more} more"] if more > 0 else [])]
