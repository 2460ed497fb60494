"""Writes small data packages: what the client must be able to read, made by other code than it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

FIELD_TYPES = {
    pa.int32(): "integer",
    pa.int64(): "integer",
    pa.float64(): "number",
    pa.bool_(): "boolean",
    pa.date32(): "date",
    pa.string(): "string",
}

PEOPLE = pa.table(
    {
        "castaway_id": ["US0001", "US0002", "US0003"],
        "castaway": ["Zoë", "", None],
        "born": pa.array([0, 10_000, None], pa.date32()),
        "age": pa.array([31, None, 40], pa.int32()),
        "is_winner": [True, False, None],
        "share": [1 / 3, None, 0.1 + 0.2],
        "order": pa.array([1, 2, 3], pa.int32()),
    }
)
FEATURES = pa.table(
    {
        "castaway_id": ["US0001", "US0002"],
        "target_winner": pa.array([1, None], pa.int32()),
        "votes": pa.array([7, 0], pa.int32()),
    }
)
TABLES = {"silver.castaway_profile": PEOPLE, "gold.ml_features": FEATURES}


def write_package(
    folder: Path,
    tables: Mapping[str, pa.Table] = TABLES,
    release_id: int = 42,
    **facts: Any,
) -> Path:
    """Write a package of these tables. `facts` are more of what it says of its release."""
    folder.mkdir(parents=True)
    resources = []
    with duckdb.connect(str(folder / "gamebot.duckdb")) as database:
        for full_name, table in tables.items():
            layer, name = full_name.split(".")
            path = f"parquet/{layer}/{name}.parquet"
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            pq.write_table(table, folder / path)
            database.execute(f"create schema if not exists {layer}")
            database.execute(f"create table {full_name} as from read_parquet('{folder / path}')")
            database.execute(f"comment on table {full_name} is 'All of {name}.'")
            resources.append(
                {
                    "name": full_name,
                    "path": path,
                    "description": f"All of {name}.",
                    "rows": table.num_rows,
                    "schema": {
                        "fields": [
                            {
                                "name": field.name,
                                "type": FIELD_TYPES[field.type],
                                "description": f"What {field.name} means.",
                            }
                            for field in table.schema
                        ]
                    },
                }
            )
    said = {
        "name": "gamebot-survivor",
        "gamebot": {
            "release_id": release_id,
            "commit": "80aaf498bf06",
            "published_at": "2026-06-13T03:00:00Z",
            **facts,
        },
        "resources": resources,
    }
    (folder / "datapackage.json").write_text(json.dumps(said))
    write_checksums(folder)
    return folder


def write_checksums(folder: Path) -> None:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    lines = [
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(folder).as_posix()}"
        for path in files
        if path.name != "SHA256SUMS"
    ]
    (folder / "SHA256SUMS").write_text("\n".join(lines) + "\n")


def write_store(
    folder: Path, release_id: int = 42, published_at: str = "2026-06-13T03:00:00Z"
) -> Path:
    """Write a store that shows one release, beside those that it has."""
    package = f"releases/{release_id}/package"
    write_package(folder / package, release_id=release_id)
    pointer = {"release_id": release_id, "path": package, "published_at": published_at}
    (folder / "package.json").write_text(json.dumps(pointer | {"commit": "80aaf498bf06"}))
    return folder
