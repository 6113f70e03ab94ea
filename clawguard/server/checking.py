"""What a verifier elsewhere asks: validate and authorize, with all that a verifier beside the store does."""

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict, Field

from clawguard.clock import to_datetime
from clawguard.errors import AccessDenied, InsufficientScope, InvalidToken, SessionEnded
from clawguard.guard import CertificateProof, DPoPProof, Proof
from clawguard.models import SessionContext
from clawguard.scopes import parse_scopes
from clawguard.server.answers import ActorAnswer, SessionAnswer
from clawguard.server.bodies import StrictRoute
from clawguard.server.callers import Caller, Held, count_question, may
from clawguard.server.fields import Closed, Count, ScopeList, ScopeName, Text, Token, example
from clawguard.server.problems import answers
from clawguard.server.shown import claimed_by, is_of_workspace
from clawguard.server.state import State
from clawguard.sessions.memory import Consistency

__all__ = ["router"]

router = APIRouter(route_class=StrictRoute, prefix="/v1", tags=["verifiers"])

_OFTEN = (400, 401, 403, 408, 413, 422, 429, 500, 503)
_COUNTED = [Depends(count_question)]  # before it is known who asks: refusing that costs more

_CONTEXT = {
    "session_id": "01a1fccf-cf9e-7037-aefb-eac59a7e9560",
    "generation": 1,
    "scopes": ["docs:read"],
}


class ContextAsked(Closed):
    """Name an authority that was found before: its session and generation, and the scopes it had."""

    session_id: str = Field(min_length=1, max_length=255)
    generation: Count
    scopes: ScopeList

    def context(self) -> SessionContext:
        """Return it as a context; what else one holds is read from the row."""
        return SessionContext(
            session_id=self.session_id,
            generation=self.generation,
            agent_id="-",
            subject="-",
            workspace_id="-",
            audience="-",
            role=None,
            scopes=parse_scopes(self.scopes),
            task_type=None,
            expires_at=to_datetime(0),
            actors=(),
        )


class DPoPShown(Closed):
    """Hold a DPoP proof and the request it came with."""

    dpop: str = Field(max_length=8_192)
    method: str = Field(max_length=32, examples=["GET"])
    url: str = Field(max_length=8_192, examples=["https://api.example.com/docs"])

    def proof(self) -> Proof:
        """Return it as a proof."""
        return DPoPProof(self.dpop, method=self.method, url=self.url)


class CertificateShown(Closed):
    """Hold the thumbprint of the certificate that a TLS terminator has checked."""

    thumbprint: str = Field(pattern=r"^[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]$")

    def proof(self) -> Proof:
        """Return it as a proof."""
        return CertificateProof.of_thumbprint(self.thumbprint)


_Nonce = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{16,64}$", description="the answer repeats it")]


class _Validation(Closed):
    require: ScopeList = Field(default_factory=list)
    any_of: ScopeList = Field(default_factory=list)
    audience: Text | None = None
    source: Text | None = Field(None, description="where the token came from", examples=["192.0.2.7"])
    consistency: Consistency = Field("bounded", description="counts where the server has a max_staleness")
    nonce: _Nonce | None = None


class TokenValidation(_Validation):
    """Ask whether a token holds."""

    model_config = example(token="eyJhbGciOi…", require=["docs:read"], source="192.0.2.7")

    token: Token
    proof: DPoPShown | CertificateShown | None = None


class ContextValidation(_Validation):
    """Ask whether what was found before still holds; with `quiet` that is no activity."""

    model_config = example(context=_CONTEXT, quiet=True)

    context: ContextAsked
    quiet: bool = False


class Authorization(Closed):
    """Ask whether a session may do an action."""

    model_config = example(context=_CONTEXT, action="docs:read", resource="prod/report", risk=0.5)

    context: ContextAsked
    action: ScopeName
    resource: Text | None = None
    risk: float = Field(0.0, allow_inf_nan=False)
    nonce: _Nonce | None = None


class _Answer(BaseModel):
    model_config = ConfigDict(extra="forbid")


class ContextAnswer(_Answer):
    """Say who is calling, and with what authority."""

    session_id: str
    generation: int
    agent_id: str
    subject: str
    workspace_id: str
    audience: str
    role: str | None
    scopes: list[str]
    task_type: str | None
    expires_at: datetime
    actors: list[ActorAnswer]


class RefusalAnswer(_Answer):
    """Say why not, as far as a verifier beside the store would."""

    code: str = Field(examples=["session_ended"])
    cause: str | None = None
    reason: str | None = None
    agent_id: str | None = None
    required: list[str] | None = None
    missing: list[str] | None = None
    any_of: bool | None = None


class HeldAnswer(_Answer):
    """Say which context still holds."""

    session_id: str
    generation: int


class ValidationAnswer(_Answer):
    """Hold a context, or with `quiet` which one still holds, or a refusal."""

    nonce: str | None = None
    context: ContextAnswer | None = None
    held: HeldAnswer | None = None
    refusal: RefusalAnswer | None = None


class DecisionAnswer(_Answer):
    """Say what the policy decides."""

    allowed: bool
    action: str
    reason: str
    policy: str
    rule: str | None
    masked_fields: list[str]


class AuthorizationAnswer(_Answer):
    """Hold a decision, or a refusal."""

    nonce: str | None = None
    decision: DecisionAnswer | None = None
    refusal: RefusalAnswer | None = None


class Inspecting(Closed):
    """Ask what a token is."""

    model_config = example(token="eyJhbGciOi…")

    token: Token


class InspectionAnswer(_Answer):
    """Say what a token is; of one that is not genuine, or of another workspace, nothing but that."""

    verdict: Literal["active", "ended", "superseded", "invalid"]
    session: SessionAnswer | None
    claims: dict[str, Any] | None


@router.post("/validate", dependencies=_COUNTED, responses=answers(*_OFTEN))
async def validate(
    asked: TokenValidation | ContextValidation,
    state: Held,
    caller: Annotated[Caller, may("clawguard:introspect")],
) -> ValidationAnswer:
    """Check a token or context of the caller's workspace, and say who it is.

    A token of a session whose uses are counted spends one. One of another workspace is answered as one that
    nobody has.
    """
    _count(state, caller)
    manager = state.manager
    wanted: dict[str, Any] = {"require": asked.require, "any_of": asked.any_of, "audience": asked.audience}
    wanted["consistency"] = asked.consistency
    try:
        if isinstance(asked, TokenValidation):
            await _check_workspace(state, claimed_by(asked.token).session_id, caller)
            proof = None if asked.proof is None else asked.proof.proof()
            context = await manager.validate(asked.token, source=asked.source, proof=proof, **wanted)
        elif asked.quiet:
            await _check_workspace(state, asked.context.session_id, caller)
            await manager.recheck(asked.context.context(), require=asked.require, any_of=asked.any_of)
            held = HeldAnswer(session_id=asked.context.session_id, generation=asked.context.generation)
            return ValidationAnswer(nonce=asked.nonce, held=held)
        else:
            await _check_workspace(state, asked.context.session_id, caller)
            context = await manager.validate(asked.context.context(), source=asked.source, **wanted)
    except AccessDenied as error:
        return ValidationAnswer(nonce=asked.nonce, refusal=_refused(error))
    return ValidationAnswer(nonce=asked.nonce, context=ContextAnswer.model_validate(context.to_dict()))


@router.post("/authorize", dependencies=_COUNTED, responses=answers(*_OFTEN))
async def authorize(
    asked: Authorization,
    state: Held,
    caller: Annotated[Caller, may("clawguard:introspect")],
) -> AuthorizationAnswer:
    """Decide by the policy whether a session of the caller's workspace may do an action."""
    _count(state, caller)
    try:
        await _check_workspace(state, asked.context.session_id, caller)
        decision = await state.manager.authorize(
            asked.context.context(), asked.action, resource=asked.resource, risk=asked.risk
        )
    except AccessDenied as error:
        return AuthorizationAnswer(nonce=asked.nonce, refusal=_refused(error))
    told = DecisionAnswer.model_validate(decision.to_dict())
    return AuthorizationAnswer(nonce=asked.nonce, decision=told)


@router.post("/inspect", dependencies=_COUNTED, responses=answers(*_OFTEN))
async def inspect(
    asked: Inspecting,
    state: Held,
    caller: Annotated[Caller, may("clawguard:introspect", "clawguard:sessions:read")],
) -> InspectionAnswer:
    """Say what a token is, active or not, with its claims and its session; no use is spent, no trace left."""
    _count(state, caller)
    if not await is_of_workspace(state.manager, claimed_by(asked.token).session_id, caller.workspace_id):
        return InspectionAnswer(verdict="invalid", session=None, claims=None)
    found = await state.manager.inspect(asked.token)
    session = None if found.session is None else SessionAnswer.model_validate(found.session.to_dict())
    claims = None if found.claims is None else dict(found.claims)
    return InspectionAnswer(verdict=found.verdict, session=session, claims=claims)


async def _check_workspace(state: State, session_id: str, caller: Caller) -> None:
    if not await is_of_workspace(state.manager, session_id, caller.workspace_id):
        raise InvalidToken


def _count(state: State, caller: Caller) -> None:
    state.rates.count("check", f"session:{caller.session_id}")


def _refused(error: AccessDenied) -> RefusalAnswer:
    told: dict[str, Any] = {"code": error.code}
    match error:
        case SessionEnded():
            told |= {"cause": error.cause, "reason": error.reason}
        case InsufficientScope():
            told |= {"agent_id": error.agent_id, "any_of": error.any_of}
            told |= {"required": list(error.required), "missing": list(error.missing)}
    return RefusalAnswer(**told)
