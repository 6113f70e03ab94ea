"""Messages and searches, as they come from outside: models, apart so that imports do not pay for pydantic."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from clawguard.checks import check_json
from clawguard.errors import InvalidArgument
from clawguard.history.records import TAKEN, Row

__all__ = ["Kind", "Message", "Role", "SessionQuery", "decode", "encode", "read_message", "read_query"]

Role = Literal["user", "assistant", "tool", "system"]
Kind = Literal["message", "prompt", "system", "command", "warn", "alert", "mode_change"]

_LONGEST = 16_777_216
_DEEPEST = 64
_LONGEST_KEYWORD = 4_096
_MAX_LIMIT = 1_000
_COLUMNS = {"role", "kind", "auto_injected"}
_PLAIN = _COLUMNS | {"content"}

M = TypeVar("M", bound=BaseModel)


def _bounded(keyword: str) -> str:
    """Bound the length: pydantic's own bound refuses lone surrogates, which a search takes for blanks."""
    if len(keyword) > _LONGEST_KEYWORD:
        raise ValueError(f"must be at most {_LONGEST_KEYWORD} characters")
    return keyword


class Message(BaseModel):
    """Hold one message: who speaks (`role`), what (`content`: text, or a list of parts), and calls of tools.

    Fields of other names are kept as they are. An entry of another `kind` than `message` needs no role. One
    that is `auto_injected` is left out of exports. The `repr` tells nothing of what was said.
    """

    model_config = ConfigDict(
        strict=True, extra="allow", frozen=True, hide_input_in_errors=True, revalidate_instances="always"
    )

    role: Role | None = None
    content: str | list[dict[str, Any]] | None = None
    tool_calls: list[dict[str, Any]] | None = None
    tool_call_id: str | None = None
    name: str | None = None
    kind: Kind = "message"
    auto_injected: bool = False

    @model_validator(mode="after")
    def _check(self) -> Message:
        if self.kind == "message" and self.role is None:
            raise ValueError("a message needs a role: user, assistant, tool or system")
        taken = TAKEN & (self.model_extra or {}).keys()
        if taken:
            raise ValueError(f"{min(taken)!r} is what an entry has, a message's field needs another name")
        return self

    def __repr_args__(self) -> list[tuple[str | None, Any]]:
        return [("role", self.role), ("kind", self.kind), ("characters", len(self.text))]

    @property
    def text(self) -> str:
        """The content as plain text; of parts, those that are text."""
        if not isinstance(self.content, list):
            return self.content or ""
        parts = (part.get("text") for part in self.content if part.get("type") in ("text", None))
        return "\n".join(part for part in parts if isinstance(part, str))

    def to_dict(self) -> dict[str, Any]:
        """Return what was set as JSON-ready values."""
        return self.model_dump(exclude_defaults=True)


class SessionQuery(BaseModel):
    """Hold what is searched for: the words of `keyword`, any of them, and where.

    `since` and `until` are aware datetimes; a word that ends in `*` stands for all that begin so.
    """

    model_config = ConfigDict(
        strict=True, extra="forbid", frozen=True, hide_input_in_errors=True, revalidate_instances="always"
    )

    keyword: Annotated[str, AfterValidator(_bounded), Field(repr=False)]
    limit: Annotated[int, Field(ge=1, le=_MAX_LIMIT)] = 50
    agent_id: str | None = None
    channel_id: str | None = None
    since: AwareDatetime | None = None
    until: AwareDatetime | None = None


def read_message(value: object, *, argument: str = "message") -> Message:
    """Return a message, given as one or as a dict; raise InvalidArgument, which repeats nothing of it.

    One that is given as such is looked at again: `model_copy` and `model_construct` check nothing.
    """
    if isinstance(value, Message):
        return _validated(Message, value, argument=argument)
    if not isinstance(value, Mapping):
        hint = "write {'role': 'user', 'content': ...}" if isinstance(value, str) else None
        raise InvalidArgument(argument, "must be a Message or a dict", hint=hint)
    return _validated(Message, dict(value), argument=argument)


def read_query(keyword: object, given: Mapping[str, object]) -> SessionQuery:
    """Return a query, given as one or as its fields; raise InvalidArgument.

    A field that is None is refused: whoever sets it means to narrow the search, and it would find everything.
    """
    if not isinstance(keyword, SessionQuery):
        _check_known(given)
        query = _validated(SessionQuery, {"keyword": keyword, **given}, argument=None)
    elif given:
        raise InvalidArgument(min(given), "stands in the query already", hint="give a text, or a query alone")
    else:
        query = _validated(SessionQuery, keyword, argument=None)
    for name in sorted(query.model_fields_set):
        if getattr(query, name) is None:
            raise InvalidArgument(name, "is None", hint="leave out what is not to narrow the search")
    return query


def _check_known(given: Mapping[str, object]) -> None:
    known = SessionQuery.model_fields.keys() - {"keyword"}
    for name in sorted(given.keys() - known):
        hint = f"the filters are session, workspace_id, {', '.join(sorted(known))}"
        raise InvalidArgument(name[:64], "is not a filter", hint=hint)


def encode(message: Message, *, at: int, index_tools: bool = False, argument: str = "message") -> Row:
    """Return a message as the columns of its row: text apart, and what else was set as JSON.

    Raises InvalidArgument for what is no JSON, over 16 MiB, 64 levels deep, or no Unicode text.
    """
    rest: dict[str, Any] = {}
    if not (message.model_fields_set <= _PLAIN and isinstance(message.content, str)):
        rest = message.model_dump(exclude=_COLUMNS, exclude_defaults=True)
        if isinstance(message.content, str):
            rest.pop("content", None)
        else:
            rest["content"] = message.content
    data = check_json(rest, argument=argument, longest=_LONGEST, deepest=_DEEPEST) if rest else None
    content = message.text
    try:
        size = len(content.encode())
    except UnicodeEncodeError:
        raise InvalidArgument(argument, "holds a lone surrogate, which no UTF-8 text has") from None
    if size > _LONGEST:
        raise InvalidArgument(argument, f"must be at most {_LONGEST} bytes")
    return Row(at, message.kind, message.role, content, data, int(message.auto_injected), int(index_tools))


def decode(row: Row) -> Message:
    """Return the message of a row."""
    rest = {} if row.data is None else json.loads(row.data)
    given = {
        "kind": row.kind,
        "role": row.role,
        "auto_injected": bool(row.auto_injected),
        "content": row.content,
    }
    return Message.model_validate(given | rest)


def _validated(model: type[M], value: dict[str, object] | M, *, argument: str | None) -> M:
    try:
        return model.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    where, what = str(first["loc"][0]) if first["loc"] else "", first["msg"].removeprefix("Value error, ")
    if argument is None:
        raise InvalidArgument(where[:64], what)
    raise InvalidArgument(argument, f"{where[:64]}: {what}" if where else what)
