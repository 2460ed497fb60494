"""Which source a text means, and which one is meant when nothing is said."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from gamebot.duckdb_file import DuckDBFile
from gamebot.errors import NoData
from gamebot.package import POINTER, open_package
from gamebot.warehouse import Warehouse

if TYPE_CHECKING:
    import duckdb

    from gamebot.catalogue import Release, Table

SETTING = "GAMEBOT_DATA"
WAREHOUSE = "warehouse"


class Source(Protocol):
    """Where tables come from."""

    def release(self) -> Release:
        """Return the release that it shows."""

    def tables(self) -> dict[str, Table]:
        """Return its tables by their full names."""

    def rows(self) -> dict[str, int]:
        """Return how many rows each table has, by full name."""

    def show(self, engine: duckdb.DuckDBPyConnection, tables: Iterable[Table]) -> Release:
        """Make tables readable in DuckDB, by layer and name; return the release they are of."""


def find_source(place: str | None, environ: Mapping[str, str] = os.environ) -> Source:
    """Open what a text names, or the default source.

    Raises:
        NoData: there is nothing there, or nothing was said and nothing is found.
    """
    place = str(place or environ.get(SETTING) or latest_on_this_machine(environ) or "")
    if not place:
        raise NoData(
            "There is no Survivor data on this machine yet. One of these brings it:\n"
            "  gamebot.open(place), or GAMEBOT_DATA=place: a package's or store's folder or URL, "
            "gamebot.duckdb, postgresql://…\n"
            "  make run in a checkout of the project: builds a warehouse and a package that is "
            "found from then on"
        )
    if place == WAREHOUSE:
        return Warehouse.of_environment(environ)
    if place.startswith(("postgresql://", "postgres://")):
        return Warehouse.at(place)
    if "://" in place:
        return open_package(place)
    path = Path(place).expanduser().absolute()
    if not path.exists():
        raise NoData(f"{path} does not exist: name a package's or a store's folder.")
    if path.is_file() and path.suffix != ".json":
        return DuckDBFile(path)
    return open_package(str(path))


def latest_on_this_machine(environ: Mapping[str, str]) -> Path | None:
    """Return the store that the last make run or make export of this user's checkouts left."""
    stores = [(_published_at(pointer), pointer.parent) for pointer in _pointers(environ)]
    return max(stores)[1] if stores else None


def _pointers(environ: Mapping[str, str]) -> Iterator[Path]:
    # As include/local/state.py of the project chooses a checkout's folder.
    if chosen := environ.get("GAMEBOT_STATE_DIR"):
        folders = [Path(chosen).expanduser()]
    else:
        base = environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
        bases = [Path(base, "gamebot")]
        if sys.platform != "win32" and os.geteuid() == 0:
            bases.append(Path("/var/lib/gamebot"))
        folders = [folder for each in bases if each.is_dir() for folder in sorted(each.iterdir())]
    for folder in folders:
        if (pointer := folder / "artifacts" / POINTER).is_file():
            yield pointer


def _published_at(pointer: Path) -> str:
    try:
        said = json.loads(pointer.read_text(encoding="utf-8"))
        return str(said["published_at"] or "")
    except (OSError, ValueError, KeyError, TypeError):
        return ""  # the error is told when it is opened
