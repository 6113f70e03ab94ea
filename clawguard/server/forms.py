"""Requests and answers of the OAuth endpoints: forms in, JSON out, errors as RFC 6749 (5.2) has them."""

from typing import Any, Literal, TypeVar
from urllib.parse import parse_qsl

from fastapi import FastAPI, Request
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.responses import JSONResponse, Response
from starlette.types import Scope

from clawguard.server.answers import ActorAnswer
from clawguard.server.loads import Crowded
from clawguard.server.problems import OAUTH, answers, problem
from clawguard.web.fastapi import answer_with

__all__ = [
    "ACCESS_TOKEN",
    "EXCHANGE",
    "INACTIVE",
    "IntrospectionAnswer",
    "IntrospectionForm",
    "OAuthError",
    "OAuthProblem",
    "RevocationAnswer",
    "RevocationForm",
    "TokenAnswer",
    "TokenForm",
    "answer_oauth_errors",
    "checked_types",
    "come_back",
    "oauth_answers",
    "operation",
    "read_form",
]

EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"
_JWT = "urn:ietf:params:oauth:token-type:jwt"
_FORM = "application/x-www-form-urlencoded"
_NO_STORE = {"Cache-Control": "no-store"}
_MAX_FIELDS = 32

M = TypeVar("M", bound=BaseModel)


class _Form(BaseModel):
    """Read a form; parameters that are not known are passed over (RFC 6749, 3.2)."""

    model_config = ConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True)


class TokenForm(_Form):
    """Ask for a token: by an exchange, which is a delegation, or by a refresh token."""

    grant_type: str = Field(examples=[EXCHANGE])
    refresh_token: str | None = Field(None, max_length=8_192)
    subject_token: str | None = Field(None, max_length=8_192)
    subject_token_type: str | None = Field(None, examples=[ACCESS_TOKEN])
    actor_token: str | None = Field(None, max_length=8_192)
    actor_token_type: str | None = Field(None, examples=[ACCESS_TOKEN])
    requested_token_type: str | None = None
    scope: str | None = Field(None, examples=["docs:read"])
    audience: str | None = None
    resource: str | None = None


class RevocationForm(_Form):
    """Ask for the end of a token's session (RFC 7009)."""

    token: str = Field(max_length=8_192, examples=["eyJhbGciOi…"])
    token_type_hint: str | None = Field(None, examples=["access_token"])


class IntrospectionForm(RevocationForm):
    """Ask about a token (RFC 7662)."""


class _Answer(BaseModel):
    model_config = ConfigDict(extra="forbid")


class TokenAnswer(_Answer):
    """Hand out tokens (RFC 6749, 5.1; RFC 8693, 2.2.1)."""

    access_token: str
    issued_token_type: str | None = None
    token_type: Literal["Bearer", "DPoP"]
    expires_in: int
    scope: str
    refresh_token: str | None = None


class RevocationAnswer(_Answer):
    """Say nothing: whatever the token was, it is worth nothing now."""


class IntrospectionAnswer(_Answer):
    """Tell of an active token; of any other nothing but that it is not."""

    active: bool
    scope: str | None = Field(None, examples=["docs:read"])
    client_id: str | None = Field(None, examples=["planner"])
    sub: str | None = Field(None, examples=["user:ana"])
    aud: str | None = None
    iss: str | None = None
    exp: int | None = None
    iat: int | None = None
    nbf: int | None = None
    jti: str | None = None
    sid: str | None = None
    token_type: Literal["Bearer", "DPoP"] | None = None
    act: dict[str, Any] | None = Field(
        None, description="who delegated, the nearest outermost (RFC 8693, 4.1)"
    )
    cnf: dict[str, str] | None = None
    role: str | None = None
    task_type: str | None = None
    workspace_id: str | None = None
    generation: int | None = None
    actors: list[ActorAnswer] | None = None


INACTIVE = IntrospectionAnswer.model_validate({"active": False})


class OAuthProblem(_Answer):
    """Say what is wrong (RFC 6749, 5.2)."""

    error: str = Field(examples=["invalid_grant"])
    error_description: str


class OAuthError(Exception):
    """Answer a request to an OAuth endpoint with an error."""

    def __init__(
        self, error: str, description: str, *, status: int = 400, retry_after: int | None = None
    ) -> None:
        super().__init__(error)
        self.error = error
        self.description = description
        self.status = status
        self.headers = _NO_STORE if retry_after is None else {**_NO_STORE, "Retry-After": str(retry_after)}


def answer_oauth_errors(app: FastAPI) -> None:
    """Have an app answer them."""
    answer_with(app, OAuthError, _of_error)
    answer_with(app, Crowded, lambda request, raised: come_back(request.scope, raised))


def _of_error(_: Request, raised: OAuthError) -> Response:
    body = {"error": raised.error, "error_description": raised.description}
    return JSONResponse(body, raised.status, raised.headers)


def come_back(scope: Scope, raised: Crowded) -> Response:
    """Answer what is too much, or comes too soon, in the shape of its endpoint."""
    headers = {**_NO_STORE, "Retry-After": str(raised.retry_after)}
    if scope["path"].startswith(OAUTH):
        body = {"error": "temporarily_unavailable", "error_description": raised.detail}
        return JSONResponse(body, raised.status, headers)
    return problem(scope, raised.status, raised.code, raised.detail, headers=headers)


async def read_form(request: Request, model: type[M]) -> M:
    """Return a form's fields; no parameter twice (RFC 6749, 3.1), and one without a value is none."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != _FORM:
        raise OAuthError("invalid_request", f"the body must be {_FORM}")
    try:
        text = (await request.body()).decode("ascii")
        pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=_MAX_FIELDS, errors="strict")
    except ValueError:
        raise OAuthError("invalid_request", "the form is malformed") from None
    names = [name for name, _ in pairs]
    if len(names) != len(set(names)):
        targets = {name for name in names if names.count(name) > 1} <= {"audience", "resource"}
        error = "invalid_target" if targets else "invalid_request"
        raise OAuthError(error, "a parameter stands in the form twice")
    try:
        return model.model_validate({name: value for name, value in pairs if value})
    except ValidationError as error:
        name = error.errors()[0]["loc"][0]
        raise OAuthError("invalid_request", f"{name} is missing, or is not as it must be") from None


def operation(form: type[BaseModel], *, optional_caller: bool) -> dict[str, Any]:
    """Return what the OpenAPI says of an endpoint that reads a form by itself."""
    schema = form.model_json_schema()
    told: dict[str, Any] = {"requestBody": {"required": True, "content": {_FORM: {"schema": schema}}}}
    if optional_caller:
        told["security"] = [{}, {"Clawguard": []}]
    return told


def oauth_answers(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return what an OAuth operation's OpenAPI says of its errors."""
    content = {"application/json": {"schema": {"$ref": "#/components/schemas/OAuthProblem"}}}
    told = answers(408, 413, 500)
    return told | {each: {**answers(each)[each], "content": content} for each in sorted(statuses)}


def checked_types(*types: str | None) -> None:
    """Raise OAuthError for a token of a type that is not dealt in here."""
    if any(each not in (None, ACCESS_TOKEN, _JWT) for each in types):
        raise OAuthError("invalid_request", "only access tokens are taken and given")
