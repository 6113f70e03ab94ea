"""The log over HTTP: pages, streams that go on where they broke off, and that end with their session."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from clawguard import IssuedSession, SessionManager
from clawguard.server import Settings, create_app
from tests.openers import open_manager
from tests.server.scene import Scene
from tests.web.servers import serving

PATIENCE = 20.0
STREAMS = ("/v1/events/stream", "/v1/events/lines")


def test_pages_hold_every_event_once_and_in_order(scene: Scene) -> None:
    for number in range(7):
        scene.manager.create(f"agent-{number}", scopes="docs:read")
    after, found = 0, []
    while after is not None:
        page = scene.get("/v1/events", params={"after": after, "limit": 3}).json()
        found += page["items"]
        after = page["next_after"]
    assert [each["seq"] for each in found] == list(range(1, 9))
    assert {each["type"] for each in found} == {"session.created"}


def test_events_are_picked_by_type_session_and_act(scene: Scene) -> None:
    session = scene.manager.create("planner", scopes="docs:read")
    ended = scene.manager.revoke_all_for_agent("planner")
    for params in ({"types": "session.expired"}, {"session_id": session.id, "after": 2}):
        items = scene.get("/v1/events", params=params).json()["items"]
        assert [each["type"] for each in items] == ["session.expired"]
    acts = scene.get("/v1/events", params={"cause_id": ended.cause_id or ""}).json()["items"]
    assert len(acts) == 1
    wrong = scene.get("/v1/events", params={"types": "session.revoked"})
    assert (wrong.status_code, wrong.json()["argument"]) == (400, "types")


def test_a_stream_that_is_to_end_ends_where_the_log_does(scene: Scene) -> None:
    scene.manager.create("planner", scopes="docs:read")
    text = scene.get(STREAMS[0], params={"after": 0, "idle": 0}).text
    assert text.startswith("id: 1\nevent: session.created\ndata: {")
    lines = scene.get(STREAMS[1], params={"after": 1, "idle": 0}).text.splitlines()
    assert [json.loads(line)["agent_id"] for line in lines] == ["planner"]


def test_what_cannot_be_followed_is_refused_before_the_stream_begins(scene: Scene) -> None:
    for path in STREAMS:
        assert scene.get(path, params={"types": "no.such", "idle": 0}).status_code == 400
        assert scene.get(path, params={"idle": -1}).status_code == 422
    refused = scene.ask("GET", STREAMS[0], as_=scene.admin, headers={"Last-Event-ID": "x"})
    assert refused.status_code == 422


# Over a real server, whose streams go on.


@pytest.fixture
def manager() -> Iterator[SessionManager]:
    with SessionManager.open(":memory:", sweep_every=None) as manager:
        yield manager


@asynccontextmanager
async def stream(
    port: int, as_: IssuedSession, path: str = STREAMS[1], headers: Any = None, **params: Any
) -> AsyncIterator[AsyncIterator[str]]:
    """Follow the log; give its lines."""
    timeout = httpx.Timeout(PATIENCE)
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=timeout) as client:
        sent = as_.headers() | (headers or {})
        async with client.stream("GET", path, headers=sent, params=params) as answer:
            assert answer.status_code == 200
            yield answer.aiter_lines()


async def events(lines: AsyncIterator[str], count: int) -> list[dict[str, Any]]:
    """Return the next events of a stream of lines."""
    found: list[dict[str, Any]] = []
    async for line in lines:
        if line:
            found.append(json.loads(line))
        if len(found) == count:
            break
    return found


def test_a_stream_goes_on_behind_the_last_event_that_was_seen(manager: SessionManager) -> None:
    host = manager.create("host", scopes="clawguard:events:read")
    made = [manager.create(f"agent-{number}", scopes="docs:read").id for number in range(50)]

    async def follow(port: int) -> list[str]:
        seen: list[str] = []
        last = "0"
        while len(seen) <= 50:
            sent = {"Last-Event-ID": last}
            async with stream(port, host, STREAMS[0], headers=sent, types="session.created") as lines:
                async for line in lines:
                    if line.startswith("id: "):
                        last = line[4:]
                    if line.startswith("data: "):
                        seen.append(json.loads(line[6:])["session_id"])
                    if line == "" and (len(seen) % 7 == 0 or len(seen) > 50):
                        break  # the connection breaks, again and again
        return seen

    with serving(create_app(manager)) as port:
        seen = asyncio.run(follow(port))
    assert seen == [host.id, *made]


def test_what_is_written_elsewhere_is_heard_within_ones_own_workspace(tmp_path: Path) -> None:
    path = tmp_path / "store" / "clawguard.db"
    manager = open_manager(path, clock=None, dispatch="thread")
    host = manager.create("host", scopes="clawguard:events:read")

    async def follow(port: int) -> list[dict[str, Any]]:
        async with stream(port, host) as lines:
            waiting = asyncio.create_task(events(lines, 1))
            await asyncio.sleep(0.3)
            with open_manager(path) as other:
                await asyncio.to_thread(other.create, "theirs", scopes="docs:read", workspace_id="acme")
                await asyncio.to_thread(other.create, "elsewhere", scopes="docs:read")
                return await asyncio.wait_for(waiting, PATIENCE)

    with manager, serving(create_app(manager)) as port:
        (event,) = asyncio.run(follow(port))
    assert event["agent_id"] == "elsewhere"


@pytest.mark.parametrize("path", STREAMS)
def test_a_stream_ends_with_its_callers_session(manager: SessionManager, path: str) -> None:
    host = manager.create("host", scopes="clawguard:events:read")

    async def follow(port: int) -> str:
        text = ""
        try:
            async with stream(port, host, path) as lines:
                await asyncio.to_thread(manager.revoke, host)
                async for line in lines:
                    text += line
        except httpx.RemoteProtocolError:  # broken off: it is not whole
            return text
        pytest.fail("the stream came to a proper end")

    with serving(create_app(manager, settings=Settings(heartbeat=0.1))) as port:
        text = asyncio.run(asyncio.wait_for(follow(port), PATIENCE))
    assert "session.expired" not in text  # not even its own end is told to it


@pytest.mark.parametrize("path", STREAMS)
@pytest.mark.parametrize("is_quiet", [True, False])
def test_attack_a_stream_ends_with_its_callers_scope(
    manager: SessionManager, path: str, is_quiet: bool
) -> None:
    """Nothing is said to who may no longer hear it, and a stream that says nothing ends too."""
    policy = {"roles": {"watcher": {"scopes": "clawguard:events:read"}}}
    manager.reload_policy(policy)
    host = manager.create("host", scopes="clawguard:events:read", role="watcher")

    def take_away() -> None:
        manager.reload_policy({"roles": {"watcher": {"scopes": "docs:*"}}})
        if not is_quiet:
            manager.create("unheard", scopes="docs:read")

    async def follow(port: int) -> str:
        text = ""
        try:
            async with stream(port, host, path) as lines:
                await asyncio.to_thread(take_away)
                async for line in lines:
                    text += line
        except httpx.RemoteProtocolError:  # broken off: it is not whole
            return text
        pytest.fail("the stream came to a proper end")

    with serving(create_app(manager, settings=Settings(heartbeat=600))) as port:
        text = asyncio.run(asyncio.wait_for(follow(port), PATIENCE))
    assert "unheard" not in text
    assert not manager.validate(host.token).scopes


def test_a_stream_ends_and_says_that_it_lives_also_while_others_write(scene: Scene) -> None:
    """What does not concern a stream is no event to it: `idle` and the heartbeat go by the clock."""
    done = threading.Event()

    def write() -> None:
        while not done.wait(0.02):
            scene.manager.create("theirs", scopes="docs:read", workspace_id="acme")

    writer = threading.Thread(target=write)
    writer.start()
    try:
        text = scene.get(STREAMS[1], params={"idle": 1}).text
    finally:
        done.set()
        writer.join()
    assert text.strip() == ""


def test_many_streams_hear_all_and_starve_nobody() -> None:
    """100 streams; a page of the log is read once for all, and other requests go through meanwhile."""
    count, written = 100, 25
    with open_manager(dispatch="inline") as manager:
        clocked = manager.create("host", scopes="*")
        reads: list[int] = []
        log = manager.events
        plain = log.read

        def counted(**given: Any) -> Any:
            reads.append(1)
            return plain(**given)

        log.read = counted  # type: ignore[method-assign]

        async def run(port: int) -> tuple[list[list[dict[str, Any]]], int]:
            limits = httpx.Limits(max_connections=None)
            base = f"http://127.0.0.1:{port}"
            async with httpx.AsyncClient(base_url=base, timeout=PATIENCE, limits=limits) as client:
                ready = asyncio.Barrier(count + 1)

                async def one() -> list[dict[str, Any]]:
                    sent = clocked.headers()
                    async with client.stream("GET", STREAMS[1], headers=sent) as answer:
                        await ready.wait()
                        return await events(answer.aiter_lines(), written)

                tasks = [asyncio.create_task(one()) for _ in range(count)]
                await ready.wait()
                reads.clear()
                for number in range(written):
                    body = {"agent_id": f"agent-{number}", "scopes": []}
                    answer = await client.post("/v1/sessions", json=body, headers=clocked.headers())
                    assert answer.status_code == 201
                heard = await asyncio.wait_for(asyncio.gather(*tasks), PATIENCE)
                return list(heard), len(reads)

        with serving(create_app(manager)) as port:
            heard, pages = asyncio.run(run(port))
    assert all([each["agent_id"] for each in one] == [f"agent-{n}" for n in range(written)] for one in heard)
    assert pages <= 2 * written
    print(f"\n{count} streams heard {written} events each by {pages} reads of the log")
