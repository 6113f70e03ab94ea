"""What goes wrong, told as problem JSON (RFC 9457); the OAuth endpoints have a shape of their own."""

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from clawguard.errors import (
    ClawguardError,
    ClockError,
    ConfigError,
    DelegationRefused,
    EntryUnreadable,
    EventsArchived,
    InsufficientScope,
    InvalidArgument,
    KeyInUse,
    LimitReached,
    PolicyDenied,
    SearchUnavailable,
    SessionEnded,
    SessionNotFound,
    StoreUnavailable,
    TokenSuperseded,
)
from clawguard.web.bearer import Refusal
from clawguard.web.fastapi import Refused, answer_with

__all__ = [
    "MEDIA_TYPE",
    "OAUTH",
    "Failed",
    "Fault",
    "Problem",
    "answer_problems",
    "answers",
    "problem",
    "request_id_of",
]

MEDIA_TYPE = "application/problem+json"
REQUEST_ID_KEY = "clawguard.request_id"
OAUTH = "/oauth/"
_RETRY = {"Retry-After": "1"}

_STATUS: Final[tuple[tuple[type[ClawguardError], int], ...]] = (
    (EventsArchived, 410),
    (InvalidArgument, 400),
    (SessionNotFound, 404),
    (EntryUnreadable, 409),
    (KeyInUse, 409),
    (LimitReached, 409),
    (SearchUnavailable, 409),
    (SessionEnded, 409),
    (TokenSuperseded, 409),
    (InsufficientScope, 403),
    (PolicyDenied, 403),
    (DelegationRefused, 403),
    (StoreUnavailable, 503),
    (ClockError, 503),
    (ConfigError, 503),
)
_TITLES = {
    400: "The request cannot be met",
    401: "A valid token is needed",
    403: "This is more than the caller may do",
    404: "There is no such thing here",
    405: "There is no such method here",
    408: "The request took too long to come",
    409: "It cannot be done as things stand",
    410: "It was here once",
    413: "The body is too large",
    422: "The request is not as it must be",
    429: "Too many requests",
    500: "Something went wrong here",
    503: "Not at the moment",
}


class Fault(BaseModel):
    """Name one fault of a request, by where it is; never what stood there."""

    model_config = ConfigDict(extra="forbid")

    at: str = Field(examples=["body.scopes"])
    message: str = Field(examples=["Field required"])


class Problem(BaseModel):
    """Say what went wrong (RFC 9457); `code` is for machines and never changes."""

    model_config = ConfigDict(extra="forbid", title="Problem")

    type: str = Field(examples=["urn:clawguard:problem:session_not_found"])
    title: str = Field(examples=["There is no such thing here"])
    status: int = Field(examples=[404])
    detail: str = Field(examples=["no session 01a1fccf-cf9e-7037-aefb-eac59a7e9560"])
    code: str = Field(examples=["session_not_found"])
    request_id: str = Field(examples=["01a1fccf-d021-72be-9eed-2ab647482519"])
    errors: list[Fault] | None = None
    argument: str | None = Field(None, description="which argument cannot be")
    missing: list[str] | None = Field(None, description="the scopes that are lacking")
    cause: str | None = Field(None, description="why the session ended")
    session_id: str | None = Field(None, description="who holds the key that was asked for, or the entry")
    seq: int | None = Field(None, description="which entry of the conversation cannot be read")
    until: int | None = Field(None, description="up to where the log was archived")


class Failed(Exception):
    """Carry an error out of an endpoint, past the guard: it is about what was asked, not about who asked."""

    def __init__(self, error: ClawguardError) -> None:
        super().__init__(error.code)
        self.error = error


def answers(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return what an operation's OpenAPI says of its problems."""
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {each: {"description": _TITLES[each], "content": content} for each in sorted(statuses)}


def request_id_of(scope: Mapping[str, Any]) -> str:
    """Return the id that the answer to a request carries."""
    return str(scope.get(REQUEST_ID_KEY, "-"))


def problem(
    scope: Mapping[str, Any],
    status: int,
    code: str,
    detail: str,
    *,
    headers: Mapping[str, str] | None = None,
    **more: Any,
) -> Response:
    """Return the answer that tells a problem."""
    told = Problem(
        type=f"urn:clawguard:problem:{code}",
        title=_TITLES[status],
        status=status,
        detail=detail,
        code=code,
        request_id=request_id_of(scope),
        **more,
    )
    body = told.model_dump(exclude_none=True)
    return JSONResponse(body, status, dict(headers or {}), media_type=MEDIA_TYPE)


def answer_problems(app: FastAPI) -> None:
    """Have an app tell its problems so."""
    answer_with(app, Failed, _of_failure)
    answer_with(app, ClawguardError, _of_error)
    answer_with(app, Refused, _of_refusal)
    answer_with(app, RequestValidationError, _of_validation)
    answer_with(app, HTTPException, _of_http)


def _of_failure(request: Request, raised: Failed) -> Response:
    return _told(request, raised.error)


def _of_error(request: Request, raised: ClawguardError) -> Response:
    return _told(request, raised)


def _told(request: Request, error: ClawguardError) -> Response:
    status = next((status for kind, status in _STATUS if isinstance(error, kind)), 500)
    detail = str(error) if status != 500 else "an error of the server"
    headers = _RETRY if status == 503 else None
    return problem(request.scope, status, error.code, detail, headers=headers, **_more(error))


def _more(error: ClawguardError) -> dict[str, Any]:
    """Return what machines want to know of an error."""
    match error:
        case EventsArchived():
            return {"until": error.until}
        case EntryUnreadable():
            return {"session_id": error.session_id, "seq": error.seq}
        case InvalidArgument():
            return {"argument": error.argument}
        case InsufficientScope() | DelegationRefused():
            return {"missing": list(error.missing)}
        case SessionEnded():
            return {"cause": error.cause}
        case KeyInUse():
            return {"session_id": error.session_id}
    return {}


def _of_refusal(request: Request, raised: Refused) -> Response:
    refusal = raised.refusal
    headers = {name: value for name, value in refusal.headers if not name.startswith("Content-")}
    if request.url.path.startswith(OAUTH):
        return Response(refusal.body, refusal.status, headers, media_type="application/json")
    return problem(request.scope, refusal.status, refusal.error, _said(refusal), headers=headers)


def _said(refusal: Refusal) -> str:
    return str(json.loads(refusal.body)["error_description"])


def _of_validation(request: Request, raised: RequestValidationError) -> Response:
    errors = raised.errors()
    if any(each["type"] == "json_invalid" for each in errors):
        return problem(request.scope, 400, "malformed_body", "the body is not JSON")
    faults = [Fault(at=_place(each["loc"]), message=each["msg"]) for each in errors[:16]]
    return problem(request.scope, 422, "invalid_request", "the request is not as it must be", errors=faults)


def _place(where: tuple[str | int, ...]) -> str:
    """Return where a fault is; of a member that is not known not even the name, which anybody chose."""
    return ".".join(str(each) if isinstance(each, int) or each.isidentifier() else "?" for each in where)[
        :128
    ]


def _of_http(request: Request, raised: HTTPException) -> Response:
    status = raised.status_code if raised.status_code in _TITLES else 400
    code = HTTPStatus(status).name.lower()
    return problem(request.scope, status, code, _TITLES[status].lower(), headers=raised.headers)
