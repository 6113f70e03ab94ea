"""LangGraph's server: whose token a request bears, what it may do, and what is its. The extra is `langgraph`.

A request needs the scope `resource:action` for what the server asks of it: `threads:create`, `store:put`,
`threads:create_run`, `assistants:search`, `crons:delete`. What is not known here is denied.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, MutableMapping
from datetime import datetime
from typing import Any

from langgraph_sdk import Auth

from clawguard.agents.credentials import Guarding
from clawguard.errors import (
    AccessDenied,
    ClockError,
    InsufficientScope,
    InvalidArgument,
    InvalidToken,
    StoreUnavailable,
)
from clawguard.models import Actor, SessionContext
from clawguard.scopes import Scopes, parse_scopes
from clawguard.sessions.aio import AsyncSessionManager, AsyncVerifier, plain_of

__all__ = ["make_auth"]

Verifies = Guarding | AsyncVerifier | AsyncSessionManager

_OWNED = frozenset({"threads", "assistants", "crons"})
_WRITES = frozenset({"create", "create_run", "update"})
_STORED = frozenset({"put", "get", "search", "delete", "list_namespaces"})
_MAY_SHARE = ("agent_id", "subject")


def make_auth(verifier: Verifies, *, require: Scopes = (), owned_by: Collection[str] = _MAY_SHARE) -> Auth:
    """Return an `Auth` for `langgraph.json`: it checks each request's bearer token, and denies by default.

    `require` names scopes that every request needs beside that of what it does. What a session makes belongs
    to its workspace, agent and subject, which are put into its metadata, and it sees nothing else; `owned_by`
    of one of `agent_id` and `subject`, or of neither, has agents or subjects of a workspace share. In the
    store each owner has a namespace of its own. A handler of your own takes the place of all that for what it
    is registered for. Have `disable_studio_auth` set beside `path`.
    """
    unknown = set(owned_by) - set(_MAY_SHARE)
    if isinstance(owned_by, str) or unknown:
        raise InvalidArgument("owned_by", f"must be some of {', '.join(_MAY_SHARE)}")
    gate = _Gate(plain_of(verifier), parse_scopes(require, argument="require"), tuple(owned_by))
    auth = Auth()
    auth.authenticate(gate.authenticate)
    auth.on(gate.authorize)
    return auth


class _Gate:
    """Answer what LangGraph's server asks about a request."""

    def __init__(self, checker: Guarding, require: Scopes, owned_by: tuple[str, ...]) -> None:
        self._checker = checker
        self._require = require
        self._owned_by = ("workspace_id", *owned_by)

    async def authenticate(self, headers: Mapping[bytes, bytes]) -> Mapping[str, Any]:
        """Return the caller as JSON-ready values, for the server keeps them with what it runs: no token."""
        try:
            session = await self._validate(_token_of(headers), self._require)
        except (AccessDenied, StoreUnavailable, ClockError) as refusal:
            raise _answer(refusal) from None
        return {
            "identity": session.session_id,
            "display_name": session.agent_id,
            "is_authenticated": True,
            "permissions": list(session.scopes),
            "session": session.to_dict(),
        }

    async def authorize(self, ctx: Auth.types.AuthContext, value: Any) -> Any:
        """Hold the caller's row against what is asked; return what of it is the caller's, or False."""
        session = _session_of(ctx.user)
        is_stored = ctx.resource == "store" and ctx.action in _STORED
        if session is None or not (is_stored or ctx.resource in _OWNED):
            return False
        try:
            session = await self._validate(session, f"{ctx.resource}:{ctx.action}")
        except (AccessDenied, StoreUnavailable, ClockError) as refusal:
            raise _answer(refusal) from None
        owner = {name: getattr(session, name) for name in self._owned_by}
        if is_stored:
            _move(value, tuple(map(_label, owner.values())))
            return True
        stamp = {f"clawguard_{name}": each for name, each in owner.items()}
        if ctx.action in _WRITES:
            _stamp(value, stamp)
        return stamp

    async def _validate(self, held: str | SessionContext, require: Scopes) -> SessionContext:
        # In a thread, though it takes microseconds: the development server refuses what might block its loop.
        return await asyncio.to_thread(self._checker.validate, held, require=require)


def _token_of(headers: Mapping[bytes, bytes]) -> str:
    """Return the token of an Authorization header (RFC 6750, 2.1); what is none is refused as a bad one."""
    scheme, _, token = headers.get(b"authorization", b"").decode("latin-1").strip().partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise InvalidToken(hint="send it as a bearer token")
    return token.strip()


def _session_of(user: Any) -> SessionContext | None:
    """Return whom `authenticate` let in, as the server kept it; None for any other user."""
    try:
        kept: dict[str, Any] = dict(user["session"])
        kept["expires_at"] = datetime.fromisoformat(kept["expires_at"])
        kept["actors"] = tuple(Actor(**actor) for actor in kept["actors"])
        kept["scopes"] = parse_scopes(kept["scopes"])
        return SessionContext(**kept)
    except (KeyError, TypeError, ValueError):
        return None


def _stamp(value: MutableMapping[str, Any], stamp: dict[str, str]) -> None:
    """Write the owner over any metadata that are given; in place, for the server holds them as well."""
    metadata = value.get("metadata")
    if isinstance(metadata, MutableMapping):
        metadata.update(stamp)
    else:
        value["metadata"] = dict(stamp)


def _move(value: MutableMapping[str, Any], owner: tuple[str, ...]) -> None:
    """Put a namespace below its owner's, unless it stands there already."""
    namespace = tuple(value.get("namespace") or ())
    value["namespace"] = namespace if namespace[: len(owner)] == owner else owner + namespace


def _label(text: str) -> str:
    """Return a text as a label of the store: no two texts have one, and none begins as another does.

    Nothing in it parts labels or means something in an SQL pattern, which older stores make of it.
    """
    return f"{text.encode().hex()}x"


def _answer(error: AccessDenied | StoreUnavailable | ClockError) -> Auth.exceptions.HTTPException:
    """Return the answer to an error, which tells nothing of it but the scopes that are needed."""
    if isinstance(error, InsufficientScope):
        needed = " ".join(error.required)
        return Auth.exceptions.HTTPException(
            403,
            f"insufficient_scope: {needed}",
            {"WWW-Authenticate": _challenge("insufficient_scope", needed)},
        )
    if isinstance(error, AccessDenied):
        return Auth.exceptions.HTTPException(
            401, "the token is missing or not valid", {"WWW-Authenticate": _challenge("invalid_token")}
        )
    return Auth.exceptions.HTTPException(503, "access cannot be checked at the moment", {"Retry-After": "1"})


def _challenge(code: str, scope: str = "") -> str:
    return f'Bearer realm="clawguard", error="{code}"' + (f', scope="{scope}"' if scope else "")
