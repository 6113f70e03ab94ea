"""What the agents of one run were handed: a session each, for as long as the run is theirs or below them."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Iterable
from functools import partial

from clawguard.errors import ClawguardError, InvalidArgument
from clawguard.models import IssuedSession, SessionContext
from clawguard.scopes import Scopes
from clawguard.sessions.aio import AsyncSessionManager
from clawguard.sessions.manager import SessionManager

__all__ = ["Handed"]


class Handed:
    """Hold the sessions that were delegated in one run, each under its agent's name."""

    def __init__(self, manager: SessionManager, *, is_over: bool = False) -> None:
        self._manager = manager
        self._awaited = AsyncSessionManager(manager)
        self._sessions: dict[str, IssuedSession] = {}
        self._given_up: list[IssuedSession] = []  # nobody's by now, and to be ended yet
        self._one_at_a_time = asyncio.Lock()
        self._is_over = is_over

    @property
    def agents(self) -> frozenset[str]:
        """Who holds a session."""
        return frozenset(self._sessions)

    def token_of(self, agent: str) -> str | None:
        """Return what an agent acts with, if it was handed anything."""
        held = self._sessions.get(agent)
        return None if held is None else held.token

    async def hand_over(
        self, from_agent: str, to_agent: str, *, parent: str | SessionContext | None, scopes: Scopes | None
    ) -> None:
        """End what is nobody's any more; delegate the scopes below the parent, where there are both.

        Who stands above the one who hands over keeps its session. One that is cancelled makes nothing.
        """
        async with self._one_at_a_time:
            if self._is_over:
                raise InvalidArgument("sessions", "are over", hint="make an AgentSessions for each run")
            own, line = self._sessions.get(to_agent), self._line_of(from_agent)
            is_above = own is not None and own.id in line
            self._give_up(line, own, is_above=is_above, leaves=scopes is None)
            while self._given_up:
                await self._awaited.end(self._given_up[0])
                del self._given_up[0]
            if parent is None or scopes is None or is_above:
                return
            self._sessions[to_agent] = await self._awaited.delegate(parent, to_agent, scopes=scopes)
            if self._is_over:  # it ended while this was made
                await asyncio.shield(self.end())

    def end(self) -> asyncio.Future[None]:
        """End all of it, in a thread that does so whoever is cancelled; nothing is handed over afterwards."""
        self._is_over = True
        ending = [*self._given_up, *self._sessions.values()]
        self._given_up, self._sessions = [], {}
        work = partial(contextvars.copy_context().run, _end_each, self._manager, ending)
        return asyncio.get_running_loop().run_in_executor(None, work)

    def _line_of(self, agent: str) -> tuple[str, ...]:
        """Return the ids of what an agent stands on, root first, and of its own session."""
        held = self._sessions.get(agent)
        return () if held is None else _line_of(held)

    def _give_up(
        self, line: tuple[str, ...], own: IssuedSession | None, *, is_above: bool, leaves: bool
    ) -> None:
        """Take from their agents the sessions whose turn is over when the run goes on to another agent.

        Back to one above: what stands below that. To one who gets nothing here: the line of who hands over.
        Else what the agent had from an earlier hand-off.
        """
        over = {own.id} if own is not None else set()
        if leaves:
            over |= {each.id for each in self._sessions.values()} & set(line)
        for agent, held in list(self._sessions.items()):
            stays = is_above and held is own
            if not stays and over & set(_line_of(held)):
                self._given_up.append(self._sessions.pop(agent))


def _line_of(session: IssuedSession) -> tuple[str, ...]:
    return (*(actor.session_id for actor in session.actors), session.id)


def _end_each(manager: SessionManager, sessions: Iterable[IssuedSession]) -> None:
    """End sessions, the lowest first; whatever one of them raises, the others end too."""
    failure: ClawguardError | None = None
    for each in reversed(list(sessions)):
        try:
            manager.end(each)
        except ClawguardError as error:
            failure = failure or error
    if failure is not None:
        raise failure
