"""A home of its own for every test: no data and no cache of the person who runs them."""

from __future__ import annotations

from pathlib import Path

import pytest

# What astro dev pytest runs in has the project without its client.
pytest.importorskip("gamebot", reason="needs the folder client/ of the checkout")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
    # Root's state lies elsewhere, so this is named in any case.
    monkeypatch.setenv("GAMEBOT_STATE_DIR", str(folder / "state"))
    monkeypatch.delenv("GAMEBOT_DATA", raising=False)
    return folder
