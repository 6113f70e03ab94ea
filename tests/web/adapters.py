"""One small app under every adapter, and one way to ask any; a builder imports its own framework."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, NamedTuple, Protocol
from urllib.parse import unquote

import httpx
from werkzeug.test import EnvironBuilder, run_wsgi_app

from clawguard import current_session, requires
from clawguard.web import asgi, wsgi

__all__ = ["ADAPTERS", "ORIGIN", "Answer", "Ask", "Build", "Sent", "agent", "mail"]

ORIGIN = "http://127.0.0.1"


@dataclass(frozen=True)
class Sent:
    """Hold a request; headers of one name may come twice."""

    headers: tuple[tuple[str, str], ...] = ()
    path: str = "/whoami"
    query: str = ""
    method: str = "GET"

    @property
    def url(self) -> str:
        """The whole URL."""
        return f"{ORIGIN}{self.path}" + (f"?{self.query}" if self.query else "")


class Answer(NamedTuple):
    """Hold what came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes


Ask = Callable[[Sent], Answer]


class Build(Protocol):
    """Build the app under one adapter with its options."""

    def __call__(self, verifier: Any, **options: Any) -> Ask:
        """Return what asks it."""


@requires("mail:send")
def mail() -> str:
    """Do what needs a scope of its own."""
    return "sent"


def agent() -> str:
    """Say who calls."""
    return current_session().agent_id


def over_asgi(app: Any) -> Ask:
    """Ask an ASGI app."""

    def ask(sent: Sent) -> Answer:
        async def run() -> Answer:
            async with httpx.AsyncClient(
                transport=httpx.ASGITransport(app, client=("192.0.2.1", 7))
            ) as client:
                client.headers.clear()
                headers = [(name.encode(), value.encode("latin-1")) for name, value in sent.headers]
                response = await client.request(sent.method, sent.url, headers=headers)
                return Answer(response.status_code, response.headers, response.content)

        return asyncio.run(run())

    return ask


def over_wsgi(app: Any) -> Ask:
    """Ask a WSGI app."""

    def ask(sent: Sent) -> Answer:
        builder = EnvironBuilder(
            path=unquote(sent.path),
            query_string=sent.query,
            base_url=ORIGIN,
            method=sent.method,
            headers=list(sent.headers),
            environ_base={"REMOTE_ADDR": "192.0.2.1"},
        )
        body, status, headers = run_wsgi_app(app, builder.get_environ(), buffered=True)
        return Answer(int(status.split()[0]), dict(headers), b"".join(body))

    return ask


def plain_asgi(verifier: Any, **options: Any) -> Ask:
    """Build on ASGI alone."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        text = mail() if scope["path"] == "/mail" else agent()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send(
            {"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else text.encode()}
        )

    return over_asgi(asgi.ClawguardMiddleware(app, verifier, **options))


def plain_wsgi(verifier: Any, **options: Any) -> Ask:
    """Build on WSGI alone."""

    def app(environ: Any, start_response: Any) -> list[bytes]:
        text = mail() if environ["PATH_INFO"] == "/mail" else agent()
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"" if environ["REQUEST_METHOD"] == "HEAD" else text.encode()]

    return over_wsgi(wsgi.ClawguardMiddleware(app, verifier, **options))


def on_starlette(verifier: Any, **options: Any) -> Ask:
    """Build on Starlette, whose own user is the agent."""
    from starlette.applications import Starlette
    from starlette.middleware import Middleware
    from starlette.middleware.authentication import AuthenticationMiddleware
    from starlette.requests import Request
    from starlette.responses import PlainTextResponse, Response
    from starlette.routing import Route

    from clawguard.web.starlette import ClawguardBackend

    def send(request: Request) -> Response:
        return PlainTextResponse(mail())

    async def whoami(request: Request) -> Response:
        assert request.user.display_name == agent()
        return PlainTextResponse(agent())

    methods = ["GET", "POST"]
    app = Starlette(
        routes=[
            Route("/mail", send, methods=methods),
            Route("/{rest:path}", whoami, methods=methods),
        ],
        middleware=[
            Middleware(asgi.ClawguardMiddleware, verifier=verifier, **options),
            Middleware(AuthenticationMiddleware, backend=ClawguardBackend()),
        ],
    )
    return over_asgi(app)


def on_fastapi(verifier: Any, **options: Any) -> Ask:
    """Build on FastAPI, where what is required stands with the endpoints."""
    from fastapi import Depends, FastAPI, Security
    from starlette.responses import PlainTextResponse, Response

    from clawguard.web.fastapi import ClawguardBearer, answer_refusals

    require = options.pop("require", "").split()
    guard = ClawguardBearer(verifier, auto_error=not options.pop("optional", False), **options)
    app = FastAPI(dependencies=[Depends(guard)])
    answer_refusals(app)

    @app.api_route("/mail", methods=["GET", "POST", "HEAD"])
    def send(session: Annotated[Any, Security(guard, scopes=require)]) -> Response:
        return PlainTextResponse(mail())

    @app.api_route("/{rest:path}", methods=["GET", "POST", "HEAD"])
    async def whoami(session: Annotated[Any, Security(guard, scopes=require)]) -> Response:
        return PlainTextResponse(agent())

    return over_asgi(app)


def on_flask(verifier: Any, **options: Any) -> Ask:
    """Build on Flask."""
    import flask

    from clawguard.web.flask import Clawguard

    app = flask.Flask("contract")
    Clawguard(app, verifier, **options)
    methods = ["GET", "POST"]

    @app.route("/mail", methods=methods)
    def send() -> str:
        return mail()

    @app.route("/<path:rest>", methods=methods)
    def whoami(rest: str) -> str:
        return agent()

    return over_wsgi(app)


def on_django(verifier: Any, **options: Any) -> Ask:
    """Build on Django under WSGI."""
    from tests.web.django_site import wsgi_site

    return over_wsgi(wsgi_site(verifier, **options))


def on_async_django(verifier: Any, **options: Any) -> Ask:
    """Build on Django under ASGI."""
    from tests.web.django_site import asgi_site

    return over_asgi(asgi_site(verifier, **options))


def on_drf(verifier: Any, **options: Any) -> Ask:
    """Build on Django REST framework, where what is required stands with the views too."""
    from tests.web.django_site import wsgi_site
    from tests.web.drf_site import routed, views

    routes = views(options.get("require", ""))
    return routed(over_wsgi(wsgi_site(verifier, **options | {"optional": True})), routes)


def on_async_drf(verifier: Any, **options: Any) -> Ask:
    """Build on the same under ASGI."""
    from tests.web.django_site import asgi_site
    from tests.web.drf_site import routed, views

    routes = views(options.get("require", ""))
    return routed(over_asgi(asgi_site(verifier, **options | {"optional": True})), routes)


ADAPTERS: dict[str, Build] = {
    "asgi": plain_asgi,
    "wsgi": plain_wsgi,
    "starlette": on_starlette,
    "fastapi": on_fastapi,
    "flask": on_flask,
    "django": on_django,
    "django, async": on_async_django,
    "drf": on_drf,
    "drf, async": on_async_drf,
}
