"""Pydantic AI: an agent sees and runs the tools that its session reaches. The extra is `pydantic-ai`."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from typing import Any

from pydantic_ai import RunContext, ToolDefinition
from pydantic_ai.capabilities import (
    AbstractCapability,
    WrapOutputProcessHandler,
    WrapToolExecuteHandler,
)
from pydantic_ai.exceptions import ModelRetry, ToolFailed
from pydantic_ai.messages import ToolCallPart
from pydantic_ai.models import ModelRequestContext
from pydantic_ai.native_tools import AbstractNativeTool
from pydantic_ai.output import OutputContext
from pydantic_ai.tools import AgentDepsT

from clawguard.agents.credentials import Credential, Guarding, bound_for_call, checked_credential, told
from clawguard.checks import check_text
from clawguard.errors import AccessDenied, ConfigError, NoSession, PolicyDenied
from clawguard.models import SessionContext
from clawguard.scopes import Scopes, ScopeSet, parse_scopes
from clawguard.sessions.aio import AsyncSessionManager, AsyncVerifier, plain_of
from clawguard.sessions.awaiting import read

__all__ = ["SessionCapability"]

_FINDS_TOOLS = (
    "tool_search"  # the native tool that shows what `prepare_tools` has left, and does nothing else
)
_logger = logging.getLogger("clawguard.agents")


class SessionCapability(AbstractCapability[AgentDepsT]):
    """Show an agent's model the tools that its session has the scopes for, and check again with each call.

    `session_of` finds the session of a run in its `deps`: a token, an `IssuedSession` or a `SessionContext`;
    without one no tool is shown or run. `tools` says which scopes each tool needs, under the name that the
    model has for it; a tool that is not named there is neither shown nor run. An output function is checked
    as a tool is, and named there alike; one that the model gives its text to, by its own name. One that is
    not named there fails the run with ConfigError. A native tool is named there by its `unique_id`, such as
    `web_search`; it is the model's provider that runs it, so it is hidden from the model, and no more. In
    all others `current_session()` and `@requires` work, and what runs when its session ends is cancelled
    within a second; a task that outlives its call is nobody's. A refusal is the answer to the model; where
    the store cannot be asked the run fails. Runs on asyncio only.
    """

    def __init__(
        self,
        verifier: Guarding | AsyncVerifier | AsyncSessionManager,
        *,
        session_of: Callable[[AgentDepsT], Credential | None],
        tools: Mapping[str, Scopes],
    ) -> None:
        self._checker: Guarding = plain_of(verifier)
        self._session_of = session_of
        self._tools = {
            check_text(name, argument="tools"): parse_scopes(scopes, argument="tools")
            for name, scopes in tools.items()
        }

    @classmethod
    def get_serialization_name(cls) -> str | None:
        """Opt out of specifications in files: a verifier stands in none."""
        return None

    async def prepare_tools(
        self, ctx: RunContext[AgentDepsT], tool_defs: list[ToolDefinition]
    ) -> list[ToolDefinition]:
        """Return the tools that the session reaches as it now stands; that spends no use."""
        held = await read(self._checker, self._scopes_now, self._session_of(ctx.deps))
        return [each for each in tool_defs if self._reaches(held, each.name)]

    async def before_model_request(
        self, ctx: RunContext[AgentDepsT], request_context: ModelRequestContext
    ) -> ModelRequestContext:
        """Hide the native tools that the session does not reach as it now stands."""
        parameters = request_context.model_request_parameters
        if parameters.native_tools:
            held = await read(self._checker, self._scopes_now, self._session_of(ctx.deps))
            shown = [each for each in parameters.native_tools if self._reaches_native(held, each)]
            request_context.model_request_parameters = replace(parameters, native_tools=shown)
        return request_context

    async def prepare_model_request(
        self, ctx: RunContext[AgentDepsT], request_context: ModelRequestContext
    ) -> ModelRequestContext:
        """Do the same for another model, which may have been given others: before 2.68 there is none."""
        return await self.before_model_request(ctx, request_context)

    async def wrap_tool_execute(
        self,
        ctx: RunContext[AgentDepsT],
        *,
        call: ToolCallPart,  # noqa: ARG002 - the hook's
        tool_def: ToolDefinition,
        args: dict[str, Any],
        handler: WrapToolExecuteHandler,
    ) -> Any:
        """Validate the session once, and run the tool with it bound."""
        try:
            async with self._bound(ctx.deps, tool_def.name):
                return await handler(args)
        except AccessDenied as refusal:
            raise ToolFailed(told(refusal)) from None

    async def wrap_output_process(
        self,
        ctx: RunContext[AgentDepsT],
        *,
        output_context: OutputContext,
        output: Any,
        handler: WrapOutputProcessHandler,
    ) -> Any:
        """Validate the session once, and run an output function with it bound; other output just passes."""
        if not output_context.has_function:
            return await handler(output)
        shown = output_context.tool_def
        name = output_context.function_name if shown is None else shown.name
        if name is None or name not in self._tools:
            raise ConfigError(
                f"no scopes are named for the output function {name or 'of a union'!r}",
                hint="name it in `tools` of SessionCapability, a union's each in a ToolOutput(name=...)",
            )
        try:
            async with self._bound(ctx.deps, name):
                return await handler(output)
        except AccessDenied as refusal:
            raise ModelRetry(told(refusal)) from None

    def _bound(self, deps: AgentDepsT, tool: str) -> AbstractAsyncContextManager[SessionContext]:
        given = self._session_of(deps)
        if given is None:
            _logger.warning("the tool %r was called in a run without a session", tool)
            raise NoSession
        needed = self._tools.get(tool)
        if needed is None:
            raise PolicyDenied(tool, "no scopes are named for this tool")
        held = checked_credential(given, argument="session_of")
        return bound_for_call(self._checker, held, require=needed)

    def _reaches(self, held: ScopeSet | None, tool: str) -> bool:
        needed = self._tools.get(tool)
        return held is not None and needed is not None and not held.missing(needed)

    def _reaches_native(self, held: ScopeSet | None, tool: AbstractNativeTool) -> bool:
        return tool.kind == _FINDS_TOOLS or self._reaches(held, tool.unique_id)

    def _scopes_now(self, given: Credential | None) -> ScopeSet | None:
        """Return what a session holds, without spending a use; None for one that is over or none at all."""
        context = self._context_of(given)
        try:
            return None if context is None else self._checker.validate(context).scopes
        except AccessDenied:
            return None

    def _context_of(self, given: Credential | None) -> SessionContext | None:
        held = None if given is None else checked_credential(given, argument="session_of")
        if not isinstance(held, str):
            return held
        found = self._checker.inspect(held)
        return found.session.as_context() if found.session and found.verdict == "active" else None
