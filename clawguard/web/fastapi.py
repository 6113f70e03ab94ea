"""FastAPI: a dependency that checks a request, with its place in the OpenAPI page. The extra is `fastapi`."""

# No annotations as text here: FastAPI reads those of `__call__`, and not every version can resolve them.

from collections.abc import AsyncIterator, Callable
from typing import TypeVar

from fastapi import FastAPI
from fastapi.openapi.models import HTTPBearer
from fastapi.security import SecurityScopes
from fastapi.security.base import SecurityBase
from starlette.exceptions import HTTPException, WebSocketException
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response

from clawguard.models import SessionContext
from clawguard.scopes import Scopes
from clawguard.sessions.aio import AsyncSessionManager, AsyncVerifier
from clawguard.sessions.awaiting import read
from clawguard.sessions.current import unbind
from clawguard.web.asgi import GUARD_KEY, SCOPE_KEY, address_of, read_scope
from clawguard.web.bearer import REFUSED, Credential, Refusal
from clawguard.web.front import Checker, Front

__all__ = ["ClawguardBearer", "Refused", "answer_refusals", "answer_with"]

E = TypeVar("E", bound=Exception)

_OF_THE_BODY = {"Content-Type", "Content-Length"}


class Refused(HTTPException):
    """Refuse a request; `refusal` is the whole answer, which `answer_refusals` has given as it stands."""

    def __init__(self, refusal: Refusal) -> None:
        headers = {name: value for name, value in refusal.headers if name not in _OF_THE_BODY}
        super().__init__(refusal.status, refusal.error, headers)
        self.refusal = refusal


class ClawguardBearer(SecurityBase):
    """Depend on a session: `Security(guard, scopes=["docs:read"])` gives its context to the endpoint.

    The session is bound until the response has gone out, so that `current_session()` and `@requires` work in
    endpoints of both kinds, and what they refuse is answered too. When it ends, what runs for the request is
    cancelled within a second. Several of them on one request validate its token once.

    Options as of `clawguard.web.asgi.ClawguardMiddleware`; `certificate_of` is called with the connection.
    With `auto_error=False` a request without any credential gets None, and no session is bound; one that has
    a credential is checked all the same. `answer_refusals(app)` has FastAPI give the answers as they stand.
    """

    def __init__(
        self,
        verifier: Checker | AsyncVerifier | AsyncSessionManager,
        *,
        require: Scopes = (),
        origin: str | None = None,
        certificate_of: Callable[[HTTPConnection], bytes | str | None] | None = None,
        auto_error: bool = True,
        cookie: str | None = None,
        resource_metadata: str | None = None,
        scheme_name: str = "Clawguard",
        description: str | None = None,
    ) -> None:
        self._front = Front.of(
            verifier,
            require=require,
            origin=origin,
            certificate_of=certificate_of,
            optional=not auto_error,
            cookie=cookie,
            resource_metadata=resource_metadata,
        )
        self.scheme_name = scheme_name
        self.model = HTTPBearer(bearerFormat="JWT", description=description)

    async def __call__(
        self, conn: HTTPConnection, needed: SecurityScopes
    ) -> AsyncIterator[SessionContext | None]:
        """Bind the session of a request while it is answered."""
        front = self._front
        found = read_scope(conn.scope, front)
        caller = front.caller(address_of(conn.scope))
        refuse = front.refuse(found, require=needed.scopes)
        is_ours = conn.scope.get(GUARD_KEY) == front.guard
        bound: SessionContext | None = conn.scope.get(SCOPE_KEY) if is_ours else None
        try:
            if bound is not None:
                wanted = front.needed(needed.scopes)
                has_all = all(map(bound.has_scope, wanted))  # else it is refused, and the denial recorded
                yield bound if has_all else await read(caller, caller.validate, bound, require=wanted)
            elif isinstance(found, Credential):
                async with front.use(found, conn, caller=caller, require=needed.scopes) as session:
                    conn.scope[SCOPE_KEY], conn.scope[GUARD_KEY] = session, front.guard
                    yield session
            elif front.lets_through(found):
                bind_again = unbind()
                try:
                    yield None
                finally:
                    bind_again()
            else:
                raise _refused(conn, found)
        except REFUSED as error:
            raise _refused(conn, refuse(error)) from None


def answer_refusals(app: FastAPI) -> None:
    """Have an app give clawguard's answers as they stand, and not in FastAPI's `{"detail": …}`."""
    answer_with(app, Refused, _answer)


def answer_with(app: FastAPI, kind: type[E], answer: Callable[[Request, E], Response]) -> None:
    """Have an app answer every error of a kind so."""

    async def run(request: Request, raised: Exception) -> Response:
        if not isinstance(raised, kind):  # the one kind that this is added for
            raise raised
        return answer(request, raised)

    app.add_exception_handler(kind, run)


def _refused(conn: HTTPConnection, refusal: Refusal) -> HTTPException | WebSocketException:
    if conn.scope["type"] == "websocket":
        return WebSocketException(refusal.close_code, refusal.error)
    return Refused(refusal)


def _answer(_request: Request, error: Refused) -> Response:
    refusal = error.refusal
    return Response(refusal.body, refusal.status, dict(refusal.headers))
