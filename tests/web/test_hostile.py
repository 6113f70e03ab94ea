"""What clients, proxies, other middleware and apps that break may do to an adapter."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from clawguard import SessionManager
from clawguard.web.asgi import ClawguardMiddleware
from tests.web.test_asgi import echo, exchange

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
