"""OpenAI Agents: who is handed a run gets no more than who hands it over."""

from __future__ import annotations

import asyncio
import functools
import threading
from collections.abc import Callable
from typing import Any

import pytest

from clawguard import DelegationRefused, InvalidArgument, NoSession, SessionManager
from clawguard.models import IssuedSession

pytest.importorskip("agents", reason="needs the extra openai-agents")

from clawguard.agents.openai import AgentSessions

SPECIALISTS = {"one": "docs:read mail:send", "two": "docs:read"}


@pytest.fixture
def coordinator(manager: SessionManager) -> IssuedSession:
    return manager.create("coordinator", scopes="docs:read mail:send")


def live(manager: SessionManager) -> list[str]:
    return sorted(each.agent_id for each in manager.sessions.iter(live=True))


def test_who_is_handed_the_run_has_no_more_than_who_hands_it_over(
    manager: SessionManager, coordinator: IssuedSession
) -> None:
    """A specialist of less cannot call on one of more, though the coordinator made that one before."""

    async def host() -> None:
        async with AgentSessions(manager, {"lead": coordinator}, handoffs=SPECIALISTS) as sessions:
            await sessions.hand_over("lead", "one")
            await sessions.hand_over("lead", "two")
            with pytest.raises(DelegationRefused):
                await sessions.hand_over("two", "one")
            with pytest.raises(NoSession):
                sessions.use("one")
            await sessions.hand_over("lead", "one")
            await sessions.hand_over("nobody", "one")
            with pytest.raises(NoSession):
                sessions.use("one")

    asyncio.run(host())
    assert live(manager) == ["coordinator"]


def test_who_stands_above_keeps_its_session_when_the_run_comes_back(
    manager: SessionManager, coordinator: IssuedSession
) -> None:
    async def host() -> None:
        async with AgentSessions(manager, {"lead": coordinator}, handoffs=SPECIALISTS) as sessions:
            await sessions.hand_over("lead", "one")
            with sessions.use("one") as before:
                pass
            await sessions.hand_over("one", "one")
            await sessions.hand_over("one", "two")
            await sessions.hand_over("two", "one")
            with sessions.use("one") as after:
                assert after == before
            await sessions.hand_over("one", "lead")
            with sessions.use("lead") as lead:
                assert lead.session_id == coordinator.id

    asyncio.run(host())


def test_what_was_handed_over_ends_when_the_run_goes_back(
    manager: SessionManager, coordinator: IssuedSession
) -> None:
    async def host() -> list[list[str]]:
        seen = []
        async with AgentSessions(manager, {"lead": coordinator}, handoffs=SPECIALISTS) as sessions:
            for step in ("lead one", "one two", "two one", "one lead", "lead two", "two stranger"):
                await sessions.hand_over(*step.split())
                seen.append(live(manager))
        return seen

    assert asyncio.run(host()) == [
        ["coordinator", "one"],
        ["coordinator", "one", "two"],
        ["coordinator", "one"],
        ["coordinator"],
        ["coordinator", "two"],
        ["coordinator"],
    ]


def test_hand_overs_at_once_leave_one_session(manager: SessionManager, coordinator: IssuedSession) -> None:
    async def host() -> list[str]:
        async with AgentSessions(manager, {"lead": coordinator}, handoffs=SPECIALISTS) as sessions:
            await asyncio.gather(*(sessions.hand_over("lead", "one") for _ in range(6)))
            with sessions.use("one"):
                return live(manager)

    assert asyncio.run(host()) == ["coordinator", "one"]
    assert live(manager) == ["coordinator"]
    assert len(list(manager.sessions.iter(agent_id="one"))) == 6


class Stages:
    """Count the calls that reach the manager from here, and hold each until it is let go."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
        self.reached, self.go_on = threading.Semaphore(0), threading.Semaphore(0)
        for name in names:
            monkeypatch.setattr(SessionManager, name, self._held(getattr(SessionManager, name)))

    def _held(self, method: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(method)
        def held(*args: Any, **more: Any) -> Any:
            self.reached.release()
            assert self.go_on.acquire(timeout=30)
            return method(*args, **more)

        return held

    async def reach(self) -> None:
        assert await asyncio.to_thread(self.reached.acquire, timeout=30)


@pytest.mark.parametrize("at", ["end", "delegate"])
@pytest.mark.parametrize("waits", [False, True])
def test_a_hand_over_that_is_cancelled_leaves_nothing_behind(
    manager: SessionManager,
    coordinator: IssuedSession,
    monkeypatch: pytest.MonkeyPatch,
    at: str,
    waits: bool,
) -> None:
    """Wherever it stands, and also one that waits for another: no block ends it here."""

    async def host() -> None:
        sessions = AgentSessions(manager, {"lead": coordinator}, handoffs=SPECIALISTS)
        await sessions.hand_over("lead", "one")
        stages = Stages(monkeypatch, at)
        work = [asyncio.create_task(sessions.hand_over("lead", "one")) for _ in range(1 + waits)]
        await stages.reach()
        for each in work:
            each.cancel()
        for _ in range(8):
            stages.go_on.release()
        for each in work:
            with pytest.raises(asyncio.CancelledError):
                await each
        with pytest.raises(NoSession):
            sessions.use("one")

    asyncio.run(host())
    assert live(manager) == ["coordinator"]


def test_what_is_made_while_the_block_ends_ends_with_it(
    manager: SessionManager, coordinator: IssuedSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def host() -> None:
        async with AgentSessions(manager, {"lead": coordinator}, handoffs=SPECIALISTS) as sessions:
            await sessions.hand_over("lead", "two")
            stages = Stages(monkeypatch, "delegate")
            late = asyncio.create_task(sessions.hand_over("lead", "one"))
            await stages.reach()
        stages.go_on.release()
        await late
        with pytest.raises(NoSession):
            sessions.use("one")
        with pytest.raises(InvalidArgument, match="are over"):
            await sessions.hand_over("lead", "one")

    asyncio.run(host())
    assert live(manager) == ["coordinator"]


def test_a_block_that_is_cancelled_ends_all_the_same(
    manager: SessionManager, coordinator: IssuedSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def host() -> None:
        async def block() -> None:
            async with AgentSessions(manager, {"lead": coordinator}, handoffs=SPECIALISTS) as sessions:
                await sessions.hand_over("lead", "one")
                await sessions.hand_over("one", "two")
                stages.put_nowait(Stages(monkeypatch, "end"))

        stages: asyncio.Queue[Stages] = asyncio.Queue()
        work = asyncio.create_task(block())
        ending = await stages.get()
        await ending.reach()
        work.cancel()
        with pytest.raises(asyncio.CancelledError):
            await work
        for _ in range(4):
            ending.go_on.release()

    asyncio.run(host())
    assert live(manager) == ["coordinator"]


def test_a_block_that_ends_in_another_task_ends_all_the_same(
    manager: SessionManager, coordinator: IssuedSession
) -> None:
    async def host() -> None:
        sessions = AgentSessions(manager, {"lead": coordinator}, handoffs=SPECIALISTS)
        await asyncio.create_task(sessions.__aenter__())
        await sessions.hand_over("lead", "one")
        with pytest.raises(ValueError, match="different Context"):
            await asyncio.create_task(sessions.__aexit__(None, None, None))

    asyncio.run(host())
    assert live(manager) == ["coordinator"]
