"""OpenAI Agents SDK: which call of a tool code runs in, and how far what is bound for that call reaches.

The SDK has a task for each call of a tool, and hands that task's context variables on to runs that the tool
begins: `agent.as_tool`, or `Runner.run` in its body. Those are other agents'. What tells them apart is the
span of its agent that each run opens, with tracing or without.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import ContextVar, Token
from typing import Any

from agents import Agent, AgentSpanData, Span, get_current_span

from clawguard.errors import ConfigError
from clawguard.models import SessionContext

__all__ = ["Call", "call_here", "check_own_task", "is_over", "run_around"]

_REALTIME_CALL = "_handle_tool_call"


class Call:
    """Be one call of a tool: who calls, with what; as a run, the one that the tool may begin."""

    def __init__(self, sessions: object, agent: str, held: str | SessionContext) -> None:
        self.sessions = sessions
        self.agent = agent
        self.held = held
        self.span = _agents_here()[0]
        self.outer = _call.get()
        self.is_over = False

    def begin(self, then: Callable[[Call], None]) -> None:
        """Be what this task and those below it run in, until this task ends; then call that."""
        _call.set(self)
        task = asyncio.current_task()
        if task is not None:
            task.add_done_callback(lambda _: self._end(then))

    def reaches(self) -> bool:
        """Tell whether the code that asks belongs to this call, and not to a run inside of it."""
        return not self.is_over and _agents_here()[0] is self.span

    def _end(self, then: Callable[[Call], None]) -> None:
        self.is_over = True
        then(self)


_call: ContextVar[Call | None] = ContextVar("clawguard_openai_call", default=None)


def call_here(sessions: object) -> Call | None:
    """Return the call of a tool whose own code runs here, where it acts with these sessions."""
    call = _call.get()
    return call if call is not None and call.sessions is sessions and call.reaches() else None


def run_around(sessions: object) -> object:
    """Return what stands for the run whose agent runs here: None for one that is inside of no other.

    That is the call of the tool that began it, or, where nothing was bound for that, the span that the run
    began in: the tool's, and not that of who called it, who may call many at once.
    """
    agent, caller = _agents_here()
    call = _call.get()
    while call is not None and (call.span is agent or call.sessions is not sessions):
        call = call.outer  # one of this very agent's
    if call is not None and call.span is caller:
        return call
    return None if caller is None else _around(agent)


def is_over(run: object) -> bool:
    """Tell whether a run is one that a tool began and left behind, its call being over."""
    return isinstance(run, Call) and run.is_over


def check_own_task(agent: object) -> None:
    """Raise ConfigError where a call of a tool has no task of its own, with which its binding would end."""
    if isinstance(agent, Agent):
        return  # else it is a realtime agent
    task = asyncio.current_task()
    if task is None or getattr(task.get_coro(), "__name__", None) != _REALTIME_CALL:
        raise ConfigError(
            "a realtime session without async_tool_calls has no task for a tool's call, to bind a session in",
            hint="leave async_tool_calls out of its run config, or make it true",
        )


def _agents_here() -> tuple[Any, Any]:
    """Return the span of the agent that runs here and that of the one around it; None where there is none."""
    agent = _agent_at(get_current_span())
    return agent, None if agent is None else _agent_at(_around(agent))


def _agent_at(span: Span[Any] | None) -> Span[Any] | None:
    """Return the innermost span of an agent; of what cannot be told, the span itself, which is nobody's."""
    while span is not None and not isinstance(span.span_data, AgentSpanData):
        if getattr(span, "_prev_span_token", None) is None:
            return span
        span = _around(span)
    return span


def _around(span: Span[Any]) -> Span[Any] | None:
    token: Token[Span[Any] | None] | None = getattr(span, "_prev_span_token", None)
    former: Span[Any] | None = None if token is None or token.old_value is Token.MISSING else token.old_value
    return former
