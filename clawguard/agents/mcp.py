"""The MCP SDK, 1.x and 2.x: a token verifier, what guards a server over HTTP, a session over stdio.

The extra is `mcp`. In what a guarded server is made of, `@requires` and `current_session()` work.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial, wraps
from typing import Any, Protocol

from mcp import types
from mcp.server.auth.provider import AccessToken
from mcp.server.auth.routes import build_resource_metadata_url
from mcp.shared import exceptions

from clawguard.agents.callers import AnyVerifier, Callers, as_text, use_environ
from clawguard.agents.guarded import GuardedApp
from clawguard.agents.principal import access_token
from clawguard.errors import ClawguardError, InvalidArgument
from clawguard.models import SessionContext
from clawguard.scopes import Scopes
from clawguard.web.asgi import App, Scope
from clawguard.web.bearer import REFUSED

__all__ = ["ClawguardTokenVerifier", "guarded_app", "stdio_session"]

_CALL_TOOL = "tools/call"
_UNBOUND = "initialize"
_INVALID_REQUEST = -32600
_types: Any = types  # each of the two has names that the other lacks
_exceptions: Any = exceptions
Handler = Callable[[Any], Awaitable[Any]]


class Server(Protocol):
    """Be an MCP server: `FastMCP` of the SDK's 1.x, `MCPServer` of its 2.x."""

    @property
    def settings(self) -> Any:
        """Its settings, with `auth` among them."""

    def streamable_http_app(self) -> App:
        """Return what serves it."""


class ClawguardTokenVerifier:
    """Check tokens for the SDK (its protocol `TokenVerifier`): `token_verifier=` of a server.

    By itself it lets the SDK answer 401 to whatever is no valid bearer token, a bound one among them. When
    access cannot be checked it raises StoreUnavailable or ClockError, and the SDK answers 500: `guarded_app`
    makes 503 of that, and checks bound tokens. `resource` is the server's URL, for
    `validate_token_resource=True`; by default what tokens say as `aud`. `scopes` are those that the server
    compares by their text: they are listed for a holder of a wildcard that covers them.
    """

    def __init__(self, verifier: AnyVerifier, *, resource: str | None = None, scopes: Scopes = ()) -> None:
        self._callers = Callers(verifier, scopes=scopes)
        self._resource = resource

    async def verify_token(self, token: str) -> AccessToken | None:
        """Return what the SDK knows a caller by, or None for a token that is refused. Validates once."""
        return await access_token(AccessToken, self._callers, token, self._resource)


def guarded_app(
    server: Server,
    tokens: ClawguardTokenVerifier,
    *,
    app: App | None = None,
    step_up: bool = True,
    origin: str | None = None,
    certificate_of: Callable[[Scope], bytes | str | None] | None = None,
) -> GuardedApp:
    """Return what serves an MCP server over HTTP to callers with a valid token only: an ASGI app.

    `server` is made with `token_verifier=tokens` and `auth=AuthSettings(...)`, whose `required_scopes` every
    request needs. `app` is what serves it, by default `server.streamable_http_app()`. A call that lacks a
    scope is answered with 403, or, without `step_up`, told so as the tool's error: a client of the SDK's 1.x
    that cannot ask for more scopes ends its connection over a 403. The other options are those of
    `clawguard.web.asgi.ClawguardMiddleware`. Raises InvalidArgument for a server without `auth`.
    """
    auth = getattr(server.settings, "auth", None)
    if auth is None:
        raise InvalidArgument(
            "server", "has no auth settings", hint="make it with token_verifier= and auth=AuthSettings(...)"
        )
    callers = tokens._callers
    _bind_calls(server, callers)
    url = auth.resource_server_url
    return GuardedApp(
        app or server.streamable_http_app(),
        callers,
        metadata_url=None if url is None else str(build_resource_metadata_url(url)),
        require=callers.know(auth.required_scopes or ()),
        step_up=step_up,
        origin=origin,
        certificate_of=certificate_of,
    )


@contextmanager
def stdio_session(server: Any, verifier: AnyVerifier) -> Iterator[SessionContext]:
    """Bind the session whose token is in the environment, for a server that is run inside of the block.

    CLAWGUARD_TOKEN is taken out of the environment. The session is held against its row at every call: once
    it has ended, the very next one is refused. It lives as long as its token does. `server` may be a
    low-level one too. Raises ConfigError where there is no token, and what `validate` raises.
    """
    _bind_calls(server, Callers(verifier))
    with use_environ(verifier) as session:
        yield session


def _bind_calls(server: Any, callers: Callers) -> None:
    """Have every request of a server run with its caller's session bound, whichever transport it came by."""
    if hasattr(server, "middleware"):
        server.middleware.insert(0, partial(_run_bound, callers))
        return
    lowlevel = getattr(server, "_mcp_server", server)  # 1.x has no public way to it
    for kind, handler in list(lowlevel.request_handlers.items()):
        lowlevel.request_handlers[kind] = _bound_handler(lowlevel, callers, kind, handler)


async def _run_bound(callers: Callers, ctx: Any, call_next: Callable[[Any], Awaitable[Any]]) -> Any:
    """Be a middleware of 2.x."""
    if ctx.request_id is None or ctx.method == _UNBOUND:
        return await call_next(ctx)
    try:
        return await callers.run(_scope_of(ctx.request), lambda: call_next(ctx), failed=_says_that_it_failed)
    except REFUSED as error:
        if ctx.method == _CALL_TOOL:
            return _result(error)
        raise _exceptions.MCPError(_INVALID_REQUEST, as_text(error)) from None


def _bound_handler(lowlevel: Any, callers: Callers, kind: type, handler: Handler) -> Handler:
    """Stand before a request handler of 1.x."""

    @wraps(handler)
    async def run(request: Any) -> Any:
        scope = _scope_of(lowlevel.request_context.request)
        try:
            return await callers.run(scope, lambda: handler(request), failed=_says_that_it_failed)
        except REFUSED as error:
            if kind is types.CallToolRequest:
                return _types.ServerResult(_result(error))
            data = types.ErrorData(code=_INVALID_REQUEST, message=as_text(error))
            raise _exceptions.McpError(data) from None

    return run


def _scope_of(request: Any) -> Mapping[str, Any] | None:
    return None if request is None else request.scope


def _says_that_it_failed(result: Any) -> bool:
    told_as = result if isinstance(result, Mapping) else result.model_dump(by_alias=True)
    return bool(told_as.get("isError"))


def _result(error: ClawguardError) -> types.CallToolResult:
    result = {"content": [types.TextContent(type="text", text=as_text(error))], "isError": True}
    return types.CallToolResult.model_validate(result)
