"""Pages are kept by release, at whatever URL a deployment names."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from include.artifacts import ArtifactsError, delete_folders, keep_files, upload_folder


def test_a_folder_is_copied_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GAMEBOT_ARTIFACTS_URL", f"file://{tmp_path}/kept/")
    docs = tmp_path / "docs"
    (docs / "static").mkdir(parents=True)
    (docs / "index.html").write_text("<h1>release 7</h1>")
    (docs / "static" / "style.css").write_bytes(b"\xef\xbb\xbfbody{}")

    url = upload_folder(docs, 7, "great_expectations")

    assert url == f"file://{tmp_path}/kept/releases/7/great_expectations"
    kept = tmp_path / "kept" / "releases" / "7" / "great_expectations"
    assert (kept / "index.html").read_text() == "<h1>release 7</h1>"
    assert (kept / "static" / "style.css").read_bytes() == b"\xef\xbb\xbfbody{}"


def test_a_retry_replaces_what_an_earlier_attempt_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Great Expectations names its pages after the time, so those of every attempt piled up."""
    monkeypatch.setenv("GAMEBOT_ARTIFACTS_URL", f"file://{tmp_path}/kept")
    attempts = []
    for number in (1, 2):
        attempts.append(tmp_path / f"attempt {number}")
        (attempts[-1] / "validations").mkdir(parents=True)
        (attempts[-1] / "validations" / f"{number}.html").write_text("passed")
    upload_folder(attempts[0], 6, "great_expectations")
    upload_folder(attempts[0], 7, "soda")

    for attempt in attempts:
        upload_folder(attempt, 7, "great_expectations")

    kept = tmp_path / "kept" / "releases"
    assert {path.relative_to(kept).as_posix() for path in kept.rglob("*.html")} == {
        "6/great_expectations/validations/1.html",
        "7/great_expectations/validations/2.html",
        "7/soda/validations/1.html",
    }


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("s4://bucket/path", "not with 's4'"),
        ("gs://bucket/path", "apache-airflow-providers-google"),
        ("bucket/path", "not with 'bucket/path'"),
        ("s3://nobody@bucket/path", "connection 'nobody', which Airflow does not have"),
        (
            "s3://AKIA0:planted-secret@bucket/path",  # pragma: allowlist secret
            "must not hold a login and password",
        ),
    ],
)
def test_a_url_that_cannot_work_is_named_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str, told: str
) -> None:
    """A path without a scheme was written into the working directory, a login into the log."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GAMEBOT_ARTIFACTS_URL", url)
    for attempt in (lambda: upload_folder(tmp_path, 7, "pages"), lambda: delete_folders({7})):
        with pytest.raises(ArtifactsError, match="GAMEBOT_ARTIFACTS_URL") as caught:
            attempt()
        assert told in str(caught.value)
        assert "planted-secret" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "index.html").touch()
    monkeypatch.setenv("GAMEBOT_ARTIFACTS_URL", f"file://{tmp_path}/file")
    with pytest.raises(ArtifactsError, match=f"file://{tmp_path}/file.*Correct the place"):
        upload_folder(tmp_path, 7, "pages")


def test_pages_go_with_the_tables_of_their_release(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GAMEBOT_ARTIFACTS_URL", f"file://{tmp_path}/kept")
    (tmp_path / "index.html").touch()
    delete_folders({4})
    for release in (4, 5, 50):
        upload_folder(tmp_path, release, "great_expectations")
    (tmp_path / "kept" / "releases" / "notes").mkdir()
    delete_folders({4, 5, 6})
    assert {path.name for path in (tmp_path / "kept" / "releases").iterdir()} == {"50", "notes"}


@pytest.mark.parametrize("environment", ["cloud", "local"])
def test_a_hosted_worker_says_that_its_own_disk_is_no_place_to_keep_pages(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    environment: str,
) -> None:
    """They went with the worker, and nobody knew why the link in the log led nowhere."""
    monkeypatch.setenv("ASTRONOMER_ENVIRONMENT", environment)
    monkeypatch.setenv("GAMEBOT_ARTIFACTS_URL", f"file://{tmp_path}/kept")
    with caplog.at_level(logging.WARNING):
        upload_folder(tmp_path, 7, "pages")
    assert ("let GAMEBOT_ARTIFACTS_URL name an object store" in caplog.text) == (
        environment == "cloud"
    )


def test_pages_that_cannot_be_kept_fail_no_release(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A release is not worse because nobody can look at its pages, and neither is its end."""
    from include.pipeline import _prune_pages

    monkeypatch.setenv("GAMEBOT_ARTIFACTS_URL", "gs://bucket/path")
    with caplog.at_level(logging.ERROR):
        keep_files(tmp_path, 7, "great_expectations")
        _prune_pages({6})
    first, second = (record.getMessage() for record in caplog.records)
    said = "The files of great_expectations of release 7 could not be kept. GAMEBOT_ARTIFACTS_URL"
    assert first.startswith(said)
    assert second.startswith("The pages of old releases could not be deleted. GAMEBOT_ARTIFACTS")
    # One line each: the stack of an object store's library says nothing more.
    assert not any(record.exc_info for record in caplog.records)
