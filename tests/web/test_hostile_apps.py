"""Apps that break, leave things open or go on behind the answer: what stays bound, and what shows a token."""

from __future__ import annotations

import asyncio
import gc
import logging
import time
from collections.abc import Callable, Iterator
from typing import Any

import flask
import pytest
from django.http import HttpRequest, HttpResponse
from django.test import override_settings
from django.urls import path
from fastapi import BackgroundTasks, FastAPI, Security
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route
from werkzeug.debug import DebuggedApplication
from werkzeug.test import EnvironBuilder

from clawguard import NoSession, SessionContext, SessionEnded, SessionManager, current_session, requires
from clawguard.sessions.current import bound_session_id
from clawguard.web import asgi, wsgi
from clawguard.web.fastapi import ClawguardBearer
from clawguard.web.flask import Clawguard
from tests.web.adapters import Ask, Build, Sent, over_asgi, over_wsgi
from tests.web.django_site import asgi_site, wsgi_site
from tests.web.test_asgi import run_with
from tests.web.test_wsgi import ask as ask_wsgi

NAME = "__Host-clawguard-token"


@pytest.fixture
def manager() -> Iterator[SessionManager]:
    with SessionManager.open(":memory:", sweep_every=None) as manager:
        yield manager


def sent(manager: SessionManager, **rest: str) -> Sent:
    return Sent(tuple(manager.create("planner", scopes="").headers().items()), **rest)


class Broken:
    """Fail as nobody foresaw, beside a value of the caller's."""

    def validate(self, token: Any, /, **_: Any) -> SessionContext:
        own = token  # as the frames of a real validation hold it
        try:
            raise KeyError(len(own))
        except KeyError as error:
            raise RuntimeError("nobody foresaw this") from error

    def recheck(self, context: SessionContext, /, **asked: Any) -> None:
        raise RuntimeError("nor this")


def test_an_error_that_nobody_foresaw_lets_nobody_in_and_leaves_nothing_bound(build: Build) -> None:
    request = Sent((("Authorization", "Bearer a.b.c"),))
    ask = build(Broken())
    try:
        assert ask(request).status == 500  # Flask and Django have pages of their own
    except RuntimeError as error:
        notes = error.__notes__
        assert notes[0].startswith(f"raised in {__file__}, line ")  # the others raise
    assert bound_session_id() is None


def test_attack_104_no_frame_of_an_error_holds_the_token() -> None:
    with pytest.raises(RuntimeError) as failed:
        wsgi.ClawguardMiddleware(lambda *_: [], Broken())(
            environ_of("Bearer a.b.c"), lambda *_: lambda _: None
        )
    each: BaseException | None = failed.value
    while each is not None:
        frame = each.__traceback__
        while frame is not None:
            mine = frame.tb_frame.f_code.co_filename != __file__
            names = {name for name, value in frame.tb_frame.f_locals.items() if value == "a.b.c"}
            assert not (mine and names), (frame.tb_frame.f_code, names)
            frame = frame.tb_next
        each = each.__cause__


def environ_of(authorization: str) -> dict[str, Any]:
    return EnvironBuilder(headers=[("Authorization", authorization)]).get_environ()


def fails(*_: Any) -> Any:
    raise ZeroDivisionError


async def fails_async(*_: Any) -> Any:
    raise ZeroDivisionError


def django_page(
    make: Callable[..., Any], over: Callable[..., Ask], verifier: Any, view: Any
) -> Callable[..., bytes]:
    def ask(request: Sent) -> bytes:
        with override_settings(DEBUG=True, ROOT_URLCONF=(path("whoami", view),), LOGGING_CONFIG=None):
            site = over(make(verifier, cookie=NAME))
            answer = site(request)
        assert answer.status == 500
        return answer.body

    return ask


@pytest.mark.parametrize("make", [wsgi_site, asgi_site])
@pytest.mark.parametrize("view", [fails, fails_async])
@pytest.mark.parametrize("in_cookie", [False, True])
@pytest.mark.parametrize("is_broken", [False, True])
def test_attack_104_djangos_debug_page_shows_no_token(
    manager: SessionManager, make: Any, view: Any, in_cookie: bool, is_broken: bool
) -> None:
    over = over_wsgi if make is wsgi_site else over_asgi
    token = manager.create("planner", scopes="").token
    header = ("Cookie", f"{NAME}={token}") if in_cookie else ("Authorization", f"Bearer {token}")
    page = django_page(make, over, Broken() if is_broken else manager, view)(
        Sent((header, ("Accept", "text/html")))
    )
    assert b"Traceback" in page
    for part in token.split("."):
        assert part.encode() not in page


def test_attack_104_the_debug_pages_of_starlette_and_werkzeug_show_no_token(manager: SessionManager) -> None:
    request = sent(manager)
    token = dict(request.headers)["Authorization"].removeprefix("Bearer ")
    star = Starlette(
        debug=True,
        routes=[Route("/whoami", fails_async)],
        middleware=[Middleware(asgi.ClawguardMiddleware, verifier=manager)],
    )
    page: list[bytes] = []

    async def run() -> None:
        async def send(message: Any) -> None:
            page.append(message.get("body", b""))

        headers = [(name.lower().encode(), value.encode()) for name, value in request.headers]
        headers.append((b"accept", b"text/html"))
        scope = {"type": "http", "method": "GET", "path": "/whoami", "headers": headers, "query_string": b""}
        with pytest.raises(ZeroDivisionError):
            await star(scope, lambda: asyncio.sleep(0, {"type": "http.request"}), send)  # type: ignore[arg-type, return-value]  # enough of a receive

    asyncio.run(run())
    app = flask.Flask("debugged")
    app.debug = True
    Clawguard(app, manager)
    app.add_url_rule("/whoami", view_func=fails)
    debugged = over_wsgi(DebuggedApplication(app))(request)
    for shown in (b"".join(page), debugged.body):
        assert b"ZeroDivisionError" in shown
        for part in token.split("."):
            assert part.encode() not in shown


def test_attack_104_no_logger_says_the_token(build: Build, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with SessionManager.open(":memory:", sweep_every=None) as manager:
        good = manager.create("planner", scopes="docs:read")
        ask = build(manager, require="docs:read", cookie=NAME)
        for request in (
            Sent(tuple(good.headers().items())),
            Sent(tuple(good.headers().items()), path="/mail"),
            Sent((("Cookie", f"{NAME}={good.token}"),), method="POST"),
            Sent((*good.headers().items(), ("Cookie", f"{NAME}={good.token}"))),
            Sent((("Authorization", f"Bearer {good.token}x"),)),
        ):
            ask(request)
        manager.revoke(good)
        ask(Sent(tuple(good.headers().items())))
    assert good.token.split(".")[2] not in caplog.text


def test_a_generator_that_is_never_closed_leaves_nobody_bound(manager: SessionManager) -> None:
    def app(environ: Any, start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [])
        yield current_session().agent_id.encode()
        yield b"more"

    guarded = wsgi.ClawguardMiddleware(app, manager)
    session = manager.create("planner", scopes="")
    body = iter(guarded(environ_of(f"Bearer {session.token}"), lambda *_: lambda _: None))
    assert next(body) == b"planner"
    assert bound_session_id() is None
    del body
    gc.collect()
    assert bound_session_id() is None


def test_a_body_that_is_refused_as_it_begins_is_answered(manager: SessionManager) -> None:
    class Lazy:
        def __iter__(self) -> Iterator[bytes]:
            requires("mail:send")(lambda: None)()
            return iter(())

    def app(environ: Any, start_response: Any) -> Lazy:
        start_response("200 OK", [])
        return Lazy()

    token = manager.create("planner", scopes="").token
    assert ask_wsgi(wsgi.ClawguardMiddleware(app, manager), token).status == 403


def test_what_is_written_past_the_iterable_ends_with_the_session_too(manager: SessionManager) -> None:
    written: list[bytes] = []

    def app(environ: Any, start_response: Any) -> list[bytes]:
        write = start_response("200 OK", [])
        write(b"first")
        manager.revoke(current_session())
        write(b"late")
        return []

    session = manager.create("planner", scopes="")
    environ = environ_of(f"Bearer {session.token}")

    def start_response(status: str, headers: Any, cause: Any = None) -> Any:
        if cause is not None:
            raise cause[1]
        return written.append

    with pytest.raises(SessionEnded):
        wsgi.ClawguardMiddleware(app, manager)(environ, start_response)
    assert written == [b"first"]


@pytest.mark.parametrize("kind", ["http.response.pathsend", "http.response.zerocopysend"])
def test_no_kind_of_part_goes_out_once_the_session_has_ended(manager: SessionManager, kind: str) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"first", "more_body": True})
        manager.revoke(current_session())
        await send({"type": kind, "path": "late", "file": None})

    assert kind not in [each["type"] for each in run_with(manager, app)]


def test_a_background_task_has_the_session_and_ends_with_it(manager: SessionManager) -> None:
    done: list[str] = []

    async def work() -> None:
        done.append(current_session().agent_id)
        manager.revoke(current_session())
        await asyncio.sleep(30)
        done.append("late")

    async def page(request: Request) -> PlainTextResponse:
        return PlainTextResponse("soon", background=BackgroundTask(work))

    guarded = Middleware(asgi.ClawguardMiddleware, verifier=manager)
    started = time.monotonic()
    with pytest.raises(SessionEnded):
        over_asgi(Starlette(routes=[Route("/whoami", page)], middleware=[guarded]))(sent(manager))
    assert done == ["planner"]
    assert time.monotonic() - started < 25


def test_fastapis_background_tasks_have_the_session(manager: SessionManager) -> None:
    done: list[str] = []
    app = FastAPI()

    @app.get("/whoami", dependencies=[Security(ClawguardBearer(manager))])
    async def page(tasks: BackgroundTasks) -> None:
        tasks.add_task(lambda: done.append(current_session().agent_id))

    assert over_asgi(app)(sent(manager)).status == 200
    assert done == ["planner"]
    assert bound_session_id() is None


def test_requests_of_one_task_see_each_their_own_session(manager: SessionManager) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.sleep(0)
        body = current_session().session_id.encode()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": body})
        if scope["path"] == "/fails":
            raise ZeroDivisionError

    guarded = asgi.ClawguardMiddleware(app, manager, optional=True)
    sessions = [manager.create("planner", scopes="") for _ in range(3)]

    async def ask(session: Any, path: str) -> bytes:
        heard: list[bytes] = []

        async def send(message: Any) -> None:
            heard.append(message.get("body", b""))

        headers = [] if session is None else [(b"authorization", f"Bearer {session.token}".encode())]
        scope = {"type": "http", "method": "GET", "path": path, "headers": headers}
        try:
            await guarded(scope, asyncio.Event().wait, send)  # type: ignore[arg-type]  # nothing comes in
        except ZeroDivisionError:
            assert path == "/fails"
        assert set(scope) == {"type", "method", "path", "headers"}  # what came from the server is as it was
        return b"".join(heard)

    async def run() -> None:
        for session in sessions:
            for each in ("/fails", "/"):
                assert await ask(session, each) == session.id.encode()
                with pytest.raises(NoSession):
                    current_session()
            assert b"unauthorized" in await ask(None, "/")
        both = await asyncio.gather(*(ask(session, "/") for session in sessions))
        assert both == [session.id.encode() for session in sessions]

    asyncio.run(run())


def test_a_guard_on_a_mounted_app_guards_it_alone(manager: SessionManager) -> None:
    async def page(request: Request) -> PlainTextResponse:
        assert "clawguard.session" not in request.scope or bound_session_id()
        return PlainTextResponse(str(bound_session_id() is not None))

    inner = Starlette(
        routes=[Route("/{rest:path}", page)],
        middleware=[Middleware(asgi.ClawguardMiddleware, verifier=manager)],
    )
    ask = over_asgi(Starlette(routes=[Mount("/in", inner), Route("/{rest:path}", page)]))
    assert ask(Sent(path="/out")).body == b"False"
    assert ask(Sent(path="/in/x")).status == 401
    assert ask(sent(manager, path="/in/x")).body == b"True"
    assert ask(sent(manager, path="/out")).body == b"False"
    for way in ("//in/x", "/in//x", "/in/../in/x", "/in/%2e%2e/out"):
        assert ask(Sent(path=way)).body != b"True"


async def async_whoami(request: HttpRequest) -> HttpResponse:
    """Say who calls, from a coroutine below a middleware that is none."""
    return HttpResponse(current_session().agent_id)


@pytest.mark.parametrize("make", [wsgi_site, asgi_site])
@pytest.mark.parametrize("stands_before", [False, True])
def test_kinds_of_middleware_and_views_mix_in_django(
    manager: SessionManager, make: Any, stands_before: bool
) -> None:
    order = ["clawguard.web.django.ClawguardMiddleware", "tests.web.django_site.plain_middleware"]
    over = over_wsgi if make is wsgi_site else over_asgi
    urls = (path("whoami", async_whoami), path("fails", fails_async))
    with override_settings(MIDDLEWARE=order[::-1] if stands_before else order, ROOT_URLCONF=urls):
        ask = over(make(manager))
        assert ask(sent(manager)).body == b"planner"
        assert ask(Sent()).status == 401
        assert ask(sent(manager)).body == b"planner"
    assert bound_session_id() is None


def test_a_watch_that_cannot_see_ends_what_it_watches(
    manager: SessionManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.sleep(30)

    def broken(self: Any, context: SessionContext, /, **asked: Any) -> None:
        raise RuntimeError("nobody foresaw this")

    monkeypatch.setattr(SessionManager, "recheck", broken)
    with pytest.raises(RuntimeError, match="foresaw"):
        run_with(manager, app)
