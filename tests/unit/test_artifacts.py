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
