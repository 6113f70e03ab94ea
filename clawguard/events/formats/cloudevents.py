"""CloudEvents 1.0 in the JSON format: https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/spec.md."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from clawguard.events.types import EVENT_TYPES, schema_id

if TYPE_CHECKING:
    from clawguard.events.event import Event

__all__ = ["cloudevent"]


def cloudevent(event: Event, *, source: str) -> dict[str, Any]:
    """Return the envelope; its `data` is the whole event. A type of the host's own stays as it is."""
    is_ours = event.type in EVENT_TYPES
    return {
        "specversion": "1.0",
        "id": event.id,
        "source": source,
        "type": f"dev.clawguard.{event.type}" if is_ours else event.type,
        **({} if event.session_id is None else {"subject": event.session_id}),
        "time": event.at.isoformat(),
        # Compared as text (CloudEvents' sequence extension).
        **({"sequence": f"{event.seq:020}"} if event.seq else {}),
        "datacontenttype": "application/json",
        **({"dataschema": schema_id(event.type)} if is_ours else {}),
        "data": event.to_dict(),
    }
