"""Chromium: which program it is here, and how it is kept from talking to another machine."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Playwright

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
MISSING = (
    f"needs Chromium: none of {', '.join(PROGRAMS)} is on the PATH. Install it (on Debian "
    "`apt-get install chromium`, elsewhere `.venvs/airflow/bin/playwright install chromium`) or "
    "name it in GAMEBOT_CHROMIUM."
)


def find_chromium(playwright: Playwright) -> Path | None:
    """Return the program that GAMEBOT_CHROMIUM names, the machine's, or Playwright's own.

    Raises:
        FileNotFoundError: the setting names no program.
    """
    if named := os.environ.get("GAMEBOT_CHROMIUM"):
        if program := shutil.which(Path(named).expanduser()):
            return Path(program)
        raise FileNotFoundError(f"GAMEBOT_CHROMIUM names {named}, which is no program")
    for name in PROGRAMS:
        if program := shutil.which(name):
            return Path(program)
    fetched = _fetched(playwright)
    return fetched if fetched.exists() else None


def _fetched(playwright: Playwright) -> Path:
    return Path(playwright.chromium.executable_path)


@contextmanager
def chromium(*, headed: bool = False) -> Iterator[Browser | None]:
    """Start it, None where there is none."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        program = find_chromium(playwright)
        if program is None:
            yield None
            return
        browser = playwright.chromium.launch(
            executable_path=program,
            headless=not headed,
            # Root has none, and distributions grant one to the browsers that they package.
            chromium_sandbox=os.geteuid() != 0 and program != _fetched(playwright),
            args=[
                "--disable-gpu",
                "--no-first-run",
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-sync",
                # Whatever a page asks of another host fails at once, and on every machine.
                "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
            ],
        )
        try:
            yield browser
        finally:
            browser.close()
