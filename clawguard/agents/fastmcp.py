"""FastMCP: its token verifier, a check of a component, what guards a server over HTTP, a session over stdio.

The extra is `fastmcp`. In what a guarded server is made of, `@requires` and `current_session()` work.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from fastmcp import FastMCP
from fastmcp.exceptions import AuthorizationError, ToolError
from fastmcp.server.auth import AccessToken, AuthCheck, AuthProvider, TokenVerifier, require_scopes
from fastmcp.server.dependencies import get_http_request
from fastmcp.server.middleware import CallNext, Middleware, MiddlewareContext

from clawguard.agents.callers import AnyVerifier, Callers, as_text, use_environ
from clawguard.agents.guarded import GuardedApp
from clawguard.agents.principal import access_token
from clawguard.errors import InsufficientScope, InvalidArgument
from clawguard.models import SessionContext
from clawguard.scopes import Scopes
from clawguard.sessions.current import current_session
from clawguard.web.asgi import App, Scope
from clawguard.web.bearer import REFUSED

__all__ = ["ClawguardTokenVerifier", "guarded_app", "stdio_session"]

_METADATA = "/.well-known/oauth-protected-resource"


class ClawguardTokenVerifier(TokenVerifier):
    """Check tokens for FastMCP: `auth=` of a server, or the `token_verifier` of its `RemoteAuthProvider`.

    What it does by itself, and `resource`: as of `clawguard.agents.mcp.ClawguardTokenVerifier`. `base_url` is
    where clients reach the server; a holder of a wildcard has what it covers of `required_scopes`.
    """

    def __init__(
        self,
        verifier: AnyVerifier,
        *,
        base_url: str | None = None,
        required_scopes: Scopes = (),
        resource: str | None = None,
    ) -> None:
        self._callers = Callers(verifier)
        self._resource = resource
        super().__init__(base_url=base_url, required_scopes=list(self._callers.know(required_scopes)))

    async def verify_token(self, token: str) -> AccessToken | None:
        """Return what FastMCP knows a caller by, or None for a token that is refused. Validates once."""
        return await access_token(AccessToken, self._callers, token, self._resource)

    def requires(self, *scopes: str) -> AuthCheck:
        """Return FastMCP's own `require_scopes`, for `auth=` of a component or of its `AuthMiddleware`.

        A holder of a wildcard that covers them passes. FastMCP hides what is refused so, and asks nothing of
        it over stdio: `@requires` on the function itself is held to everywhere.
        """
        return require_scopes(*self._callers.know(" ".join(scopes)))


def guarded_app(
    server: FastMCP[Any],
    tokens: ClawguardTokenVerifier,
    *,
    app: App | None = None,
    step_up: bool = True,
    origin: str | None = None,
    certificate_of: Callable[[Scope], bytes | str | None] | None = None,
) -> GuardedApp:
    """Return what serves a FastMCP server over HTTP to callers with a valid token only: an ASGI app.

    `server` is made with `auth=tokens`, or with a `RemoteAuthProvider` around it, which serves the metadata
    that refusals name. Options and errors as of `clawguard.agents.mcp.guarded_app`; `app` is by default
    `server.http_app()`.
    """
    auth = server.auth
    if auth is None:
        raise InvalidArgument("server", "has no auth", hint="make it with FastMCP(..., auth=tokens)")
    served = server.http_app() if app is None else app
    server.middleware.insert(0, _Binding(tokens._callers))  # before its own, whose refusals it reads
    return GuardedApp(
        served,
        tokens._callers,
        metadata_url=_metadata_url(auth, served),
        require=tokens._callers.know(auth.required_scopes),
        step_up=step_up,
        origin=origin,
        certificate_of=certificate_of,
    )


@contextmanager
def stdio_session(server: FastMCP[Any], verifier: AnyVerifier) -> Iterator[SessionContext]:
    """Bind the session whose token is in the environment: see `clawguard.agents.mcp.stdio_session`."""
    server.middleware.insert(0, _Binding(Callers(verifier)))
    with use_environ(verifier) as session:
        yield session


class _Binding(Middleware):
    """Have every request of a server run with its caller's session bound, whichever transport it came by."""

    def __init__(self, callers: Callers) -> None:
        self._callers = callers

    async def on_request(self, context: MiddlewareContext[Any], call_next: CallNext[Any, Any]) -> Any:
        """Do the work of one request, and say in FastMCP's way what it was refused."""
        if context.method == "initialize":
            return await call_next(context)

        async def work() -> Any:
            try:
                return await call_next(context)
            except AuthorizationError as error:  # of FastMCP's own checks
                lacking = tuple(getattr(error, "required_scopes", ()))
                if not lacking:
                    raise
                raise InsufficientScope(current_session().agent_id, lacking, lacking) from error

        try:
            return await self._callers.run(_scope(), work)
        except REFUSED as error:
            kind = ToolError if context.method == "tools/call" else AuthorizationError
            raise kind(as_text(error)) from None


def _scope() -> Mapping[str, Any] | None:
    try:
        return get_http_request().scope
    except RuntimeError:  # there is none
        return None


def _metadata_url(auth: AuthProvider, app: App) -> str | None:
    """Return where the server tells of itself (RFC 9728), if its provider does."""
    at = getattr(auth, "resource_base_url", None) or auth.base_url
    path = getattr(getattr(app, "state", None), "path", None)
    paths = [
        route.path for route in auth.get_well_known_routes(mcp_path=path) if route.path.startswith(_METADATA)
    ]
    if at is None or not paths:
        return None
    parts = urlsplit(str(at))
    return f"{parts.scheme}://{parts.netloc}{paths[0]}"
