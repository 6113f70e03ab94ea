"""A summary of a conversation, reckoned from its entries alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from clawguard.history.records import Entry, SessionMetadata
from clawguard.models import json_ready

if TYPE_CHECKING:
    from clawguard.history.messages import Message

__all__ = ["WrapUp", "summarize"]

_LONGEST_PROMPT = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class WrapUp:
    """Sum a conversation up; `duration` is in seconds, up to the session's end or its last activity.

    `kinds` counts entries by kind, `tools` the calls of each tool, the most called first; `first_prompt` is
    what was first asked, None where nothing was.
    """

    session_id: str
    agent_id: str
    name: str | None
    started_at: datetime
    ended_at: datetime | None
    duration: float
    count: int
    kinds: Mapping[str, int]
    tools: Mapping[str, int]
    first_prompt: str | None = field(repr=False)

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON-ready values; instants in ISO 8601."""
        return json_ready(self)

    def to_markdown(self) -> str:
        """Return it as a page in Markdown; what was said stands in it as a quotation."""
        lines = [f"# {_one_line(self.name or self.agent_id)}", ""]
        lines += [f"- session: `{self.session_id}`, agent `{_one_line(self.agent_id)}`"]
        until = "still live" if self.ended_at is None else f"until {self.ended_at:%Y-%m-%d %H:%M:%S} UTC"
        lines += [f"- from {self.started_at:%Y-%m-%d %H:%M:%S} UTC, {until}: {_span(self.duration)}"]
        lines += [f"- {self.count} entries: {_counted(self.kinds)}"] if self.count else ["- no entries"]
        lines += [f"- tools: {_counted(self.tools)}"] if self.tools else []
        if self.first_prompt is not None:
            lines += [
                "",
                "First asked:",
                "",
                *(f"> {line}".rstrip() for line in self.first_prompt.splitlines()),
            ]
        return "\n".join(lines) + "\n"


def summarize(metadata: SessionMetadata, entries: Iterable[Entry]) -> WrapUp:
    """Return the summary of a conversation: nothing but its arguments has a say in it."""
    kinds: Counter[str] = Counter()
    tools: Counter[str] = Counter()
    prompt: str | None = None
    for entry in entries:
        kinds[entry.kind] += 1
        tools.update(_tools_of(entry.message))
        is_asked = entry.kind == "prompt" or (entry.kind == "message" and entry.role == "user")
        if prompt is None and is_asked and entry.text.strip():
            prompt = entry.text.strip()[:_LONGEST_PROMPT]
    until = metadata.ended_at or metadata.last_activity
    return WrapUp(
        session_id=metadata.session_id,
        agent_id=metadata.agent_id,
        name=metadata.name,
        started_at=metadata.created_at,
        ended_at=metadata.ended_at,
        duration=(until - metadata.created_at).total_seconds(),
        count=kinds.total(),
        kinds=dict(kinds.most_common()),
        tools=dict(tools.most_common()),
        first_prompt=prompt,
    )


def _tools_of(message: Message) -> Iterator[str]:
    """Yield the name of each tool that a message calls, in the forms that model providers write calls in."""
    parts = message.content if isinstance(message.content, list) else []
    calls = [*(message.tool_calls or ()), *(part for part in parts if part.get("type") == "tool_use")]
    for call in calls:
        function = call.get("function")
        name = function.get("name") if isinstance(function, dict) else call.get("name")
        if isinstance(name, str):
            yield name


def _one_line(text: str) -> str:
    return text.replace("`", "'")


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{_one_line(' '.join(name.split()))} {count}" for name, count in counts.items())


def _span(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    parts = ((hours, "h"), (minutes, "min"), (rest, "s"))
    return " ".join(f"{number} {unit}" for number, unit in parts if number) or "0 s"
