"""POST requests over kept connections: an answer, or ReceiverUnavailable before the deadline."""

from __future__ import annotations

import gc
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from clawguard import http_lines
from clawguard.errors import ReceiverUnavailable
from clawguard.relays import posting
from clawguard.relays.endpoints import parse_endpoint
from clawguard.relays.posting import Poster
from tests.certificates import tls_files
from tests.faults.lab import crew
from tests.relays.scene import drip
from tests.subscribing import PATIENCE, until
from tests.webhooks import Delivery, Hook, request_of, rough, running

FINE = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
FAILED = b"HTTP/1.1 500 Broken\r\nContent-Length: 0\r\n\r\n"
SHORT = 0.4


@pytest.fixture
def hook() -> Iterator[Hook]:
    with running(Hook()) as made:
        yield made


@pytest.fixture
def poster_to() -> Iterator[Callable[..., Poster]]:
    made: list[Poster] = []

    def make(url: str, context: ssl.SSLContext | None = None, *, timeout: float = PATIENCE) -> Poster:
        made.append(Poster(parse_endpoint(url), context, timeout=timeout))
        return made[-1]

    yield make
    for each in made:
        each.close()


def post(poster: Poster, body: bytes = b"body") -> int:
    return poster.post({"Content-Type": "text/plain"}, body)


def unavailable(poster: Poster, match: str) -> None:
    """Nothing that the other side sent may show, not even in what the error came from."""
    with pytest.raises(ReceiverUnavailable, match=match) as caught:
        post(poster)
    assert caught.value.__cause__ is caught.value.__context__ is None


# Connections


def test_a_connection_is_kept_and_used_again(hook: Hook, poster_to: Callable[..., Poster]) -> None:
    chunked = (200, {"Transfer-Encoding": "chunked"}, b"2\r\nok\r\n0\r\n\r\n")
    answers: list[Any] = [204, (200, {}, b"thanks"), chunked, 500, 404]
    hook.answer = lambda delivery: answers.pop(0)
    poster = poster_to(hook.url)
    assert [post(poster) for _ in range(5)] == [204, 200, 200, 500, 404]
    assert len({each.connection for each in hook.deliveries}) == 1


def test_a_connection_that_was_closed_meanwhile_is_made_anew(poster_to: Callable[..., Poster]) -> None:
    def once(connection: socket.socket) -> None:
        request_of(connection)
        connection.sendall(FINE)

    with rough(once) as server:
        poster = poster_to(server.url)
        assert [post(poster) for _ in range(20)] == [200] * 20
        assert server.connections == 20


def test_a_connection_that_is_closed_as_the_request_is_on_its_way_is_made_anew(
    poster_to: Callable[..., Poster],
) -> None:
    def once(connection: socket.socket) -> None:
        request_of(connection)
        connection.sendall(FINE)
        request_of(connection)  # and no answer

    with rough(once) as server:
        poster = poster_to(server.url)
        assert [post(poster) for _ in range(5)] == [200] * 5
        assert server.connections == 5


def test_a_new_connection_that_is_closed_without_an_answer_is_no_answer(
    poster_to: Callable[..., Poster],
) -> None:
    with rough(request_of) as server:
        unavailable(poster_to(server.url), "broke off")
        assert server.connections == 1


def test_an_answer_that_nobody_asked_for_is_not_taken_for_the_next_one(
    poster_to: Callable[..., Poster],
) -> None:
    go, sent = threading.Event(), threading.Event()

    def act(connection: socket.socket) -> None:
        request_of(connection)
        if server.connections > 1:
            connection.sendall(FAILED)
            return
        connection.sendall(FINE)
        go.wait(PATIENCE)
        connection.sendall(FINE)
        sent.set()
        request_of(connection)

    with rough(act) as server:
        poster = poster_to(server.url)
        assert post(poster) == 200
        go.set()
        assert sent.wait(PATIENCE)
        assert post(poster) == 500


def test_what_was_deciphered_with_an_answer_is_not_taken_for_the_next_one(
    poster_to: Callable[..., Poster], tmp_path: Path
) -> None:
    files = tls_files(tmp_path, "127.0.0.1")

    def act(plain: socket.socket) -> None:
        with files.served().wrap_socket(plain, server_side=True) as connection:
            request_of(connection)
            connection.sendall(FINE * 300 if server.connections == 1 else FAILED)  # one record of TLS
            request_of(connection)

    with rough(act) as server:
        url = server.url.replace("http:", "https:")
        poster = poster_to(url, files.trusting())
        assert [post(poster), post(poster)] == [200, 500]


def test_an_answer_given_before_the_request_was_read_is_an_answer(poster_to: Callable[..., Poster]) -> None:
    def refuse(connection: socket.socket) -> None:
        connection.recv(1_000)
        connection.sendall(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

    with rough(refuse) as server:
        assert post(poster_to(server.url), bytes(20_000_000)) == 413


@pytest.mark.parametrize("early", [b"100 Continue", b"103 Early Hints", b"102 Processing"])
def test_what_is_said_before_the_answer_is_passed_over(
    early: bytes, poster_to: Callable[..., Poster]
) -> None:
    def act(connection: socket.socket) -> None:
        while request_of(connection):
            connection.sendall(b"HTTP/1.1 " + early + b"\r\nLink: </a>\r\n\r\n")
            connection.sendall(b"HTTP/1.1 " + early + b"\r\n\r\n" + FAILED)

    with rough(act) as server:
        poster = poster_to(server.url)
        assert [post(poster), post(poster)] == [500, 500]
        assert server.connections == 1


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH_9.2p1\r\n",
        b"HTTP/1.1 abc\r\n\r\n",
        b"HTTP/2 200\r\n\r\n",
        b"HTTP/1.1 2_00 OK\r\n\r\n",
        b"HTTP/1.1 +200 OK\r\n\r\n",
        b"HTTP/1.1 0200 OK\r\n\r\n",
        b"HTTP/1.1 099 OK\r\n\r\n",
        b"HTTP/1.1 \xd9\xa2\xd9\xa0\xd9\xa0 OK\r\n\r\n",
        b"HTTP/1.1 200",
        b"HTTP/1.1 200 " + b"a" * 70_000,
        b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 200 + b"\r\n",
        b"HTTP/1.1 200 OK\r\nA: b",
        b"\x00" * 100 + b"\r\n\r\n",
        b"",
    ],
    ids=range(14),
)
def test_what_is_no_http_is_no_answer(answer: bytes, poster_to: Callable[..., Poster]) -> None:
    def act(connection: socket.socket) -> None:
        request_of(connection)
        connection.sendall(answer)

    with rough(act) as server:
        unavailable(poster_to(server.url), "no HTTP")


def test_of_a_large_answer_little_is_read(
    poster_to: Callable[..., Poster], monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[int] = []
    plain = http_lines._Reader.readinto
    monkeypatch.setattr(
        http_lines._Reader, "readinto", lambda self, buffer: (read.append(n := plain(self, buffer)), n)[1]
    )
    heads = [b"Content-Length: 900000", b"Transfer-Encoding: chunked", b"Connection: close"]

    def act(connection: socket.socket) -> None:
        request_of(connection)
        head = heads[server.connections - 1]
        connection.sendall(b"HTTP/1.1 200 OK\r\n" + head + b"\r\n\r\nDBBA0\r\n" + bytes(900_000))

    with rough(act) as server:
        poster = poster_to(server.url)
        for number in range(len(heads)):
            assert post(poster) == 200
            assert sum(read) <= (number + 1) * 16_384
        assert server.connections == 3


def test_many_threads_have_a_connection_each(hook: Hook, poster_to: Callable[..., Poster]) -> None:
    poster = poster_to(hook.url)
    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(lambda n: post(poster, b"%d" % n), range(200))) == {204}
    assert {int(each.body) for each in hook.deliveries} == set(range(200))
    assert len({each.connection for each in hook.deliveries}) <= 8


def test_no_proxy_of_the_environment_is_used(
    hook: Hook, poster_to: Callable[..., Poster], monkeypatch: pytest.MonkeyPatch
) -> None:
    with rough(request_of) as proxy:
        for name in ("http_proxy", "https_proxy", "all_proxy"):
            monkeypatch.setenv(name, proxy.url)
            monkeypatch.setenv(name.upper(), proxy.url)
        assert post(poster_to(hook.url)) == 204
        assert proxy.connections == 0


# Time


@pytest.mark.parametrize(
    ("whole", "slow"),
    [
        (b"", FINE),
        (b"HTTP/1.1 200 OK\r\n", b"A: b\r\nContent-Length: 0\r\n\r\n"),
        (b"", b"HTTP/1.1 103 Wait\r\n\r\n" * 9 + FINE),
        (b"", b""),
    ],
    ids=["status", "headers", "provisional", "silence"],
)
def test_attack_a_server_that_drips_bytes_holds_nobody_beyond_the_deadline(
    whole: bytes, slow: bytes, poster_to: Callable[..., Poster]
) -> None:
    def act(connection: socket.socket) -> None:
        request_of(connection)
        connection.sendall(whole)
        drip(connection, slow)
        if not slow:
            time.sleep(4)
            connection.sendall(FINE)

    with rough(act) as server:
        unavailable(poster_to(server.url, timeout=SHORT), r"within 0\.4 s")


def test_a_body_that_drips_is_left_alone_and_the_answer_stands(
    poster_to: Callable[..., Poster], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(posting, "_PATIENCE_WITH_A_BODY", 0.1)

    def act(connection: socket.socket) -> None:
        while request_of(connection):
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n")
            drip(connection, bytes(100))

    with rough(act) as server:
        poster = poster_to(server.url)
        assert [post(poster), post(poster)] == [200, 200]
        assert server.connections == 2


def test_a_server_that_reads_nothing_holds_nobody_beyond_the_deadline(
    poster_to: Callable[..., Poster],
) -> None:
    let_go, in_vain = threading.Event(), list[bool]()
    with rough(lambda connection: in_vain.append(not let_go.wait(10))) as server:
        with pytest.raises(ReceiverUnavailable, match="within"):
            post(poster_to(server.url, timeout=SHORT), bytes(20_000_000))
        let_go.set()
        until(lambda: in_vain == [False])


def test_a_tls_handshake_that_drips_holds_nobody_beyond_the_deadline(
    poster_to: Callable[..., Poster],
) -> None:
    def act(connection: socket.socket) -> None:
        connection.recv(10_000)
        drip(connection, b"\x16\x03\x03\x00\x60" + bytes(0x60))

    with rough(act) as server:
        url = server.url.replace("http:", "https:")
        unavailable(poster_to(url, ssl.create_default_context(), timeout=SHORT), "within")


# Names


def test_attack_localhost_is_this_machine_whatever_a_resolver_says(
    hook: Hook, poster_to: Callable[..., Poster], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []
    monkeypatch.setattr(socket, "getaddrinfo", lambda *given, **more: asked.append(given))
    assert post(poster_to(hook.url.replace("127.0.0.1", "localhost"))) == 204
    assert post(poster_to(hook.url)) == 204
    assert asked == []


def found(*ports: int) -> list[tuple[Any, ...]]:
    return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port)) for port in ports]


def test_a_name_server_that_hangs_holds_nobody_beyond_the_deadline_and_gathers_no_threads(
    poster_to: Callable[..., Poster], monkeypatch: pytest.MonkeyPatch
) -> None:
    go = threading.Event()
    calls: list[str] = []

    def hang(host: str, *_: object, **__: object) -> list[tuple[Any, ...]]:
        calls.append(host)
        assert go.wait(PATIENCE)
        return found(1)

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    poster = poster_to("https://hooks.example.com/", ssl.create_default_context(), timeout=0.1)
    for _ in range(5):
        unavailable(poster, "within")
    assert calls == ["hooks.example.com"]
    with monkeypatch.context() as patched:
        patched.setattr("os.getpid", lambda: 1)  # a forked child has no such thread
        unavailable(poster, "within")
    assert len(calls) == 2
    go.set()
    until(lambda: not [each for each in threading.enumerate() if each.name == "clawguard-name"])
    unavailable(poster_to("https://hooks.example.com/", ssl.create_default_context()), "Connection refused")


def test_a_name_without_an_address_is_unavailable(
    poster_to: Callable[..., Poster], monkeypatch: pytest.MonkeyPatch
) -> None:
    for raised in (socket.gaierror(-2, "Name or service not known"), UnicodeError("label too long")):

        def fail(*_: object, error: Exception = raised, **__: object) -> None:
            raise error

        monkeypatch.setattr(socket, "getaddrinfo", fail)
        unavailable(poster_to("https://hooks.example.com/"), "no address")
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [])
    unavailable(poster_to("https://hooks.example.com/"), "no address")


def test_where_no_thread_can_be_started_the_next_call_tries_again(
    poster_to: Callable[..., Poster], monkeypatch: pytest.MonkeyPatch
) -> None:
    poster = poster_to("https://hooks.example.com/")
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found(1))
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", lambda self: (_ for _ in ()).throw(RuntimeError("no")))
        unavailable(poster, "no thread")
    unavailable(poster, "Connection refused")


def test_an_address_that_is_dead_does_not_take_the_time_of_the_others(
    poster_to: Callable[..., Poster], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    files = tls_files(tmp_path, "hooks.example.com")
    with rough(lambda connection: time.sleep(PATIENCE)) as dead, running(Hook(tls=files.served())) as hook:
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found(1, dead.port, hook.server_port))
        poster = poster_to("https://hooks.example.com/", files.trusting(), timeout=6)
        assert post(poster) == 204
        assert dead.connections == 1


def test_an_address_that_refuses_at_once_is_no_reason_to_give_up_the_fifth(
    poster_to: Callable[..., Poster], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    files = tls_files(tmp_path, "hooks.example.com")
    with running(Hook(tls=files.served())) as hook:
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found(*[1] * 20, hook.server_port))
        assert post(poster_to("https://hooks.example.com/", files.trusting())) == 204


# TLS


def test_tls_is_spoken_with_who_can_prove_itself(poster_to: Callable[..., Poster], tmp_path: Path) -> None:
    files = tls_files(tmp_path, "127.0.0.1")
    with running(Hook(tls=files.served())) as hook:
        poster = poster_to(hook.url, files.trusting())
        assert [post(poster) for _ in range(3)] == [204] * 3
        assert len({each.connection for each in hook.deliveries}) == 1


@pytest.mark.parametrize(
    ("host", "days", "trusted", "reason"),
    [
        ("127.0.0.1", 1, False, "issuer"),
        ("127.0.0.2", 1, True, "mismatch"),
        ("localhost", 1, True, "mismatch"),
        ("127.0.0.1", -1, True, "expired"),
    ],
)
def test_attack_a_certificate_that_does_not_hold_gets_no_event(
    host: str, days: int, trusted: bool, reason: str, poster_to: Callable[..., Poster], tmp_path: Path
) -> None:
    files = tls_files(tmp_path, host, days=days)
    context = files.trusting() if trusted else ssl.create_default_context()
    with running(Hook(tls=files.served())) as hook:
        unavailable(poster_to(hook.url, context), f"certificate that does not hold: .*{reason}")
        assert hook.deliveries == []


def test_who_speaks_no_tls_gets_no_event(hook: Hook, poster_to: Callable[..., Poster]) -> None:
    unavailable(
        poster_to(hook.url.replace("http:", "https:"), ssl.create_default_context()), "does not speak TLS"
    )
    assert hook.deliveries == []


# Forks, and the end


def test_a_forked_child_has_connections_of_its_own(hook: Hook, poster_to: Callable[..., Poster]) -> None:
    poster = poster_to(hook.url)
    post(poster)
    with crew() as start:
        assert start(lambda: [post(poster), post(poster)]).result() == [204, 204]
    post(poster)
    first, child, again, last = (each.connection for each in hook.deliveries)
    assert first == last
    assert child == again != first


def test_a_child_forked_in_the_middle_of_a_call_can_call(
    hook: Hook, poster_to: Callable[..., Poster]
) -> None:
    begun, go = threading.Event(), threading.Event()

    def wait_once(delivery: Delivery) -> int:
        if not begun.is_set():
            begun.set()
            go.wait(PATIENCE)
        return 204

    hook.answer = wait_once
    poster = poster_to(hook.url)
    with ThreadPoolExecutor(1) as pool, crew() as start:
        call = pool.submit(post, poster)
        assert begun.wait(PATIENCE)
        assert start(post, poster).result() == 204
        go.set()
        assert call.result() == 204


def gone(server_side: socket.socket, seen: list[bytes]) -> None:
    request_of(server_side)
    server_side.sendall(FINE)
    seen.append(server_side.recv(1))


def test_a_close_lets_go_of_what_is_idle_and_nothing_is_sent_afterwards(
    poster_to: Callable[..., Poster],
) -> None:
    seen: list[bytes] = []
    with rough(lambda connection: gone(connection, seen)) as server:
        poster = poster_to(server.url)
        assert post(poster) == 200
        poster.close()
        poster.close()
        until(lambda: seen == [b""])
        unavailable(poster, "closed")
        assert server.connections == 1


def test_a_close_in_the_middle_of_a_call_lets_it_end_and_keeps_nothing(
    poster_to: Callable[..., Poster],
) -> None:
    begun, go, seen = threading.Event(), threading.Event(), list[bytes]()

    def act(connection: socket.socket) -> None:
        begun.set()
        go.wait(PATIENCE)
        gone(connection, seen)

    with rough(act) as server, ThreadPoolExecutor(1) as pool:
        poster = poster_to(server.url)
        call = pool.submit(post, poster)
        assert begun.wait(PATIENCE)
        poster.close()
        go.set()
        assert call.result() == 200
        until(lambda: seen == [b""])


def test_who_forgets_to_close_leaves_nothing_open() -> None:
    seen: list[bytes] = []
    with rough(lambda connection: gone(connection, seen)) as server:
        poster = Poster(parse_endpoint(server.url), None, timeout=PATIENCE)
        assert post(poster) == 200
        del poster
        gc.collect()
        until(lambda: seen == [b""])
