"""LangGraph's server: whose token a request bears, what it may do, and what is its. The extra is `langgraph`.

A request needs the scope `resource:action` for what the server asks of it: `threads:create`, `store:put`,
`threads:create_run`, `assistants:search`, `crons:delete`. What is not known here is denied.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, MutableMapping
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any
from urllib.parse import urlencode

from langgraph_sdk import Auth

from clawguard.agents.credentials import Guarding
from clawguard.errors import ClawguardError, ConfigError, InsufficientScope, InvalidArgument
from clawguard.models import Actor, SessionContext
from clawguard.scopes import Scopes, ScopeSet, parse_scopes
from clawguard.sessions.aio import AsyncSessionManager, AsyncVerifier, plain_of
from clawguard.web.bearer import REFUSED, Refusal, carries_token, read_credential, refusal_for

__all__ = ["make_auth"]

Verifies = Guarding | AsyncVerifier | AsyncSessionManager

_OWNED = frozenset({"threads", "assistants", "crons"})
_WRITES = frozenset({"create", "create_run", "update"})
_STORED = frozenset({"put", "get", "search", "delete", "list_namespaces"})
_MAY_SHARE = ("agent_id", "subject")
_HEADERS = ("WWW-Authenticate", "Retry-After")
_SERVER, _NO_USER_OF_A_CLIENTS = "langgraph-api", (0, 8)


def make_auth(verifier: Verifies, *, require: Scopes = (), owned_by: Collection[str] = _MAY_SHARE) -> Auth:
    """Return an `Auth` for `langgraph.json`: it checks each request's bearer token, and denies by default.

    `require` names scopes that every request needs beside that of what it does. What a session makes belongs
    to its workspace, agent and subject, which are put into its metadata, and it sees nothing else; `owned_by`
    of one of `agent_id` and `subject`, or of neither, has agents or subjects of a workspace share. In the
    store each owner has a namespace of its own. A handler of your own takes the place of all that for what it
    is registered for. Have `disable_studio_auth` set beside `path`. Who asks is what the server keeps of a
    request: one below 0.8 has a client say so itself, which is a ConfigError.
    """
    _check_server()
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

    def __init__(self, checker: Guarding, require: ScopeSet, owned_by: tuple[str, ...]) -> None:
        self._checker = checker
        self._require = require
        self._owned_by = ("workspace_id", *owned_by)

    async def authenticate(
        self, headers: Mapping[bytes, bytes], query_params: Mapping[str, str] | None = None
    ) -> Mapping[str, Any]:
        """Return the caller as JSON-ready values, for the server keeps them with what it runs: no token."""
        token = _token_of(headers, query_params or {})
        session = await self._validate(token, self._require)
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
        session = await self._validate(session, f"{ctx.resource}:{ctx.action}")
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
        try:
            return await asyncio.to_thread(self._checker.validate, held, require=require)
        except REFUSED as refusal:
            raise _answer(refusal, self._require) from None


def _token_of(headers: Mapping[bytes, bytes], query: Mapping[str, str]) -> str:
    """Return the token of a request, or raise the answer to one that has none or too many (RFC 6750, 2).

    A proof is not read: the server does not tell at which URL the request came in.
    """
    authorization = headers.get(b"authorization", b"").decode("latin-1")
    found = read_credential(authorization, elsewhere=carries_token(urlencode(query)))
    if isinstance(found, Refusal):
        raise _exception(found, found.error)
    return found.token


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


def _answer(error: ClawguardError, require: ScopeSet) -> Auth.exceptions.HTTPException:
    """Return the answer to an error, which tells nothing of it but the scopes that are needed."""
    refusal = refusal_for(error, require=require)
    needed = f": {' '.join(error.required)}" if isinstance(error, InsufficientScope) else ""
    return _exception(refusal, refusal.error + needed)


def _exception(refusal: Refusal, detail: str) -> Auth.exceptions.HTTPException:
    headers = {name: value for name, value in refusal.headers if name in _HEADERS}
    return Auth.exceptions.HTTPException(refusal.status, detail, headers)


def _check_server() -> None:
    """Raise ConfigError below the first release that lets no request say who its user is."""
    try:
        found = version(_SERVER)
    except PackageNotFoundError:
        return
    if tuple(map(int, found.split(".")[:2])) < _NO_USER_OF_A_CLIENTS:
        raise ConfigError(
            f"{_SERVER} {found} takes a run's user from its client", hint=f"install {_SERVER}>=0.8"
        )
