"""The console without a browser: what a caller sees there and may do."""

from __future__ import annotations

import html
import re
from html.parser import HTMLParser
from typing import Any

import httpx
import pytest

from clawguard import AccessDenied, IssuedSession
from tests.clocks import FakeClock
from tests.refusing import UNKNOWN
from tests.server.console.asking import BY_SCRIPT, OWN, PUBLIC, cookie, get, post, routes
from tests.server.console.stage import fill
from tests.server.scene import Scene


@pytest.fixture
def theirs(scene: Scene) -> IssuedSession:
    session = scene.manager.create("planner", scopes="docs:*", workspace_id="acme", metadata={"ticket": 17})
    scene.manager.delegate(session, "reader", scopes="docs:read")
    scene.manager.history.append(session, {"role": "user", "content": "the invoice"})
    scene.manager.agents.disable("planner-of-theirs", workspace_id="acme")
    return session


def test_attack_118_every_page_answers_for_a_foreign_id_as_for_an_unknown_one(
    scene: Scene, theirs: IssuedSession
) -> None:
    found = [(method, path) for method, path in routes(scene) if "{session_id}" in path]
    assert len(found) == 6
    found += [("GET", "/sessions?parent_id={session_id}"), ("GET", "/events?session_id={session_id}")]
    before = scene.manager.events.last()
    for method, path in found:
        ask = get if method == "GET" else post
        answers = [ask(scene, path.replace("{session_id}", each)) for each in (theirs.id, UNKNOWN)]
        assert [each.status_code for each in answers] == [404, 404], path
        told = [re.sub(r"[0-9a-f-]{36}", "ID", each.text) for each in answers]
        assert told[0] == told[1], path
    assert scene.manager.events.last() == before
    assert scene.manager.validate(theirs.token)


def test_no_page_shows_anything_of_another_workspace(scene: Scene, theirs: IssuedSession) -> None:
    for path in ("/sessions", "/sessions/rows", "/agents", "/events", "/events/rows?after=0", "/charts/data"):
        text = get(scene, path).text
        assert theirs.id not in text, path
        assert "planner" not in text, path
    assert sum(get(scene, "/charts/data").json()["created"]) == 1  # the admin's own
    counted = post(scene, "/revoke/count", agent_id="planner")
    assert "No live session fits" in counted.text
    assert "0 sessions ended" in post(scene, "/revoke", agent_id="planner").headers["hx-trigger"]
    assert scene.manager.validate(theirs.token)
    own = scene.caller("*", workspace="acme")
    assert theirs.id in get(scene, "/sessions", own).text


READ, END = "clawguard:sessions:read", "clawguard:sessions:revoke"
LOG, SAID = "clawguard:events:read", "clawguard:history:read"
KEYS, ROTATE = "clawguard:keys:read", "clawguard:keys:rotate"
NEEDED = {
    ("GET", "/sessions"): {READ},
    ("GET", "/sessions/rows"): {READ},
    ("GET", "/sessions/{session_id}"): {READ},
    ("GET", "/sessions/{session_id}/facts"): {READ},
    ("GET", "/sessions/{session_id}/timeline"): {LOG},
    ("GET", "/sessions/{session_id}/history"): {SAID},
    ("GET", "/sessions/{session_id}/revoke"): {READ, END},
    ("POST", "/sessions/{session_id}/revoke"): {END},
    ("GET", "/revoke"): {END},
    ("POST", "/revoke/count"): {END},
    ("POST", "/revoke"): {END},
    ("GET", "/agents"): {READ},
    ("GET", "/agents/rows"): {READ},
    ("GET", "/events"): {LOG},
    ("GET", "/events/rows"): {LOG},
    ("GET", "/keys"): {KEYS},
    ("GET", "/keys/rows"): {KEYS},
    ("GET", "/keys/rotate"): {KEYS, ROTATE},
    ("POST", "/keys/rotate"): {KEYS, ROTATE},
    ("GET", "/charts"): {READ, LOG},
    ("GET", "/charts/data"): {READ, LOG},
}


def test_each_page_needs_the_scopes_of_the_endpoints_that_it_is_made_of(scene: Scene) -> None:
    assert {(method, path) for method, path in routes(scene) if path not in PUBLIC} == NEEDED.keys()
    everything = {each for needed in NEEDED.values() for each in needed}
    for (method, path), needed in NEEDED.items():
        target = scene.manager.create("planner", scopes="docs:read")
        own = path.replace("{session_id}", target.id)
        for lacking in needed:
            caller = scene.caller(" ".join(everything - {lacking}))
            assert use(scene, method, own, caller).status_code == 403, (method, path, lacking)
        assert scene.manager.validate(target.token)
        caller = scene.caller(" ".join(needed))
        assert use(scene, method, own, caller).status_code in (200, 204), (method, path)


def use(scene: Scene, method: str, path: str, caller: IssuedSession) -> httpx.Response:
    return get(scene, path, caller) if method == "GET" else post(scene, path, caller, agent_id="planner")


class Drawn(HTMLParser):
    """Read who stands below whom from the lists of a page's tree."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[int, str]] = []
        self._depth = self._names = 0
        self.feed(page.partition('<ul class="tree">')[2].partition("</section>")[0])

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self._depth += tag == "ul"
        self._names += tag == "bdi"

    def handle_endtag(self, tag: str) -> None:
        self._depth -= tag == "ul"
        self._names -= tag == "bdi"

    def handle_data(self, data: str) -> None:
        if self._names:
            self.found.append((self._depth, data))


def test_the_whole_line_of_a_session_is_drawn_wherever_in_it_one_looks(scene: Scene) -> None:
    lead = fill(scene.manager)
    line = scene.manager.sessions.tree(lead)
    expected = [(0, "planner"), (1, "summarizer"), (1, "writer"), (2, "fact-checker"), (2, "translator")]
    for session in line:
        page = get(scene, f"/sessions/{session.id}").text
        assert sorted(Drawn(page).found) == sorted(expected)
        assert re.findall(r'<strong aria-current="true"><bdi>([\w-]+)</bdi>', page) == [session.agent_id]
        links = set(re.findall(r'id="t-([0-9a-f-]+)"', page))
        assert links == {each.id for each in line} - {session.id}


def test_of_a_wide_tree_a_part_is_drawn_and_it_is_said(scene: Scene) -> None:
    lead = scene.manager.create("lead", scopes="docs:read")
    for _ in range(210):
        scene.manager.delegate(lead, "worker", scopes="docs:read")
    page = get(scene, f"/sessions/{lead.id}").text
    assert len(Drawn(page).found) == 200
    assert "There are more, which are not drawn" in page


def test_who_stands_far_down_in_a_wide_tree_is_drawn_with_all_above(scene: Scene, clock: FakeClock) -> None:
    lead = scene.manager.create("lead", scopes="docs:read")
    for _ in range(210):
        scene.manager.delegate(lead, "worker", scopes="docs:read")
    clock.advance(1)
    late = scene.manager.delegate(lead, "worker", scopes="docs:read")
    last = scene.manager.delegate(late, "helper", scopes="docs:read")
    found = Drawn(get(scene, f"/sessions/{last.id}").text).found
    assert found[0] == (0, "lead")
    assert found[-2:] == [(1, "worker"), (2, "helper")]
    assert len(found) == 202


def test_the_newest_events_of_a_session_are_shown_however_many_there_were(scene: Scene) -> None:
    scene.manager.events.register("memory.added")
    session = scene.manager.create("planner", scopes="docs:read")
    for number in range(1_100):
        scene.manager.publish("memory.added", {"number": f"n{number}"}, session=session)
    page = get(scene, f"/sessions/{session.id}/timeline").text
    assert re.findall(r"<bdi>(n\d+)</bdi>", page) == [f"n{number}" for number in range(1_099, 899, -1)]
    assert "Earlier ones are not shown" in page


ODD: list[dict[str, Any]] = [
    {"parent_id": 5},
    {"parent_id": ["a"]},
    {"parent_id": "//evil.example/"},
    {"parent_id": "javascript:alert(1)"},
    {"ends_at": 2**53 - 1},
    {"ends_at": 1 - 2**53},
    {"ends_at": True},
    {"ends_at": "soon"},
    {"": ""},
    {"deep": {"a": [[[[["b"]]]]]}},
    {"long": "x" * 16_000},
]


@pytest.mark.parametrize("data", ODD, ids=lambda each: f"{each}"[:30])
def test_attack_no_event_of_a_hosts_own_keeps_a_page_from_being_shown(
    scene: Scene, data: dict[str, Any]
) -> None:
    """What an event says is whatever a host published, on an agent's word perhaps."""
    scene.manager.events.register("memory.added")
    session = scene.manager.create("planner", scopes="docs:read")
    scene.manager.publish("memory.added", data, session=session)
    for path in ("/events", "/events/rows?after=0", f"/sessions/{session.id}/timeline"):
        page = get(scene, path)
        assert page.status_code == 200, path
        assert "memory.added" in page.text
        assert len(page.text) < 20_000
        links = re.findall(r'href="(/console/sessions/[^"]+)"', page.text)
        assert {each.rpartition("/")[2] for each in links} <= {session.id, scene.admin.id}


def test_what_was_said_at_great_length_is_shown_in_part_and_it_is_said(scene: Scene) -> None:
    session = scene.manager.create("planner", scopes="docs:read")
    scene.manager.history.append(session, {"role": "user", "content": "z" * 200_000})
    page = get(scene, f"/sessions/{session.id}/history").text
    assert "200,000 characters in all" in page
    assert 10_000 <= page.count("z") < 10_100


def test_a_large_tree_is_counted_by_the_store_and_a_few_of_it_are_named(scene: Scene) -> None:
    lead = scene.manager.create("lead", scopes="docs:read")
    workers = [scene.manager.delegate(lead, "worker", scopes="docs:read") for _ in range(250)]
    scene.manager.revoke(workers[0])
    page = get(scene, f"/sessions/{lead.id}/revoke").text
    assert 'data-count="250"' in page
    assert "and 242 more" in page
    assert "Your own session" not in page


def test_who_ends_what_stands_above_him_is_told_that_he_goes_too(scene: Scene) -> None:
    lead = scene.manager.create("lead", scopes="clawguard:*")
    own = scene.manager.delegate(lead, "viewer", scopes="clawguard:*")
    assert "you will be logged out" in get(scene, f"/sessions/{lead.id}/revoke", own).text


def test_what_there_is_no_method_for_says_which_there_are(scene: Scene) -> None:
    for method in ("PUT", "DELETE", "HEAD"):
        answer = scene.ask(method, "/console/keys/rotate", headers=cookie(scene.admin) | OWN)
        assert (answer.status_code, bool(answer.headers["allow"])) == (405, True)


def test_a_page_offers_what_its_caller_may_do_and_no_more(scene: Scene) -> None:
    lead = fill(scene.manager)
    viewer = scene.caller(READ)
    page = get(scene, f"/sessions/{lead.id}", viewer).text
    assert "Revoke" not in page
    assert "lacks <code>clawguard:events:read" in page
    assert re.findall(r'<a href="/console/(\w+)', page) == ["sessions", "agents"]
    assert "Revoke" in get(scene, f"/sessions/{lead.id}").text


def test_keys_are_rotated_from_the_servers_own_workspace_only(scene: Scene) -> None:
    other = scene.caller("*", workspace="acme")
    assert "Rotate" not in get(scene, "/keys", other).text
    active = scene.manager.keys.active().kid
    assert get(scene, "/keys/rotate", other).status_code == 403
    assert post(scene, "/keys/rotate", other).status_code == 403
    assert scene.manager.keys.active().kid == active


def test_a_revoke_is_counted_asked_and_written_down(scene: Scene) -> None:
    lead = fill(scene.manager)
    dialog = get(scene, f"/sessions/{lead.id}/revoke").text
    assert 'data-count="4"' in dialog  # four of five: one has ended before
    done = post(scene, f"/sessions/{lead.id}/revoke", reason="laptop lost")
    assert (done.status_code, done.headers["hx-trigger"]) == (204, '{"clawguard:done": {"said": "Revoked."}}')
    ended = scene.manager.sessions.get(lead)
    assert (ended.cause, ended.reason) == ("revoked", "laptop lost")
    again = post(scene, f"/sessions/{lead.id}/revoke")
    assert "It had ended already" in again.headers["hx-trigger"]
    assert "It has ended already" in get(scene, f"/sessions/{lead.id}/revoke").text


def test_who_would_end_himself_is_told_so(scene: Scene) -> None:
    assert "you will be logged out" in get(scene, f"/sessions/{scene.admin.id}/revoke").text
    post(scene, f"/sessions/{scene.admin.id}/revoke")
    with pytest.raises(AccessDenied):
        scene.manager.validate(scene.admin.token)


def test_many_end_by_any_of_the_filters(scene: Scene, clock: FakeClock) -> None:
    old = scene.manager.create("bot", subject="user:ana", scopes="docs:read")
    clock.advance(60)
    new = scene.manager.create("bot", subject="user:ben", scopes="docs:read")
    moment = new.issued_at.strftime("%Y-%m-%dT%H:%M:%S")
    assert 'data-count="1"' in post(scene, "/revoke/count", agent_id="bot", issued_before=moment).text
    post(scene, "/revoke", agent_id="bot", issued_before=moment, reason="old")
    assert scene.manager.sessions.get(old).reason == "old"
    assert scene.manager.validate(new.token)


@pytest.mark.parametrize(
    "fields", [{}, {"issued_before": "yesterday"}, {"subject": "x" * 300}, {"reason": "x"}]
)
def test_filters_that_will_not_do_end_nothing_and_say_why(scene: Scene, fields: dict[str, str]) -> None:
    answer = post(scene, "/revoke", **fields)
    assert answer.status_code == 400
    by_script = scene.ask(
        "POST", "/console/revoke", headers=cookie(scene.admin) | OWN | BY_SCRIPT, data=fields
    )
    assert by_script.headers["content-type"].startswith("text/plain")
    assert scene.manager.validate(scene.admin.token)


def agents_of(page: httpx.Response) -> dict[str, str]:
    """Return who stands on the page of agents, and how many live sessions are said of each."""
    rows = re.findall(r'<tr data-id="([^"]+)".*?<td class="num c-live">(\d+)', page.text, re.DOTALL)
    return {html.unescape(name): count for name, count in rows}


def test_agents_are_counted_by_the_store_and_paged_by_name(scene: Scene, clock: FakeClock) -> None:
    for number in range(51):
        scene.manager.create(f"bot-{number:02}", scopes="docs:read")
    clock.advance(1)
    scene.manager.create("bot-07", scopes="docs:read", subject="user:<ana>")
    first = get(scene, "/agents")
    assert list(agents_of(first)) == [f"bot-{number:02}" for number in range(50)]
    assert agents_of(first)["bot-07"] == "2"
    assert "user:&lt;ana&gt;" in first.text
    (more,) = re.findall(r'rel="next" href="/console([^"]+)"', first.text)
    second = get(scene, html.unescape(more))
    assert agents_of(second) == {"bot-50": "1", "host": "1"}
    (rows,) = re.findall(r'hx-get="/console(/agents/rows[^"]+)"', second.text)
    assert agents_of(get(scene, html.unescape(rows))) == agents_of(second)


def test_a_disabled_agent_is_shown_with_who_did_it_and_why(scene: Scene) -> None:
    scene.manager.agents.disable("crawler", reason="<i>runs wild</i>", actor="user:ana")
    page = get(scene, "/agents")
    assert agents_of(page)["crawler"] == "0"
    assert "disabled" in page.text
    assert "&lt;i&gt;runs wild&lt;/i&gt;" in page.text
    assert page.text.count("Revoke all…") == 1  # of the admin: where nothing lives nothing is revoked


def test_a_piece_that_is_shown_already_is_not_sent_again(scene: Scene) -> None:
    first = get(scene, "/sessions/rows")
    found = re.search(r'X-Seen":"(\w+)"', html.unescape(first.text))
    assert found is not None
    assert get(scene, "/sessions/rows", headers={"X-Seen": found[1]}).status_code == 204
    scene.manager.create("planner", scopes="docs:read")
    assert get(scene, "/sessions/rows", headers={"X-Seen": found[1]}).status_code == 200


def test_filters_that_were_left_empty_are_none(scene: Scene) -> None:
    answer = get(scene, "/sessions?live=true&agent_id=&subject=&role=&state=")
    assert answer.status_code == 200
    assert scene.admin.id in answer.text
    assert get(scene, "/sessions?unknown=1").status_code == 422


def test_pages_lead_on_to_older_sessions_with_the_same_filters(scene: Scene, clock: FakeClock) -> None:
    sessions = []
    for _ in range(3):
        clock.advance(1)
        sessions.append(scene.manager.create("bot", scopes="docs:read"))
    first = get(scene, "/sessions?agent_id=bot&limit=2").text
    assert sessions[2].id in first
    assert sessions[0].id not in first
    (older,) = re.findall(r'rel="next" href="/console([^"]+)"', first)
    second = get(scene, html.unescape(older)).text
    assert sessions[0].id in second
    assert sessions[2].id not in second
    assert "agent_id=bot" in older


def test_the_log_is_shown_from_where_the_archive_ends(scene: Scene, clock: FakeClock, tmp_path: Any) -> None:
    session = scene.manager.create("early", scopes="docs:read")
    clock.advance(60)
    late = scene.manager.create("late", scopes="docs:read")
    scene.manager.events.archive(late.created_at, tmp_path / "archive.jsonl")
    for path in ("/events", "/events/rows?after=0", f"/sessions/{session.id}/timeline"):
        assert get(scene, path).status_code == 200, path
    assert "late" in get(scene, "/events").text


def test_news_of_the_log_come_once(scene: Scene) -> None:
    after = scene.manager.events.last()[0]
    assert get(scene, f"/events/rows?after={after}").status_code == 204
    scene.manager.create("planner", scopes="docs:read")
    news = get(scene, f"/events/rows?after={after}").text
    assert "planner" in news
    assert f"after={after + 1}" in news
    other = scene.manager.create("foreign", scopes="docs:read", workspace_id="acme")
    quiet = get(scene, f"/events/rows?after={after + 1}")
    assert other.id not in quiet.text
    assert f"after={after + 2}" in quiet.text  # it is not looked through again


def test_a_fault_of_the_server_is_a_page_that_tells_nothing(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("a secret")

    monkeypatch.setattr("clawguard.server.agents._told", fail)
    answer = get(scene, "/agents")
    assert answer.status_code == 500
    assert "an error of the server" in answer.text
    assert "a secret" not in answer.text
    assert "a request failed" in caplog.text


def test_the_routes_are_told_apart_in_logs_and_metrics(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="clawguard.server")
    told: dict[str, Any] = {}
    facts = f"/sessions/{scene.admin.id}/facts"
    for path in ("", facts, "/static/console.js", "/static/nothing", "/nowhere"):
        get(scene, path)
        told[path] = next(each.__dict__ for each in caplog.records[::-1] if each.getMessage() == "request")
    assert [each["route"] for each in told.values()] == [
        "/console",
        "/console/sessions/{session_id}/facts",
        "/console/static/{file}",
        "/console/static/{file}",
        "none",
    ]
    assert told[facts]["session_id"] == scene.admin.id
