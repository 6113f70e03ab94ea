"""Starlette: the caller as `request.user`, its scopes as `request.auth`. The extra is `starlette`."""

from __future__ import annotations

from starlette.authentication import AuthCredentials, AuthenticationBackend, BaseUser
from starlette.requests import HTTPConnection

from clawguard.errors import InvalidArgument
from clawguard.models import SessionContext
from clawguard.web.asgi import SCOPE_KEY
from clawguard.web.front import REFUSAL_KEY

__all__ = ["ClawguardBackend", "ClawguardUser"]


class ClawguardUser(BaseUser):
    """Be the agent whose session is bound; `session` is its context."""

    def __init__(self, session: SessionContext) -> None:
        self.session = session

    @property
    def is_authenticated(self) -> bool:
        """Tell that a session is bound."""
        return True

    @property
    def display_name(self) -> str:
        """The agent's id."""
        return self.session.agent_id

    @property
    def identity(self) -> str:
        """The session's id."""
        return self.session.session_id


class ClawguardBackend(AuthenticationBackend):
    """Tell Starlette's `AuthenticationMiddleware` what clawguard's ASGI middleware before it has found.

    A holder of `orders:*` passes Starlette's own `@requires("orders:read")`. Nothing is validated again.
    """

    async def authenticate(self, conn: HTTPConnection) -> tuple[AuthCredentials, BaseUser] | None:
        """Return scopes and user of the bound session, or None for nobody's request."""
        if REFUSAL_KEY not in conn.scope:
            raise InvalidArgument(
                "middleware",
                "ClawguardMiddleware does not stand before this",
                hint="list clawguard.web.asgi.ClawguardMiddleware before AuthenticationMiddleware",
            )
        session: SessionContext | None = conn.scope[SCOPE_KEY]
        if session is None:
            return None
        credentials = AuthCredentials(("authenticated",))
        credentials.scopes = _Held(session)
        return credentials, ClawguardUser(session)


class _Held(list[str]):
    """List the scopes of a session; `in` honours wildcards."""

    def __init__(self, session: SessionContext) -> None:
        super().__init__(("authenticated", *session.scopes))
        self._scopes = session.scopes

    def __contains__(self, scope: object) -> bool:
        return super().__contains__(scope) or scope in self._scopes
