"""The claims as they stand in a token: a closed model, apart so that an import does not pay for pydantic."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from clawguard.checks import check_text

__all__ = ["AccessClaims", "ActorClaim", "ConfirmationClaim"]


def _text(value: str) -> str:
    return check_text(value, argument="claim")


Text = Annotated[str, AfterValidator(_text)]
Uuid = Annotated[str, Field(pattern="^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")]
Thumbprint = Annotated[str, Field(pattern="^[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]$")]  # of 32 bytes
Seconds = Annotated[int, Field(ge=0, lt=2**53)]


class _Closed(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, hide_input_in_errors=True)


class ActorClaim(_Closed):
    """Hold one step of a delegation (RFC 8693, 4.1); `act` holds the step before it, absent at the root."""

    sub: str
    sid: Uuid
    act: ActorClaim = Field(default=None)  # type: ignore[assignment]  # a default is not validated: null is refused


class ConfirmationClaim(_Closed):
    """Hold the thumbprint of a token's key (RFC 9449, 6.1) or of its certificate (RFC 8705, 3.1)."""

    jkt: Thumbprint = Field(default=None)  # type: ignore[assignment]
    x5t: Thumbprint = Field(default=None, alias="x5t#S256")  # type: ignore[assignment]

    @model_validator(mode="after")
    def _one(self) -> ConfirmationClaim:
        if len(self.model_fields_set) != 1:
            raise ValueError
        return self


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
    cnf: ConfirmationClaim = Field(default=None)  # type: ignore[assignment]
