"""The Survivor warehouse in a notebook: DataFrames and SQL, without a database.

    import gamebot

    gamebot.tables()
    gamebot.load_table("gold.ml_features_as_of")
    gamebot.query("select castaway, season_name from castaway_profile where is_winner")

Functions of this module read the default source: what the variable GAMEBOT_DATA names, or what
make run or make export left on this machine. `gamebot.open(…)` reads another one.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import pandas as pd

from gamebot.catalogue import Release
from gamebot.client import Gamebot
from gamebot.errors import (
    Damaged,
    GamebotError,
    MissingExtra,
    NewerFormat,
    NoData,
    QueryFailed,
    UnknownName,
    Unreachable,
)
from gamebot.sources import SETTING

__all__ = [
    "Damaged",
    "Gamebot",
    "GamebotError",
    "MissingExtra",
    "NewerFormat",
    "NoData",
    "QueryFailed",
    "Release",
    "UnknownName",
    "Unreachable",
    "describe",
    "load_table",
    "open",
    "query",
    "release",
    "tables",
]


def open(source: str | None = None) -> Gamebot:  # noqa: A001
    """Return a client of another source than the default one; see `Gamebot`."""
    return Gamebot(source)


def load_table(table: str, columns: Sequence[str] | None = None) -> pd.DataFrame:
    """Return a table, whole or some of its columns; see `Gamebot.load_table`."""
    return _default().load_table(table, columns)


def query(sql: str, params: Sequence[Any] | Mapping[str, Any] | None = None) -> pd.DataFrame:
    """Return the result of a query in DuckDB's SQL; see `Gamebot.query`."""
    return _default().query(sql, params)


def tables() -> pd.DataFrame:
    """Return the tables: name, rows, columns and description."""
    return _default().tables()


def describe(table: str) -> pd.DataFrame:
    """Return the columns of a table: name, type and description; see `Gamebot.describe`."""
    return _default().describe(table)


def release() -> Release:
    """Return which release is read, of which commit, published when, and from where."""
    return _default().release()


def _default() -> Gamebot:
    return _client(os.environ.get(SETTING))


@lru_cache(maxsize=1)
def _client(_setting: str | None) -> Gamebot:
    return Gamebot()
