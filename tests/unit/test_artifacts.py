"""Pages are kept by release, at whatever URL a deployment names."""

from __future__ import annotations

from pathlib import Path

import pytest

from include.artifacts import upload_folder


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
