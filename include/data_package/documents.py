"""What the package says of itself: datapackage.json, README.md, NOTICE and SHA256SUMS."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from include.data_package import duckdb_file, parquet, sqlite_file
from include.data_package.contents import Contents, Table
from include.data_package.facts import ATTRIBUTION, LICENCE, UPSTREAM_URL, moment, release_facts
from include.environments import PROJECT_DIR

DESCRIPTOR = "datapackage.json"
SUMS = "SHA256SUMS"
# Of the folder's layout and of this description: a reader made for an earlier one says so.
FORMAT = 1
TEMPLATES = Path(__file__).with_name("templates")
NOTICE = PROJECT_DIR / "NOTICE"


class Written(BaseModel):
    """What the warehouse holds of a table, and so must each of the files."""

    model_config = ConfigDict(frozen=True)

    rows: int
    content_hash: str
    sqlite_hash: str
    """That of what SQLite can hold of it."""


def write_descriptor(folder: Path, contents: Contents, written: Mapping[str, Written]) -> None:
    """Write datapackage.json: a Frictionless description of every file and table."""
    release = contents.release
    descriptor: dict[str, Any] = {
        "name": "gamebot-survivor",
        "title": f"Survivor: the gamebot warehouse, release {release.release_id}",
        "description": "Every season of the television series Survivor as tables: bronze is an "
        "exact copy of survivoR, silver describes it, gold holds features for models. README.md "
        "says how to load them.",
        "version": str(release.release_id),
        "licenses": [{"name": LICENCE, "title": "MIT License", "path": "NOTICE"}],
        "sources": [{"title": ATTRIBUTION, "path": UPSTREAM_URL}],
        "contributors": [
            {"title": "Daniel Oehm and contributors of survivoR", "role": "author"},
            {"title": "Gamebot contributors", "role": "wrangler"},
        ],
        "gamebot": {"format": FORMAT, **release_facts(release)},
        "resources": [
            *(_resource(folder, contents, table, written) for table in contents.tables),
            # No hash: DuckDB never writes the same bytes twice. SHA256SUMS has that of this one.
            {
                "name": duckdb_file.NAME,
                "path": duckdb_file.NAME,
                "format": "duckdb",
                "mediatype": "application/vnd.duckdb",
                "description": "All tables, in schemas bronze, silver and gold.",
            },
            {
                "name": sqlite_file.NAME,
                "path": sqlite_file.NAME,
                "format": "sqlite",
                "mediatype": "application/vnd.sqlite3",
                "description": "All tables, without schemas: their names are unique.",
                **_size_and_hash(folder / sqlite_file.NAME),
            },
        ],
    }
    if release.published_at:
        descriptor["created"] = moment(release.published_at)
    text = json.dumps(descriptor, indent=1, ensure_ascii=False)
    (folder / DESCRIPTOR).write_text(f"{text}\n", encoding="utf-8")


def _resource(
    folder: Path, contents: Contents, table: Table, written: Mapping[str, Written]
) -> dict[str, Any]:
    schema: dict[str, Any] = {"fields": [_field(column) for column in table.columns]}
    if table.key:
        schema["primaryKey"] = list(table.key)
    if table.foreign_keys:
        schema["foreignKeys"] = [
            {
                "fields": [key.column],
                "reference": {"resource": f"{key.layer}.{key.table}", "fields": [key.field]},
            }
            for key in table.foreign_keys
        ]
    resource: dict[str, Any] = {
        "name": table.full_name,
        "type": "table",
        "path": parquet.path_of(table),
        "format": "parquet",
        "mediatype": "application/vnd.apache.parquet",
        "description": table.description,
        "layer": table.layer,
        "table": table.name,
        "rows": written[table.full_name].rows,
        **_size_and_hash(folder / parquet.path_of(table)),
        "content_hash": f"sha256:{written[table.full_name].content_hash}",
        "schema": schema,
    }
    if table.layer == "bronze" and (file := contents.source_files.get(table.name)):
        # No path: it is not in the package, and at upstream's address there may be another by now.
        resource["sources"] = [{"title": file.file_name, "sha256": file.sha256}]
    return resource


def _field(column: Any) -> dict[str, Any]:
    field = {"name": column.name, "type": column.type.frictionless}
    if column.description:
        field["description"] = column.description
    if column.required:
        field["constraints"] = {"required": True}
    return field


def write_readme(folder: Path, contents: Contents, written: Mapping[str, Written]) -> None:
    """Write README.md, which says what is inside and how to load it, and the notice of licence."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        # Markdown, and read as a text: nothing is to be escaped.
        autoescape=False,  # noqa: S701
        loader=FileSystemLoader(TEMPLATES),
        undefined=StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=True,
    )
    text = environment.get_template("README.md.j2").render(
        release=contents.release,
        published_at=moment(contents.release.published_at),
        tables=contents.tables,
        written=written,
        path_of=parquet.path_of,
        attribution=ATTRIBUTION,
        upstream=UPSTREAM_URL,
    )
    (folder / "README.md").write_text(text, encoding="utf-8")
    shutil.copyfile(NOTICE, folder / "NOTICE")


def write_sums(folder: Path) -> None:
    """Write SHA256SUMS of every other file: the last one, so what has it is whole."""
    lines = [f"{_sha256(folder / name)}  {name}\n" for name in _files(folder)]
    (folder / SUMS).write_text("".join(lines), encoding="utf-8")


def differences(folder: Path) -> list[str]:
    """Return what is wrong with the files of a package by its own SHA256SUMS, none if whole."""
    try:
        lines = (folder / SUMS).read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return [f"{SUMS} is missing"]
    wrong = []
    for line in lines:
        expected, name = line.split("  ", 1)
        if not (folder / name).is_file():
            wrong.append(f"{name} is missing")
        elif _sha256(folder / name) != expected:
            wrong.append(f"{name} was changed")
    return wrong


def _files(folder: Path) -> Iterator[str]:
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name != SUMS:
            yield path.relative_to(folder).as_posix()


def _size_and_hash(path: Path) -> dict[str, Any]:
    return {"bytes": path.stat().st_size, "hash": f"sha256:{_sha256(path)}"}


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
