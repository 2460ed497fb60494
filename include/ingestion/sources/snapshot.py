"""Source `snapshot`: the PyPI package gamebot-lite, for machines with no way to GitHub.

The package holds a SQLite database whose bronze tables are survivoR's as of 2026-09-21, rewritten
by an earlier loader. This module turns them back into upstream's columns:

* `order` gets its name back, columns that the loader added go, and so do the five challenges
  (SA05, 36 to 40) that it invented;
* a null tribe becomes the text 'None' again where upstream has that text;
* `success` of advantage_movement regains its capital, and the events that were split into one row
  per holder or target are one row again;
* the won flags of challenge_results come from challenge_summary, whose stage of the game comes from
  challenge_results;
* numbers and truth values that were stored as text are numbers and truth values.

It cannot give what the loader threw away, which the catalogue lists as unavailable: the datasets
advantage_timeline and tribe_colours, the columns confessionals.index_count and index_time, and
season_summary.description. Nor, without a trace: the second copy of one row of auction_details, the
original challenge_id of 11 rows of vote_history (US37, AU11 and SA08 point to the fire-making
challenge itself; upstream points one too high), spaces around some texts, digits beyond the fourth
of expected confessionals, and upstream's row order in the six datasets that have no entry in
`ROW_NUMBERS`. No commit of upstream is recorded in it.
"""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import os
import re
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from include.ingestion.reader import RType, Table, UnreadableFile
from include.ingestion.sources.base import (
    ResolvedSource,
    SourceError,
    SourceFile,
    SourceUnavailable,
)

REQUIREMENTS = Path(__file__).with_name("snapshot-requirements.txt")
PACKAGE = "gamebot-lite"
DATABASE = Path("gamebot_lite", "data", "gamebot.sqlite")
INSTALL_SECONDS = 300

# Where Debian, Fedora and macOS keep the machine's certificates.
CERTIFICATES = (
    Path("/etc/ssl/certs/ca-certificates.crt"),
    Path("/etc/pki/tls/certs/ca-bundle.crt"),
    Path("/etc/ssl/cert.pem"),
)

NOTE = (
    "The snapshot is survivoR as of 2026-09-21. It lacks the datasets advantage_timeline and "
    "tribe_colours, confessionals.index_count and index_time, and season_summary.description."
)

# The number that the earlier loader gave each row in upstream's order; SQLite's order is another.
ROW_NUMBERS = {
    "advantage_movement": "advantage_movement_id",
    "auction_details": "auction_detail_id",
    "boot_mapping": "boot_mapping_id",
    "boot_order": "boot_order_id",
    "castaway_scores": "castaway_score_id",
    "castaways": "castaway_unique_id",
    "challenge_results": "challenge_results_id",
    "confessionals": "confessional_id",
    "journeys": "journey_id",
    "jury_votes": "jury_vote_id",
    "survivor_auction": "survivor_auction_id",
    "tribe_mapping": "tribe_map_id",
    "vote_history": "vote_history_id",
}

ADDED_COLUMNS = {
    "ingest_run_id", "source_dataset", "ingested_at", *ROW_NUMBERS.values(),
    "co_castaway_ids", "joint_play", "multi_target_play",
}  # fmt: skip

ORDER_COLUMNS = {
    "castaways_order", "boot_order_position", "boot_mapping_order", "vote_history_order",
}  # fmt: skip

# Columns in which upstream writes the text 'None' for the null of the package.
NONE_IS_TEXT = {
    "boot_mapping": ("tribe", "tribe_status"),
    "castaways": ("original_tribe",),
    "challenge_results": ("tribe",),
    "challenge_summary": ("tribe",),
    "tribe_mapping": ("tribe",),
}

# Seasons in which upstream's own challenge tables leave the tribe of castaways on an island null.
NULL_IS_NULL = {
    "challenge_results": ("AU03", "US22", "US23", "US27", "US38", "US40"),
    "challenge_summary": ("AU03", "US22", "US23", "US27", "US38", "US40"),
}

STORED_AS_TEXT: dict[tuple[str, str], RType] = {
    ("castaways", "place"): "integer",
    ("jury_votes", "vote"): "double",
    ("journeys", "chose_to_play"): "logical",
}

R_TYPES: dict[str, RType] = {
    "TEXT": "character",
    "BIGINT": "integer",
    "FLOAT": "double",
    "BOOLEAN": "logical",
    "DATE": "Date",
}

# Category of challenge_summary behind each flag of challenge_results. An absent category means 0. A
# castaway absent from a team challenge altogether means null: the line-up is unknown.
WON_CATEGORIES = {
    "won": "All",
    "won_tribal_reward": "Tribal Reward",
    "won_tribal_immunity": "Tribal Immunity",
    "won_team_reward": "Team Reward",
    "won_team_immunity": "Team Immunity",
    "won_individual_reward": "Individual Reward",
    "won_individual_immunity": "Individual Immunity",
    "won_duel": "Duel",
}

CASTAWAY_CHALLENGE = "version_season, castaway_id, challenge_id"
FLAGS = ", ".join(
    f"max(won) filter (where category = '{category}') as {flag}"
    for flag, category in WON_CATEGORIES.items()
)
FLAGS_OR_UNKNOWN = ", ".join(
    f"case when flags.castaway_id is null and outcome_type = 'Team' then null"
    f" else coalesce(flags.{flag}, 0.0) end as {flag}"
    for flag in WON_CATEGORIES
)

# Put together from the constants above, never from input.
QUERIES = {
    "challenge_description": """
        select * from challenge_description
        where not (version_season = 'SA05' and challenge_id between 36 and 40)
        order by rowid""",
    "challenge_results": f"""
        with flags as (
            select {CASTAWAY_CHALLENGE}, {FLAGS}
            from challenge_summary
            group by {CASTAWAY_CHALLENGE}
        )
        select challenge_results.*, {FLAGS_OR_UNKNOWN}
        from challenge_results left join flags using ({CASTAWAY_CHALLENGE})
        order by challenge_results_id""",  # noqa: S608
    "challenge_summary": f"""
        select challenge_summary.*, challenge_results.sog_id
        from challenge_summary left join challenge_results using ({CASTAWAY_CHALLENGE})
        order by challenge_summary.rowid""",  # noqa: S608
}
COMPUTED_COLUMNS: dict[str, RType] = {
    "sog_id": "integer",
    **dict.fromkeys(WON_CATEGORIES, "double"),
}

EVENT = ("version_season", "advantage_id", "sequence_id")
SPLIT_COLUMNS = ("castaway", "castaway_id", "played_for", "played_for_id")


def resolve() -> ResolvedSource:
    """Identify the pinned package; asks no network."""
    pins = REQUIREMENTS.read_text(encoding="utf-8")
    version = re.search(rf"^{PACKAGE}==(\S+)", pins, re.MULTILINE)
    digest = re.search(r"--hash=sha256:([0-9a-f]{64})", pins)
    if not version or not digest:
        raise SourceError(f"{REQUIREMENTS.name} does not pin {PACKAGE} with a sha256 hash.")
    return ResolvedSource(
        kind="snapshot",
        version=version[1],
        location=f"Python package {PACKAGE} {version[1]}",
        fingerprint=digest[1],
        note=NOTE,
    )


def fetch(
    source: ResolvedSource,
    datasets: Collection[str],
    into: Path,
    on_progress: Callable[[str], None],
) -> SnapshotDatabase:
    """Install the pinned package into `into`, and nowhere else.

    Raises:
        SourceUnavailable: no package index gives the package.
        SourceError: the run was resolved with another version, or uv is not installed.
    """
    if resolve().fingerprint != source.fingerprint:
        raise SourceError(
            f"This worker pins another {PACKAGE} than the {source.version} that the run resolved. "
            "Deploy one version of the project everywhere and start the run again."
        )
    on_progress(f"files   installing {source.location}")
    _install(into)
    database = SnapshotDatabase.open(into / DATABASE, datasets)
    on_progress(f"files   {len(database.files)} datasets in {DATABASE.name}")
    return database


def _install(into: Path) -> None:
    try:
        import uv  # only this source needs it
    except ImportError as error:
        raise SourceError("Source snapshot needs the Python package uv: install it.") from error
    command = [
        uv.find_uv_bin(), "pip", "install", "--quiet", "--no-cache", "--no-deps",
        "--require-hashes", "--only-binary", ":all:", "--python", sys.executable,
        "--target", str(into), "--requirements", str(REQUIREMENTS),
    ]  # fmt: skip
    try:
        # In `into`, so that no uv setting of a project applies; those of user and machine do.
        subprocess.run(
            command, cwd=into, env={**os.environ, **_uv_settings(os.environ)}, check=True,
            capture_output=True, text=True, errors="replace", timeout=INSTALL_SECONDS,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise SourceUnavailable(
            f"{PACKAGE} could not be installed within {INSTALL_SECONDS} seconds."
        ) from error
    except subprocess.CalledProcessError as error:
        lines = " ".join(error.stderr.split())
        raise SourceUnavailable(
            f"{PACKAGE} cannot be installed: {lines[-600:]} Check the package index "
            "(UV_DEFAULT_INDEX or PIP_INDEX_URL)."
        ) from error


def _uv_settings(environ: Mapping[str, str]) -> dict[str, str]:
    """Return what uv is told besides: the same as in scripts/build_environments.sh."""
    settings: dict[str, str] = {}
    # They know the proxy of a company; uv's own do not.
    if any(bundle.is_file() and bundle.stat().st_size for bundle in CERTIFICATES):
        settings["UV_SYSTEM_CERTS"] = environ.get("UV_SYSTEM_CERTS") or "true"
    # uv does not read pip's settings: whoever has told only pip about a mirror means uv too.
    mirror = environ.get("PIP_INDEX_URL")
    if mirror and not (environ.get("UV_DEFAULT_INDEX") or environ.get("UV_INDEX_URL")):
        settings["UV_DEFAULT_INDEX"] = mirror
    return settings


@dataclass(frozen=True)
class SnapshotDatabase:
    """The package's SQLite database, read as if it were upstream's files."""

    database: Path
    files: dict[str, SourceFile]
    unknown: list[str]

    @classmethod
    def open(cls, database: Path, datasets: Collection[str]) -> SnapshotDatabase:
        """Find the datasets that the database holds.

        Raises:
            SourceError: it is no such database.
        """
        if not database.is_file():
            raise SourceError(f"The package holds no {database.name}.")
        with database.open("rb") as content:
            digest = hashlib.file_digest(content, "sha256").hexdigest()
        file = SourceFile(path=database, sha256=digest, size=database.stat().st_size)
        try:
            with _connect(database) as connection:
                tables = {name for (name,) in connection.execute("select name from sqlite_master")}
        except sqlite3.DatabaseError as error:
            raise SourceError(f"{database.name} is no SQLite database: {error}.") from error
        return cls(database, {name: file for name in datasets if name in tables}, [])

    def read(self, dataset: str) -> Table:
        """Read one dataset with upstream's columns, rows and values as far as they can be restored.

        Raises:
            UnreadableFile: the table is not what this module was written for.
        """
        try:
            with _connect(self.database) as connection:
                columns, r_types = _columns(connection, dataset)
        except (sqlite3.DatabaseError, ValueError, KeyError) as error:
            raise UnreadableFile(self.database.name, f"table {dataset}: {error}") from error
        frame = pd.DataFrame({name: _series(columns[name], r_types[name]) for name in columns})
        return Table(dataset, frame, r_types)


def _connect(database: Path) -> contextlib.closing[sqlite3.Connection]:
    uri = f"{database.resolve().as_uri()}?mode=ro&immutable=1"
    return contextlib.closing(sqlite3.connect(uri, uri=True))


def _columns(
    connection: sqlite3.Connection, dataset: str
) -> tuple[dict[str, Sequence[Any]], dict[str, RType]]:
    """Return the restored values and R types of a table's columns."""
    declared = {
        name: kind for _, name, kind, *_ in connection.execute(f'pragma table_info("{dataset}")')
    }
    everything = f'select * from "{dataset}" order by {ROW_NUMBERS.get(dataset, "rowid")}'  # noqa: S608
    cursor = connection.execute(QUERIES.get(dataset, everything))
    names = [description[0] for description in cursor.description]
    rows = cursor.fetchall()
    columns: dict[str, Sequence[Any]] = dict(
        zip(names, zip(*rows, strict=True) if rows else [()] * len(names), strict=True)
    )
    if dataset == "advantage_movement":
        columns = _join_split_events(columns)
    seasons = columns.get("version_season", ())
    r_types: dict[str, RType] = {}
    for stored_name in names:
        values = columns.pop(stored_name)
        if stored_name in ADDED_COLUMNS:
            continue
        name = "order" if stored_name in ORDER_COLUMNS else stored_name
        kind = declared.get(stored_name)
        r_types[name] = R_TYPES[kind] if kind else COMPUTED_COLUMNS[name]
        if name in NONE_IS_TEXT.get(dataset, ()):
            gaps = NULL_IS_NULL.get(dataset, ())
            values = [
                "None" if value is None and season not in gaps else value
                for value, season in zip(values, seasons, strict=True)
            ]
        if textual := STORED_AS_TEXT.get((dataset, name)):
            r_types[name] = textual
            values = [_from_text(value, textual) for value in values]
        columns[name] = values
    return columns, r_types


def _join_split_events(columns: dict[str, Sequence[Any]]) -> dict[str, Sequence[Any]]:
    """Make one row of an event again that was split by holder or target, in the rows' order."""
    events: dict[tuple[Any, ...], list[int]] = {}
    for row, event in enumerate(zip(*(columns[name] for name in EVENT), strict=True)):
        events.setdefault(event, []).append(row)
    joined: dict[str, Sequence[Any]] = {
        name: [values[rows[0]] for rows in events.values()] for name, values in columns.items()
    }
    for name in SPLIT_COLUMNS:
        joined[name] = [
            ", ".join(dict.fromkeys(columns[name][row] for row in rows if columns[name][row]))
            or None
            for rows in events.values()
        ]
    joined["success"] = [value and value.capitalize() for value in joined["success"]]
    return joined


def _from_text(value: str | None, r_type: RType) -> Any:
    if value is None:
        return None
    if r_type == "logical":
        return {"True": True, "False": False}[value]
    return int(value) if r_type == "integer" else float(value)


def _series(values: Sequence[Any], r_type: RType) -> pd.Series:
    if r_type == "character":
        return pd.Series(values, dtype=object).astype("category")
    if r_type == "Date":
        dates = [value and datetime.date.fromisoformat(value) for value in values]
        return pd.Series(dates, dtype=object).astype("category")
    missing = np.array([value is None for value in values], dtype=bool)
    known = [0 if value is None else value for value in values]
    if r_type == "logical":
        return pd.Series(pd.arrays.BooleanArray(np.array(known, dtype=bool), missing))
    if r_type == "integer":
        return pd.Series(pd.arrays.IntegerArray(np.array(known, dtype=np.int64), missing))
    return pd.Series(pd.arrays.FloatingArray(np.array(known, dtype=np.float64), missing))
