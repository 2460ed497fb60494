"""Where the project's files are, and which of them are its own."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what reads a checkout where there is none: an image holds what .dockerignore lets in."""
    if (PROJECT / ".git").exists():
        return
    for item in items:
        if item.path.is_relative_to(PROJECT / "tests" / "project"):
            item.add_marker(pytest.mark.skip(reason="reads a checkout; this is none"))


@pytest.fixture(scope="session")
def project() -> Path:
    """The project's folder."""
    return PROJECT


@pytest.fixture(scope="session")
def git() -> list[str]:
    """The start of a git command that works in this checkout, whoever owns it."""
    return ["git", "-c", f"safe.directory={PROJECT}", "-C", str(PROJECT)]


@pytest.fixture(scope="session")
def project_files(git: list[str]) -> list[Path]:
    """Every text file that is committed or could be: all but what git ignores."""
    listing = subprocess.run(
        [*git, "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        check=True,
        capture_output=True,
    )
    files = [PROJECT / os.fsdecode(name) for name in listing.stdout.split(b"\0") if name]
    return [file for file in files if file.is_file() and b"\0" not in file.read_bytes()[:8192]]
