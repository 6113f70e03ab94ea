"""A model for the OpenAI Agents SDK that follows a script and keeps all that it was shown."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from agents import (
    Model,
    ModelResponse,
    Usage,
    set_trace_processors,
    set_tracing_disabled,
)
from agents.items import TResponseOutputItem
from agents.models.interface import ModelTracing
from agents.tracing import Span, Trace, TracingProcessor
from openai.types.responses import (
    Response,
    ResponseCompletedEvent,
    ResponseFunctionToolCall,
    ResponseOutputMessage,
    ResponseOutputText,
    ResponseReasoningItem,
)
from openai.types.responses.response_reasoning_item import Summary

__all__ = ["Scripted", "Spans", "Turn", "call", "hand_off", "reasoning", "says"]

set_tracing_disabled(True)

Turn = Sequence[TResponseOutputItem]


class Scripted(Model):
    """Answer with one turn of the script after another; `seen` is every prompt, as JSON."""

    def __init__(self, *turns: Turn, before: Callable[[int], None] | None = None) -> None:
        self._turns = list(turns)
        self._before = before
        self.seen: list[str] = []

    async def get_response(
        self,
        system_instructions: str | None,
        input: Any,
        model_settings: Any,
        tools: list[Any],
        output_schema: Any,
        handoffs: list[Any],
        tracing: ModelTracing,
        **_: Any,
    ) -> ModelResponse:
        return ModelResponse(
            output=await self._say(system_instructions, input, tools, handoffs),
            usage=Usage(),
            response_id=None,
        )

    async def stream_response(
        self,
        system_instructions: str | None,
        input: Any,
        model_settings: Any,
        tools: list[Any],
        output_schema: Any,
        handoffs: list[Any],
        tracing: ModelTracing,
        **_: Any,
    ) -> AsyncIterator[ResponseCompletedEvent]:
        output = await self._say(system_instructions, input, tools, handoffs)
        response = Response(
            id="resp_1",
            created_at=0,
            model="scripted",
            object="response",
            output=output,
            tool_choice="auto",
            tools=[],
            parallel_tool_calls=True,
        )
        yield ResponseCompletedEvent(type="response.completed", response=response, sequence_number=0)

    async def _say(
        self, instructions: str | None, input: Any, tools: list[Any], handoffs: list[Any]
    ) -> list[TResponseOutputItem]:
        shown = [(tool.name, tool.description, tool.params_json_schema) for tool in tools]
        shown += [(each.tool_name, each.tool_description, each.input_json_schema) for each in handoffs]
        self.seen.append(json.dumps([instructions, input, shown], default=repr))
        if self._before is not None:
            self._before(len(self.seen))
        await asyncio.sleep(0)
        return list(self._turns.pop(0))


class Spans(TracingProcessor):
    """Keep what the SDK would export of traces and spans; `told()` turns tracing on for a block."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    @contextmanager
    def told(self) -> Iterator[None]:
        set_trace_processors([self])
        set_tracing_disabled(False)
        try:
            yield
        finally:
            set_tracing_disabled(True)
            set_trace_processors([])

    def on_trace_start(self, trace: Trace) -> None:
        self.seen.append(repr(trace.export()))

    def on_trace_end(self, trace: Trace) -> None:
        self.seen.append(repr(trace.export()))

    def on_span_start(self, span: Span[Any]) -> None:
        pass

    def on_span_end(self, span: Span[Any]) -> None:
        self.seen.append(repr(span.export()))

    def shutdown(self) -> None:
        pass

    def force_flush(self) -> None:
        pass


_count = 0


def call(name: str, **arguments: Any) -> ResponseFunctionToolCall:
    """Call a tool."""
    global _count
    _count += 1
    return ResponseFunctionToolCall(
        id=f"fc_{_count}",
        call_id=f"call_{_count}",
        name=name,
        arguments=json.dumps(arguments),
        type="function_call",
    )


def hand_off(agent: str) -> ResponseFunctionToolCall:
    """Hand the run to another agent."""
    return call(f"transfer_to_{agent}")


def says(text: str) -> ResponseOutputMessage:
    """Say something, which ends the run."""
    part = ResponseOutputText(text=text, type="output_text", annotations=[])
    return ResponseOutputMessage(
        id="msg_1", content=[part], role="assistant", status="completed", type="message"
    )


def reasoning(text: str) -> ResponseReasoningItem:
    """Think."""
    summary = [Summary(text=text, type="summary_text")]
    return ResponseReasoningItem(id="rs_1", summary=summary, type="reasoning", encrypted_content="c2VhbGVk")
