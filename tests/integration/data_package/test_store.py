"""Which package is the one to take, wherever a deployment keeps its artifacts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

pytest.importorskip("duckdb")
pytest.importorskip("pyarrow")

from include import artifacts, release_artifacts
from include.artifacts import ArtifactsError, delete_folders, read_file, read_pointer, upload_folder
from include.data_package import build as building
from include.release_artifacts import choose_release, keep_changes, keep_package, keep_soda_page
from include.warehouse.checks import record_check_results
from include.warehouse.connection import ConnectionSettings
from include.warehouse.releases import ReleaseError, publish_release, roll_back
from include.warehouse.schemas import AUDITOR
from tests.integration.data_package.small_package import manifest, small_release
from tests.integration.small_releases import AUDITED, build_release, check

if TYPE_CHECKING:
    from tests.object_store import ObjectStore


@pytest.fixture(scope="module")
def server() -> Iterator[ObjectStore]:
    pytest.importorskip("moto", reason="make test installs it")
    from tests.object_store import object_store

    with object_store() as store:
        yield store


@pytest.fixture(params=["folder", "object store"])
def store(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    """A place for artifacts, empty, and a manifest of dbt's."""
    path = tmp_path / "manifest.json"
    path.write_text(json.dumps(manifest()))
    monkeypatch.setattr(release_artifacts, "manifest_path", lambda: path)
    if request.param == "folder":
        monkeypatch.setenv("GAMEBOT_ARTIFACTS_URL", (tmp_path / "kept").as_uri())
        yield request.param
        return
    from airflow.sdk.io import store as stores

    from tests.object_store import BUCKET

    server: ObjectStore = request.getfixturevalue("server")
    monkeypatch.setenv("AIRFLOW_CONN_PAGES", server.connection())
    monkeypatch.setenv("GAMEBOT_ARTIFACTS_URL", f"s3://pages@{BUCKET}/gamebot")
    stores._STORE_CACHE.clear()
    yield request.param
    for key in server.objects():
        server.client().delete_object(Bucket=BUCKET, Key=key)


def show(warehouse: ConnectionSettings, owner: psycopg.Connection, release: int) -> None:
    """Let readers see a release whose audits passed."""
    with warehouse.connect(role=AUDITOR) as auditor:
        for tool in {tool for tool, _ in AUDITED}:
            results = [check(tool, layer) for other, layer in AUDITED if other == tool]
            record_check_results(auditor, release, tool, results)
    publish_release(owner, release)


def pointed_at() -> int:
    pointer = read_pointer()
    assert pointer and pointer["path"] == f"releases/{pointer['release_id']}/package"
    return int(pointer["release_id"])


def test_the_pointer_follows_what_readers_see_and_names_a_whole_package(
    warehouse: ConnectionSettings,
    owner: psycopg.Connection,
    store: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(ReleaseError, match="no published release yet"):
        choose_release(warehouse)
    first = small_release(warehouse, owner)
    show(warehouse, owner, first)
    assert "This is the first release" in keep_changes(warehouse, first)
    assert choose_release(warehouse).release_id == first
    keep_package(warehouse, first)
    assert pointed_at() == first
    assert read_pointer().keys() == {"release_id", "path", "published_at", "commit"}
    assert read_file(first, "package/CHANGES.md") == read_file(first, "changes/CHANGES.md")

    second = small_release(warehouse, owner, rows=4)
    with pytest.raises(ReleaseError, match="is being built"):
        keep_package(warehouse, second)
    show(warehouse, owner, second)
    # As when the worker dies while it sends: the last file, which says that all are there, is not.
    with monkeypatch.context() as patch:
        patch.setattr(release_artifacts, "upload_folder", upload_half)
        delete_folders({second})
        with pytest.raises(ArtifactsError):
            keep_package(warehouse, second)
    assert pointed_at() == first
    keep_changes(warehouse, second)
    assert "every file was read back" in keep_package(warehouse, second)
    assert pointed_at() == second
    changes = json.loads(read_file(second, "changes/changes.json") or b"")
    assert (changes["older"]["release_id"], changes["newer"]["release_id"]) == (first, second)

    # A rollback takes the pointer back, and builds nothing.
    roll_back(owner, first)
    with monkeypatch.context() as patch:
        patch.setattr(release_artifacts, "build_package", lambda *_, **__: pytest.fail("built"))
        assert "is there already, and whole" in keep_package(warehouse, first)
    assert pointed_at() == first

    # Retention takes neither the package that is pointed at nor a release that keeps its tables.
    delete_folders({first})
    assert read_file(first, "package/datapackage.json")
    keep_package(warehouse, second)
    assert pointed_at() == first, "nobody sees the second one"
    roll_back(owner, second)
    keep_package(warehouse, second)
    delete_folders({first})
    assert read_file(first, "package/datapackage.json") is None
    assert read_file(second, "package/datapackage.json")


def upload_half(folder: Path, release_id: int, name: str, **options: Any) -> str:
    (folder / "SHA256SUMS").unlink()
    upload_folder(folder, release_id, name, **options)
    raise ArtifactsError("killed")


def test_a_damaged_package_is_built_again(
    warehouse: ConnectionSettings, owner: psycopg.Connection, store: str
) -> None:
    release = small_release(warehouse, owner)
    show(warehouse, owner, release)
    keep_package(warehouse, release)
    kept = artifacts._path(f"releases/{release}/package/README.md")
    kept.fs.pipe_file(kept.path, b"cut of")
    assert "every file was read back" in keep_package(warehouse, release)
    assert (read_file(release, "package/README.md") or b"").startswith(b"# Survivor")


@pytest.mark.parametrize("store", ["folder"], indirect=True)
def test_after_a_run_up_to_silver_the_package_still_has_gold(
    warehouse: ConnectionSettings, owner: psycopg.Connection, store: str
) -> None:
    """The newer release has no gold, and half a package is nobody's wish."""
    whole = build_release(warehouse, owner)
    publish_release(owner, whole)
    partial = build_release(warehouse, owner, target_layer="silver")
    publish_release(owner, partial)
    assert choose_release(warehouse).release_id == whole
    assert choose_release(warehouse, partial).release_id == partial


@pytest.mark.parametrize("store", ["folder"], indirect=True)
def test_a_package_that_cannot_be_built_leaves_the_last_one(
    warehouse: ConnectionSettings,
    owner: psycopg.Connection,
    store: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first = small_release(warehouse, owner)
    show(warehouse, owner, first)
    keep_package(warehouse, first)
    second = small_release(warehouse, owner)
    show(warehouse, owner, second)
    monkeypatch.setattr(building.parquet, "write", lambda *_: full_disk())
    with pytest.raises(building.ExportError, match=r"cannot be written: .*No space left on device"):
        keep_package(warehouse, second)
    assert pointed_at() == first
    assert read_file(second, "package/SHA256SUMS") is None


def full_disk() -> None:
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize("store", ["folder"], indirect=True)
def test_the_page_of_soda_shows_what_it_found_and_loads_nothing(
    warehouse: ConnectionSettings, owner: psycopg.Connection, store: str
) -> None:
    sample = [{"castaway": "<b>Sandra</b>", "votes": "6"}]
    results = [
        check("soda", "bronze", observed={"value": 0, "limit": "= 0"}),
        check(
            "soda",
            "silver",
            check_id="silver.things.told",
            outcome="failed",
            description="votes add up",
            observed={"value": 3, "limit": "no row may fail", "sample": sample},
            message="found 3; such as castaway=<b>Sandra</b>",
        ),
    ]
    release = build_release(warehouse, owner, results=results)
    assert "1 failed, 1 passed" in keep_soda_page(warehouse, release)
    page = (read_file(release, "soda/index.html") or b"").decode()
    for told in ("votes add up", "&lt;b&gt;Sandra&lt;/b&gt;", "silver.things", "1 of 1 passed"):
        assert told in page
    assert "<b>" not in page
    for elsewhere in ("http://", "https://", "src=", "url(", "@import", "<script"):
        assert elsewhere not in page
    empty = build_release(warehouse, owner, results=[])
    keep_soda_page(warehouse, empty)
    assert b"has not looked at this release" in (read_file(empty, "soda/index.html") or b"")
