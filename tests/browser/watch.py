"""Look over a person's shoulder: what their pages ask for, complain of, and look like to whom."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from playwright.sync_api import (
        BrowserContext,
        ConsoleMessage,
        Page,
        Request,
        Response,
        WebError,
    )

AXE = (Path(__file__).parent / "vendor" / "axe.min.js").read_text(encoding="utf-8")
# At a desk, and with a phone in the hand.
DESK = {"width": 1280, "height": 800}
PHONE = {"width": 390, "height": 844}

# Chromium's word on the frame in which Airflow shows every page of a plugin, and on the icons of
# dbt's page while its script has not yet filled in their names.
OF_OTHERS = (
    "An iframe which has both allow-scripts and allow-same-origin",
    "Unsafe attempt to load URL",
)

VIOLATIONS = """
async () => (await axe.run(document, {resultTypes: ["violations"]})).violations
  .filter(({impact}) => ["serious", "critical"].includes(impact))
  .flatMap(({id, nodes}) => nodes.map((node) => `${id}: ${node.html.slice(0, 200)}`))
"""
TOO_WIDE = """
() => document.documentElement.scrollWidth <= innerWidth ? []
  : [...document.querySelectorAll("body *")]
  .filter((element) => element.getBoundingClientRect().right > innerWidth + 1)
  .map((element) => element.outerHTML.slice(0, 120))
"""
DRAWN = """
() => document.readyState === "complete" && !document.querySelector("[data-chart][hidden]")
"""
FOCUSED = """
() => {
  const {activeElement: element} = document;
  return (element.ariaLabel || element.innerText || element.name || element.tagName).trim();
}
"""


@dataclass
class Watch:
    """Notes what the pages of a browser context do that they should not."""

    context: BrowserContext
    origin: str
    problems: list[str] = field(default_factory=list)
    _expected: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.context.on("request", self._asked)
        self.context.on("requestfailed", self._failed)
        self.context.on("response", self._answered)
        self.context.on("console", self._said)
        self.context.on("weberror", self._threw)

    @contextmanager
    def expecting(self, *words: str) -> Iterator[None]:
        """Problems with one of these words in them are what the test is about."""
        self._expected = list(words)
        yield
        self._expected = []

    def _note(self, problem: str) -> None:
        if not any(words in problem for words in self._expected):
            self.problems.append(problem)

    def _asked(self, request: Request) -> None:
        parts = urlsplit(request.url)
        if parts.scheme in ("http", "https", "ws", "wss") and not self._is_here(request.url):
            self._note(f"another host is asked: {request.url}")

    def _failed(self, request: Request) -> None:
        # A page that is left gives up what it was still asking for; dbt's asks for the icons of its
        # template, `{{ getIcon(…) }}`, before it knows their names.
        given_up = request.failure == "net::ERR_ABORTED" or "getIcon" in request.url
        if not given_up and self._is_here(request.url):
            self._note(f"no answer to {request.method} {request.url}: {request.failure}")

    def _answered(self, response: Response) -> None:
        if response.status >= 400:
            self._note(f"{response.status} for {response.request.method} {response.url}")

    def _said(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and not message.text.startswith(OF_OTHERS):
            self._note(f"console {message.type} at {message.location['url']}: {message.text}")

    def _threw(self, error: WebError) -> None:
        self._note(f"a script failed: {error.error}")

    def _is_here(self, url: str) -> bool:
        return url.startswith(f"{self.origin}/")


@dataclass
class Person:
    """Somebody at a browser, signed in or not."""

    watch: Watch
    screenshots: Path

    @property
    def url(self) -> str:
        return self.watch.origin

    def open(self, path: str) -> Page:
        """Open an address of this Airflow in a new tab."""
        page = self.watch.context.new_page()
        page.goto(self.url + path)
        return page

    def sign_in(self, page: Page, user: str, password: str) -> None:
        """Fill in Airflow's form, which the page shows, and wait until it is left."""
        page.get_by_label("Username").fill(user)
        page.locator("input[type=password]").fill(password)
        page.get_by_role("button", name="Sign in").click()
        page.wait_for_url(lambda url: "/auth/login" not in url)

    def keep(self, page: Page, name: str) -> None:
        """Keep a picture of the page."""
        path = self.screenshots / f"{name}.png"
        page.screenshot(path=path, full_page=True, animations="disabled")

    def examine(self, page: Page, name: str) -> None:
        """Look at a page of ours as different people do, and keep what they see."""
        page.wait_for_function(DRAWN)
        page.evaluate(AXE)
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme, reduced_motion="reduce")  # type: ignore[arg-type]
            self.keep(page, f"{name}-{scheme}")
            found: list[str] = page.evaluate(VIOLATIONS)
            self.watch.problems += [f"{name}, {scheme}: {it}" for it in found]
        page.set_viewport_size(PHONE)  # type: ignore[arg-type]
        self.keep(page, f"{name}-phone")
        wide: list[str] = page.evaluate(TOO_WIDE)
        self.watch.problems += [f"{name} is too wide for a phone: {it}" for it in wide]
        page.set_viewport_size(DESK)  # type: ignore[arg-type]
        page.emulate_media(color_scheme="light")


def tab_stops(page: Page, until: str, limit: int = 60) -> list[str]:
    """Press Tab until something that begins so has the focus; returns what had it on the way."""
    stops: list[Any] = []
    while len(stops) < limit and not (stops and stops[-1].startswith(until)):
        page.keyboard.press("Tab")
        stops.append(page.evaluate(FOCUSED))
    return stops
