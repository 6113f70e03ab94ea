"""The console in a real browser, at a real server, over a database that this process writes to as well."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, StorageState, expect

from clawguard import AccessDenied, SessionManager
from tests.server.console.browsing import NARROW, PATIENCE, WIDE, Visit, launched, visiting
from tests.server.console.stage import PAGES, fill
from tests.server.real import KEK, Served, serving

expect.set_options(timeout=PATIENCE)
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("console")
    with serving(folder / "clawguard.db", folder / "server") as served:
        yield served


@pytest.fixture(scope="module")
def host(served: Served) -> Iterator[SessionManager]:
    """Return a manager of another process, over the server's database."""
    database = served._folder.parent / "clawguard.db"
    with SessionManager.open(database, kek=KEK) as manager:
        yield manager


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with launched() as browser:
        yield browser


@pytest.fixture(scope="module")
def known(browser: Browser, served: Served) -> StorageState:
    """Return what a browser keeps that has logged in."""
    with visiting(browser, served.url) as visit:
        visit.enter(served.token)
        return visit.context.storage_state()


@pytest.fixture
def stranger(browser: Browser, served: Served) -> Iterator[Visit]:
    """Return a browser that nobody has logged in with."""
    with visiting(browser, served.url) as visit:
        yield visit


@pytest.fixture
def visit(browser: Browser, served: Served, known: StorageState) -> Iterator[Visit]:
    with visiting(browser, served.url, storage_state=known) as visit:
        yield visit


def test_a_session_of_another_process_appears_is_revoked_and_goes(
    stranger: Visit, served: Served, host: SessionManager
) -> None:
    page = stranger.enter(served.token)
    lead = host.create("courier", subject="user:ana", scopes="mail:send")
    child = host.delegate(lead, "stamper", scopes="mail:send")
    for each in (lead, child):
        expect(page.locator(f'tr[data-id="{each.id}"]')).to_be_visible()
    page.locator(f"#s-{lead.id}").click()
    page.get_by_role("button", name="Revoke…").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.locator(".count")).to_have_text("2 sessions")
    assert host.validate(child.token)  # counted, not ended
    dialog.get_by_label("Reason").fill("laptop lost")
    dialog.get_by_role("button", name="Revoke 2").click()
    expect(page.locator("#said")).to_have_text("Revoked.")
    expect(page.locator(".head .badge")).to_have_text("revoked")
    expect(page.locator("main .note")).to_contain_text("laptop lost")
    for each in (lead, child):
        with pytest.raises(AccessDenied):
            host.validate(each.token)
    page.get_by_role("link", name="Sessions").first.click()
    expect(page.locator("#rows")).to_be_visible()
    expect(page.locator(f'tr[data-id="{lead.id}"]')).to_have_count(0)


def test_a_row_goes_by_itself_when_its_session_ends_elsewhere(
    visit: Visit, served: Served, host: SessionManager
) -> None:
    page = visit.go("/sessions?live=true")
    session = host.create("swift", scopes="mail:send")
    shown = page.locator(f'tr[data-id="{session.id}"]')
    expect(shown).to_be_visible()
    host.revoke(session)
    expect(shown).to_have_count(0)


def test_who_ended_is_logged_out_without_a_hand_being_lifted(
    stranger: Visit, served: Served, host: SessionManager
) -> None:
    stranger.expected = {401}
    viewer = host.create("viewer", scopes="clawguard:sessions:read")
    page = stranger.enter(viewer.token)
    host.revoke(viewer)
    page.wait_for_url("**/login?ended=true")
    expect(page.get_by_text("Your session has ended")).to_be_visible()
    assert not stranger.context.cookies()


def test_the_token_is_where_no_script_can_read_it(stranger: Visit, served: Served) -> None:
    page = stranger.enter(served.token)
    assert page.evaluate("document.cookie") == ""
    assert page.evaluate("localStorage.length") == 0
    kept = page.evaluate("Object.values(sessionStorage)")  # htmx notes where the page is
    assert all(each == "/console/sessions?live=true" for each in kept)
    (cookie,) = stranger.context.cookies()
    assert cookie["name"].startswith("__Host-")
    assert (cookie["httpOnly"], cookie["secure"], cookie["sameSite"]) == (True, True, "Strict")


def test_a_link_from_another_site_leads_in(visit: Visit, served: Served) -> None:
    """The first request has no `Strict` cookie; the page that it gets asks again."""
    page, elsewhere = visit.page, "http://elsewhere.test/"
    link = f'<a href="{served.url}/console/keys">there</a>'
    page.route(elsewhere, lambda route: route.fulfill(body=link, content_type="text/html"))
    visit.elsewhere, visit.expected = elsewhere, {401}
    page.goto(elsewhere)
    page.get_by_role("link").click()
    expect(page.get_by_role("heading", name="Signing keys")).to_be_visible()


def tab_to(page: Page, name: str, *, most: int = 60) -> None:
    """Press Tab until something of this name has the focus, and shows it."""
    for _ in range(most):
        page.keyboard.press("Tab")
        found = page.evaluate("document.activeElement.textContent.trim()")
        if found.startswith(name):
            style = "(e => getComputedStyle(e).outlineStyle)(document.activeElement)"
            assert page.evaluate(style) != "none", f"{name} does not show that it has the focus"
            return
    raise AssertionError(f"no {name!r} within {most} steps")


def test_everything_is_reached_by_keyboard_alone(
    stranger: Visit, served: Served, host: SessionManager
) -> None:
    session = host.create("typist", scopes="mail:send")
    page = stranger.go("")
    page.keyboard.type(served.token)  # the field has the focus already
    page.keyboard.press("Enter")
    page.wait_for_url("**/sessions?live=true")
    tab_to(page, "typist")
    newcomer = host.create("newcomer", scopes="mail:send")
    expect(page.locator(f'tr[data-id="{newcomer.id}"]')).to_be_visible()  # the rows are others now
    assert page.evaluate("document.activeElement.textContent.trim()") == "typist"
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/{session.id}")
    page.evaluate("htmx.config.defaultSettleDelay = 500")  # a machine slower than the typist
    tab_to(page, "Revoke…")
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()
    assert page.evaluate("document.activeElement.id") == "revoke"  # back where it came from
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog").get_by_label("Reason")).to_be_focused()
    page.keyboard.type("by hand")
    page.keyboard.press("Enter")
    expect(page.locator(".head .badge")).to_have_text("revoked")
    assert host.sessions.get(session).reason == "by hand"


def test_many_are_revoked_by_what_they_have_in_common_once_they_were_counted(
    visit: Visit, served: Served, host: SessionManager
) -> None:
    sessions = [host.create("swarm", subject=f"user:{n}", scopes="web:fetch") for n in range(3)]
    page = visit.go("/agents")
    line = page.locator('tr[data-id="swarm"]')
    expect(line.locator(".c-live")).to_contain_text("3")
    line.get_by_role("button").click()
    expect(page.get_by_role("dialog").locator(".count")).to_have_text("3 sessions")
    page.get_by_role("button", name="Cancel").click()
    assert all(host.validate(each.token) for each in sessions)
    line.get_by_role("button").click()
    page.get_by_role("button", name="Revoke 3").click()
    expect(page.locator("#said")).to_have_text("3 sessions ended.")
    expect(line).to_have_count(0)


def test_the_log_is_followed_paused_and_taken_up_again(
    visit: Visit, served: Served, host: SessionManager
) -> None:
    page = visit.go("/events")
    before = host.create("early-bird", scopes="web:fetch")
    line = page.locator(".event", has_text="early-bird")
    expect(line).to_contain_text("session.created")
    expect(line.get_by_role("link")).to_have_text(before.id)
    pause = page.locator("#pause")
    pause.click()
    expect(pause).to_have_attribute("aria-pressed", "true")
    host.create("late-bird", scopes="web:fetch")
    page.wait_for_timeout(1_600)
    expect(page.locator(".event", has_text="late-bird")).to_have_count(0)
    pause.click()
    expect(page.locator(".event", has_text="late-bird")).to_have_count(1)
    expect(page.locator(".event", has_text="early-bird")).to_have_count(1)


def test_a_key_is_rotated_once_it_was_said_what_an_emergency_would_end(
    visit: Visit, served: Served, host: SessionManager
) -> None:
    active = host.keys.active().kid
    page = visit.go("/keys")
    page.get_by_role("button", name="Rotate…").click()
    expect(page.get_by_role("dialog").locator(".count")).to_have_text(re.compile(r"\d+ sessions?"))
    assert host.keys.active().kid == active
    page.get_by_role("button", name="Rotate", exact=True).click()
    expect(page.locator("#said")).to_have_text("The next key signs now.")
    expect(page.locator(f'tr[data-id="{active}"] .badge')).to_have_text(re.compile("retir(ing|ed)"))


HIDES = """window.hides = 0; const told = document.getElementById("offline");
new MutationObserver(() => { window.hides += told.hidden; }).observe(told, { attributes: true });"""


def test_a_piece_that_does_not_come_any_more_says_so_though_others_do(
    visit: Visit, served: Served, host: SessionManager
) -> None:
    visit.expected = {403, 409, 503}
    session = host.create("faded", scopes="web:fetch")
    page, told = visit.page, visit.page.locator("#offline")
    page.route("**/history", lambda route: route.fulfill(status=409, body="entry 2 cannot be read"))
    page.route("**/facts", lambda route: route.fulfill(status=403, body="host lacks it"))
    visit.go(f"/sessions/{session.id}")
    expect(page.locator("#history")).to_have_text("entry 2 cannot be read")
    expect(told).to_have_text("What is shown may be old: host lacks it.")
    page.evaluate(HIDES)
    for piece in ("timeline", "facts", "timeline", "facts"):
        with page.expect_response(f"**/{piece}"):
            pass
    assert page.evaluate("window.hides") == 0
    page.unroute("**/facts")
    expect(told).to_be_hidden()
    page.route("**/charts/data*", lambda route: route.fulfill(status=503, body="not now"))
    visit.go("/charts")
    expect(told).to_be_visible()
    page.unroute("**/charts/data*")
    expect(told).to_be_hidden()


def test_charts_are_drawn_of_what_happens(visit: Visit, served: Served, host: SessionManager) -> None:
    page = visit.go("/charts")
    expect(page.locator(".plot canvas")).to_have_count(4)
    before = int(page.locator("#n-created").inner_text())
    session = host.create("charted", scopes="web:fetch")
    host.revoke(session)
    expect(page.locator("#n-created")).to_have_text(str(before + 1))
    expect(page.locator("#reasons")).to_contain_text("revoked")
    page.get_by_role("link", name="A day").click()
    expect(page.locator(".plot canvas")).to_have_count(4)


@pytest.mark.parametrize(("size", "scheme"), [(WIDE, "light"), (NARROW, "dark")])
def test_every_page_is_fit_for_everybody(
    browser: Browser, served: Served, host: SessionManager, size: tuple[int, int], scheme: str
) -> None:
    """axe-core finds no serious fault, and no page is wider than the window."""
    lead = host.sessions.last(agent_id="planner") or fill(host)
    with visiting(browser, served.url, size=size, color_scheme=scheme) as visit:
        visit.expected = {404}
        visit.go("/login")
        assert_fit(visit.page, "login")
        visit.enter(served.token)
        for name, path in PAGES.items():
            page = visit.go(path.format(lead=lead.id))
            expect(page.locator("main [hx-trigger=load]")).to_have_count(0)
            assert_fit(page, name)
        visit.go(f"/sessions/{lead.id}").get_by_role("button", name="Revoke…").click()
        expect(visit.page.get_by_role("dialog")).to_be_visible()
        assert_fit(visit.page, "dialog")


AXE = {"resultTypes": ["violations"], "iframes": False, "elementRef": False}


def assert_fit(page: Page, name: str) -> None:
    found = Axe().run(page, options=AXE).response["violations"]
    serious = [
        (each["id"], each["nodes"][0]["html"][:160])
        for each in found
        if each["impact"] in ("serious", "critical", "moderate")
    ]
    assert not serious, (name, serious)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"{name} is too wide"


MARKUP = (
    """"><img src=x onerror="window.pwned=1"><script>window.pwned=1</script>'>{{7*7}}"""
    "<p hx-get=/console/keys hx-trigger=load>"
)


def test_attack_no_markup_of_others_runs_or_becomes_a_part_of_a_page(
    visit: Visit, served: Served, host: SessionManager
) -> None:
    """Whatever a host or an agent may choose is full of markup, and is shown as text."""
    session = host.create(
        MARKUP,
        subject=f"user:{MARKUP}",
        scopes="web:fetch",
        agent_alias=MARKUP,
        name=MARKUP,
        role=None,
        task_type=MARKUP,
        key=MARKUP,
        metadata={MARKUP: MARKUP},
        channel_id=MARKUP,
        room_id=MARKUP,
        sender_id=MARKUP,
    )
    host.history.append(session, {"role": "user", "content": MARKUP})
    host.events.register("memory.added")
    host.publish("memory.added", {"said": MARKUP}, session=session)
    ended = host.create(MARKUP, scopes="web:fetch")
    host.revoke(ended, reason=MARKUP)
    page = visit.page
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    for path in (
        "/sessions?live=true",
        "/sessions",
        f"/sessions/{session.id}",
        f"/sessions/{ended.id}",
        "/agents",
        "/events",
        f"/events?session_id={session.id}",
    ):
        visit.go(path)
        expect(page.locator("main [hx-trigger=load]")).to_have_count(0)
        expect(page.get_by_text("{{7*7}}").first).to_be_attached()
        assert page.evaluate("window.pwned") is None, path
        assert page.locator("main img, main script, main [onerror], p[hx-get]").count() == 0, path
    visit.go(f"/sessions/{session.id}").get_by_role("button", name="Revoke…").click()
    expect(page.get_by_role("dialog")).to_contain_text("{{7*7}}")
    assert page.locator("dialog img, dialog script").count() == 0
    assert not [url for url in asked if url.endswith("/console/keys") or url.endswith("/x")]
