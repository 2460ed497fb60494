"""More seasons than there are: copies of the real ones, under keys of their own.

Copy 0 is the real data. In copy 7, season US47 is US747 (number 747), castaway US0012 is US70012
and "Rob Cesternino" is "Rob Cesternino 7", in every dataset alike, so that keys stay unique and a
join finds as many rows as in the real data. Whatever is numbered within a season (challenges,
advantages, stages, votes) keeps its number, and a short name, which only ever means somebody of a
season, stays. The franchises stay five: what is computed over one meets as many more seasons.

The seeds grow along: a repair, an exception and a count of rows per copy.
"""

from __future__ import annotations

import csv
import gzip
import re
import shutil
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psycopg
from psycopg import sql

from include.environments import PROJECT_DIR
from include.ingestion.catalog import load_catalog
from include.ingestion.load import ROW_NUMBER
from include.ingestion.reader import Table, read_table
from include.warehouse.schemas import release_schema
from tests.survivor_files import NA_INTEGER, NA_REAL, data_frame, saved, strings, text, vector

# Franchise and number, of a season or of a castaway; several castaways stand in a list.
CODE = r"\y([A-Z]{2})((?:Captain)?\d{2,})\y"
PYTHON_CODE = re.compile(CODE.replace(r"\y", r"\b"))
CODES = frozenset(
    (
        *("version_season", "castaway_id", "played_for_id", "vote_id", "voted_out_id"),
        *("finalist_id", "winner_id"),
    )
)
NAMES = frozenset(("full_name", "full_name_detailed"))
SEASON = "season"
SEASONS_PER_COPY = 100

# Files as upstream's are compressed, but as fast as may be.
COMPRESSION_LEVEL = 1
KIND_OF = {"logical": 10, "integer": 13, "factor": 13, "double": 14, "Date": 14, "character": 16}


def rekeyed(column: str, values: pd.Series, copy: int) -> pd.Series:
    """Return the values that a column of a dataset has in a copy."""
    if not copy:
        return values
    if column == SEASON:
        return values + SEASONS_PER_COPY * copy
    if column in CODES or column in NAMES:
        change = rekeyed_codes if column in CODES else rekeyed_name
        keys = {value: change(value, copy) for value in values.dropna().unique()}
        return values.map(keys).astype(object).where(values.notna(), None)
    return values


def rekeyed_codes(value: str, copy: int) -> str:
    """Return a text with the seasons and castaways of a copy in place of the real ones."""
    return PYTHON_CODE.sub(rf"\g<1>{copy}\g<2>", value) if copy else value


def rekeyed_name(name: str, copy: int) -> str:
    """Return the full name that a person has in a copy."""
    return f"{name} {copy}" if copy else name


def write_seasons(source: Path, into: Path, copies: int) -> int:
    """Write a folder of .rda files with the seasons of another, so many times.

    Returns:
        The number of rows in them.
    """
    into.mkdir(parents=True)
    rows = 0
    for name in load_catalog().datasets:
        path = source / f"{name}.rda"
        if path.exists():
            table = read_table(path)
            rows += copies * len(table.frame)
            columns = {
                column: _column(table, column, copies) for column in map(str, table.frame.columns)
            }
            content = saved({name: data_frame(columns, copies * len(table.frame))})
            (into / path.name).write_bytes(
                gzip.compress(content, compresslevel=COMPRESSION_LEVEL, mtime=0)
            )
    return rows


def _column(table: Table, column: str, copies: int) -> bytes:
    values, r_type = table.frame[column], table.r_types[column]
    attributes = {}
    if r_type in ("character", "factor", "Date"):
        # However the reader keeps them.
        values = values.astype(object).where(values.notna(), None)
    if r_type == "Date":
        attributes = {"class": strings(["Date"])}
    elif r_type == "factor":
        levels = sorted(values.dropna().unique())
        attributes = {"levels": strings(levels), "class": strings(["factor"])}
        values = values.map({level: code for code, level in enumerate(levels, start=1)})
    if column == SEASON or column in CODES or column in NAMES:
        content = b"".join(
            _encoded(rekeyed(column, values, copy), r_type) for copy in range(copies)
        )
    else:
        content = _encoded(values, r_type) * copies
    return vector(KIND_OF[r_type], copies * len(values), content, attributes)


def _encoded(values: pd.Series, r_type: str) -> bytes:
    if r_type == "character":
        encoded: dict[Any, bytes] = {value: text(value) for value in values.unique()}
        return b"".join(map(encoded.__getitem__, values))
    if r_type == "Date":
        values = pd.to_datetime(values).map(lambda date: date.toordinal(), na_action="ignore")
        values = values - pd.Timestamp(0).toordinal()
    missing = values.isna().to_numpy()
    if r_type in ("double", "Date"):
        # Not a number is a value, which only the real column can hold.
        doubles = values.to_numpy(dtype=">f8", na_value=np.nan)
        doubles.view(">u8")[missing] = struct.unpack(">Q", NA_REAL)[0]
        return doubles.tobytes()
    integers = values.to_numpy(dtype="float64", na_value=0).astype(">i4")
    integers[missing] = NA_INTEGER
    return integers.tobytes()


def multiply_bronze(connection: psycopg.Connection, release_id: int, copies: int) -> int:
    """Add copies to the real seasons that a release's bronze holds, and tell `ops` of them.

    Returns:
        The number of rows of bronze then.
    """
    schema = release_schema("bronze", release_id)
    rows = 0
    for (name,) in connection.execute(
        "select dataset from ops.dataset_versions where release_id = %s order by dataset",
        (release_id,),
    ).fetchall():
        target = sql.Identifier(schema, name)
        found = connection.execute(
            "select attname from pg_attribute where attrelid = %s::regclass and attnum > 0 "
            "order by attnum",
            (target.as_string(connection),),
        )
        columns = [column for (column,) in found]
        ((count,),) = connection.execute(
            sql.SQL("select count(*) from {}").format(target)
        ).fetchall()
        connection.execute(
            sql.SQL(
                "insert into {target} select {values} "
                "from {target}, generate_series(1, {last}) as copy"
            ).format(
                target=target,
                values=sql.SQL(", ").join(_expression(column, count) for column in columns),
                last=copies - 1,
            )
        )
        connection.execute(sql.SQL("analyze {}").format(target))
        connection.execute(
            "update ops.dataset_versions set rows = rows * %(copies)s, "
            "seasons = seasons * %(copies)s where release_id = %(release)s and dataset = %(name)s",
            {"copies": copies, "release": release_id, "name": name},
        )
        rows += copies * count
    return rows


def _expression(column: str, rows: int) -> sql.Composable:
    name = sql.Identifier(column)
    if column == SEASON:
        return sql.SQL("{} + {} * copy").format(name, SEASONS_PER_COPY)
    if column == ROW_NUMBER:
        return sql.SQL("{} + {} * copy").format(name, rows)
    if column in CODES:
        # A list is rare, and to replace by a regular expression slow.
        return sql.SQL(
            r"case when {name} ~ '^[A-Z]{{2}}\d{{2,}}$' "
            "then left({name}, 2) || copy || substr({name}, 3) "
            r"else regexp_replace({name}, {code}, '\1' || copy || '\2', 'g') end"
        ).format(name=name, code=CODE)
    if column in NAMES:
        return sql.SQL("{} || ' ' || copy").format(name)
    return name


def write_project(into: Path, copies: int) -> None:
    """Copy the dbt project, with seeds for so many copies of the seasons."""
    project = PROJECT_DIR / "include" / "dbt"
    shutil.copytree(project, into, ignore=shutil.ignore_patterns("target", "logs"))
    for path in into.glob("seeds/**/*.csv"):
        with path.open(encoding="utf-8", newline="") as file:
            header, *rows = csv.reader(file)
        with path.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows(
                [header, *_seed_rows(header, rows, copies)]
            )


def _seed_rows(header: list[str], rows: list[list[str]], copies: int) -> Iterator[list[str]]:
    # A seed of categories has no keys and stays as it is.
    keys = [header.index(name) for name in ("row_key", "version_season") if name in header]
    values = [header.index(name) for name in ("upstream_value", "our_value") if name in header]
    for copy in range(copies if keys else 1):
        for row in rows:
            change = rekeyed_name if row[0] == "castaway_details" else rekeyed_codes
            yield [
                change(value, copy)
                if index in keys
                else rekeyed_codes(value, copy)
                if index in values
                else value
                for index, value in enumerate(row)
            ]
