"""OpenAI Agents: who is handed a run gets no more than who hands it over."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from clawguard import DelegationRefused, NoSession, SessionManager
from clawguard.models import IssuedSession
from tests.openers import open_manager

pytest.importorskip("agents", reason="needs the extra openai-agents")

from clawguard.agents.openai import AgentSessions

SPECIALISTS = {"one": "docs:read mail:send", "two": "docs:read"}


@pytest.fixture
def manager() -> Iterator[SessionManager]:
    with open_manager() as opened:
        yield opened


@pytest.fixture
def coordinator(manager: SessionManager) -> IssuedSession:
    return manager.create("coordinator", scopes="docs:read mail:send")


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
    assert [each.agent_id for each in manager.sessions.iter(live=True)] == ["coordinator"]


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
            await sessions.hand_over("one", "lead")
            with sessions.use("one") as after, sessions.use("lead") as lead:
                assert after == before
                assert lead.session_id == coordinator.id

    asyncio.run(host())
