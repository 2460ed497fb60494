"""What can go wrong, told so that whoever reads it knows what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class GamebotError(Exception):
    """Something that the caller can mend; the message says how."""


class NoData(GamebotError):
    """Nothing was found where data was expected."""


class Unreachable(GamebotError):
    """The store or the warehouse does not answer, or does not let us in."""


class Damaged(GamebotError):
    """A file is not what its package says it is."""


class NewerFormat(GamebotError):
    """The package was made for a later version of this client."""


class MissingExtra(GamebotError, ImportError):
    """A library is missing that only this kind of source needs."""


class UnknownName(GamebotError, LookupError):
    """There is no such table or column."""


class QueryFailed(GamebotError):
    """DuckDB refuses the query."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return the names that are close to a wrong one as a sentence, an empty text for none."""
    # Whoever names the wrong layer, or none, means the table all the same.
    names = {full: full.rpartition(".")[2].lower() for full in known}
    wanted = name.rpartition(".")[2].lower()
    short = difflib.get_close_matches(wanted, set(names.values()), n=3, cutoff=0.6)
    inside = sorted(each for each in names.values() if wanted and wanted in each)
    found = [
        full for each in dict.fromkeys(short + inside) for full in names if names[full] == each
    ]
    return f" Did you mean {', '.join(found[:5])}?" if found else ""
