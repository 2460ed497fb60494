"""A package holds what the warehouse holds, in every format, or there is no package."""

from __future__ import annotations

import json
import math
import shutil
import sqlite3
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

import psycopg
import pytest

pytest.importorskip("duckdb")
pytest.importorskip("pyarrow")

import duckdb
from pyarrow import parquet

from include.data_package import build as building
from include.data_package import duckdb_file, sqlite_file
from include.data_package.build import new_folder
from include.data_package.documents import differences
from include.data_package.errors import ExportError
from include.environments import PROJECT_DIR
from include.warehouse.connection import ConnectionSettings
from include.warehouse.retention import prune_releases
from include.warehouse.schemas import LOADER, TRANSFORMER
from tests.conftest import as_pipeline
from tests.integration.data_package import small_package
from tests.integration.data_package.small_package import build, finished_release

# As it must come back: in the order of the key, which the server's locale does not decide.
DETAILS = [
    ("US0001", "", None, math.nan, None, 1),
    ("US0002", 'Sue "the Snake", Hawk', date(1961, 8, 17), 1.7, True, 2),
    ("US0005", "a third", date(1970, 1, 1), 0.1, False, 0),
    ("ZA0003", "two\nlines, é, 東", date(987, 1, 1), -0.0, False, None),
    ("us0004", "None", date(2001, 12, 31), math.inf, False, -(2**31)),
]
NAMES = ("castaway_id", "full_name", "date_of_birth", "height", "lgbt", "order")


@pytest.fixture(scope="module")
def release(
    create_warehouse: Callable[[], ConnectionSettings],
) -> Iterator[tuple[ConnectionSettings, int]]:
    """A warehouse with the small release in it."""
    from include.warehouse.schemas import OWNER

    warehouse = as_pipeline(create_warehouse())
    with warehouse.connect(role=OWNER) as owner:
        yield warehouse, finished_release(warehouse, owner)


@pytest.fixture(scope="module")
def package(
    release: tuple[ConnectionSettings, int], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Its package."""
    folder = tmp_path_factory.mktemp("packages") / "package"
    build(*release, folder)
    return folder


def same(found: list[tuple[Any, ...]], expected: list[tuple[Any, ...]]) -> bool:
    """Compare values, of which one is not equal to itself and two zeros are."""
    return repr(found) == repr(expected)


def test_parquet_has_every_value_typed_and_described(package: Path, release: Any) -> None:
    table = parquet.read_table(package / "parquet/bronze/castaway_details.parquet")
    assert same([tuple(row[name] for name in NAMES) for row in table.to_pylist()], DETAILS)
    assert [str(table.schema.field(name).type) for name in NAMES] == [
        "string",
        "string",
        "date32[day]",
        "double",
        "bool",
        "int32",
    ]
    metadata = {key.decode(): value.decode() for key, value in table.schema.metadata.items()}
    assert metadata["release_id"] == str(release[1])
    assert metadata["table"] == "bronze.castaway_details"
    assert "Daniel Oehm" in metadata["attribution"]
    assert metadata["description"] == "One row per person who ever took part."
    assert table.schema.field("full_name").metadata[b"description"] == b"Full name"
    empty = parquet.read_table(package / "parquet/bronze/journeys.parquet")
    assert empty.num_rows == 0 and empty.schema.names[0] == "version_season"


def test_duckdb_has_every_value_with_comments_and_keys(package: Path) -> None:
    with duckdb.connect(str(package / duckdb_file.NAME), read_only=True) as connection:
        found = connection.execute(
            f"select {', '.join(map(duckdb_file._quoted, NAMES))} from bronze.castaway_details"
        ).fetchall()
        assert same(found, DETAILS)
        comments = dict(
            connection.execute("select column_name, comment from duckdb_columns()").fetchall()
        )
        assert comments["winner"] == 'Who won; it\'s "known" afterwards.'
        keys = connection.execute(
            "select table_name, constraint_column_names from duckdb_constraints() "
            "where constraint_type = 'PRIMARY KEY'"
        ).fetchall()
        # The view has the key of what it selects from; a key with gaps is none.
        assert dict(keys)["as_of_merge"] == ["version_season", "sog_id", "castaway_id"]
        assert {"remarks"}.isdisjoint(dict(keys))
    # The number in the file's head that DuckDB 1.1 and older refuse when it is a higher one.
    with (package / duckdb_file.NAME).open("rb") as file:
        assert struct.unpack("<8x4sQ", file.read(20)) == (b"DUCK", 64)


def test_sqlite_has_every_value_that_it_can_hold(package: Path, release: Any) -> None:
    """It knows no dates, no yes and no, no zero below zero, and of "not a number" only null."""
    with sqlite3.connect(f"file:{package / sqlite_file.NAME}?mode=ro", uri=True) as connection:
        found = connection.execute(
            f"select {', '.join(map(sqlite_file._quoted, NAMES))} from castaway_details"
        ).fetchall()
        expected: list[tuple[Any, ...]] = [
            (
                *row[:2],
                row[2] and row[2].isoformat(),
                row[3],
                row[4] if row[4] is None else int(row[4]),
                row[5],
            )
            for row in DETAILS
        ]
        expected[0] = (*expected[0][:3], None, *expected[0][4:])
        expected[3] = (*expected[3][:3], 0.0, *expected[3][4:])
        assert same(found, expected)
        (definition,) = connection.execute(
            "select sql from sqlite_master where name = 'castaway_profile'"
        ).fetchone()
        assert "One row per castaway-season" in definition
        assert 'references "season_context" ("version_season")' in definition
        indexes = {
            name
            for (name,) in connection.execute("select name from sqlite_master where type = 'index'")
        }
        assert "season_context_by_season_context_key" in indexes
        assert "castaway_profile_by_castaway_id" in indexes
        assert connection.execute("pragma user_version").fetchone() == (release[1],)


def test_the_description_is_valid_and_says_what_holds(package: Path) -> None:
    frictionless = pytest.importorskip("frictionless")
    descriptor = json.loads((package / "datapackage.json").read_text())
    assert list(frictionless.Package.metadata_validate(descriptor)) == []
    found = frictionless.Package(str(package / "datapackage.json"))
    profile = found.get_resource("silver.castaway_profile")
    assert profile.schema.primary_key == ["version_season", "castaway_id"]
    (foreign_key,) = profile.schema.foreign_keys
    assert foreign_key["reference"]["resource"] == "silver.season_context"
    resources = {resource["name"]: resource for resource in descriptor["resources"]}
    for name, resource in resources.items():
        assert (package / resource["path"]).is_file(), name
        if "bytes" in resource:
            assert (package / resource["path"]).stat().st_size == resource["bytes"], name
    assert resources["gold.ml_features_as_of"]["rows"] == 3
    assert "primaryKey" not in resources["silver.remarks"]["schema"]
    assert descriptor["licenses"][0]["name"] == "MIT"
    assert "Daniel Oehm" in (package / "NOTICE").read_text()
    readme = (package / "README.md").read_text()
    assert "`gold.as_of_merge` | 2 | version_season, sog_id, castaway_id |" in readme


def test_the_sums_are_those_of_the_shell(package: Path) -> None:
    if not shutil.which("sha256sum"):
        pytest.skip("needs sha256sum, of coreutils")
    command = ["sha256sum", "--check", "--strict", "SHA256SUMS"]
    done = subprocess.run(command, cwd=package, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    files = {path.relative_to(package) for path in package.rglob("*") if path.is_file()}
    assert len(done.stdout.splitlines()) == len(files) - 1


def test_the_same_release_makes_the_same_bytes(
    package: Path, release: tuple[ConnectionSettings, int], tmp_path: Path
) -> None:
    """Who has the package already need not download what did not change."""
    build(*release, tmp_path / "again")
    for path in sorted(package.rglob("*")):
        # DuckDB numbers its blocks anew each time.
        if path.is_file() and path.name not in (duckdb_file.NAME, "SHA256SUMS"):
            name = path.relative_to(package)
            assert path.read_bytes() == (tmp_path / "again" / name).read_bytes(), name


def _overwrite_parquet(folder: Path) -> None:
    path = folder / "parquet/silver/castaway_profile.parquet"
    rows = parquet.read_table(path)
    parquet.write_table(rows.slice(1), path)


def _truncate_parquet(folder: Path) -> None:
    path = folder / "parquet/gold/as_of_merge.parquet"
    path.write_bytes(path.read_bytes()[:-20])


def _change_duckdb(folder: Path) -> None:
    with duckdb.connect(str(folder / duckdb_file.NAME)) as connection:
        connection.execute("update bronze.castaway_details set height = 1.8 where height = 1.7")


def _change_sqlite(folder: Path) -> None:
    with sqlite3.connect(folder / sqlite_file.NAME) as connection:
        connection.execute("update castaway_details set full_name = null where full_name = ''")


def _orphan_in_sqlite(folder: Path) -> None:
    with sqlite3.connect(folder / sqlite_file.NAME) as connection:
        connection.execute("delete from season_context where version_season = 'US02'")


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (_overwrite_parquet, r"silver/castaway_profile.parquet: .* has 2 rows, not 3"),
        (_truncate_parquet, r"gold/as_of_merge.parquet: gold.as_of_merge cannot be read"),
        (_change_duckdb, r"gamebot.duckdb: bronze.castaway_details has other values"),
        (_change_sqlite, r"gamebot.sqlite: bronze.castaway_details has other values"),
        (_orphan_in_sqlite, r"gamebot.sqlite: castaway_profile: a row without its season_context"),
    ],
)
def test_a_file_that_differs_from_the_warehouse_is_found(
    release: tuple[ConnectionSettings, int],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    damage: Callable[[Path], None],
    told: str,
) -> None:
    """A disk that lies, or a library that loses a value, must not reach who takes the file."""
    read_back = building._read_back

    def after_damage(folder: Path, *rest: Any) -> None:
        damage(folder)
        read_back(folder, *rest)

    monkeypatch.setattr(building, "_read_back", after_damage)
    with pytest.raises(ExportError, match=told):
        build(*release, tmp_path / "package")
    assert not (tmp_path / "package" / "SHA256SUMS").exists()


def test_a_killed_export_leaves_the_last_package(
    release: tuple[ConnectionSettings, int], package: Path, tmp_path: Path
) -> None:
    target = tmp_path / "package"
    shutil.copytree(package, target)
    before = (target / "SHA256SUMS").read_bytes()
    settings, number = release
    login = settings.model_dump(mode="json") | {"password": settings.password.get_secret_value()}
    done = subprocess.run(
        [sys.executable, small_package.__file__, json.dumps(login), str(number), str(target)],
        env={"PYTHONPATH": str(PROJECT_DIR), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == -9, done.stderr
    assert (tmp_path / ".package.unfinished" / sqlite_file.NAME).exists()
    assert differences(target) == []
    assert (target / "SHA256SUMS").read_bytes() == before

    # The next one clears up.
    with new_folder(target) as folder:
        shutil.copytree(package, folder, dirs_exist_ok=True)
    assert [path.name for path in tmp_path.iterdir()] == ["package"]


def test_a_folder_of_somebody_elses_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.tex").touch()
    (tmp_path / "file").touch()
    for name, told in {"thesis": "no data package", "file": "is no folder"}.items():
        with pytest.raises(ExportError, match=told) as caught, new_folder(tmp_path / name):
            pytest.fail("it began")
        assert str(tmp_path / name) in str(caught.value)
    with pytest.raises(ExportError, match="cannot be written"), new_folder(tmp_path / "file" / "x"):
        pytest.fail("it began")
    assert (tmp_path / "thesis" / "chapter.tex").exists()


def test_two_tables_of_one_name_are_refused(
    warehouse: ConnectionSettings,
    owner: psycopg.Connection,
    build: Callable[..., int],
    tmp_path: Path,
) -> None:
    """SQLite has no schemas: the second would have taken the place of the first."""
    release = build()
    small_package.finish(owner, release)
    with pytest.raises(ExportError, match=r"bronze.things and silver.things have one name"):
        small_package.build(warehouse, release, tmp_path / "package")


def test_a_type_that_the_package_does_not_know_is_named(
    warehouse: ConnectionSettings, owner: psycopg.Connection, tmp_path: Path
) -> None:
    release = finished_release(warehouse, owner)
    with warehouse.connect(role=TRANSFORMER) as transformer:
        transformer.execute(f"create table gold_r{release}.odd (held interval)")  # type: ignore[arg-type]
    with pytest.raises(ExportError, match=r"gold.odd.held is of type interval.*types.py"):
        small_package.build(warehouse, release, tmp_path / "package")


def test_tables_are_not_dropped_while_they_are_read(
    warehouse: ConnectionSettings, owner: psycopg.Connection, tmp_path: Path
) -> None:
    """An old release was dropped under the export, which then had half of it."""
    old, new = finished_release(warehouse, owner), finished_release(warehouse, owner)
    dropped = []
    small_package.build(
        warehouse,
        old,
        tmp_path / "package",
        on_progress=lambda progress: dropped.append(
            prune_releases(owner) if progress.done == 1 else []
        ),
    )
    assert not any(dropped)
    assert prune_releases(owner) == [old]
    with warehouse.connect(role=LOADER) as loader:
        kept = loader.execute(f"select count(*) from bronze_r{new}.castaway_details").fetchone()  # type: ignore[arg-type]
    assert kept == (5,)
