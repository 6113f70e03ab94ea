"""The claims as they stand in a token: a closed model, apart so that an import does not pay for pydantic."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from clawguard.checks import check_text

__all__ = ["AccessClaims", "ActorClaim"]


def _text(value: str) -> str:
    return check_text(value, argument="claim")


Text = Annotated[str, AfterValidator(_text)]
Uuid = Annotated[str, Field(pattern="^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")]
Seconds = Annotated[int, Field(ge=0, lt=2**53)]


class _Closed(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, hide_input_in_errors=True)


class ActorClaim(_Closed):
    """Hold one step of a delegation (RFC 8693, 4.1); `act` holds the step before it, absent at the root."""

    sub: str
    sid: Uuid
    act: ActorClaim = Field(default=None)  # type: ignore[assignment]  # a default is not validated: null is refused


class AccessClaims(_Closed):
    """Hold the claims of an access token (RFC 9068, 2.2), with `sid` and `gen` beside them."""

    iss: str
    aud: str
    sub: Text
    client_id: Text
    sid: Uuid
    jti: Uuid
    iat: Seconds
    nbf: Seconds
    exp: Seconds
    scope: str
    gen: Annotated[int, Field(ge=1, lt=2**53)]
    act: ActorClaim = Field(default=None)  # type: ignore[assignment]
