"""What clients, proxies, other middleware and apps that break may do to an adapter."""

from __future__ import annotations

import ast
import asyncio
from collections.abc import Iterator
from typing import Any
from wsgiref.simple_server import demo_app
from wsgiref.util import setup_testing_defaults

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.middleware.cors import CORSMiddleware

from clawguard import InvalidToken, SessionContext, SessionManager
from clawguard.web import wsgi
from clawguard.web.asgi import ClawguardMiddleware
from tests.web.adapters import Build, Sent, over_asgi
from tests.web.test_asgi import echo, exchange, whoami
from tests.web.world import GOOD, MISSING, World, beside, told

NAME = "__Host-clawguard-token"


@pytest.fixture
def manager() -> Iterator[SessionManager]:
    with SessionManager.open(":memory:", sweep_every=None) as manager:
        yield manager


@pytest.mark.parametrize(
    ("headers", "is_open"),
    [
        ([], False),
        ([(b"origin", b"http://evil.example")], False),
        ([(b"origin", b"http://127.0.0.1")], True),
        ([(b"origin", b"http://127.0.0.1"), (b"sec-fetch-site", b"same-site")], False),
        ([(b"sec-fetch-site", b"same-origin")], True),
    ],
)
def test_attack_csrf_a_websocket_opened_by_another_page(
    manager: SessionManager, headers: list[tuple[bytes, bytes]], is_open: bool
) -> None:
    app = ClawguardMiddleware(echo, manager, cookie=NAME)
    token = manager.create("planner", scopes="").token
    headers = [(b"host", b"127.0.0.1"), (b"cookie", f"{NAME}={token}".encode()), *headers]
    incoming = ({"type": "websocket.connect"}, {"type": "websocket.disconnect"})
    sent = asyncio.run(exchange(app, *incoming, type="websocket", scheme="ws", headers=headers))
    refused = {"type": "websocket.close", "code": 1008, "reason": "cross_origin"}
    assert sent == ([{"type": "websocket.accept"}] if is_open else [refused])


# What is said of a request by the client itself, or by a proxy that nobody vouched for.

CLAIMS = [
    ("X-Forwarded-For", "198.51.100.9"),
    ("X-Real-IP", "198.51.100.9"),
    ("Forwarded", "for=198.51.100.9;host=evil.example;proto=https"),
    ("X-Forwarded-Host", "evil.example"),
    ("X-Forwarded-Proto", "https"),
    ("X-HTTP-Method-Override", "GET"),
    ("X-Original-URL", "/whoami"),
]


def test_attack_a_client_that_claims_another_address_origin_or_method(build: Build, world: World) -> None:
    class Seen:
        def validate(self, shown: Any, /, **options: Any) -> SessionContext:
            assert options["source"] == "192.0.2.1"
            return world.verifier.validate(shown, **options)

        def recheck(self, context: SessionContext, /, **asked: Any) -> None:
            world.verifier.recheck(context, **asked)

    ask = build(Seen(), cookie=NAME)
    assert told(ask(beside(world, *CLAIMS))) == GOOD
    forged = Sent(
        (("Cookie", f"{NAME}={world.good.token}"), ("Origin", "https://evil.example"), *CLAIMS), method="POST"
    )
    assert told(ask(forged))[::2] == (403, "cross_origin")


@pytest.mark.parametrize("method", ["OPTIONS", "TRACE", "PATCH", "DELETE", "BREW"])
def test_no_method_comes_in_by_itself(build: Build, world: World, method: str) -> None:
    answer = build(world.verifier)(Sent(method=method))
    assert answer.status in (401, 405)  # FastAPI and DRF look at the method first
    if answer.status == 401:
        assert told(answer) == MISSING


PATHS = [
    "//whoami",
    "/./whoami",
    "/x/../whoami",
    "/%2e%2e/whoami",
    "/%2Fwhoami",
    "/whoami;x",
    "/whoami%00",
    "/WHOAMI/",
]


@pytest.mark.parametrize("path", PATHS)
def test_no_way_to_write_a_path_is_open(build: Build, world: World, path: str) -> None:
    assert told(build(world.verifier)(Sent(path=path)))[0] in (401, 404)


def test_a_session_that_a_client_names_in_a_header_is_none(build: Build, world: World) -> None:
    ask = build(world.verifier, optional=True)
    names = ("clawguard.session", "Clawguard-Session", "clawguard_session", "REMOTE_USER", "Remote-User")
    assert told(ask(Sent(tuple((name, world.good.id) for name in names)))) == MISSING


@pytest.mark.parametrize(
    "extra",
    [
        {"headers": [(b"sec-websocket-protocol", b"bearer, TOKEN")], "subprotocols": ["bearer", "TOKEN"]},
        {"query_string": b"token=TOKEN"},
        {"query_string": b"access_token=TOKEN"},
    ],
)
def test_a_websockets_token_stands_in_the_header(manager: SessionManager, extra: dict[str, Any]) -> None:
    token = manager.create("planner", scopes="").token
    text = repr(extra).replace("TOKEN", token)
    scope = ast.literal_eval(text)
    incoming = ({"type": "websocket.connect"}, {"type": "websocket.disconnect"})
    (closed,) = asyncio.run(
        exchange(ClawguardMiddleware(echo, manager), *incoming, type="websocket", **scope)
    )
    assert closed["type"] == "websocket.close"
    assert token not in str(closed)


def test_the_pseudo_headers_of_http_2_are_not_read(manager: SessionManager) -> None:
    token = manager.create("planner", scopes="").token
    headers = [(b":authority", b"evil.example"), (b":authorization", f"Bearer {token}".encode())]
    (start, _) = asyncio.run(
        exchange(ClawguardMiddleware(whoami, manager), headers=headers, http_version="2")
    )
    assert start["status"] == 401


def test_a_preflight_is_answered_by_the_cors_middleware_that_stands_outside(manager: SessionManager) -> None:
    guarded = ClawguardMiddleware(whoami, manager)
    preflight = Sent(
        (("Origin", "https://app.example.com"), ("Access-Control-Request-Method", "POST")), method="OPTIONS"
    )
    assert over_asgi(guarded)(preflight).status == 401
    outside = CORSMiddleware(guarded, allow_origins=["https://app.example.com"], allow_methods=["POST"])
    assert over_asgi(outside)(preflight).status == 200
    refused = over_asgi(outside)(Sent((("Origin", "https://app.example.com"),)))
    assert (refused.status, refused.headers["access-control-allow-origin"]) == (
        401,
        "https://app.example.com",
    )


BYTES = st.text(st.characters(max_codepoint=255), max_size=40)
READ = ("authorization", "dpop", "cookie", "host", "origin", "sec-fetch-site")


@given(
    st.lists(
        st.tuples(
            st.sampled_from(READ), BYTES | BYTES.map("DPoP {}".format) | BYTES.map(f"{NAME}={{}}".format)
        )
    ),
    st.text(max_size=20),
    BYTES,
    st.sampled_from(["GET", "POST", "", "é"]),
)
def test_whatever_headers_hold_is_answered_and_lets_nobody_in(
    fields: list[tuple[str, str]], path: str, query: str, method: str
) -> None:
    headers = [(name.encode(), value.encode("latin-1")) for name, value in fields]
    scope = {"path": path, "query_string": query.encode("latin-1"), "method": method, "headers": headers}
    start, *_ = asyncio.run(exchange(ClawguardMiddleware(whoami, Nobodys(), cookie=NAME), **scope))
    assert start["status"] in (400, 401, 403)
    environ: dict[str, Any] = {"REQUEST_METHOD": method, "PATH_INFO": path, "QUERY_STRING": query}
    for name, value in fields:
        key = "HTTP_" + name.upper().replace("-", "_")
        environ[key] = f"{environ[key]},{value}" if key in environ else value
    statuses: list[str] = []
    setup_testing_defaults(environ)
    app: Any = wsgi.ClawguardMiddleware(demo_app, Nobodys(), cookie=NAME)
    app(environ, lambda status, *_: statuses.append(status))
    assert statuses[0][:3] in ("400", "401", "403")


class Nobodys:
    """Know no token."""

    def validate(self, *args: Any, **kwargs: Any) -> SessionContext:
        raise InvalidToken

    def recheck(self, context: SessionContext, /, **asked: Any) -> None:
        raise InvalidToken


@pytest.mark.parametrize(
    ("environ", "status"),
    [
        ({"HTTP_COOKIE": f"{NAME}=TOKEN"}, "200"),
        ({"HTTP_COOKIE": f"{NAME}=TOKEN,{NAME}=TOKEN"}, "401"),  # two headers, as servers join them
        ({"HTTP_COOKIE": f"a=b,{NAME}=TOKEN"}, "401"),
        ({"HTTP_COOKIE": f"{NAME}=TOKEN", "HTTP_UPGRADE": "websocket"}, "403"),
        (
            {
                "HTTP_COOKIE": f"{NAME}=TOKEN",
                "HTTP_UPGRADE": "websocket",
                "HTTP_ORIGIN": "http://evil.example",
            },
            "403",
        ),
        (
            {"HTTP_COOKIE": f"{NAME}=TOKEN", "HTTP_UPGRADE": "websocket", "HTTP_ORIGIN": "http://127.0.0.1"},
            "200",
        ),
    ],
)
def test_a_cookie_reaches_wsgi_in_one_piece_or_not_at_all(
    manager: SessionManager, environ: dict[str, Any], status: str
) -> None:
    token = manager.create("planner", scopes="").token
    environ = {name: value.replace("TOKEN", token) for name, value in environ.items()}
    setup_testing_defaults(environ)
    statuses: list[str] = []
    app: Any = wsgi.ClawguardMiddleware(demo_app, manager, cookie=NAME)
    app(environ, lambda status, *_: statuses.append(status))
    assert statuses[0][:3] == status
