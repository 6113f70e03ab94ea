"""Who calls a tool: the session of its request is bound while it runs, and what it is refused is noted."""

from __future__ import annotations

import os
import secrets
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol, TypeVar

from clawguard.agents.credentials import bound_for_call
from clawguard.errors import ClawguardError, ConfigError, InsufficientScope, NoSession
from clawguard.guard import Proof
from clawguard.models import SessionContext
from clawguard.scopes import Scopes, ScopeSet, parse_scopes
from clawguard.sessions.aio import AsyncSessionManager, AsyncVerifier, plain_of
from clawguard.sessions.awaiting import may_write, read, waits
from clawguard.sessions.current import Use, Validator, current_session
from clawguard.web.bearer import REFUSED, refusal_for
from clawguard.web.front import Checker

__all__ = ["EXCHANGE_KEY", "AnyVerifier", "Callers", "Refusable", "as_text", "use_environ"]

EXCHANGE_KEY = "clawguard.exchange"
_TOKEN_VARIABLE = "CLAWGUARD_TOKEN"
_SECRET_VARIABLES = (_TOKEN_VARIABLE, "CLAWGUARD_REFRESH_TOKEN")
R = TypeVar("R")


class IssuersChecker(Checker, Protocol):
    """Check the tokens of one issuer: a `Verifier` or a `SessionManager`."""

    @property
    def issuer(self) -> str:
        """The `iss` of every token."""


AnyVerifier = IssuersChecker | AsyncVerifier | AsyncSessionManager


class Refusable(Protocol):
    """Be the HTTP request that a call came with: whose it is, and what its answer can still be."""

    @property
    def session(self) -> SessionContext:
        """The session that its token was validated for."""

    def refuse(self, error: ClawguardError) -> None:
        """Have the request answered with a refusal, if nothing of its response has gone out."""


class Callers:
    """Know the callers of one server."""

    def __init__(self, verifier: AnyVerifier, *, scopes: Scopes = ()) -> None:
        self.checker: IssuersChecker = plain_of(verifier)
        self._known = parse_scopes(scopes)
        self._admitted: dict[str, SessionContext] = {}

    def know(self, scopes: Scopes) -> ScopeSet:
        """Have `scopes_of` name these scopes where a wildcard covers them; return them as a set."""
        named = parse_scopes(scopes)
        self._known = self._known.union(named)
        return named

    def scopes_of(self, context: SessionContext) -> list[str]:
        """Return the scopes of a session as a host compares them: by their text."""
        held = list(context.scopes)
        return held + [scope for scope in self._known if scope in context.scopes and scope not in held]

    async def find(self, token: str) -> SessionContext:
        """Return whose token it is, or raise as `validate` does; a stand-in was validated before."""
        admitted = self._admitted.get(token)
        if admitted is not None:
            return admitted
        return await read(self.checker, self.checker.validate, token)

    @contextmanager
    def admitted(self, context: SessionContext) -> Iterator[str]:
        """Return what stands in for a validated token inside of the server, for this block alone."""
        stand_in = secrets.token_urlsafe(24)
        self._admitted[stand_in] = context
        try:
            yield stand_in
        finally:
            del self._admitted[stand_in]

    async def run(
        self,
        scope: Mapping[str, Any] | None,
        work: Callable[[], Awaitable[R]],
        *,
        failed: Callable[[R], bool] = lambda _: False,
    ) -> R:
        """Do the work of one call with its caller's session bound; raise what it was refused.

        `scope` is the ASGI scope of its request; None, where there is no HTTP, takes the session that is
        bound around the server, and checks it again. The work is cancelled within a second of its session's
        end, and a task of its own that outlives it is nobody's. `failed` tells of a result whether it says
        that the work failed: what the host made of a refusal.
        """
        exchange = None if scope is None else _exchange_of(scope)
        call = _Call(self.checker, fresh=None if exchange is None else exchange.session)
        try:
            session = current_session() if exchange is None else exchange.session
            async with bound_for_call(call, session, require=()):
                result = await work()
        except REFUSED as error:
            refusal = call.refusal or error
        except Exception:
            if call.refusal is None:
                raise
            refusal = call.refusal
        else:
            if call.refusal is None or not failed(result):
                return result
            refusal = call.refusal
        if exchange is not None:
            exchange.refuse(refusal)
        raise refusal from None


def _exchange_of(scope: Mapping[str, Any]) -> Refusable:
    exchange: Refusable | None = scope.get(EXCHANGE_KEY)
    if exchange is None:
        raise NoSession
    return exchange


class _Call:
    """Check for one call, and note what it is refused; `fresh` was validated with its request."""

    def __init__(self, validator: Validator, *, fresh: SessionContext | None) -> None:
        self.refusal: ClawguardError | None = None
        self._validator = validator
        self._reads_wait = waits(validator)
        self._fresh = fresh

    def validate(
        self, token_or_context: str | SessionContext, /, *, require: Scopes = (), proof: Proof | None = None
    ) -> SessionContext:
        """Return the context as it now stands, or raise."""
        fresh, self._fresh = self._fresh, None
        if fresh is not None and fresh is token_or_context:
            return fresh  # its binding; whoever asks later has the row read
        try:
            return self._validator.validate(token_or_context, require=require, proof=proof)
        except REFUSED as error:
            self.refusal = error
            raise

    def recheck(self, context: SessionContext, /, *, require: Scopes = ()) -> None:
        """Raise as `validate` does, without counting it as activity."""
        self._validator.recheck(context, require=require)

    def _may_write(self, token: object) -> bool:
        return token is not self._fresh and may_write(self._validator, token)


def as_text(error: ClawguardError) -> str:
    """Return a refusal where no HTTP answer can say it: the code of that answer, and all scopes needed."""
    code = refusal_for(error).error
    return f"{code}: needs {' '.join(error.required)}" if isinstance(error, InsufficientScope) else code


def use_environ(verifier: AnyVerifier) -> Use:
    """Take the token out of the environment, so that no child inherits it; return what binds its session."""
    tokens = [os.environ.pop(name, None) for name in _SECRET_VARIABLES]
    if not tokens[0]:
        raise ConfigError(
            f"{_TOKEN_VARIABLE} is not set",
            hint="start this process with `session.environ()` in its environment",
        )
    return Use(plain_of(verifier), tokens[0], require=())
