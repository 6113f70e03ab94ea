"""The awaited twins do what the plain classes do; a cancelled call leaves nothing live behind."""

from __future__ import annotations

import asyncio
import fcntl
import os
from pathlib import Path

import pytest

from clawguard import (
    AsyncSessionManager,
    AsyncVerifier,
    SessionEnded,
    SessionManager,
    StoreUnavailable,
    TokenSuperseded,
    current_session,
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "clawguard.db"


def test_a_conversation_is_held_awaited(path: Path, tmp_path: Path) -> None:
    async def talk() -> None:
        async with AsyncSessionManager.open(path) as manager:
            history, hello = manager.history, {"role": "user", "content": "hello"}
            one, other = [await manager.create(each, scopes="x") for each in "ab"]
            said = await asyncio.gather(*(history.append(one, hello) for _ in range(5)))
            assert sorted(said) == [1, 2, 3, 4, 5]
            assert await history.export_jsonl(one, tmp_path / "talk.jsonl") == 5
            assert (await history.import_jsonl(other, tmp_path / "talk.jsonl")).count == 5
            assert len(await history.search("hello")) == 10
            assert [entry.seq for entry in await history.tail(other, 2)] == [4, 5]
            assert await history.count(one) == 5
            assert await history.milestones.set_once("welcome", "yes")
            assert await history.delete(one)
            with pytest.raises(SessionEnded):
                await history.append(one, hello)

    asyncio.run(talk())


def test_a_session_lives_and_ends_awaited(path: Path) -> None:
    async def life() -> None:
        async with AsyncSessionManager.open(path) as manager, AsyncVerifier.open(path) as verifier:
            parent = await manager.create("planner", scopes="docs:*")
            child = await manager.delegate(parent, "helper", scopes="docs:read")
            assert (await verifier.validate(child.token, require="docs:read")).agent_id == "helper"
            async with manager.use(child.token) as context:
                assert current_session() == context
            fresh = await manager.refresh(child)
            with pytest.raises(TokenSuperseded):
                await manager.validate(child.token)
            assert (await verifier.inspect(fresh.token)).verdict == "active"
            assert (await manager.inspect(child.token)).verdict == "superseded"
            assert await manager.active_count() == 2
            assert await manager.revoke(parent, reason="over")
            with pytest.raises(SessionEnded):
                await verifier.validate(fresh.token)
            assert (await manager.get_session(parent)).reason == "over"
            assert not await manager.end(parent)
            assert not await manager.invalidate(parent)
            assert (await manager.revoke_all_for_agent("planner")).count == 0
            assert await manager.prune_expired() == 0
            assert verifier.events.verify()
            assert manager.issuer.startswith("urn:clawguard:")

    asyncio.run(life())


def test_the_rest_is_passed_on(path: Path) -> None:
    async def life() -> None:
        with SessionManager.open(path) as plain:
            manager = AsyncSessionManager(plain)
            assert (manager.events, manager.signals) == (plain.events, plain.signals)
            heard: list[str] = []

            def receiver(event: object) -> None:
                heard.append(str(event))

            assert manager.on("session.*", receiver) is receiver
            await manager.create_session("a", None, "x")
            await asyncio.to_thread(plain.events.flush, 10)
            manager.off(receiver)
            await manager.create("b", scopes="x")
            await asyncio.to_thread(plain.events.flush, 10)
            assert len(heard) == 1
            assert manager.on("session.*")(receiver) is receiver
            [session] = [each async for each in manager.sessions.iter(agent_id="a")]
            assert await manager.sessions.get(session) == await manager.sessions.last(agent_id="a") == session
            assert await manager.sessions.find(key="none") is None
            assert (await manager.sessions.page(limit=1)).next_cursor is not None
            assert [each.id async for each in manager.sessions.iter(limit=1)] == [
                each.id for each in plain.sessions.iter()
            ]
            assert (await manager.sessions.children(session)).items == ()
            assert await manager.sessions.tree(session) == await manager.sessions.lineage(session)
            assert await manager.sessions.purge(60) == 0
            assert (await manager.activity.set_name(session, "n")).name == "n"
            assert (await manager.activity.set_agent_alias(session, "x")).agent_alias == "x"
            assert (await manager.activity.set_metadata(session, {"a": 1})).metadata == {"a": 1}
            assert (await manager.activity.set_routing(session, room_id="r")).room_id == "r"
            assert (await manager.activity.set_state(session, "running")).state == "running"
            assert len(await manager.activity.running()) == 1
            assert await manager.activity.stuck(60) == ()
            before = await manager.keys.list()
            await manager.keys.rotate()
            await manager.keys.prune()
            assert (await manager.keys.active()).kid in {
                key["kid"] for key in (await manager.keys.jwks())["keys"]
            }
            assert len(await manager.keys.list()) == len(before) + 1
            await manager.close()
            plain.create("c", scopes="x")

    asyncio.run(life())


def test_creates_that_the_end_of_the_loop_cancels_leave_nothing_live(path: Path) -> None:
    with SessionManager.open(path) as plain:

        async def life() -> None:
            manager = AsyncSessionManager(plain)
            tasks = [asyncio.create_task(manager.create("a", scopes="x")) for _ in range(5)]
            await asyncio.sleep(0)
            assert len(tasks) == 5

        asyncio.run(life())
        assert plain.active_count() == 0


def test_a_cancelled_create_leaves_nothing_live(path: Path) -> None:
    async def life() -> None:
        async with AsyncSessionManager.open(path) as manager:
            task = asyncio.create_task(manager.create("a", scopes="x"))
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert await manager.active_count() == 0

    asyncio.run(life())


def test_a_cancelled_repeat_ends_nothing_that_was_made_before(path: Path) -> None:
    async def life() -> None:
        async with AsyncSessionManager.open(path) as manager:
            first = await manager.create("a", scopes="x", request_id="one")
            for number in range(20):
                again = asyncio.create_task(manager.create("a", scopes="x", request_id="one"))
                await asyncio.sleep(0.0002 * number)
                again.cancel()
                await asyncio.gather(again, return_exceptions=True)
            assert (await manager.sessions.get(first.id)).ended_at is None

    asyncio.run(life())


def test_following_does_not_hold_up_the_loop_while_others_write(path: Path) -> None:
    async def life() -> None:
        async with AsyncSessionManager.open(path) as manager:
            await manager.create("a", scopes="x")
            descriptor = os.open(path.with_name(path.name + "-lock"), os.O_RDWR)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            following = asyncio.ensure_future(anext(manager.events.follow(after=0)))
            ticks = 0
            for _ in range(20):
                await asyncio.sleep(0.01)
                ticks += 1
            assert not following.done()
            os.close(descriptor)
            assert (await following).type == "session.created"
            assert ticks == 20

    asyncio.run(asyncio.wait_for(life(), 4))


@pytest.mark.parametrize("is_bound", [False, True])
def test_a_counted_use_is_not_written_on_the_loop(path: Path, is_bound: bool) -> None:
    """Also that of a token which this process has not seen before."""

    async def life() -> None:
        with SessionManager.open(path) as plain, SessionManager.open(path) as other:
            manager = AsyncSessionManager(plain)
            seen = await manager.create("a", scopes="x", max_uses=3)
            for made in (seen, other.create("a", scopes="x", max_uses=3)):
                descriptor = os.open(path.with_name(path.name + "-lock"), os.O_RDWR)
                fcntl.flock(descriptor, fcntl.LOCK_EX)
                using = asyncio.ensure_future(take(manager, made.token))
                for _ in range(20):
                    await asyncio.sleep(0.01)
                assert not using.done()
                os.close(descriptor)
                assert await using == made.id
                assert (await manager.sessions.get(made.id)).uses_left == 2

    async def take(manager: AsyncSessionManager, token: str) -> str:
        if not is_bound:
            return (await manager.validate(token)).session_id
        async with manager.use(token) as session:
            return session.session_id

    asyncio.run(asyncio.wait_for(life(), 8))


def test_whoever_opened_closes_and_whoever_shares_does_not(path: Path) -> None:
    async def life() -> None:
        async with AsyncSessionManager.open(path) as opened:
            plain = opened._plain
            async with AsyncSessionManager(plain) as shared:
                await shared.create("a", scopes="x")
            made = plain.create("a", scopes="x")
        with pytest.raises(StoreUnavailable, match="closed"):
            plain.create("a", scopes="x")
        async with AsyncVerifier.open(path) as verifier:
            assert (await verifier.inspect(made.token)).verdict == "active"
        with pytest.raises(StoreUnavailable, match="closed"):
            verifier._plain.inspect(made.token)

    asyncio.run(life())
