"""`make screenshots`: the console's pages as pictures, docs/images/console-*.png."""

from __future__ import annotations

import tempfile
from pathlib import Path

from playwright.sync_api import FloatRect, expect

from clawguard import SessionManager
from tests.server.console.browsing import NARROW, WIDE, launched, visiting
from tests.server.console.stage import fill, live_through
from tests.server.real import KEK, ROOT, serving

LONGEST = 1_560
IMAGES = ROOT / "docs" / "images"
SHOTS = {
    "sessions": "/sessions?live=true",
    "session": "/sessions/{lead}",
    "events": "/events",
    "charts": "/charts",
}
LOOKS = {
    "wide-light": (WIDE, "light"),
    "wide-dark": (WIDE, "dark"),
    "narrow-light": (NARROW, "light"),
    "narrow-dark": (NARROW, "dark"),
}


def take(folder: Path) -> None:
    """Serve a workspace with something of everything, and take every page in every look."""
    database = folder / "clawguard.db"
    live_through(database)
    with serving(database, folder / "server") as served, launched() as browser:
        with SessionManager.open(database, kek=KEK) as host:
            lead = fill(host)
        for look, (size, scheme) in LOOKS.items():
            with visiting(browser, served.url, size=size, color_scheme=scheme) as visit:
                visit.enter(served.token)
                for name, path in SHOTS.items():
                    page = visit.go(path.format(lead=lead.id))
                    expect(page.locator("main [hx-trigger=load]")).to_have_count(0)
                    page.wait_for_timeout(600)
                    height = (
                        page.evaluate("document.documentElement.scrollHeight") if size == NARROW else size[1]
                    )
                    clip = FloatRect(x=0, y=0, width=size[0], height=min(height, LONGEST))
                    page.screenshot(path=IMAGES / f"console-{name}-{look}.png", full_page=True, clip=clip)


if __name__ == "__main__":
    IMAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as made:
        take(Path(made))
