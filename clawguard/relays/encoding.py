"""How a relay writes an event: one of three formats, as JSON without spaces."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

from clawguard.checks import check_text
from clawguard.errors import InvalidArgument
from clawguard.events.event import SOURCE, Event
from clawguard.guard.encoding import compact_json

__all__ = ["SOURCE", "Encoder", "Format", "encoder"]

Format = Literal["cloudevents", "ocsf", "clawguard"]

_CONTENT_TYPES: dict[Format, str] = {
    "cloudevents": "application/cloudevents+json",
    "ocsf": "application/json",
    "clawguard": "application/json",
}


class Encoder(NamedTuple):
    """Hold how events are written, and the media type of what comes of it."""

    format: Format
    source: str
    content_type: str

    def encode(self, event: Event) -> bytes:
        """Return the event as JSON in UTF-8."""
        return compact_json(_WRITERS[self.format](event, self.source))


def encoder(format: Format, *, source: str = SOURCE) -> Encoder:
    """Return what writes events in a format; `source` is which log they are of: give `manager.issuer`.

    Raises InvalidArgument for a format that there is not, and for a source that is no text id.
    """
    if not isinstance(format, str) or format not in _CONTENT_TYPES:
        names = ", ".join(repr(each) for each in _CONTENT_TYPES)
        raise InvalidArgument("format", f"must be one of {names}")
    return Encoder(format, check_text(source, argument="source"), _CONTENT_TYPES[format])


def _cloudevent(event: Event, source: str) -> dict[str, Any]:
    return event.to_cloudevent(source=source)


def _ocsf(event: Event, source: str) -> dict[str, Any]:
    return event.to_ocsf(source=source)


def _own(event: Event, _source: str) -> dict[str, Any]:
    return event.to_dict()


_WRITERS: dict[Format, Callable[[Event, str], dict[str, Any]]] = {
    "cloudevents": _cloudevent,
    "ocsf": _ocsf,
    "clawguard": _own,
}
