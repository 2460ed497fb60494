"""Writes docs/moving-from-gamebot-lite.md: what becomes of each column of the package here.

Builds a release from the package's own bronze, on a server that lives as long as this program, so
that every difference is one of the models and none of survivoR. The reasons stand in
moving_from_gamebot_lite.yml; the numbers are counted.
"""

from __future__ import annotations

import datetime
import math
import secrets
import sqlite3
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg
import yaml
from psycopg import sql
from pydantic import BaseModel, ConfigDict

from include import pipeline
from include.environments import PROJECT_DIR, executable, run
from include.ingestion.catalog import load_catalog
from include.ingestion.sources import SourceRequest, resolve_source, snapshot
from include.local.databases import LocalDatabases
from include.local.postgres import PostgresServer
from include.warehouse.schemas import TRANSFORMER, Layer, release_schema
from scripts.queries_of_gamebot_lite import load_documentation, render_documentation

VERDICTS = Path(__file__).with_suffix(".yml")
DOCUMENT = PROJECT_DIR / "docs" / "moving-from-gamebot-lite.md"
LAYERS: tuple[Layer, ...] = ("silver", "gold")
# Averages are added up in another order there, which changes the last digits.
TOLERANCE = 1e-9

Row = dict[str, Any]


class Verdicts(BaseModel):
    """What becomes of the columns of one table of the package."""

    model_config = ConfigDict(extra="forbid")

    match: list[str]
    first_by: str | None = None
    note: str = ""
    includes: str | None = None
    same: list[str]
    repaired: dict[str, str] = {}
    renamed: dict[str, tuple[str, str]] = {}
    dropped: dict[str, str] = {}

    @property
    def kept(self) -> dict[str, str]:
        """The name here of every column that is not dropped."""
        names = {name: name for name in (*self.same, *self.repaired)}
        return names | {name: here for name, (here, _) in self.renamed.items()}

    @property
    def columns(self) -> set[str]:
        """Every column of the package's table."""
        return {*self.kept, *self.dropped}


class Comparison(BaseModel):
    """The rows of one table there and here."""

    layer: Layer
    rows_there: int
    rows_here: int
    without_match_there: int
    sharing_a_match: int
    without_match_here: int
    changed: dict[str, int]
    """Matched rows there whose value differs here, per column."""
    new: list[str]


def load_verdicts() -> dict[str, Verdicts]:
    """Read the verdicts, with those that a table takes over from another one."""
    content = yaml.safe_load(VERDICTS.read_text(encoding="utf-8"))
    tables = {name: Verdicts.model_validate(table) for name, table in content.items()}
    for table in tables.values():
        if table.includes:
            other = tables[table.includes]
            table.same = [*other.same, *table.same]
            table.repaired = other.repaired | table.repaired
            table.renamed = other.renamed | table.renamed
            table.dropped = other.dropped | table.dropped
    return tables


@contextmanager
def release_of_the_package() -> Iterator[tuple[psycopg.Connection, sqlite3.Connection]]:
    """Build a release from the package. Yields the ways into its warehouse and into the package."""
    with tempfile.TemporaryDirectory(prefix="gamebot-moving-") as name:
        folder = Path(name)
        folder.chmod(0o711)  # a server that root starts runs as somebody else
        logins = ("superuser", "pipeline", "reader", "airflow")
        passwords = {f"postgres_{login}": secrets.token_hex() for login in logins}
        server = PostgresServer(folder / "postgres", passwords["postgres_superuser"])
        databases = LocalDatabases(server, passwords)
        try:
            databases.start()
            package = folder / "package"
            package.mkdir()
            source = resolve_source(SourceRequest(source="snapshot"))
            fetched = snapshot.fetch(source, load_catalog().datasets.keys(), package, print)
            release_id = pipeline.open_release(databases.pipeline, source, "gold", "make moving")
            pipeline.load_bronze(databases.pipeline, release_id, source, on_progress=print)
            environment = databases.pipeline.as_environment() | {
                "DB_ROLE": TRANSFORMER,
                "GAMEBOT_RELEASE_ID": str(release_id),
                "DBT_TARGET_PATH": str(folder / "target"),
                "DBT_LOG_PATH": str(folder / "logs"),
            }
            without_tests = ["--exclude-resource-types", "test", "unit_test"]
            run(
                [
                    executable("dbt", "dbt"),
                    "--quiet",
                    "build",
                    "--profiles-dir",
                    ".",
                    *without_tests,
                ],
                environment,
                print,
                cwd=PROJECT_DIR / "include" / "dbt",
            )
            with (
                databases.pipeline.connect(role=TRANSFORMER) as warehouse,
                closing(sqlite3.connect(fetched.database)) as lite,
            ):
                schemas = [release_schema(layer, release_id) for layer in LAYERS]
                warehouse.execute(
                    "select set_config('search_path', %s, false)", (",".join(schemas),)
                )
                yield warehouse, lite
        finally:
            server.stop()


def plain(value: Any) -> Any:
    """Return a value as both databases can say it: text, or a number for anything countable."""
    if value is None or isinstance(value, str):
        return value
    return value.isoformat() if isinstance(value, datetime.date) else float(value)


def differ(there: Any, here: Any) -> bool:
    """Whether two plain values are more than rounding apart."""
    if isinstance(there, float) and isinstance(here, float):
        return not math.isclose(there, here, rel_tol=TOLERANCE, abs_tol=TOLERANCE)
    return bool(there != here)


def rows_of(cursor: Any) -> list[Row]:
    """Return the rows of a query as dictionaries of plain values."""
    names = [column[0] for column in cursor.description]
    return [dict(zip(names, map(plain, row), strict=True)) for row in cursor]


def compare(
    warehouse: psycopg.Connection, lite: sqlite3.Connection, table: str, verdicts: Verdicts
) -> Comparison:
    """Match the rows of one table and count what changes."""
    there = rows_of(lite.execute(f'select * from "{table}"'))  # noqa: S608
    order = verdicts.first_by or verdicts.match[0]
    here = rows_of(
        warehouse.execute(
            sql.SQL("select * from {} order by {}").format(
                sql.Identifier(table), sql.Identifier(order)
            )
        )
    )
    unknown = set(there[0]) ^ verdicts.columns
    if unknown:
        raise SystemExit(f"{table}: no verdict, or no such column: {', '.join(sorted(unknown))}")

    def key(row: Row) -> tuple[Any, ...]:
        return tuple(row[name] for name in verdicts.match)

    matches: dict[tuple[Any, ...], Row] = {}
    for row in here:
        matches.setdefault(key(row), row)
    pairs = [(row, matches[key(row)]) for row in there if key(row) in matches]
    keys = Counter(map(key, there))
    [(schema,)] = warehouse.execute(
        "select table_schema from information_schema.tables "
        "where table_name = %s and table_schema = any(current_schemas(false))",
        (table,),
    ).fetchall()
    return Comparison(
        layer=schema.partition("_")[0],
        rows_there=len(there),
        rows_here=len(here),
        without_match_there=len(there) - len(pairs),
        sharing_a_match=sum(count - 1 for match, count in keys.items() if match in matches),
        without_match_here=sum(key(row) not in keys for row in here),
        changed={
            name: sum(differ(row[name], match[ours]) for row, match in pairs)
            for name, ours in verdicts.kept.items()
        },
        new=[name for name in here[0] if name not in verdicts.kept.values()],
    )


def contradictions(table: str, verdicts: Verdicts, found: Comparison) -> Iterator[str]:
    """Say which verdicts the rows contradict."""
    for name in verdicts.same:
        if found.changed[name]:
            yield f"{table}.{name} is said to be the same, but {found.changed[name]} rows differ"
    for name in verdicts.repaired:
        if not found.changed[name]:
            yield f"{table}.{name} is said to be repaired, but no row differs"


INTRODUCTION = """\
# Moving over from gamebot-lite

What becomes of every silver and gold column of the Python package `gamebot-lite` {version}.
Written by `make moving`, which builds a release from the bronze of the package itself and
compares the two row by row: what differs is due to the models, not to a later state of survivoR.
Change the reasons in `scripts/moving_from_gamebot_lite.yml`, never here.

**Same**: equal in every matched row. **Repaired**: the name stays, the value was wrong or meant
something else. **Rows** are the matched rows of the package whose value differs here, null
against a value included; numbers are equal when they differ by less than {tolerance:g} of their
size, flags when both say yes or no, whatever their type. A renamed column is compared under its
new name.

Bronze there is a reworked copy: `order` has four other names, the text `None` became null, rows
were split, invented and dropped, and 12 columns and two datasets are missing. Here it is
survivoR's own, under its own names.
"""


def listed(names: Sequence[str]) -> str:
    """Return column names as a text."""
    return ", ".join(f"`{name}`" for name in names)


def render(
    verdicts: Mapping[str, Verdicts], found: Mapping[str, Comparison], new_tables: Sequence[str]
) -> str:
    """Return the document."""
    version = resolve_source(SourceRequest(source="snapshot")).version
    parts = [INTRODUCTION.format(version=version, tolerance=TOLERANCE)]
    for table, verdict in verdicts.items():
        rows = found[table]
        parts.append(f"## {rows.layer}.{table}\n")
        said = f"{rows.rows_there:,} rows there, {rows.rows_here:,} here, "
        said += f"matched on {listed(verdict.match)}"
        if verdict.first_by:
            said += f" (the first by `{verdict.first_by}`)"
        counts = {
            "there without one here": rows.without_match_there,
            "there share one with another": rows.sharing_a_match,
            "here without one there": rows.without_match_here,
        }
        exceptions = [f"{count:,} {what}" for what, count in counts.items() if count]
        said += ": " + ", ".join(exceptions) if exceptions else ", one to one"
        parts.append(f"{said}. {verdict.note}".strip() + "\n")
        parts.append(f"Same: {listed(verdict.same)}.\n")
        lines = [
            (name, f"repaired | {rows.changed[name]:,} | {why}")
            for name, why in verdict.repaired.items()
        ]
        lines += [
            (name, f"renamed `{here}` | {rows.changed[name]:,} | {why}")
            for name, (here, why) in verdict.renamed.items()
        ]
        lines += [(name, f"dropped | | {why}") for name, why in verdict.dropped.items()]
        parts.append("| column there | here | rows | why |\n|---|---|---|---|")
        parts.append("\n".join(f"| `{name}` | {rest} |" for name, rest in lines) + "\n")
        if rows.new:
            parts.append(f"New: {listed(rows.new)}.\n")
    parts.append("## New tables\n")
    parts.append(f"{listed(new_tables)}: what was known at every stage of the game.\n")
    parts.append(render_documentation(load_documentation()).rstrip())
    return "\n".join(parts) + "\n"


def main() -> None:
    """Compare, check the verdicts and write the document."""
    verdicts = load_verdicts()
    with release_of_the_package() as (warehouse, lite):
        found = {
            table: compare(warehouse, lite, table, verdict) for table, verdict in verdicts.items()
        }
        tables = warehouse.execute(
            "select split_part(table_schema, '_', 1) || '.' || table_name, table_name "
            "from information_schema.tables "
            "where table_schema = any(current_schemas(false)) order by 1"
        ).fetchall()
    wrong = [
        problem
        for table, verdict in verdicts.items()
        for problem in contradictions(table, verdict, found[table])
    ]
    if wrong:
        sys.exit("\n".join(wrong))
    new_tables = [shown for shown, name in tables if name not in verdicts]
    DOCUMENT.write_text(render(verdicts, found, new_tables), encoding="utf-8")
    print(f"Wrote {DOCUMENT.relative_to(PROJECT_DIR)}")


if __name__ == "__main__":
    main()
