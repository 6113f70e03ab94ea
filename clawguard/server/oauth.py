"""The OAuth endpoints: exchange (RFC 8693), refresh, revocation (RFC 7009), introspection (RFC 7662)."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from starlette.requests import HTTPConnection

from clawguard.clock import SECOND, to_microseconds
from clawguard.errors import (
    AccessDenied,
    ClawguardError,
    ClockError,
    DelegationRefused,
    InsufficientScope,
    InvalidArgument,
    InvalidProof,
    PolicyDenied,
    SessionEnded,
    SessionNotFound,
    StoreUnavailable,
)
from clawguard.guard import DPoPProof, Proof, ProvenKey, is_refresh_token
from clawguard.models import IssuedSession, SessionContext
from clawguard.scopes import ScopeSet, parse_scopes
from clawguard.server.callers import (
    DELEGATE,
    Caller,
    Held,
    check_outlived,
    check_within,
    count_address,
    count_question,
    identify,
    making,
    may,
)
from clawguard.server.forms import (
    ACCESS_TOKEN,
    EXCHANGE,
    INACTIVE,
    IntrospectionAnswer,
    IntrospectionForm,
    OAuthError,
    RevocationAnswer,
    RevocationForm,
    TokenAnswer,
    TokenForm,
    checked_types,
    oauth_answers,
    operation,
    read_form,
)
from clawguard.server.shown import Active, claimed_by, find_active, is_of_workspace
from clawguard.server.state import State
from clawguard.web.bearer import url_of

__all__ = ["router"]

router = APIRouter(prefix="/oauth", tags=["oauth"])

_OFTEN = (400, 401, 429, 503)


@router.post(
    "/token",
    response_model_exclude_none=True,
    openapi_extra=operation(TokenForm, optional_caller=True),
    responses=oauth_answers(*_OFTEN),
)
async def token(request: Request, state: Held) -> TokenAnswer:
    """Give a token for another: a child session's for its parent's, or a session's next for a refresh token.

    In an exchange the child is the agent's whose `actor_token` is sent, else the caller's, else the subject's
    own; without `scope` it has what the subject token has. Another `audience` is for the holder of a token
    for this server, or for a caller that may delegate itself what it asks for.
    """
    caller = await _asker(state, request)
    form = await read_form(request, TokenForm)
    with _oauth_errors():
        if form.grant_type == EXCHANGE:
            issued = await _exchange(state, form, caller)
            return _handed(state, issued, issued_token_type=ACCESS_TOKEN)
        if form.grant_type == "refresh_token":
            return _handed(state, await _redeem(state, form, caller, request))
    raise OAuthError("unsupported_grant_type", "the grant types are token-exchange and refresh_token")


async def _exchange(state: State, form: TokenForm, caller: SessionContext | None) -> IssuedSession:
    checked_types(form.subject_token_type, form.actor_token_type, form.requested_token_type)
    if form.subject_token is None or form.subject_token_type is None:
        raise OAuthError("invalid_request", "subject_token and subject_token_type are needed")
    if (form.actor_token is None) is not (form.actor_token_type is None):
        raise OAuthError("invalid_request", "actor_token and actor_token_type go together")
    if form.audience and form.resource:
        raise OAuthError("invalid_target", "a token is for one audience")
    workspace = None if caller is None else caller.workspace_id
    subject = await _shown(state, form.subject_token, workspace)
    workspace = subject.session.workspace_id
    actor = caller or subject.context
    if form.actor_token is not None:
        actor = (await _shown(state, form.actor_token, workspace)).context
        if actor.audience != state.manager.audience:
            raise OAuthError("invalid_request", "an actor token is for this server")
    scopes = subject.context.scopes if form.scope is None else _scopes(form.scope)
    audience = form.audience or form.resource
    if audience not in (None, subject.context.audience):
        await _check_target(state, subject, scopes, caller)
    with await making(state, caller or subject.context, is_asking=caller is not None):
        return await state.manager.delegate(subject.context, actor.agent_id, scopes=scopes, audience=audience)


async def _check_target(
    state: State, subject: Active, scopes: ScopeSet, caller: SessionContext | None
) -> None:
    """Raise where an exchange may not change for whom the token is.

    A token for another service has been seen there: what it shows here is no more than it was given. So only
    the holder of one for this server names another audience, or a caller that could delegate without it.
    """
    if subject.context.audience == state.manager.audience:
        return
    if caller is None or DELEGATE not in caller.scopes:
        raise OAuthError("invalid_target", "a token for another service stays for that")
    check_within(caller, scopes, role=subject.session.role, task_type=subject.session.task_type)
    await check_outlived(state, caller, subject.session)


async def _shown(state: State, text: str, workspace_id: str | None) -> Active:
    """Return the active session of a token in the form (RFC 8693, 2.2.2: any other is an invalid request)."""
    found = await find_active(state.manager, text, workspace_id=workspace_id)
    if found is None:
        raise OAuthError("invalid_request", "a token is not valid")
    if found.session.cnf is not None:
        raise OAuthError("invalid_request", "a bound token is delegated from with a proof, at /v1/sessions")
    return found


def _scopes(text: str) -> ScopeSet:
    try:
        return parse_scopes(text)
    except InvalidArgument:
        raise OAuthError("invalid_scope", "scope is malformed") from None


async def _redeem(
    state: State, form: TokenForm, caller: SessionContext | None, conn: HTTPConnection
) -> IssuedSession:
    if form.refresh_token is None:
        raise OAuthError("invalid_request", "refresh_token is needed")
    if form.scope is not None:
        raise OAuthError("invalid_scope", "a refresh changes no scopes: delegate to narrow them")
    if caller is not None:
        session_id = claimed_by(form.refresh_token).session_id
        if not await is_of_workspace(state.manager, session_id, caller.workspace_id):
            raise OAuthError("invalid_grant", "the refresh token is not valid")
    proof = await _proof_for(state, caller, conn)
    try:
        return await state.manager.redeem(form.refresh_token, proof=proof)
    except InvalidProof:
        raise OAuthError("invalid_dpop_proof", "the DPoP proof is missing or not valid") from None
    except (AccessDenied, SessionNotFound):
        raise OAuthError("invalid_grant", "the refresh token is not valid") from None


async def _proof_for(state: State, caller: SessionContext | None, conn: HTTPConnection) -> Proof | None:
    """Return the proof beside a refresh token; a bound caller has shown its own, which was good once."""
    cnf = None if caller is None else (await state.manager.get_session(caller)).cnf
    return _proof_of(state, conn) if cnf is None or "jkt" not in cnf else ProvenKey(cnf["jkt"])


def _proof_of(state: State, conn: HTTPConnection) -> DPoPProof | None:
    """Return the proof beside a refresh token (RFC 9449, 5); it names no token."""
    shown = conn.headers.getlist("dpop")
    if not shown:
        return None
    url = url_of(
        conn.url.path.encode(), scheme=conn.url.scheme, host=conn.url.netloc, origin=state.settings.origin
    )
    try:
        return DPoPProof(",".join(shown), method="POST", url=url)
    except InvalidArgument:
        raise OAuthError("invalid_dpop_proof", "the DPoP proof is missing or not valid") from None


def _handed(state: State, issued: IssuedSession, *, issued_token_type: str | None = None) -> TokenAnswer:
    left = to_microseconds(issued.token_expires_at) - state.now()
    return TokenAnswer(
        access_token=issued.token,
        issued_token_type=issued_token_type,
        token_type=_type_of(issued.cnf),
        expires_in=max(0, left // SECOND),
        scope=str(issued.scopes),
        refresh_token=issued.refresh_token,
    )


def _type_of(cnf: Any) -> Any:
    return "DPoP" if cnf is not None and "jkt" in cnf else "Bearer"


@router.post(
    "/revoke",
    openapi_extra=operation(RevocationForm, optional_caller=True),
    responses=oauth_answers(*_OFTEN),
)
async def revoke(request: Request, state: Held) -> RevocationAnswer:
    """End the session of a token or refresh token, and all below it.

    Whoever has a token may end its session with it, a bound one also without its proof. A caller that says
    who it is, is held to its own workspace. The answer is the same for a token that is unknown, ended or
    another's.
    """
    caller = await _asker(state, request)
    form = await read_form(request, RevocationForm)
    with _oauth_errors():
        if is_refresh_token(form.token):
            await _end_family(state, form.token, caller)
        else:
            await _end_session(state, form.token, caller)
    return RevocationAnswer()


async def _end_family(state: State, text: str, caller: SessionContext | None) -> None:
    """End the session of a refresh token, its holder's and a thief's; a bound one needs no proof for that."""
    actor, workspace = (None, None) if caller is None else (_actor(caller.session_id), caller.workspace_id)
    end = partial(state.families.end, text, actor=actor, workspace_id=workspace)
    await asyncio.shield(asyncio.to_thread(end))


async def _end_session(state: State, text: str, caller: SessionContext | None) -> None:
    workspace = None if caller is None else caller.workspace_id
    found = await find_active(state.manager, text, workspace_id=workspace)
    if found is not None:
        actor = found.session.id if caller is None else caller.session_id
        await state.manager.revoke(found.session.id, actor=_actor(actor))


def _actor(session_id: str) -> str:
    return f"session:{session_id}"


@router.post(
    "/introspect",
    dependencies=[Depends(count_question)],
    response_model_exclude_none=True,
    openapi_extra=operation(IntrospectionForm, optional_caller=False),
    responses=oauth_answers(*_OFTEN, 403),
)
async def introspect(
    request: Request, state: Held, caller: Annotated[Caller, may("clawguard:introspect")]
) -> IntrospectionAnswer:
    """Tell of an active token of the caller's workspace; of any other that it is not active.

    It counts as activity, and spends no use: so a session whose uses are counted is never active here.
    """
    state.rates.count("check", f"session:{caller.session_id}")
    form = await read_form(request, IntrospectionForm)
    with _oauth_errors():
        found = await find_active(state.manager, form.token, workspace_id=caller.workspace_id)
        if found is None or found.session.uses_left is not None:
            return INACTIVE
        if found.session.cnf is None:  # of a bound token nobody knows yet who shows it
            try:
                await state.manager.validate(found.context, audience=found.context.audience)
            except AccessDenied:
                return INACTIVE
    return _told(found)


def _told(found: Active) -> IntrospectionAnswer:
    context, claims = found.context, found.claims
    names = ("iss", "exp", "iat", "nbf", "jti", "act")
    return IntrospectionAnswer.model_validate(
        {
            "active": True,
            "scope": str(context.scopes),
            "client_id": context.agent_id,
            "sub": context.subject,
            "aud": context.audience,
            "sid": context.session_id,
            "token_type": _type_of(found.session.cnf),
            "cnf": None if found.session.cnf is None else dict(found.session.cnf),
            "role": context.role,
            "task_type": context.task_type,
            "workspace_id": context.workspace_id,
            "generation": context.generation,
            "actors": [each._asdict() for each in context.actors] or None,
            **{name: claims[name] for name in names if name in claims},
        }
    )


async def _asker(state: State, conn: HTTPConnection) -> SessionContext | None:
    """Return who asks for a token or an end, if they say so; each address and each caller only so often."""
    count_address(state, "token", conn)
    caller = await identify(conn, state)
    if caller is not None:
        state.rates.count("token", f"session:{caller.session_id}")
    return caller


@contextmanager
def _oauth_errors() -> Iterator[None]:
    """Turn what the library refuses into an OAuth error, which names nothing that was sent."""
    try:
        yield
    except (StoreUnavailable, ClockError):
        raise OAuthError(
            "temporarily_unavailable", "the store does not answer", status=503, retry_after=1
        ) from None
    except ClawguardError as error:
        raise OAuthError(*_oauth_code(error)) from None


def _oauth_code(error: ClawguardError) -> tuple[str, str]:
    match error:
        case DelegationRefused() if error.missing:
            return "invalid_scope", "the subject token lacks a scope that is asked for"
        case InsufficientScope():
            return "invalid_scope", "the caller lacks a scope that is asked for"
        case InvalidArgument() if error.argument == "audience":
            return "invalid_target", "the audience is not one of this server's"
        case SessionEnded() | DelegationRefused():
            return "invalid_grant", "the session can hand on nothing"
        case PolicyDenied():
            return "unauthorized_client", "the policy or the host forbids it"
    return "invalid_request", "it cannot be done as it was asked for"
