"""Asking a server: what goes out, what counts as an answer, and what is said where none comes."""

from __future__ import annotations

import json
import re
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any

import pytest

from clawguard.errors import (
    ClawguardError,
    ConfigError,
    InsufficientScope,
    InvalidArgument,
    OutcomeUnknown,
    StoreBusy,
    StoreUnavailable,
)
from clawguard.sessions.asking import LONGEST_ANSWER, Asking, is_server
from tests.webhooks import Rough, rough

# "Oh" is the reason that whole answers give.
HEAD = b"HTTP/1.1 %d Oh\r\nContent-Length: %d\r\n%s\r\n"


def answer(body: Any, status: int = 200, *, headers: bytes = b"") -> bytes:
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    return HEAD % (status, len(text), headers) + text


def going_on(*parts: bytes, is_whole: bool = True) -> bytes:
    """Return an answer in chunks, as a server sends one that goes on."""
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(each), each) for each in parts)
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head + chunks + (b"0\r\n\r\n" if is_whole else b"")


@contextmanager
def server(told: bytes, asked: list[bytes] | None = None) -> Iterator[Rough]:
    """Serve one answer to each request, over connections that are kept."""

    def talk(connection: socket.socket) -> None:
        while request := received(connection):
            if asked is not None:
                asked.append(request)
            connection.sendall(told)
            if b" Oh\r\n" not in told:
                return  # an answer that is cut, or goes on and then ends

    with rough(talk) as at:
        yield at


def received(connection: socket.socket) -> bytes:
    text = b""
    while b"\r\n\r\n" not in text:
        part = connection.recv(65_536)
        if not part:
            return b""
        text += part
    head, _, body = text.partition(b"\r\n\r\n")
    length = next((int(line[15:]) for line in head.split(b"\r\n") if line.startswith(b"Content-Length:")), 0)
    while len(body) < length:
        body += connection.recv(65_536)
    return head + b"\r\n\r\n" + body


@contextmanager
def asking(at: Rough, *, token: Any = "secret", longest: int = LONGEST_ANSWER) -> Iterator[Asking]:
    with closing(Asking(f"{at.url}base/", token, timeout=20, longest=longest)) as opened:
        yield opened


def test_a_question_goes_out_under_the_path_of_the_url_with_the_callers_token() -> None:
    asked: list[bytes] = []
    with server(answer({"a": 1}), asked) as at, asking(at) as opened:
        assert opened.get("/v1/x", {"q": "a b", "types": ["c", "d"]}) == {"a": 1}
        assert opened.get("/v1/x", by_anybody=True) == {"a": 1}
        assert opened.post("/v1/y", {"b": [2]}) == {"a": 1}
        assert at.connections == 1
    first, second, third = (each.split(b"\r\n") for each in asked)
    assert first[0] == b"GET /base/v1/x?q=a+b&types=c&types=d HTTP/1.1"
    assert f"Host: 127.0.0.1:{at.port}".encode() in first
    assert b"Authorization: Bearer secret" in first
    assert second[0] == b"GET /base/v1/x HTTP/1.1"
    assert not any(each.lower().startswith(b"authorization") for each in second)
    assert third[0] == b"POST /base/v1/y HTTP/1.1"
    assert {b"Authorization: Bearer secret", b"Content-Type: application/json"} <= set(third)
    assert json.loads(third[-1]) == {"b": [2]}


def test_a_token_may_be_whatever_a_callable_gives_at_that_moment() -> None:
    asked: list[bytes] = []
    tokens = iter(["one", "two"])
    with server(answer({}), asked) as at, asking(at, token=lambda: next(tokens)) as opened:
        opened.get("/x")
        opened.get("/x")
    assert [each.count(b"Bearer one") + 2 * each.count(b"Bearer two") for each in asked] == [1, 2]


@pytest.mark.parametrize(
    ("token", "is_one"),
    [("x" * 8_192, True), ("~!", True), ("x" * 8_193, False), ("a b", False), ("", False), ("\xe9", False)],
)
def test_what_cannot_stand_in_a_header_is_no_token(token: str, is_one: bool) -> None:
    with server(answer({})) as at, asking(at, token=lambda: token) as opened:
        if is_one:
            assert opened.get("/x") == {}
            return
        with pytest.raises(ConfigError) as refused:
            opened.get("/x")
        assert str(refused.value) == "the token for the server is none; see token= and CLAWGUARD_TOKEN"
        assert at.connections == 0


@pytest.mark.parametrize("token", [None, 7, b"x"])
def test_who_has_no_token_asks_nobody(token: Any) -> None:
    with pytest.raises(ConfigError) as refused:
        Asking("https://auth.example.com", token, timeout=1)
    assert str(refused.value) == (
        "a server answers only whom it knows; "
        "give token=, the verifier's own with the scope clawguard:introspect, or a callable"
    )


NO_OBJECT = "the server gave no valid answer (no JSON object)"
BUSY = {"code": "store_busy", "detail": "the write lock was not had; again"}
LACKING = {"code": "insufficient_scope", "detail": "more is needed"}
CHALLENGE = b'WWW-Authenticate: Bearer scope="clawguard:read"\r\n'

# What comes, what a question that may be asked twice raises then, and what one that may not.
SAID: list[tuple[bytes, type[ClawguardError], str, type[ClawguardError]]] = [
    (answer([]), StoreUnavailable, NO_OBJECT, OutcomeUnknown),
    (answer(b"{}x"), StoreUnavailable, NO_OBJECT, OutcomeUnknown),
    (answer(b'{"a": 1, "a": 2}'), StoreUnavailable, NO_OBJECT, OutcomeUnknown),
    (answer(b'{"a": NaN}'), StoreUnavailable, NO_OBJECT, OutcomeUnknown),
    (answer(b"\xff"), StoreUnavailable, NO_OBJECT, OutcomeUnknown),
    (answer([], 201), StoreUnavailable, NO_OBJECT, OutcomeUnknown),
    (
        answer({}, 404),
        StoreUnavailable,
        "the server gave no valid answer (404); is the URL right?",
        StoreUnavailable,
    ),
    (
        answer({}, 499),
        StoreUnavailable,
        "the server gave no valid answer (499); is the URL right?",
        StoreUnavailable,
    ),
    (answer({}, 500), StoreUnavailable, "the server could not answer (500)", OutcomeUnknown),
    (answer(b"", 503), StoreUnavailable, "the server could not answer (503)", OutcomeUnknown),
    (answer(BUSY, 503), StoreBusy, "the write lock was not had; again", StoreBusy),
    (
        answer(LACKING, 403, headers=CHALLENGE),
        InsufficientScope,
        "the caller lacks clawguard:read",
        InsufficientScope,
    ),
]


@pytest.mark.parametrize(("told", "kind", "said", "once"), SAID)
def test_what_is_no_answer_says_so_and_what_was_refused_says_why(
    told: bytes, kind: type[ClawguardError], said: str, once: type[ClawguardError]
) -> None:
    with server(told) as at, asking(at) as opened:
        calls: tuple[tuple[Callable[[], Any], type[ClawguardError]], ...] = (
            (lambda: opened.get("/x"), kind),
            (lambda: opened.post("/x", {}, twice=True), kind),
            (lambda: opened.post("/x", {}), once),
        )
        for call, raised in calls:
            with pytest.raises(ClawguardError) as refused:
                call()
            assert (refused.type, str(refused.value)) == (raised, said)


@pytest.mark.parametrize("status", [200, 201])
def test_what_was_done_and_what_was_made_are_answers(status: int) -> None:
    with server(answer({"a": 1}, status)) as at, asking(at) as opened:
        assert opened.post("/x", {}) == {"a": 1}


def test_an_answer_may_have_so_many_bytes_and_no_more() -> None:
    text = b'{"a": 1}'
    with server(answer(text)) as at:
        with asking(at, longest=len(text)) as opened:
            assert opened.get("/x") == {"a": 1}
        with asking(at, longest=len(text) - 1) as opened, pytest.raises(StoreUnavailable, match="Incomplete"):
            opened.get("/x")


def test_a_line_that_is_cut_leaves_open_what_was_done() -> None:
    with server(b"HTTP/1.1 200 OK\r\nContent-Le") as at, asking(at) as opened:
        with pytest.raises(StoreUnavailable) as may_repeat:
            opened.get("/x")
        with pytest.raises(OutcomeUnknown) as unknown:
            opened.post("/x", {})
    assert str(may_repeat.value).endswith("; is it up, and is its certificate valid?")
    assert str(unknown.value).endswith(
        "; it may have been done or not: look, or repeat it as it was where it has a request id"
    )


def test_what_never_went_out_was_not_done() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with closing(Asking(f"http://127.0.0.1:{port}", "x", timeout=20)) as opened:
        calls: tuple[Callable[[], Any], ...] = (lambda: opened.get("/x"), lambda: opened.post("/x", {}))
        for call in calls:
            with pytest.raises(StoreUnavailable) as refused:
                call()
            assert refused.type is StoreUnavailable
            assert str(refused.value) == (
                "the server gave no valid answer (ConnectionRefusedError); "
                "is it up, and is its certificate valid?"
            )


def test_once_closed_it_asks_nobody() -> None:
    with server(answer({})) as at, asking(at) as opened:
        opened.get("/x")
        opened.close()
        with pytest.raises(StoreUnavailable) as refused:
            opened.get("/x")
        assert str(refused.value) == "the verifier is closed"
        assert at.connections == 1


# Lines of an answer that goes on.


def test_an_answer_that_goes_on_gives_its_objects_line_by_line() -> None:
    asked: list[bytes] = []
    with server(going_on(b'{"a": 1}\n\n', b'{"b":', b" 2}\n"), asked) as at, asking(at) as opened:
        lines = opened.lines("/v1/tail", {"after": "0", "types": ["c", "d"]}, silence=20)
        assert list(lines) == [{"a": 1}, None, {"b": 2}]
    head = asked[0].split(b"\r\n")
    assert head[0] == b"GET /base/v1/tail?after=0&types=c&types=d HTTP/1.1"
    assert {b"Authorization: Bearer secret", f"Host: 127.0.0.1:{at.port}".encode()} <= set(head)


@pytest.mark.parametrize(
    ("told", "said"),
    [
        (going_on(b"{}\n[]\n"), f"^{re.escape(NO_OBJECT)}$"),
        (going_on(b"{}\nnone\n"), "no JSON object"),
        (going_on(b"{}\n", b'{"a": "' + b"x" * 90 + b'"}\n'), "no JSON object"),
        (going_on(b"{}\n", is_whole=False), "no valid answer"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{}\n", "no valid answer"),
        (answer(b"", 500), r"could not answer \(500\)"),
        (answer(BUSY, 503), "the write lock was not had"),
        (b"", "no valid answer"),
    ],
)
def test_lines_that_are_none_end_in_a_refusal(told: bytes, said: str) -> None:
    with server(told) as at, asking(at, longest=64) as opened:
        lines = opened.lines("/v1/tail", {}, silence=20)
        with pytest.raises(StoreUnavailable, match=said):
            assert list(lines)


def test_a_silence_that_is_too_long_ends_in_a_refusal() -> None:
    def quiet(connection: socket.socket) -> None:
        received(connection)
        connection.sendall(going_on(b"{}\n", is_whole=False))
        connection.recv(1)

    with rough(quiet) as at, asking(at) as opened:
        lines = opened.lines("/v1/tail", {}, silence=0.05)
        assert next(lines) == {}
        with pytest.raises(StoreUnavailable, match="TimeoutError"):
            next(lines)


# Where it asks.


@pytest.mark.parametrize(
    ("url", "place", "is_secured"),
    [
        ("https://auth.example.com", ("auth.example.com", 443, []), True),
        ("https://auth.example.com:8443/base/", ("auth.example.com", 8443, []), True),
        ("https://192.0.2.7", ("192.0.2.7", 443, ["192.0.2.7"]), True),
        ("http://127.0.0.1", ("127.0.0.1", 80, ["127.0.0.1"]), False),
        ("http://[::1]:8000", ("::1", 8000, ["::1"]), False),
    ],
)
def test_a_url_says_where_to_ask_and_whether_in_secret(
    url: str, place: tuple[str, int, list[str]], is_secured: bool
) -> None:
    with closing(Asking(url, "x", timeout=1)) as opened:
        connections = opened._connections
        dialler, context = connections._dialler, connections._context
        known = [each[0] for _, each in dialler._known]
        assert (dialler._host, dialler._port, known) == place
        assert isinstance(context, ssl.SSLContext) is is_secured
        assert context is None or (context.check_hostname and context.verify_mode == ssl.CERT_REQUIRED)
        assert connections._kept_for == 2
        assert "x" not in repr(opened).replace("example", "")


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://192.0.2.7", "must begin with https: tokens would be readable on their way"),
        ("http://localhost", "must begin with https: tokens would be readable on their way"),
        ("https://a/?b", "is not the URL of a server"),
        ("https://a/#b", "is not the URL of a server"),
        ("https:///a", "is not the URL of a server"),
    ],
)
def test_a_url_that_is_none_or_open_to_all_is_refused(url: str, said: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        Asking(url, "x", timeout=1)
    assert refused.value.message == f"url: {said}"


def test_only_http_and_https_are_servers() -> None:
    assert all(map(is_server, ("https://a", "HTTP://a", "hTTps://a")))
    assert not any(map(is_server, ("postgresql://a", "/https://", "", None, 7, b"https://a")))
