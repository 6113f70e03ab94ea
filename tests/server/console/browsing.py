"""A real browser at a real console: found, started, and held to a page that says nothing wrong."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request, sync_playwright

from tests.servers import missing

__all__ = ["Visit", "launched", "visiting"]

PATIENCE = 20_000  # milliseconds, on a machine that is busy
NAMES = ("chromium", "chromium-browser", "google-chrome")
WIDE, NARROW = (1_280, 860), (390, 844)
# What a page is told by its own server is told in the console too, and expected where a test asks for it.
TOLD_BY_HTMX = "Response Status Error Code "
TOLD = "Failed to load resource: the server responded with a status of "


@contextmanager
def launched() -> Iterator[Browser]:
    """Start the machine's Chromium for a block."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        missing("Chromium; on Debian: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()


class Visit:
    """Hold a page at a console, and everything wrong that it has said or done."""

    def __init__(self, context: BrowserContext, url: str) -> None:
        self.url = url
        self.context = context
        self.faults: list[str] = []
        self.expected: set[int] = set()
        self.elsewhere = ""
        context.on("console", self._heard)
        context.on("weberror", lambda error: self._note("error", f"{error.error}"))
        context.on("request", self._asked)
        self.page = context.new_page()
        self.page.set_default_timeout(PATIENCE)

    def go(self, path: str) -> Page:
        """Open a page of the console."""
        self.page.goto(f"{self.url}/console{path}")
        return self.page

    def enter(self, token: str) -> Page:
        """Log in as a person does."""
        page = self.go("")
        page.get_by_label("Token").fill(token)
        page.get_by_role("button", name="Log in").click()
        page.wait_for_url("**/sessions?live=true")
        return page

    def _heard(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self._note(message.type, message.text)

    def _note(self, kind: str, text: str) -> None:
        status = text.removeprefix(TOLD).removeprefix(TOLD_BY_HTMX)[:3]
        if not (status.isdigit() and int(status) in self.expected):
            self.faults.append(f"{kind}: {text}")

    def _asked(self, request: Request) -> None:
        is_own = urlsplit(request.url).netloc == urlsplit(self.url).netloc
        if not is_own and request.url != self.elsewhere:
            self.faults.append(f"asked elsewhere: {request.url}")


@contextmanager
def visiting(browser: Browser, url: str, **given: Any) -> Iterator[Visit]:
    """Open a console in a browser that knows nothing yet; no page may say or do anything wrong meanwhile."""
    width, height = given.pop("size", WIDE)
    given |= {"viewport": {"width": width, "height": height}, "reduced_motion": "reduce"}
    context = browser.new_context(**given)
    visit = Visit(context, url)
    try:
        yield visit
        assert not visit.faults, visit.faults
    finally:
        context.close()
