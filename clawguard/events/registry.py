"""The types of events that are known here: the library's own, and those that the host registers."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, NamedTuple

from clawguard.checks import check_metadata
from clawguard.errors import InvalidArgument
from clawguard.events.chain import canonical
from clawguard.events.types import EVENT_TYPES, RESERVED, likely_meant, signal_name
from clawguard.forks import call_around_fork
from clawguard.models import JSONObject

if TYPE_CHECKING:
    from pydantic import BaseModel, TypeAdapter

__all__ = ["EventTypes"]

_NAME = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+", re.ASCII)
_LONGEST_NAME = 64
_PATTERN = re.compile(r"[a-z0-9_.*?]{1,64}", re.ASCII)  # the same to fnmatch and to the store


class EventTypes:
    """Hold the names of event types, and the pydantic model of what each of the host's own carries."""

    def __init__(self) -> None:
        self._payloads: dict[str, _Payload] = {}
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
        described = _ANY if payload is None else _described(payload)
        with self._lock:
            if name in self._payloads and self._payloads[name].model is not payload:
                raise InvalidArgument("name", f"{name!r} is registered with another payload")
            known = {signal_name(each): each for each in self.names}
            other = known.get(signal_name(name), name)
            if other != name:
                raise InvalidArgument("name", f"{name!r} would share its signal with {other!r}")
            self._payloads[name] = described

    def check_pattern(self, pattern: object, *, argument: str = "pattern") -> str:
        """Return a name or a pattern such as `session.*`; `*` stands for any text, `?` for one character.

        Raises InvalidArgument with a hint for one that fits no known type: a receiver that never hears is
        a trap.
        """
        if type(pattern) is not str or not _PATTERN.fullmatch(pattern):
            raise InvalidArgument(argument, "must be an event type or a pattern such as 'session.*'")
        if not any(fnmatchcase(each, pattern) for each in self.names):
            hint = likely_meant(pattern) or (
                f"the types are {', '.join(self.names)}; events.register() makes others known"
            )
            raise InvalidArgument(argument, "fits no type of event", hint=hint)
        return pattern

    def data_of(self, name: object, payload: BaseModel | Mapping[str, Any]) -> JSONObject:
        """Return a payload as the `data` of an event; raise InvalidArgument where it is not as registered."""
        if type(name) is not str or name not in self._payloads:
            raise InvalidArgument("event_type", *_why_unknown(name))
        found = self._payloads[name].values(payload)
        data: JSONObject = json.loads(check_metadata(found, argument="payload"))
        _check_canonical(data)
        return data


class _Payload(NamedTuple):
    """Hold what events of one type carry: a model, and what checks and writes it; None is any JSON object."""

    model: type[BaseModel] | None = None
    adapter: TypeAdapter[Any] | None = None

    def values(self, payload: object) -> dict[str, Any]:
        """Return a payload as JSON-ready values; of those, none is in an error."""
        try:
            if self.adapter is not None:
                payload = self._dumped(self.adapter, payload)
            if isinstance(payload, Mapping):
                return dict(payload)
            refusal = "must be a JSON object: a dict with string keys"
        except Exception as error:  # the host's own validators and serializers may raise anything
            refusal = self._why(error)
        raise InvalidArgument("payload", refusal)  # out here: it goes without the error, which quotes values

    def _dumped(self, adapter: TypeAdapter[Any], payload: object) -> object:
        """Write what fits the model as the model says, and no more: not what a subclass has besides."""
        if not isinstance(payload, self.model or ()):
            payload = adapter.validate_python(payload)
        return adapter.dump_python(payload, mode="json", by_alias=True, warnings="error")

    def _why(self, error: Exception) -> str:
        from pydantic import ValidationError

        if not isinstance(error, ValidationError) or self.model is None:
            return f"cannot be checked and written as JSON ({type(error).__name__})"
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        fields = self.model.model_fields
        names = [*fields, *(each.alias for each in fields.values())]
        where = first["loc"][0] if first["loc"] and first["loc"][0] in names else self.model.__name__
        return f"{where} does not fit ({first['type']})"


_ANY = _Payload()


def _check_canonical(data: JSONObject) -> None:
    try:
        canonical(data)
    except InvalidArgument as error:
        what = error.message.removeprefix("data: ")
        raise InvalidArgument("payload", what, hint="write such a number as a string") from None


def _check_name(name: object) -> None:
    if type(name) is not str or len(name) > _LONGEST_NAME or not _NAME.fullmatch(name):
        raise InvalidArgument(
            "name",
            "must be words joined by dots, such as 'memory.added'",
            hint=f"at most {_LONGEST_NAME} long",
        )
    family = name.partition(".")[0]
    if family in RESERVED:
        raise InvalidArgument("name", f"events of {family!r} are clawguard's own", hint="use another word")


def _described(model: object) -> _Payload:
    from pydantic import BaseModel, TypeAdapter
    from pydantic.errors import PydanticUserError

    if not isinstance(model, type) or not issubclass(model, BaseModel) or model is BaseModel:
        raise InvalidArgument("payload", "must be a pydantic model's class, or None for any JSON object")
    try:
        model.model_rebuild()
        return _Payload(model, TypeAdapter(model))
    except (PydanticUserError, NameError):
        raise InvalidArgument("payload", f"{model.__name__} names a type that is not defined yet") from None


def _why_unknown(name: object) -> tuple[str]:
    if isinstance(name, str) and name in EVENT_TYPES:
        return ("is written by clawguard alone",)
    return ("is not registered; events.register(name, model) makes it known",)
