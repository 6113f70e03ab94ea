"""What every adapter does alike: its options, how a request is read, and the caller it is checked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Generic, Protocol, TypeVar

from clawguard.errors import ClawguardError
from clawguard.guard import Proof
from clawguard.models import SessionContext
from clawguard.scopes import Scopes, ScopeSet, parse_scopes
from clawguard.sessions.aio import AsyncSessionManager, AsyncVerifier, plain_of
from clawguard.sessions.current import Use, Validator
from clawguard.web.bearer import (
    MISSING,
    Credential,
    Refusal,
    carries_token,
    certificate_proof,
    checked_origin,
    read_credential,
    refusal_for,
    source_of,
    url_of,
)

__all__ = ["REFUSAL_KEY", "SESSION_KEY", "Caller", "Checker", "Front", "Refuse"]

SESSION_KEY = "clawguard.session"
REFUSAL_KEY = "clawguard.refusal"
R = TypeVar("R")
Refuse = Callable[[ClawguardError], Refusal]


class Checker(Validator, Protocol):
    """Check a token and say where it came from: a `Verifier` or a `SessionManager`."""

    def validate(
        self,
        token_or_context: str | SessionContext,
        /,
        *,
        require: Scopes = ...,
        source: str | None = ...,
        proof: Proof | None = ...,
    ) -> SessionContext:
        """Return the context as it now stands, or raise."""


class Caller:
    """Check for one caller: whatever is checked for it, the source is known."""

    def __init__(self, checker: Checker, source: str | None) -> None:
        self._checker = checker
        self._source = source

    def validate(
        self, token_or_context: str | SessionContext, /, *, require: Scopes = (), proof: Proof | None = None
    ) -> SessionContext:
        """Return the context as it now stands, or raise."""
        return self._checker.validate(token_or_context, require=require, source=self._source, proof=proof)

    def recheck(self, context: SessionContext, /) -> None:
        """Raise as `validate` does, without counting it as activity."""
        self._checker.recheck(context)


@dataclass(frozen=True, slots=True)
class Front(Generic[R]):
    """Hold an adapter's options; `R` is what it calls a request."""

    checker: Checker
    require: ScopeSet
    origin: str | None
    certificate_of: Callable[[R], bytes | str | None] | None
    optional: bool

    @classmethod
    def of(
        cls,
        verifier: Checker | AsyncVerifier | AsyncSessionManager,
        *,
        require: Scopes,
        origin: str | None,
        certificate_of: Callable[[R], bytes | str | None] | None,
        optional: bool,
    ) -> Front[R]:
        """Check options as they are given; of an async twin, what it wraps is asked."""
        return cls(
            plain_of(verifier),
            parse_scopes(require, argument="require"),
            None if origin is None else checked_origin(origin),
            certificate_of,
            optional,
        )

    def read(
        self,
        path: bytes,
        *,
        method: str,
        scheme: str,
        host: str,
        query: str,
        authorization: str | None,
        dpop: str | None,
        cookies: str,
    ) -> Credential | Refusal:
        """Return the credential of a request; headers of one name are given as one, `path` decoded."""
        is_shown = dpop is not None  # nothing else asks for the URL
        return read_credential(
            authorization,
            dpop=dpop,
            method=method,
            url=url_of(path, scheme=scheme, host=host, origin=self.origin) if is_shown else "",
            elsewhere=carries_token(query, cookies),
        )

    def use(self, found: Credential, request: R, *, caller: Caller, require: Scopes = ()) -> Use:
        """Return what validates a credential, once, and binds its session."""
        reported = None if found.proof or self.certificate_of is None else self.certificate_of(request)
        return Use(
            caller,
            found.token,
            require=self.needed(require),
            proof=found.proof or certificate_proof(reported),
        )

    def caller(self, address: str | None) -> Caller:
        """Return who is checked for the request of an address."""
        return Caller(self.checker, source_of(address))

    def refuse(self, found: Credential | Refusal, *, require: Scopes = ()) -> Refuse:
        """Return what answers the errors of a request, in the scheme of its credential."""
        scheme = found.scheme if isinstance(found, Credential) else "Bearer"
        return partial(refusal_for, require=self.needed(require), scheme=scheme)

    def lets_through(self, refusal: Refusal) -> bool:
        """Tell whether a request that is refused may go on as nobody's: it has no credential at all."""
        return self.optional and refusal is MISSING

    def needed(self, require: Scopes) -> ScopeSet:
        """Return the scopes that every request needs, and those that this one needs beside them."""
        return parse_scopes((*self.require, *parse_scopes(require))) if require else self.require
