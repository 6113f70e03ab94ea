"""How much and how often: what is beyond is refused, told when to come back, and harms nobody."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, MutableMapping
from typing import Any

import httpx
import pytest

from clawguard import IssuedSession
from clawguard.server import Settings
from clawguard.server.rates import network_of
from tests.clocks import FakeClock
from tests.openers import open_manager
from tests.server.scene import Scene

STREAMS = ("/v1/events/stream", "/v1/events/lines")
SMALL = Settings(max_requests=3, max_streams=3, max_streams_each=2, check_rate="3/minute", heartbeat=0.1)
PATIENCE = 20.0


@pytest.fixture
def scene(clock: FakeClock) -> Iterator[Scene]:
    with open_manager(clock=clock) as manager:
        yield Scene(manager, SMALL)


class Hanging:
    """Send one request whose client reads as long as it is wanted, as a server would pass it on."""

    def __init__(self, scene: Scene, path: str, as_: IssuedSession) -> None:
        self._app = scene.app
        self._path = path
        self._headers = [(name.lower().encode(), value.encode()) for name, value in as_.headers().items()]
        self._gone = asyncio.Event()
        self._begun = asyncio.Event()
        self._is_asked = False
        self.status = 0
        self.headers: dict[bytes, bytes] = {}

    async def begin(self) -> int:
        """Return the status of its answer, which goes on."""
        self._task = asyncio.create_task(self._ask())
        await asyncio.wait_for(self._begun.wait(), PATIENCE)
        return self.status

    async def end(self) -> None:
        self._gone.set()
        await asyncio.wait_for(self._task, PATIENCE)

    async def _ask(self) -> None:
        scope: dict[str, Any] = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "method": "GET",
            "path": self._path,
        }
        scope |= {"raw_path": self._path.encode(), "query_string": b"", "scheme": "http", "root_path": ""}
        scope |= {"headers": self._headers, "server": ("127.0.0.1", 80), "client": ("127.0.0.1", 5)}
        await self._app(scope, self._receive, self._send)

    async def _receive(self) -> MutableMapping[str, Any]:
        if not self._is_asked:
            self._is_asked = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self.status, self.headers = message["status"], dict(message["headers"])
            self._begun.set()


@pytest.mark.parametrize("path", STREAMS)
def test_attack_111_a_workspace_has_only_so_many_streams_and_so_has_the_server(
    scene: Scene, path: str
) -> None:
    loads = scene.app.state.clawguard.loads
    theirs, third = (scene.caller("*", workspace=name) for name in ("acme", "umbrella"))

    async def run() -> None:
        def of(caller: IssuedSession) -> Hanging:
            return Hanging(scene, path, caller)

        own, another = of(scene.admin), of(scene.caller("clawguard:events:read"))
        assert [await each.begin() for each in (own, another)] == [200, 200]
        too_many = of(scene.admin)
        assert await too_many.begin() == 429
        assert too_many.headers[b"retry-after"] == b"10"
        assert too_many.headers[b"content-type"] == b"application/problem+json"
        other, full = of(theirs), of(third)
        assert [await each.begin() for each in (other, full)] == [200, 503]
        assert (loads.streams, loads.requests) == (3, 0)  # what goes on has no place among what is worked at
        await own.end()
        again = of(scene.admin)
        assert await again.begin() == 200
        for each in (another, other, again):
            await each.end()

    asyncio.run(run())
    assert (loads.streams, loads.requests) == (0, 0)


def test_a_stream_that_is_refused_leaves_no_place_taken(scene: Scene) -> None:
    for _ in range(4):
        assert scene.get(STREAMS[0], params={"types": "no.such", "idle": 0}).status_code == 400
        assert scene.get(STREAMS[1], params={"idle": 0}).status_code == 200
    assert scene.app.state.clawguard.loads.streams == 0


def test_attack_111_what_hangs_on_the_store_takes_only_so_many_places(scene: Scene) -> None:
    """Writes wait for the lock: others are told to come back, but not whether the server lives."""
    loads = scene.app.state.clawguard.loads
    held, release = threading.Event(), threading.Event()

    def hold() -> None:
        with scene.manager._parts.change(durable=False):
            held.set()
            release.wait(PATIENCE)

    async def run(client: httpx.AsyncClient) -> list[httpx.Response]:
        body = {"agent_id": "x", "scopes": []}
        headers = scene.admin.headers()
        writes = [
            asyncio.create_task(client.post("/v1/sessions", json=body, headers=headers)) for _ in range(3)
        ]
        while loads.requests < 3:  # noqa: ASYNC110  # nobody is told
            await asyncio.sleep(0.01)
        refused = [
            await client.get("/v1/sessions", headers=headers),
            await client.post("/oauth/revoke", data={"token": "x"}),
        ]
        assert (await client.get("/health/live")).status_code == 200
        release.set()
        return [*refused, *await asyncio.gather(*writes)]

    holder = threading.Thread(target=hold)
    holder.start()
    assert held.wait(PATIENCE)
    first, second, *made = scene.run(run)
    holder.join()
    assert (first.status_code, first.json()["code"], first.headers["retry-after"]) == (503, "overloaded", "1")
    assert (second.status_code, second.json()["error"]) == (503, "temporarily_unavailable")
    assert [each.status_code for each in made] == [201, 201, 201]
    assert loads.requests == 0


def test_attack_111_no_workspace_takes_all_of_the_server(clock: FakeClock) -> None:
    """What one asks at once is bounded before the whole is, at the OAuth endpoints too."""
    with open_manager(clock=clock) as manager:
        scene = Scene(manager, Settings(max_requests=9, max_requests_each=2))
        loads = scene.app.state.clawguard.loads
        theirs = scene.caller("*", workspace="acme")
        taken = [loads.request(), loads.request()]
        for place in taken:
            place.of("default")
            place.of("default")
        refused = scene.get("/v1/sessions")
        assert (refused.status_code, refused.json()["code"]) == (429, "too_many_requests")
        assert refused.headers["retry-after"] == "1"
        assert scene.form("/oauth/revoke", scene.admin, token="x").status_code == 429
        assert scene.get("/v1/sessions", as_=theirs).status_code == 200
        assert scene.form("/oauth/revoke", token="x").status_code == 200
        taken[0].leave()
        taken[0].leave()
        assert loads.requests == 1
        assert scene.get("/v1/sessions").status_code == 200


def test_who_asks_whether_the_store_answers_asks_for_all(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    release, asked = threading.Event(), []
    plain = scene.manager.events.last

    def last() -> tuple[int, int]:
        asked.append(1)
        release.wait(PATIENCE)
        return plain()

    monkeypatch.setattr(scene.manager.events, "last", last)

    async def run(client: httpx.AsyncClient) -> list[int]:
        waiting = [asyncio.create_task(client.get("/health/ready")) for _ in range(20)]
        await asyncio.sleep(0.2)
        release.set()
        return [(await each).status_code for each in waiting]

    assert set(scene.run(run)) == {200}
    assert len(asked) < 20


def test_a_tree_comes_in_pages(scene: Scene, clock: FakeClock) -> None:
    top = scene.manager.create("planner", scopes="docs:read")
    for number in range(5):
        clock.advance(1)
        scene.manager.delegate(top, f"agent-{number}", scopes="docs:read")
    path, seen, cursor = f"/v1/sessions/{top.id}/tree", [], None
    while True:
        page = scene.get(path, params={"limit": 4} | ({"cursor": cursor} if cursor else {})).json()
        seen.append([each["agent_id"] for each in page["items"]])
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert seen == [["planner", "agent-0", "agent-1", "agent-2"], ["agent-3", "agent-4"]]
    assert scene.get(path, params={"limit": 1_001}).status_code == 422
    first = scene.get(path, params={"limit": 1}).json()["next_cursor"]
    foreign = scene.get(f"/v1/sessions/{scene.admin.id}/tree", params={"cursor": first})
    assert (foreign.status_code, foreign.json()["argument"]) == (400, "cursor")


# How often.


@pytest.mark.parametrize("path", ["/v1/validate", "/v1/authorize", "/oauth/introspect"])
def test_attack_111_a_question_is_counted_before_its_caller_is_looked_at(scene: Scene, path: str) -> None:
    def ask() -> httpx.Response:
        return scene.ask("POST", path, headers={"Authorization": "Bearer x.y.z"}, json={"token": "x"})

    answers = [ask() for _ in range(5)]
    assert [each.status_code for each in answers] == [401, 401, 401, 429, 429]
    assert int(answers[-1].headers["retry-after"]) >= 1
    shape = {"error", "error_description"} if path.startswith("/oauth/") else {"code", "request_id", "detail"}
    assert shape <= answers[-1].json().keys()


def test_attack_111_all_addresses_of_one_network_are_counted_together() -> None:
    one = {network_of(each) for each in ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", "2001:db8:1:2::1%eth0")}
    assert one == {"2001:db8:1:2::/64"}
    assert network_of("2001:db8:1:3::1") not in one
    assert network_of("::ffff:192.0.2.7") == network_of("192.0.2.7") == "192.0.2.7"
    assert (network_of("192.0.2.8"), network_of(None), network_of("testclient")) == (
        "192.0.2.8",
        "-",
        "testclient",
    )
