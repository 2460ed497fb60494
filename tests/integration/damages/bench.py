"""Copies of a sound warehouse, which may be damaged, and what dbt and both audits say of them."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from include.environments import PROJECT_DIR, CommandFailed, executable, run
from include.quality.run import AuditFailed, audit_with_great_expectations, audit_with_soda
from include.transformation.results import read_build_results
from include.warehouse.checks import Severity, record_check_results
from include.warehouse.connection import ConnectionSettings
from include.warehouse.releases import ReleaseError, publish_release
from include.warehouse.schemas import AUDITOR, LAYERS, OWNER, release_schema
from tests.conftest import as_pipeline

# One name for all copies, one after the other: dbt parses its project again for another database.
COPY = "damaged"
ROWS_OF_EVIDENCE = 5000

# What the statements of damages.yml may call.
FUNCTIONS = """
create function pg_temp.castaway(season text, place bigint) returns text language sql stable as $$
    select castaway_id from (
        select castaway_id, row_number() over (order by castaways.place) as number
        from castaways where version_season = castaway.season
    ) as cast_in_order
    where number = castaway.place
$$;
create function pg_temp.exchanged(season text, id text) returns text language sql stable as $$
    select case id
        when pg_temp.castaway(season, 4) then pg_temp.castaway(season, 5)
        when pg_temp.castaway(season, 5) then pg_temp.castaway(season, 4)
        else id
    end
$$;
"""


@dataclass(frozen=True)
class Finding:
    """A check that did not pass."""

    severity: Severity
    blocks: bool
    evidence: str


class Copy:
    """One copy of the warehouse and its release 1."""

    def __init__(self, superuser: ConnectionSettings, folder: Path) -> None:
        self.superuser = superuser
        self.pipeline = as_pipeline(superuser)
        self.folder = folder

    def damage(self, statements: Iterable[str], *, in_built_tables: bool) -> None:
        """Run the statements, in whose sight are all layers.

        Args:
            in_built_tables: whether they meet silver and gold. The primary keys there would
                end many of them at once, as they end a build; audits must not rely on that.
        """
        with self._release() as connection:
            if in_built_tables:
                for table, key in connection.execute(
                    "select conrelid::regclass::text, conname from pg_constraint "
                    "where contype = 'p' and connamespace::regnamespace::text ~ '^(silver|gold)_r'"
                ).fetchall():
                    drop = f'alter table {table} drop constraint "{key}"'
                    connection.execute(drop)  # type: ignore[arg-type]
            connection.execute(FUNCTIONS)
            for statement in statements:
                connection.execute(statement)  # type: ignore[arg-type]

    def build(self, names: Collection[str] | None = None) -> None:
        """Build silver and gold from bronze as it is now, without tests.

        Args:
            names: checks; only what these need is built.
        """
        selected = [
            # Of a check the table, of a test whatever it reads.
            f"+{name.split('.')[1] if '.' in name else name}"
            for name in names or ()
            if not name.startswith("bronze.")
        ]
        if names is not None and not selected:
            return
        self._dbt("run", *(["--select", *selected] if selected else []))
        # In a release the auditor may read whatever the transformer makes.
        with self._release() as connection:
            for layer in LAYERS[1:]:
                connection.execute(
                    sql.SQL("grant select on all tables in schema {} to {}").format(
                        sql.Identifier(release_schema(layer, 1)), sql.Identifier(AUDITOR)
                    )
                )

    def findings(self, names: Collection[str] | None = None) -> dict[str, Finding]:
        """Run the tests of dbt and both audits. Returns what did not pass, by name.

        Args:
            names: checks to run: of dbt these alone, an audit whole when one of them is its own.
        """
        stages: list[Callable[[], None]] = []
        in_dbt = None if names is None else [name for name in names if "." not in name]
        if in_dbt is None or in_dbt:
            stages.append(partial(self._test, in_dbt))
        if names is None or any(name.startswith(("bronze.", "silver.")) for name in names):
            stages.append(self._audit_with_soda)
        if names is None or any(name.startswith("gold.") for name in names):
            stages.append(self._audit_with_great_expectations)
        with ThreadPoolExecutor(len(stages)) as pool:
            for running in [pool.submit(stage) for stage in stages]:
                running.result()
        return self._recorded()

    def refusal(self) -> str | None:
        """Try to publish the release. Returns why it may not be."""
        with self.superuser.connect() as connection:
            connection.execute("update ops.releases set state = 'building' where release_id = 1")
        try:
            with self.superuser.connect(role=OWNER, autocommit=True) as connection:
                publish_release(connection, 1)
        except ReleaseError as error:
            return str(error)
        return None

    def _test(self, names: list[str] | None) -> None:
        selected = ["--select", *names] if names else ["--exclude-resource-type", "unit_test"]
        self._dbt("test", *selected)
        target = self.folder / "target"
        checks = read_build_results(target).checks
        ran = json.loads((target / "run_results.json").read_text(encoding="utf-8"))["results"]
        with self._release() as connection:
            rows = {
                result["unique_id"].split(".", 2)[2]: _rows(connection, result["compiled_code"])
                for result in ran
                if result["status"] in ("fail", "warn")
            }
        checks = tuple(
            check.model_copy(update={"observed": {"rows": rows[check.check_id]}})
            if check.check_id in rows
            else check
            for check in checks
        )
        with self.superuser.connect(role=AUDITOR) as connection:
            record_check_results(connection, 1, "dbt", checks)

    def _audit_with_soda(self) -> None:
        try:
            audit_with_soda(1, self.pipeline, ["bronze", "silver"], lambda line: None)
        except AuditFailed:
            """It recorded what it found."""

    def _audit_with_great_expectations(self) -> None:
        try:
            docs = self.folder / "docs"
            audit_with_great_expectations(1, self.pipeline, docs, lambda line: None)
        except AuditFailed:
            """It recorded what it found."""

    def _recorded(self) -> dict[str, Finding]:
        with self.superuser.connect() as connection:
            found = connection.execute(
                """
                select
                    case tool when 'dbt' then split_part(check_id, '.', 1) else check_id end,
                    severity,
                    outcome = 'error' or (outcome = 'failed' and severity = 'blocking'),
                    concat(outcome, ': ', message, ' ', observed)
                from ops.check_results
                where outcome != 'passed'
                """
            )
            return {name: Finding(*finding) for name, *finding in found}

    def _dbt(self, command: str, *arguments: str) -> None:
        """Run dbt; a model or test that fails is what this is about."""
        environment = self.superuser.as_environment() | {
            "GAMEBOT_RELEASE_ID": "1",
            "DBT_TARGET_PATH": str(self.folder / "target"),
            "DBT_LOG_PATH": str(self.folder / "logs"),
        }
        program = executable("dbt", "dbt")
        try:
            run(
                [program, command, *arguments, "--profiles-dir", os.curdir],
                environment,
                lambda line: None,
                cwd=PROJECT_DIR / "include" / "dbt",
            )
        except CommandFailed as error:
            if error.returncode != 1 or command == "run":
                raise

    @contextmanager
    def _release(self) -> Iterator[psycopg.Connection]:
        with self.superuser.connect() as connection:
            path = ", ".join(release_schema(layer, 1) for layer in reversed(LAYERS))
            connection.execute(f"set search_path to {path}")  # type: ignore[arg-type]
            yield connection


class Bench:
    """Makes copies of a warehouse.

    Args:
        warehouse: the superuser's way into one with release 1, to which nobody is connected.
        folder: for the files of dbt.
        has_survivor: whether the release holds survivoR's data.
    """

    def __init__(self, warehouse: ConnectionSettings, folder: Path, *, has_survivor: bool) -> None:
        self.warehouse = warehouse
        self.folder = folder
        self.has_survivor = has_survivor

    @contextmanager
    def copy(self) -> Iterator[Copy]:
        """A copy for as long as the block lasts."""
        server = self.warehouse.model_copy(update={"dbname": "postgres"})
        drop = sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(COPY))
        with server.connect(autocommit=True) as connection:
            connection.execute(drop)
            connection.execute(
                sql.SQL("create database {} template {} strategy file_copy").format(
                    sql.Identifier(COPY), sql.Identifier(self.warehouse.dbname)
                )
            )
        try:
            yield Copy(self.warehouse.model_copy(update={"dbname": COPY}), self.folder)
        finally:
            shutil.rmtree(self.folder / "docs", ignore_errors=True)
            with server.connect(autocommit=True) as connection:
                connection.execute(drop)


def _rows(connection: psycopg.Connection, query: str) -> list[Any]:
    """Return the rows that make a test of dbt fail."""
    with connection.transaction(force_rollback=True):
        found = connection.execute(
            f"select to_jsonb(failing) from ({query}) as failing limit {ROWS_OF_EVIDENCE}"  # type: ignore[arg-type]
        ).fetchall()
    return [row for (row,) in found]
