"""The types of events that are known here: the library's own, and those that the host registers."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from clawguard.checks import check_metadata
from clawguard.errors import InvalidArgument
from clawguard.events.chain import canonical
from clawguard.events.types import EVENT_TYPES, RESERVED, likely_meant, signal_name
from clawguard.forks import call_around_fork
from clawguard.models import JSONObject

if TYPE_CHECKING:
    from pydantic import BaseModel

__all__ = ["EventTypes"]

_NAME = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+", re.ASCII)
_LONGEST_NAME = 64


class EventTypes:
    """Hold the names of event types, and the pydantic model of what each of the host's own carries."""

    def __init__(self) -> None:
        self._payloads: dict[str, type[BaseModel] | None] = {}
        self.after_fork()
        call_around_fork(self)

    def after_fork(self) -> None:
        """Make the lock anew in a forked child: a thread of the parent may have held it."""
        self._lock = threading.Lock()

    @property
    def names(self) -> tuple[str, ...]:
        """The names, the library's own first."""
        return (*EVENT_TYPES, *self._payloads)

    def register(self, name: str, payload: type[BaseModel] | None) -> None:
        """Make a type of the host's own known; the same once more changes nothing."""
        _check_name(name)
        _check_model(payload)
        with self._lock:
            if name in self._payloads and self._payloads[name] is not payload:
                raise InvalidArgument("name", f"{name!r} is registered with another payload")
            known = {signal_name(each): each for each in self.names}
            other = known.get(signal_name(name), name)
            if other != name:
                raise InvalidArgument("name", f"{name!r} would share its signal with {other!r}")
            self._payloads[name] = payload

    def matching(self, pattern: object, *, argument: str = "pattern") -> frozenset[str]:
        """Return the types that a name or a pattern such as `session.*` fits.

        Raises InvalidArgument with a hint for one that fits none: a receiver that never hears is a trap.
        """
        if not isinstance(pattern, str):
            raise InvalidArgument(argument, "must be an event type or a pattern such as 'session.*'")
        found = frozenset(each for each in self.names if fnmatchcase(each, pattern))
        if not found:
            hint = likely_meant(pattern) or (
                f"the types are {', '.join(self.names)}; events.register() makes others known"
            )
            raise InvalidArgument(argument, "fits no type of event", hint=hint)
        return found

    def data_of(self, name: object, payload: BaseModel | Mapping[str, Any]) -> JSONObject:
        """Return a payload as the `data` of an event; raise InvalidArgument where it is not as registered."""
        if not isinstance(name, str) or name not in self._payloads:
            raise InvalidArgument("event_type", *_why_unknown(name))
        model = self._payloads[name]
        if model is not None:
            payload = _dumped(model, payload)
        if not isinstance(payload, Mapping):
            raise InvalidArgument("payload", "must be a JSON object: a dict with string keys")
        found: JSONObject = json.loads(check_metadata(payload, argument="payload"))
        _check_canonical(found)
        return found


def _check_canonical(data: JSONObject) -> None:
    try:
        canonical(data)
    except InvalidArgument as error:
        what = error.message.removeprefix("data: ")
        raise InvalidArgument("payload", what, hint="write such a number as a string") from None


def _check_name(name: object) -> None:
    if not isinstance(name, str) or len(name) > _LONGEST_NAME or not _NAME.fullmatch(name):
        raise InvalidArgument(
            "name",
            "must be words joined by dots, such as 'memory.added'",
            hint=f"at most {_LONGEST_NAME} long",
        )
    family = name.partition(".")[0]
    if family in RESERVED:
        raise InvalidArgument("name", f"events of {family!r} are clawguard's own", hint="use another word")


def _check_model(payload: object) -> None:
    if payload is None:
        return
    from pydantic import BaseModel

    if not isinstance(payload, type) or not issubclass(payload, BaseModel):
        raise InvalidArgument("payload", "must be a pydantic model's class, or None for any JSON object")


def _why_unknown(name: object) -> tuple[str]:
    if isinstance(name, str) and name in EVENT_TYPES:
        return ("is written by clawguard alone",)
    return ("is not registered; events.register(name, model) makes it known",)


def _dumped(model: type[BaseModel], payload: object) -> Any:
    """Return a payload, checked against its model, as JSON-ready values; no value of it is in an error."""
    from pydantic import ValidationError
    from pydantic_core import PydanticSerializationError

    try:
        return model.model_validate(payload).model_dump(mode="json")
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"])) or model.__name__
        # A validator of the host's may say what it was given; pydantic's own messages do not.
        what = "is not valid" if first["type"] in ("value_error", "assertion_error") else first["msg"]
        raise InvalidArgument("payload", f"{where}: {what}") from None
    except PydanticSerializationError:
        raise InvalidArgument("payload", f"a {model.__name__} that cannot be written as JSON") from None
