"""Django REST framework: the caller as `request.user`, scopes as a permission. The extra is `drf`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rest_framework.authentication import BaseAuthentication
from rest_framework.permissions import BasePermission

from clawguard.errors import AccessDenied, InsufficientScope, InvalidArgument, NoSession
from clawguard.models import SessionContext
from clawguard.scopes import parse_scopes
from clawguard.sessions.current import requires
from clawguard.web.front import REFUSAL_KEY, SESSION_KEY, Refuse

if TYPE_CHECKING:  # DRF imports this module, as its settings name it, while it imports these
    from rest_framework.request import Request
    from rest_framework.views import APIView

__all__ = ["AgentUser", "ClawguardAuthentication", "requires_scopes"]


class AgentUser:
    """Be the agent whose session is bound; `session` is its context. It is no user of the site's own."""

    is_authenticated = True
    is_active = True
    is_anonymous = is_staff = is_superuser = False

    def __init__(self, session: SessionContext) -> None:
        self.session = session

    @property
    def pk(self) -> str:
        """What throttles count by: an agent's own, and the key of no row."""
        return f"clawguard:{self.session.workspace_id}:{self.session.agent_id}"

    def __str__(self) -> str:
        return self.session.agent_id


class ClawguardAuthentication(BaseAuthentication):
    """Tell DRF what clawguard's Django middleware before it has found; nothing is validated again.

    `request.user` is an `AgentUser`, `request.auth` the session's context. The middleware is set up by
    `settings.CLAWGUARD`; with `"optional": True` there, other authentications may stand beside this one.
    """

    def authenticate(self, request: Request) -> tuple[AgentUser, SessionContext] | None:
        """Return the agent and its session, or None for nobody's request."""
        _refuse_of(request)
        session: SessionContext | None = request.META.get(SESSION_KEY)
        return None if session is None else (AgentUser(session), session)

    def authenticate_header(self, request: Request) -> str:
        """Return the challenge, without which DRF answers 403 in the place of 401."""
        return dict(_refuse_of(request)(NoSession()).headers)["WWW-Authenticate"]


def requires_scopes(*scopes: str) -> type[BasePermission]:
    """Return a permission class: the session that the middleware bound must hold every scope.

    What it refuses is answered as by every adapter, with the scopes in the challenge. Composed with others
    by `|`, `&` or `~` it only says yes or no, and DRF answers in its own words.
    """
    refuse = requires(*scopes)(_pass)
    wanted = parse_scopes(" ".join(scopes))

    class RequiresScopes(BasePermission):
        _refused: AccessDenied = NoSession()

        def has_permission(self, request: Request, _view: APIView) -> bool:
            session: SessionContext | None = request.META.get(SESSION_KEY)
            if session is None or not all(map(session.has_scope, wanted)):
                try:
                    refuse()
                except (NoSession, InsufficientScope) as refused:
                    self._refused = refused
                    return False
            return True

        @property
        def message(self) -> str:
            """Refuse: DRF asks for the message of one permission alone, and to refuse a request with it."""
            raise self._refused

    return RequiresScopes


def _pass() -> None:
    """Do what needs the scopes: nothing."""


def _refuse_of(request: Request) -> Refuse:
    if REFUSAL_KEY not in request.META:
        raise InvalidArgument(
            "middleware",
            "ClawguardMiddleware does not stand before this",
            hint="list clawguard.web.django.ClawguardMiddleware in settings.MIDDLEWARE",
        )
    refuse: Refuse = request.META[REFUSAL_KEY]
    return refuse
