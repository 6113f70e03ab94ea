"""OpenAI Agents SDK: a session for each agent of a run, and conversations. The extra is `openai-agents`."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from types import TracebackType
from typing import Any, NoReturn

from agents import (
    Agent,
    AgentHookContext,
    RunContextWrapper,
    RunHooks,
    SessionSettings,
    ToolGuardrailFunctionOutput,
    ToolInputGuardrail,
    ToolInputGuardrailData,
    TResponseInputItem,
)

from clawguard.agents.credentials import Credential, Discreet, Guarding, checked_credential, told
from clawguard.agents.handed import Handed
from clawguard.agents.openai_calls import Call, call_here, check_own_task, is_over, run_around
from clawguard.checks import check_text
from clawguard.errors import AccessDenied, InvalidArgument, NoSession
from clawguard.history.records import Entry
from clawguard.models import SessionContext
from clawguard.scopes import Scopes, parse_scopes
from clawguard.sessions.aio import AsyncSessionManager, AsyncVerifier, plain_of
from clawguard.sessions.current import Use, unbind
from clawguard.sessions.manager import SessionManager
from clawguard.sessions.references import SessionRef, session_id_of

__all__ = ["AgentSessions", "HandoffHooks", "HistorySession", "session_guardrail"]

_logger = logging.getLogger("clawguard.agents")
_ITEM = "openai_item"
_SPEAKERS = ("user", "assistant", "system")


class AgentSessions:
    """Hold the sessions of one run, each under its agent's name. An agent without one is refused.

    Give it to the run as its `context`, or as the attribute `agent_sessions` of a context of your own; make
    a new one for each run. `handoffs` says which scopes an agent gets when the run is handed to it, from
    whoever hands it over and must hold them: that takes a manager and `hooks=HandoffHooks()`. What was handed
    over ends when the run goes back, and with a run inside of a tool's call when that call does. As
    `async with` it ends at its end all that is left, and no session of the code around it is bound in it.
    """

    def __init__(
        self,
        verifier: Guarding | AsyncVerifier | AsyncSessionManager,
        sessions: Mapping[str, Credential],
        *,
        handoffs: Mapping[str, Scopes] | None = None,
    ) -> None:
        """Take a token, an `IssuedSession` or a `SessionContext` for each agent that starts with one."""
        plain: Guarding = plain_of(verifier)
        self._guarding = plain
        self._manager = plain if isinstance(plain, SessionManager) else None
        self._given = {
            check_text(name, argument="sessions"): checked_credential(each, argument="sessions")
            for name, each in sessions.items()
        }
        self._handoffs = {
            check_text(name, argument="handoffs"): parse_scopes(each, argument="handoffs")
            for name, each in (handoffs or {}).items()
        }
        self._handed: dict[object, Handed] = {}
        self._is_over = False
        self._ending: set[asyncio.Future[None]] = set()
        if self._handoffs and self._manager is None:
            raise InvalidArgument("handoffs", "need a SessionManager: a verifier delegates nothing")
        both = self._given.keys() & self._handoffs.keys()
        if both:
            raise InvalidArgument("handoffs", f"{min(both)!r} has a session of its own already")

    def use(self, agent: str, *, require: Scopes = ()) -> Use:
        """Return what validates an agent's session, once, and binds it; NoSession where it has none."""
        return Use(self._guarding, self._credential_of(agent), require=require)

    async def hand_over(self, from_agent: str, to_agent: str) -> None:
        """Give an agent of `handoffs` a new session below that of the agent who hands the run to it.

        One that stands above who hands over keeps its session, for it gets no more than it gave; what stands
        below that ends. Any other loses the one it had, also where it gets none: because who hands over has
        none either, or lacks a scope, which is DelegationRefused. Called in a tool, for a run that the tool
        begins, it gives what ends with the tool's call.
        """
        call = call_here(self)
        run = run_around(self) if call is None else call
        handed = self._handed.get(run)
        if handed is None:
            if self._manager is None or to_agent not in self._handoffs:
                return
            handed = self._handed[run] = Handed(self._manager, is_over=self._is_over or is_over(run))
        is_callers = call is not None and call.agent == from_agent
        parent = call.held if call is not None and is_callers else self._find(from_agent, run)
        await handed.hand_over(from_agent, to_agent, parent=parent, scopes=self._handoffs.get(to_agent))

    async def end_run(self) -> None:
        """End what was handed over in the run that is here, if it is inside of a tool's call."""
        run = run_around(self)
        if run is not None:
            self._begin_to_end(run)
            await self._all_ended()

    async def bind(self, agent: str, *, require: Scopes) -> None:
        """Validate an agent's session, and bind it for the call of a tool that this task is."""
        call = Call(self, agent, self._credential_of(agent))
        await Use(Discreet(self._guarding), call.held, require=require, reaches=call.reaches).bind()
        call.begin(self._begin_to_end)

    async def __aenter__(self) -> AgentSessions:
        self._bind_again = unbind()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_over = True
        try:
            for run in list(self._handed):
                self._begin_to_end(run)
            await self._all_ended()
        finally:
            self._bind_again()  # which fails in another context than that of the beginning

    def __repr__(self) -> str:
        handed = (agent for each in self._handed.values() for agent in each.agents)
        return f"AgentSessions({', '.join(sorted({*self._given, *handed}))})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("AgentSessions holds tokens: it is neither copied nor stored")

    def _credential_of(self, agent: str) -> str | SessionContext:
        held = self._find(agent, run_around(self))
        if held is None:
            _logger.warning("the agent %r has no session in this run", agent)
            raise NoSession
        return held

    def _find(self, agent: str, run: object) -> str | SessionContext | None:
        handed = self._handed.get(run)
        return (None if handed is None else handed.token_of(agent)) or self._given.get(agent)

    def _begin_to_end(self, run: object) -> None:
        handed = self._handed.pop(run, None)
        if handed is not None:
            ending = handed.end()
            self._ending.add(ending)
            ending.add_done_callback(self._note)

    async def _all_ended(self) -> None:
        loop = asyncio.get_running_loop()  # a tool may run another, in a thread, which waits for its own
        await asyncio.shield(
            asyncio.gather(*(each for each in list(self._ending) if each.get_loop() is loop))
        )

    def _note(self, ending: asyncio.Future[None]) -> None:
        self._ending.discard(ending)
        failure = None if ending.cancelled() else ending.exception()
        if failure is not None:
            _logger.warning("what was handed over in a run has not ended: %s", failure)


class HandoffHooks(RunHooks[Any]):
    """Narrow with each hand-off: see `AgentSessions.hand_over`, which hooks of your own can call as well."""

    async def on_handoff(
        self, context: RunContextWrapper[Any], from_agent: Agent[Any], to_agent: Agent[Any]
    ) -> None:
        """Give the agent that the run is handed to what it may have."""
        sessions = _sessions_of(context)
        if sessions is not None:
            await sessions.hand_over(from_agent.name, to_agent.name)

    async def on_agent_end(
        self,
        context: AgentHookContext[Any],
        agent: Agent[Any],  # noqa: ARG002 - the hook's
        output: Any,  # noqa: ARG002 - the hook's
    ) -> None:
        """End what was handed over in a run inside of a tool's call: it is over."""
        sessions = _sessions_of(context)
        if sessions is not None:
            await sessions.end_run()


def session_guardrail(*scopes: str) -> ToolInputGuardrail[Any]:
    """Let a tool run only for an agent whose own session holds every scope, and bind that session in it.

    In the tool `current_session()` and `@requires` work. The session is looked up by the run and the agent's
    name and validated with each call; what is refused is the tool's answer to the model. Where the store
    cannot be asked the run fails. Each tool needs a guardrail: one without is not checked.
    """
    wanted = parse_scopes(scopes)

    async def check(data: ToolInputGuardrailData) -> ToolGuardrailFunctionOutput:
        check_own_task(data.agent)
        sessions = _sessions_of(data.context)
        try:
            if sessions is None:
                raise NoSession
            await sessions.bind(data.agent.name, require=wanted)
        except AccessDenied as refusal:
            return ToolGuardrailFunctionOutput.reject_content(told(refusal), {"code": refusal.code})
        return ToolGuardrailFunctionOutput.allow()

    return ToolInputGuardrail(guardrail_function=check, name="clawguard")


def _sessions_of(context: RunContextWrapper[Any]) -> AgentSessions | None:
    own = context.context
    found = own if isinstance(own, AgentSessions) else getattr(own, "agent_sessions", None)
    return found if isinstance(found, AgentSessions) else None


class HistorySession:
    """Keep a run's items in the history of a session: what the SDK takes as `session`.

    Each item is an entry and comes back as it was, tool calls and reasoning too; a search finds what users
    and agents said and nothing else of it. Entries that the host appended by itself are items where a user,
    an assistant or the system speaks in them, and are left alone otherwise. Nothing here brings a session
    into being, and one that has ended takes nothing more (SessionEnded), so that its run fails.
    """

    def __init__(
        self,
        manager: SessionManager | AsyncSessionManager,
        session: SessionRef,
        *,
        session_settings: SessionSettings | None = None,
        workspace_id: str | None = None,
    ) -> None:
        """Take a session by its id or record; with a `workspace_id` only one of that workspace."""
        self.session_id = session_id_of(session)
        self.session_settings = session_settings
        awaited = manager if isinstance(manager, AsyncSessionManager) else AsyncSessionManager(manager)
        self._history = awaited.history
        self._workspace_id = workspace_id

    async def get_items(self, limit: int | None = None) -> list[TResponseInputItem]:
        """Return the items in order; with a limit, here or in the settings, the newest so many."""
        if limit is None and self.session_settings is not None:
            limit = self.session_settings.limit
        if limit is not None:
            tail = await self._history.tail(self.session_id, limit, workspace_id=self._workspace_id)
            items = _items_of(tail)
            if len(items) == len(tail):  # else some were the host's, and more items stand before them
                return items
        items = _items_of(
            await self._history.load_with_timestamps(self.session_id, workspace_id=self._workspace_id)
        )
        return items if limit is None else items[max(0, len(items) - limit) :]

    async def add_items(self, items: list[TResponseInputItem]) -> None:
        """Append items, all of them or none."""
        if not items:
            return
        await self._history.extend(
            self.session_id, [_message_of(item) for item in items], workspace_id=self._workspace_id
        )

    async def pop_item(self) -> TResponseInputItem | None:
        """Remove the newest item and return it; None where there is none, or another's entry stands last."""
        while last := await self._history.tail(self.session_id, 1, workspace_id=self._workspace_id):
            item = _item_of(last[0])
            if item is None or await self._remove(last[0]):
                return item
        return None

    async def _remove(self, entry: Entry) -> bool:
        return await self._history.remove_last(
            self.session_id, expected=entry, workspace_id=self._workspace_id
        )

    async def clear_session(self) -> None:
        """Remove all entries; the session lives on."""
        await self._history.clear(self.session_id, workspace_id=self._workspace_id)


def _message_of(item: Any) -> dict[str, Any]:
    """Return an item as a message: whole, and beside it what a search finds and a summary counts."""
    if not isinstance(item, Mapping):
        raise InvalidArgument("items", "must be dicts, as the SDK writes them")
    role, kind, name = item.get("role"), item.get("type"), item.get("name")
    if kind not in (None, "message"):
        is_call = kind == "function_call" and isinstance(name, str)
        is_output = isinstance(kind, str) and kind.endswith("_output")
        calls = {"tool_calls": [{"name": name}]} if is_call else {}
        return {"role": "tool" if is_output else "assistant", **calls, _ITEM: item}
    return {"role": role if role in _SPEAKERS else "system", "content": _text_of(item), _ITEM: item}


def _text_of(item: Mapping[str, Any]) -> str:
    """Return what is said in a message item: its text, or the text of its parts."""
    content = item.get("content")
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    texts = (part.get("text") for part in parts if isinstance(part, Mapping))
    return "\n".join(text for text in texts if isinstance(text, str))


def _items_of(entries: tuple[Entry, ...]) -> list[TResponseInputItem]:
    return [item for item in map(_item_of, entries) if item is not None]


def _item_of(entry: Entry) -> TResponseInputItem | None:
    """Return the item that an entry holds, or what a speaker said in the host's own words."""
    item: TResponseInputItem | None = (entry.message.model_extra or {}).get(_ITEM)
    if item is not None or entry.kind != "message" or not entry.text:
        return item
    match entry.role:
        case "user" | "assistant" | "system" as speaker:
            return {"role": speaker, "content": entry.text}
    return None
