"""Pages on an object store, where there are no folders, no umask and no second chances."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

pytest.importorskip("moto", reason="make test installs it")

from include.artifacts import (
    ArtifactMissing,
    ArtifactsError,
    delete_folders,
    kept_names,
    list_kept,
    open_kept,
    upload_folder,
)
from tests.object_store import BUCKET, KEY_ID, SECRET_KEY, object_store

if TYPE_CHECKING:
    from tests.object_store import ObjectStore

PREFIX = "gamebot/releases"


@pytest.fixture(scope="module")
def server() -> Iterator[ObjectStore]:
    with object_store() as store:
        yield store


@pytest.fixture
def store(server: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> Iterator[ObjectStore]:
    """The server, an empty bucket, and a deployment that keeps its pages there."""
    monkeypatch.setenv("AIRFLOW_CONN_PAGES", server.connection())
    monkeypatch.setenv("GAMEBOT_ARTIFACTS_URL", f"s3://pages@{BUCKET}/gamebot/")
    forget_connections()
    yield server
    client = server.client()
    for key in server.objects():
        client.delete_object(Bucket=BUCKET, Key=key)


def forget_connections() -> None:
    """Begin as a new process would, which each task is."""
    from airflow.sdk.io import store as stores
    from s3fs import S3FileSystem

    stores._STORE_CACHE.clear()
    S3FileSystem.clear_instance_cache()


@pytest.fixture
def pages(tmp_path: Path) -> Path:
    """What Great Expectations leaves."""
    folder = tmp_path / "pages"
    for name, content in {
        "index.html": "<h1>release 7</h1>",
        "static/styles/data_docs.css": "body{}",
        "static/script.js": "1",
        "static/logo.svg": "<svg/>",
        "expectations/ml features?.json": "{}",
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)
    return folder


def test_a_browser_shows_the_pages_from_the_bucket(store: ObjectStore, pages: Path) -> None:
    """Objects without a content type are downloaded instead of shown."""
    url = upload_folder(pages, 7, "great_expectations")

    assert url == f"s3://pages@{BUCKET}/{PREFIX}/7/great_expectations"
    kept = store.objects(f"{PREFIX}/7/great_expectations/")
    assert kept[f"{PREFIX}/7/great_expectations/index.html"] == b"<h1>release 7</h1>"
    types = {
        key.rpartition("/")[2]: store.client().head_object(Bucket=BUCKET, Key=key)["ContentType"]
        for key in kept
    }
    assert types == {
        "index.html": "text/html",
        "data_docs.css": "text/css",
        "script.js": "text/javascript",
        "logo.svg": "image/svg+xml",
        "ml features?.json": "application/json",
    }


def test_a_retry_replaces_the_pages_of_an_earlier_attempt(store: ObjectStore, pages: Path) -> None:
    """A store has no folders to remove, and a prefix of one release is that of another's, too."""
    (pages / "validations").mkdir()
    (pages / "validations" / "first.html").write_text("failed")
    upload_folder(pages, 7, "great_expectations")
    upload_folder(pages, 7, "great_expectations_2")
    upload_folder(pages, 70, "great_expectations")
    (pages / "validations" / "first.html").rename(pages / "validations" / "second.html")

    upload_folder(pages, 7, "great_expectations")

    assert {key for key in store.objects() if "validations" in key} == {
        f"{PREFIX}/7/great_expectations/validations/second.html",
        f"{PREFIX}/7/great_expectations_2/validations/first.html",
        f"{PREFIX}/70/great_expectations/validations/first.html",
    }


def test_pages_go_with_the_tables_of_their_release(store: ObjectStore, pages: Path) -> None:
    for release in (4, 5, 50):
        upload_folder(pages, release, "great_expectations")
    store.client().put_object(Bucket=BUCKET, Key=f"{PREFIX}/4/somebodys notes.txt", Body=b"")
    store.client().put_object(Bucket=BUCKET, Key="gamebot/of others.txt", Body=b"")

    delete_folders({4, 5, 6})

    assert {key.split("/")[2] for key in store.objects(PREFIX)} == {"50"}
    assert "gamebot/of others.txt" in store.objects()


def test_nothing_kept_yet_is_nothing_to_delete(store: ObjectStore) -> None:
    delete_folders({1, 2})


def test_small_files_do_not_go_one_after_the_other(
    store: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each takes the way to the store and back: a hundred pages took a minute to a far one."""
    from s3fs import S3FileSystem

    put, under_way = S3FileSystem._put_file, []

    async def far_away(*arguments: object, **options: object) -> object:
        under_way.append(under_way[-1] + 1 if under_way else 1)
        await asyncio.sleep(0.1)
        under_way.append(under_way[-1] - 1)
        return await put(*arguments, **options)

    monkeypatch.setattr(S3FileSystem, "_put_file", far_away)
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(40):
        (folder / f"{number}.html").write_text("passed")

    upload_folder(folder, 7, "many")

    assert len(store.objects(f"{PREFIX}/7/many/")) == 40
    assert max(under_way) >= 20


class TestWhatGoesWrong:
    """The message names the setting, says what to do and holds no secret."""

    @pytest.fixture(autouse=True)
    def no_secret_is_told(
        self, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
    ) -> Iterator[None]:
        with caplog.at_level(logging.DEBUG, logger="include"):
            yield
        said = caplog.text + "".join(capfd.readouterr())
        assert SECRET_KEY not in said

    def test_a_misspelt_bucket_is_not_made(
        self, store: ObjectStore, pages: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It would belong to nobody and be as public as the account's default."""
        monkeypatch.setenv("GAMEBOT_ARTIFACTS_URL", "s3://pages@gamebot-artefacts")
        with pytest.raises(ArtifactsError, match=r"bucket does not exist.*must be there already"):
            upload_folder(pages, 7, "great_expectations")
        assert [one["Name"] for one in store.client().list_buckets()["Buckets"]] == [BUCKET]

    def test_a_login_without_permission(self, store: ObjectStore, pages: Path) -> None:
        user = store.client("iam")
        user.create_user(UserName="reader")
        key = user.create_access_key(UserName="reader")["AccessKey"]
        with pytest.MonkeyPatch.context() as patch, store.asking_for_permission():
            connection = store.connection(login=key["AccessKeyId"], password=key["SecretAccessKey"])
            patch.setenv("AIRFLOW_CONN_PAGES", connection)
            forget_connections()
            with pytest.raises(ArtifactsError, match="needs to list, write and delete") as caught:
                upload_folder(pages, 7, "great_expectations")
        assert key["SecretAccessKey"] not in str(caught.value)

    def test_a_wrong_key(self, store: ObjectStore, pages: Path) -> None:
        with (
            store.asking_for_permission(),
            pytest.raises(ArtifactsError, match="GAMEBOT_ARTIFACTS_URL") as caught,
        ):
            upload_folder(pages, 7, "great_expectations")
        assert SECRET_KEY not in str(caught.value)
        assert KEY_ID not in str(caught.value)

    def test_a_connection_that_is_not_there(
        self, store: ObjectStore, pages: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Airflow's hook goes on with whatever credentials the machine happens to have."""
        monkeypatch.delenv("AIRFLOW_CONN_PAGES")
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY_ID)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
        monkeypatch.setenv("AWS_ENDPOINT_URL", store.url)
        with pytest.raises(ArtifactsError, match="connection 'pages', which Airflow does not"):
            upload_folder(pages, 7, "great_expectations")
        assert store.objects() == {}


def test_the_console_reads_what_a_run_kept_in_the_bucket(store: ObjectStore, pages: Path) -> None:
    """In hosted Airflow the API server has no disk in common with the workers."""
    upload_folder(pages, 7, "great_expectations")
    upload_folder(pages, 7, "soda")

    assert kept_names(7) == ["great_expectations", "soda"]
    assert kept_names(8) == []
    files = dict(list_kept("releases/7/great_expectations"))
    assert files["static/styles/data_docs.css"] == len("body{}")
    file, size = open_kept("releases/7/great_expectations/index.html")
    with file:
        assert (file.read(), size) == (b"<h1>release 7</h1>", 18)
    for path in ("releases/7/soda/nothing", "releases/7/soda/static", "releases/7/../7/soda/x"):
        with pytest.raises(ArtifactMissing):
            open_kept(path)
