"""What every adapter does alike: its options, how a request is read, and the caller it is checked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Generic, NamedTuple, Protocol, TypeVar

from clawguard.errors import ClawguardError
from clawguard.guard import Proof
from clawguard.models import SessionContext
from clawguard.scopes import Scopes, ScopeSet, parse_scopes
from clawguard.sessions.aio import AsyncSessionManager, AsyncVerifier, plain_of
from clawguard.sessions.awaiting import may_write, waits
from clawguard.sessions.current import Use, Validator
from clawguard.web.bearer import (
    CROSS_ORIGIN,
    MISSING,
    Credential,
    Refusal,
    Scheme,
    carries_token,
    certificate_proof,
    checked_metadata,
    checked_origin,
    origin_of,
    read_credential,
    refusal_for,
    source_of,
    url_of,
)
from clawguard.web.cookies import SAFE_METHODS, checked_cookie, is_own_page, tokens_in

__all__ = ["REFUSAL_KEY", "SESSION_KEY", "Caller", "Checker", "Front", "Head", "Refuse"]

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
        self._reads_wait = waits(checker)

    def validate(
        self, token_or_context: str | SessionContext, /, *, require: Scopes = (), proof: Proof | None = None
    ) -> SessionContext:
        """Return the context as it now stands, or raise."""
        return self._checker.validate(token_or_context, require=require, source=self._source, proof=proof)

    def recheck(self, context: SessionContext, /, *, require: Scopes = ()) -> None:
        """Raise as `validate` does, without counting it as activity."""
        self._checker.recheck(context, require=require)

    def _may_write(self, token: object) -> bool:
        return may_write(self._checker, token)


class Head(NamedTuple):
    """Hold what of a request is read; headers of one name are given as one, `path` is decoded."""

    path: bytes
    method: str
    scheme: str
    host: str
    query: str
    cookies: str
    authorization: str | None
    dpop: str | None
    origin: str | None
    fetch_site: str | None
    opens_socket: bool = False


@dataclass(frozen=True, slots=True)
class Front(Generic[R]):
    """Hold an adapter's options; `R` is what it calls a request."""

    checker: Checker
    require: ScopeSet
    origin: str | None
    certificate_of: Callable[[R], bytes | str | None] | None
    optional: bool
    cookie: str | None
    metadata: str | None

    @property
    def guard(self) -> tuple[Checker, str | None]:
        """Who lets a session in, and whether by a cookie: what another has let in is checked anew."""
        return self.checker, self.cookie

    @classmethod
    def of(
        cls,
        verifier: Checker | AsyncVerifier | AsyncSessionManager,
        *,
        require: Scopes,
        origin: str | None,
        certificate_of: Callable[[R], bytes | str | None] | None,
        optional: bool,
        cookie: str | None,
        resource_metadata: str | None,
    ) -> Front[R]:
        """Check options as they are given; of an async twin, what it wraps is asked."""
        return cls(
            plain_of(verifier),
            parse_scopes(require, argument="require"),
            None if origin is None else checked_origin(origin),
            certificate_of,
            optional,
            None if cookie is None else checked_cookie(cookie),
            None if resource_metadata is None else checked_metadata(resource_metadata),
        )

    def read(self, head: Head) -> Credential | Refusal:
        """Return the credential of a request, or the answer to one that has none, too many, or is forged."""
        found = read_credential(
            head.authorization,
            dpop=head.dpop,
            method=head.method,
            url="" if head.dpop is None else self._url_of(head),  # nothing else asks for it
            elsewhere=carries_token(head.query),
            cookies=tokens_in(head.cookies, self.cookie) if self.cookie and head.cookies else (),
        )
        if isinstance(found, Credential) and found.in_cookie and not self._is_own(head):
            found = CROSS_ORIGIN
        return found.pointing_to(self.metadata) if isinstance(found, Refusal) else found

    def _url_of(self, head: Head) -> str:
        return url_of(head.path, scheme=head.scheme, host=head.host, origin=self.origin)

    def _is_own(self, head: Head) -> bool:
        """Tell whether nobody can have forged a request that has a cookie: a WebSocket may do anything."""
        if head.method in SAFE_METHODS and not head.opens_socket:
            return True
        own = self.origin or origin_of(f"{head.scheme}://{head.host}")
        return is_own_page(head.fetch_site, head.origin, own=own)

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
        return partial(_refuse, require=self.needed(require), scheme=scheme, metadata=self.metadata)

    def lets_through(self, refusal: Refusal) -> bool:
        """Tell whether a request that is refused may go on as nobody's: it has no credential at all."""
        return self.optional and refusal.error == MISSING.error

    def needed(self, require: Scopes) -> ScopeSet:
        """Return the scopes that every request needs, and those that this one needs beside them."""
        return parse_scopes((*self.require, *parse_scopes(require))) if require else self.require


def _refuse(error: ClawguardError, *, require: ScopeSet, scheme: Scheme, metadata: str | None) -> Refusal:
    return refusal_for(error, require=require, scheme=scheme).pointing_to(metadata)
