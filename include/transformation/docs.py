"""dbt's page about the models of one release, with what the warehouse knows of their tables.

Written without dbt, which would read the whole project again to fill in two blanks: the page is
dbt's own, what it shows the manifest of the build and a catalog of the release's tables.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import psycopg

from include.environments import executable
from include.warehouse.connection import ConnectionSettings
from include.warehouse.schemas import AUDITOR, SCHEMA_OWNERS, release_schema

WHERE_DBT_HAS_ITS_PAGE = "from dbt.task.docs import DOCS_INDEX_FILE_PATH as path; print(path)"
KINDS = {"r": "BASE TABLE", "v": "VIEW"}

Catalog = dict[str, dict[str, Any]]


def write_release_docs(
    settings: ConnectionSettings, release_id: int, folder: Path, manifest: bytes
) -> None:
    """Write `index.html`, one file that loads no other, into a folder.

    Args:
        settings: a login that may act as `gamebot_auditor`.
        release_id: a release whose tables are there.
        folder: for the page.
        manifest: of the build of the release, with the SQL that ran.

    Raises:
        MissingEnvironment: dbt, which has the page, was not installed.
    """
    with settings.connect(role=AUDITOR) as connection:
        catalog = read_catalog(connection, release_id, json.loads(manifest))
    page = _empty_page()
    for blank, content in {
        '"MANIFEST.JSON INLINE DATA"': manifest.decode(),
        '"CATALOG.JSON INLINE DATA"': json.dumps(catalog),
    }.items():
        page = page.replace(blank, content)
    (folder / "index.html").write_text(page, encoding="utf-8")


def read_catalog(
    connection: psycopg.Connection, release_id: int, manifest: dict[str, Any]
) -> Catalog:
    """Return what dbt calls the catalog: the tables of a release with their columns, as they are.

    Args:
        connection: acting as `gamebot_auditor`.
        release_id: a release whose tables are there.
        manifest: says which node made a table; of what it does not name, nothing is told.
    """
    tables = _tables(connection, release_id)

    def described(nodes: Iterable[dict[str, Any]]) -> dict[str, Any]:
        found = {node["unique_id"]: tables.get(_relation(node, release_id)) for node in nodes}
        return {
            unique_id: {**table, "unique_id": unique_id}
            for unique_id, table in found.items()
            if table
        }

    return {
        "nodes": described(manifest["nodes"].values()),
        "sources": described(manifest["sources"].values()),
    }


def _relation(node: dict[str, Any], release_id: int) -> tuple[str, str]:
    # Not the schema that it says: without the manifest of its build, that of no release is shown.
    layer = node["source_name"] if node["resource_type"] == "source" else node["config"]["schema"]
    name = node.get("identifier") or node.get("alias") or node["name"]
    return release_schema(layer, release_id), name


def _tables(connection: psycopg.Connection, release_id: int) -> dict[tuple[str, str], Any]:
    tables: dict[tuple[str, str], Any] = {}
    with connection.transaction():
        columns = connection.execute(
            """
            select
                nspname,
                relname,
                relkind::text,
                pg_get_userbyid(relowner),
                attname,
                -- Where a column went away, those after it keep their numbers.
                attnum,
                format_type(atttypid, atttypmod)
            from pg_class
            join pg_namespace on pg_namespace.oid = relnamespace
            join pg_attribute on attrelid = pg_class.oid and attnum > 0 and not attisdropped
            where nspname = any(%s) and relkind = any(%s)
            order by nspname, relname, attnum
            """,
            ([release_schema(layer, release_id) for layer in SCHEMA_OWNERS], list(KINDS)),
        ).fetchall()
    for schema, name, kind, owner, column, index, data_type in columns:
        table = tables.setdefault(
            (schema, name),
            {
                "metadata": {
                    "type": KINDS[kind],
                    "schema": schema,
                    "name": name,
                    "database": connection.info.dbname,
                    "owner": owner,
                },
                "columns": {},
                "stats": {},
            },
        )
        table["columns"][column] = {"type": data_type, "index": index, "name": column}
    return tables


def _empty_page() -> str:
    asked = subprocess.run(
        [executable("dbt"), "-c", WHERE_DBT_HAS_ITS_PAGE],
        check=True,
        capture_output=True,
        text=True,
    )
    return Path(asked.stdout.strip()).read_text(encoding="utf-8")
