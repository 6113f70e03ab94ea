"""What requests are made of: closed models, and texts, scopes and durations as the library takes them."""

import json
import re
from datetime import datetime
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    WithJsonSchema,
)

from clawguard.checks import holds_token, is_text
from clawguard.clock import LONGEST, SECOND
from clawguard.scopes import MAX_SCOPES, check_scope

__all__ = [
    "SESSION_ID",
    "AgentId",
    "Closed",
    "Count",
    "Cursor",
    "Duration",
    "Flag",
    "Instant",
    "Place",
    "Reason",
    "ScopeList",
    "ScopeName",
    "Seconds",
    "SessionId",
    "Text",
    "Token",
    "Whole",
    "example",
]

SESSION_ID = r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"
_INSTANT = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}(\.[0-9]{1,9})?(Z|[+-][0-9]{2}:[0-9]{2})", re.IGNORECASE
)
_JSON = re.compile(r"true|false|-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_ID = "01a1fccf-cf9e-7037-aefb-eac59a7e9560"


class Closed(BaseModel):
    """Take no member that is not named here, and none of another type; show no value in an error."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, hide_input_in_errors=True)


def example(**members: Any) -> ConfigDict:
    """Return the setting that shows a whole body on the OpenAPI page."""
    return ConfigDict(json_schema_extra={"examples": [members]})


def _checked_text(value: str) -> str:
    if not is_text(value):
        raise ValueError("must be 1 to 255 printable characters")
    if holds_token(value):
        raise ValueError("is a token, which belongs nowhere but in the Authorization header")
    return value


def _text(longest: int, example: str) -> Any:
    schema = {"type": "string", "minLength": 1, "maxLength": longest, "format": "printable-text"}
    return WithJsonSchema({**schema, "examples": [example]})


def _instant(value: Any) -> Any:
    """Take a text of RFC 3339, 5.6, and no count of seconds, which would name 1970 or the year 3000."""
    if isinstance(value, datetime) or (isinstance(value, str) and _INSTANT.fullmatch(value)):
        return value
    raise ValueError("must be a date, a time and an offset, such as 2026-03-01T12:00:00Z")


def _read_as_json(value: Any) -> Any:
    """Read the text of a query as RFC 8259 writes a number or a truth, and take no other spelling of one."""
    return json.loads(value) if isinstance(value, str) and _JSON.fullmatch(value) else value


def _whole(value: Any) -> Any:
    """Take 3.0 for 3, as JSON does (RFC 8259, 6)."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _checked_scope(value: str) -> str:
    return check_scope(value)


Text = Annotated[str, AfterValidator(_checked_text), _text(255, "telegram_user123")]
Reason = Annotated[str, AfterValidator(_checked_text), _text(255, "laptop lost")]
AgentId = Annotated[
    str, StringConstraints(max_length=249), AfterValidator(_checked_text), _text(249, "planner")
]
SessionId = Annotated[
    str,
    StringConstraints(pattern=SESSION_ID),
    Field(examples=[_ID]),
]
ScopeName = Annotated[
    str,
    AfterValidator(_checked_scope),
    WithJsonSchema(
        {
            "type": "string",
            "maxLength": 255,
            "pattern": r"^([a-z0-9._-]+(:[a-z0-9._-]+){0,14}(:[a-z0-9._-]+|:\*)?|\*)$",
            "examples": ["docs:read"],
        }
    ),
]
ScopeList = Annotated[list[ScopeName], Field(max_length=MAX_SCOPES, examples=[["docs:read", "mail:send"]])]
Duration = Annotated[float, Field(ge=1, le=LONGEST // SECOND, allow_inf_nan=False, examples=[900])]
Instant = Annotated[
    AwareDatetime, BeforeValidator(_instant), Field(strict=False, examples=["2026-03-01T12:00:00Z"])
]
Whole = Annotated[int, Field(strict=True), BeforeValidator(_whole), BeforeValidator(_read_as_json)]
Place = Annotated[
    int, Field(strict=True, ge=0, le=2**53 - 1), BeforeValidator(_whole), BeforeValidator(_read_as_json)
]
Seconds = Annotated[
    float,
    Field(strict=True, ge=0, le=86_400, allow_inf_nan=False),
    BeforeValidator(_read_as_json),
]
Flag = Annotated[bool, BeforeValidator(_read_as_json), Field(strict=True)]
Count = Annotated[int, Field(ge=1, le=2**53 - 1), BeforeValidator(_whole)]
Token = Annotated[str, StringConstraints(min_length=1, max_length=8_192), Field(examples=["eyJhbGciOi…"])]
Cursor = Annotated[str, StringConstraints(min_length=1, max_length=2_048, pattern=r"^[A-Za-z0-9_=-]+$")]
