"""Values and changes as a person would say them, safe in Markdown."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

NAMED = 5
"""Columns, rows or examples that a line names."""
LONG_TEXT = 60

LARGE = re.compile(r"-?[1-9]\d{4,}")
NUMBER = re.compile(r"-?\d+\.\d{4,}(e-?\d+)?")
MARKUP = re.compile(r"([\\`*<>|\[\]]|\b_|_\b)")


def ordinal(number: str) -> str:
    """Return 1st, 2nd and so on."""
    if not number.isdigit():
        return number
    ending = {1: "st", 2: "nd", 3: "rd"}.get(int(number[-1]), "th")
    return number + ("th" if number[-2:-1] == "1" else ending)


PHRASES: dict[str, Callable[[str, str], str]] = {
    "place": lambda before, after: f"placed {ordinal(after)}, not {ordinal(before)}",
    "castaway": lambda before, after: f"is called {after}, not {before}",
    "full_name": lambda before, after: f"is named {after}, not {before}",
    "date_of_birth": lambda before, after: f"was born on {after}, not {before}",
    "date_of_death": lambda before, after: f"died on {after}, not {before}",
    "city": lambda before, after: f"is from {after}, not {before}",
    "result": lambda before, after: f"{after}, not {before}",
}


def change_in_words(
    column: str, before: str | None, after: str | None, names: Mapping[str, str]
) -> str:
    """Say what a value is now and what it was."""
    was, now = both(before, after, names)
    if column in PHRASES and was is not None and now is not None:
        return PHRASES[column](was, now)
    if was is None:
        return f"`{column}` is now given: {now}"
    if now is None:
        return f"`{column}` is empty now, was {was}"
    return f"`{column}` is {now}, not {was}"


def counted_columns(cells: Mapping[str, int], named: int = NAMED) -> str:
    """Name the columns with most cells."""
    most = sorted(cells.items(), key=lambda item: -item[1])
    said = ", ".join(f"`{column}` ({count:,})" for column, count in most[:named])
    left = len(most) - named
    return said + (f" and {count(left, 'other column')}" if left > 0 else "")


def count(number: int, thing: str) -> str:
    """Return such as "3 rows"."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def both(
    before: str | None, after: str | None, names: Mapping[str, str]
) -> tuple[str | None, str | None]:
    """Shorten two values so that the difference stays to be seen."""
    if before is None or after is None:
        said = [
            None if value is None else _short(names.get(value, value)) for value in (before, after)
        ]
        return said[0], said[1]
    before, after = names.get(before, before), names.get(after, after)
    if NUMBER.fullmatch(before) or NUMBER.fullmatch(after):
        for digits in range(4, 17):
            shorter = [_number(value, digits) for value in (before, after)]
            if shorter[0] != shorter[1]:
                return shorter[0], shorter[1]
    if max(len(before), len(after)) > LONG_TEXT:
        before, after = _around(before, after), _around(after, before)
        return f"“{text(before)}”", f"“{text(after)}”"
    return _short(before), _short(after)


def _number(value: str, digits: int) -> str:
    try:
        if LARGE.fullmatch(value):
            return f"{int(value):,}"
        if not NUMBER.fullmatch(value):
            return value
        shorter = f"{float(value):.{digits}g}"
        if "e+" in shorter:
            return f"{float(value):,.0f}"
        return f"{float(shorter):,}".removesuffix(".0") if float(value) >= 10_000 else shorter
    except ValueError:
        return value


def _around(value: str, other: str) -> str:
    """Cut a long text to where it differs from another one."""
    same = next(
        (n for n, (a, b) in enumerate(zip(value, other, strict=False)) if a != b),
        min(len(value), len(other)),
    )
    start = max(0, same - LONG_TEXT // 3)
    cut = value[start : start + LONG_TEXT]
    return ("…" if start else "") + cut + ("…" if start + LONG_TEXT < len(value) else "")


def _short(value: str) -> str:
    value = _number(value, 6)
    cut = value if len(value) <= LONG_TEXT else value[: LONG_TEXT - 1] + "…"
    return text(cut) if cut else "empty"


def text(value: str) -> str:
    """Make text of upstream's harmless in Markdown."""
    return MARKUP.sub(r"\\\1", " ".join(value.split()))
