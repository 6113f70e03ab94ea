"""The way into the console and out of it, and what every answer carries."""

from __future__ import annotations

import hashlib
import importlib.resources
import re

import pytest

from clawguard.server.console.entry import COOKIE
from clawguard.server.settings import Settings
from tests.clocks import FakeClock
from tests.openers import open_manager
from tests.refusing import UNKNOWN
from tests.server.console.asking import BY_SCRIPT, OWN, PUBLIC, cookie, enter, get, post, routes
from tests.server.console.stage import PAGES, fill
from tests.server.scene import Scene


def test_the_way_in_gives_a_cookie_that_no_script_and_no_other_host_has(scene: Scene) -> None:
    answer = enter(scene, f"  {scene.admin.token}\n")
    assert (answer.status_code, answer.headers["location"]) == (303, "/console/sessions?live=true")
    given = answer.headers["set-cookie"]
    assert given.startswith(f"__Host-clawguard-console={scene.admin.token}; Expires=")
    assert given.endswith("; Path=/; Secure; HttpOnly; SameSite=Strict")


def test_the_way_out_has_the_browser_forget_the_token_and_ends_nothing(scene: Scene) -> None:
    answer = post(scene, "/logout")
    assert (answer.status_code, answer.headers["location"]) == (303, "/console/login")
    assert f"{COOKIE}=; Max-Age=0" in answer.headers["set-cookie"]
    assert scene.manager.validate(scene.admin.token)


@pytest.mark.parametrize("token", ["nonsense", "a.b.c", "x" * 8_000])
def test_what_is_no_token_does_not_come_in(scene: Scene, token: str) -> None:
    answer = enter(scene, token)
    assert answer.status_code == 401
    assert "This token is not valid" in answer.text
    assert "set-cookie" not in answer.headers
    assert token not in answer.text


def test_nor_does_the_token_of_a_session_that_has_ended(scene: Scene) -> None:
    session = scene.caller("clawguard:sessions:read")
    scene.manager.revoke(session)
    assert enter(scene, session.token).status_code == 401


def test_nor_one_that_a_browser_cannot_hold_or_would_use_up(scene: Scene) -> None:
    counted = scene.caller("clawguard:sessions:read", max_uses=5)
    assert "uses of this session are counted" in enter(scene, counted.token).text
    long = scene.caller(" ".join(f"{'a' * 200}:{n}" for n in range(18)))
    assert "too long" in enter(scene, long.token).text


def test_tokens_are_tried_only_so_often(clock: FakeClock) -> None:
    with open_manager(clock=clock) as manager:
        scene = Scene(manager, Settings(token_rate="2/minute"))
        answers = [enter(scene, "nonsense").status_code for _ in range(3)]
    assert answers == [401, 401, 429]


def test_attack_tokens_are_not_tried_more_often_from_the_many_addresses_of_one_network(
    clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_manager(clock=clock) as manager:
        scene = Scene(manager, Settings(token_rate="2/minute"))
        answers = []
        for number in range(4):
            monkeypatch.setattr(
                "clawguard.server.callers.address_of", lambda _, last=number: f"2001:db8::{last}"
            )
            answers.append(enter(scene, "nonsense").status_code)
        monkeypatch.setattr("clawguard.server.callers.address_of", lambda _: "2001:db8:0:1::1")
        answers.append(enter(scene, "nonsense").status_code)
    assert answers == [401, 401, 429, 429, 401]


def test_nobody_is_shown_the_door_and_nothing_else(scene: Scene) -> None:
    for method, path in routes(scene):
        if path in PUBLIC:
            continue
        own = f"/console{path.replace('{session_id}', scene.admin.id)}"
        answer = scene.ask(method, own, headers=OWN)
        assert (answer.status_code, answer.headers["location"]) == (303, "/console/login"), own
        by_script = scene.ask(method, own, headers=OWN | BY_SCRIPT)
        assert (by_script.status_code, by_script.headers["hx-redirect"]) == (401, "/console/login"), own


def test_whose_session_has_ended_is_out_at_the_next_request(scene: Scene) -> None:
    viewer = scene.caller("clawguard:sessions:read")
    assert get(scene, "/sessions", viewer).status_code == 200
    scene.manager.revoke(viewer)
    page = get(scene, "/sessions", viewer)
    assert (page.status_code, page.headers["location"]) == (303, "/console/login?ended=true")
    assert f"{COOKIE}=; Max-Age=0" in page.headers["set-cookie"]
    piece = get(scene, "/sessions/rows", viewer, BY_SCRIPT)
    assert (piece.status_code, piece.headers["hx-redirect"]) == (401, "/console/login?ended=true")


def test_who_follows_a_link_from_elsewhere_comes_again_with_the_cookie(scene: Scene) -> None:
    """A `Strict` cookie does not come with the first request: the page asks once more, by itself."""
    answer = scene.ask("GET", "/console/sessions", headers={"Sec-Fetch-Site": "cross-site"})
    assert answer.status_code == 401
    assert '<meta http-equiv="refresh" content="0">' in answer.text
    assert "set-cookie" not in answer.headers


WAYS = {
    "cross-site": {"Sec-Fetch-Site": "cross-site"},
    "a sister host": {"Sec-Fetch-Site": "same-site"},
    "no page": {"Sec-Fetch-Site": "none"},
    "another origin": {"Origin": "https://evil.example"},
    "nothing said": {},
}


@pytest.mark.parametrize("way", WAYS)
def test_attack_a_page_of_another_origin_does_nothing_with_the_consoles_cookie(
    scene: Scene, way: str
) -> None:
    session = scene.manager.create("planner", scopes="docs:read")
    active = scene.manager.keys.active().kid
    posts = {
        f"/sessions/{session.id}/revoke": {},
        "/revoke": {"agent_id": "planner"},
        "/revoke/count": {"agent_id": "planner"},
        "/keys/rotate": {"emergency": "true"},
        "/logout": {},
        "/login": {"token": session.token},
    }
    paths = {path for method, path in routes(scene) if method == "POST"}
    assert {path.replace(session.id, "{session_id}") for path in posts} == paths
    for path, fields in posts.items():
        headers = cookie(scene.admin) | WAYS[way]
        answer = scene.ask("POST", f"/console{path}", headers=headers, data=fields)
        assert answer.status_code == 403, path
        assert "set-cookie" not in answer.headers
    assert scene.manager.validate(session.token)
    assert scene.manager.keys.active().kid == active


def test_every_answer_keeps_the_page_to_itself(scene: Scene) -> None:
    paths = [
        "/login",
        "/sessions",
        "/static/console.js",
        "/nowhere",
        f"/sessions/{UNKNOWN}",
        "/sessions/rows",
    ]
    for answer in [*(get(scene, path) for path in paths), scene.ask("GET", "/console/sessions")]:
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cross-origin-opener-policy"] == "same-origin"
        assert answer.headers["cache-control"] == "no-store"


def test_no_page_has_a_script_or_a_style_in_line_or_names_another_host(scene: Scene) -> None:
    lead = fill(scene.manager)
    for page in ("/login", "/revoke", *PAGES.values()):
        path = page.format(lead=lead.id)
        text = get(scene, path).text
        assert not re.search(r"<script(?![^>]* src=)|<style|\sstyle=|\son[a-z]+=|javascript:", text), path
        assert not re.search(r"""(?:src|href|action|hx-\w+)=["'](?:https?:)?//""", text), path


FIRST = [
    ("clawguard:events:read", "/events"),
    ("clawguard:keys:read", "/keys"),
    ("docs:read", "/sessions?live=true"),
]


@pytest.mark.parametrize(("scope", "page"), FIRST)
def test_whoever_comes_in_is_led_to_the_first_page_that_is_theirs(
    scene: Scene, scope: str, page: str
) -> None:
    assert enter(scene, scene.caller(scope).token).headers["location"] == f"/console{page}"


def test_the_door_is_found_without_knowing_where(scene: Scene) -> None:
    answer = scene.ask("GET", "/console")
    assert (answer.status_code, answer.headers["location"]) == (303, "/console/sessions?live=true")


def test_what_was_taken_from_others_is_what_its_page_says() -> None:
    folder = importlib.resources.files("clawguard.server.console").joinpath("static")
    told = folder.joinpath("README.md").read_text(encoding="utf-8")
    sums = re.findall(r"^\| `([\w.]+)` .* `([0-9a-f]{64})` \|$", told, re.MULTILINE)
    assert {name for name, _ in sums} == {"htmx.min.js", "uplot.min.js", "uplot.min.css"}
    for name, expected in sums:
        assert hashlib.sha256(folder.joinpath(name).read_bytes()).hexdigest() == expected
        licence = folder.joinpath(f"{name.partition('.')[0]}.LICENSE")
        assert re.search(r"warrant(y|ies)", licence.read_text(encoding="utf-8"), re.IGNORECASE)


def test_the_cookie_and_a_header_at_once_are_refused(scene: Scene) -> None:
    headers = cookie(scene.admin) | scene.admin.headers()
    assert scene.ask("GET", "/console/sessions", headers=headers).status_code == 400


def test_the_cookie_opens_nothing_but_the_console(scene: Scene) -> None:
    assert scene.ask("GET", "/v1/sessions", headers=cookie(scene.admin)).status_code == 401
