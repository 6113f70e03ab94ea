"""Redis Streams: every event an entry, and nothing that goes wrong with Redis loses or parks one."""

from __future__ import annotations

import json
import os
import pickle
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import redis

from clawguard import Event, InvalidArgument, SessionManager
from clawguard.errors import EventRefused, ReceiverUnavailable
from clawguard.relays.redis import RedisRelay
from tests.certificates import tls_files
from tests.openers import KEK
from tests.relays.scene import SECRET, drip, large, pretender, some_events
from tests.servers import HOST, REDIS, Server, entries, free_port, redis_server, redis_url, unique
from tests.subscribing import PATIENCE, made, position, until


@pytest.fixture
def url() -> str:
    return redis_url()


@pytest.fixture
def stream(url: str) -> Iterator[str]:
    name = unique("clawguard-test")
    yield name
    with redis.Redis.from_url(url) as client:
        client.delete(name)


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Server]:
    with redis_server(tmp_path / "redis") as server:
        yield server


@pytest.fixture(scope="module")
def events() -> list[Event]:
    return some_events()


UNKNOWN = (
    "cache", "client_info", "command_packer", "connection_class", "credential_provider", "decode_responses",
    "encoding", "event_dispatcher", "health_check_interval", "host", "lib_name", "maint_notifications_config",
    "max_connections", "parser_class", "path", "port", "protocol", "redis_connect_func", "retry",
    "retry_on_error", "retry_on_timeout", "socket_connect_timeout", "socket_read_size", "socket_timeout",
    "socket_type", "timeout", "x", "DB",
)  # fmt: skip


def url_of(server: Server, credentials: str = "") -> str:
    return f"redis://{credentials}{HOST}:{server.port}/0"


def asked(server: Server, *command: str) -> None:
    with redis.Redis(host=HOST, port=server.port) as client:
        client.execute_command(*command)


def test_every_event_of_the_log_becomes_an_entry_in_order(url: str, stream: str) -> None:
    with SessionManager.open(":memory:", sweep_every=None) as manager:
        made(manager, 150)
        with RedisRelay(url, stream=stream, source=manager.issuer) as relay:
            manager.on("*", relay, durable="redis", after=0)
            until(lambda: position(manager, "redis") == 150)
        expected = [
            {
                "id": event.id,
                "type": event.type,
                "seq": str(event.seq),
                "event": event.to_cloudevent(source=manager.issuer),
            }
            for event in manager.events.read(limit=200)
        ]
        found = entries(REDIS, stream)
    assert [each | {"event": json.loads(each["event"])} for each in found] == expected


@pytest.mark.parametrize("format", ["ocsf", "clawguard"])
def test_an_event_is_written_in_the_format_asked_for(
    url: str, stream: str, format: Any, events: list[Event]
) -> None:
    with RedisRelay(url, stream=stream, format=format) as relay:
        relay(events[0])
    (entry,) = entries(REDIS, stream)
    expected = events[0].to_dict() if format == "clawguard" else events[0].to_ocsf()
    assert json.loads(entry["event"]) == expected


def test_redis_has_the_event_when_the_call_returns(url: str, stream: str, events: list[Event]) -> None:
    with RedisRelay(url, stream=stream) as relay:
        for count, event in enumerate(events, start=1):
            relay(event)
            assert len(entries(REDIS, stream)) == count


def test_an_event_that_comes_twice_is_known_by_its_id(url: str, stream: str, events: list[Event]) -> None:
    with RedisRelay(url, stream=stream) as relay:
        relay(events[0])
        relay(events[0])
    first, second = entries(REDIS, stream)
    assert first["id"] == second["id"] == events[0].id


def test_a_stream_may_be_kept_to_a_length(url: str, stream: str, events: list[Event]) -> None:
    with RedisRelay(url, stream=stream, max_length=100) as relay:
        for _ in range(500):
            relay(events[0])
        relay(events[1])
    found = entries(REDIS, stream)
    assert 100 <= len(found) <= 250
    assert found[-1]["id"] == events[1].id


def test_threads_may_share_a_relay(url: str, stream: str, events: list[Event]) -> None:
    with RedisRelay(url, stream=stream) as relay:
        threads = [threading.Thread(target=lambda: [relay(event) for event in events * 20]) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(entries(REDIS, stream)) == 4 * 20 * len(events)


def test_a_forked_child_has_a_connection_of_its_own(url: str, stream: str, events: list[Event]) -> None:
    with RedisRelay(url, stream=stream) as relay:
        relay(events[0])
        if not (pid := os.fork()):
            try:
                relay(events[1])
                os._exit(0)
            except BaseException:
                os._exit(1)
        assert os.waitpid(pid, 0)[1] == 0
        relay(events[2])
    assert [each["id"] for each in entries(REDIS, stream)] == [event.id for event in events]


def test_what_stands_in_the_way_parks_nothing_and_loses_nothing(url: str, stream: str) -> None:
    with redis.Redis.from_url(url) as client, SessionManager.open(":memory:", sweep_every=None) as manager:
        client.set(stream, "a text")
        made(manager, 5)
        tried: list[int] = []
        with RedisRelay(url, stream=stream) as relay:

            def take(event: Event) -> None:
                tried.append(event.seq)
                relay(event)

            manager.on("session.*", take, durable="redis", after=0, tries=1)
            until(lambda: len(tried) > 3)
            assert set(tried) == {1}
            client.delete(stream)
            until(lambda: position(manager, "redis") == 5)
        assert manager.subscribers.parked("redis") == ()
    assert [each["seq"] for each in entries(REDIS, stream)] == ["1", "2", "3", "4", "5"]


def test_an_event_that_redis_never_takes_is_parked_at_once(own: Server, events: list[Event]) -> None:
    asked(own, "CONFIG", "SET", "proto-max-bulk-len", "1048576")
    with RedisRelay(url_of(own)) as relay:
        with pytest.raises(
            EventRefused, match=f"^Redis at {HOST}:{own.port} takes no text as large as this event$"
        ):
            relay(large(events[0], 2**20))
        relay(events[1])
    assert [each["id"] for each in entries(own.port, "clawguard")] == [events[1].id]


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (("CONFIG", "SET", "maxmemory", "1"), "OOM"),
        (("REPLICAOF", HOST, "1"), "READONLY"),
        (("CONFIG", "SET", "min-replicas-to-write", "1"), "NOREPLICAS"),
    ],
)
def test_a_redis_that_takes_no_writes_is_unavailable(
    own: Server, events: list[Event], command: tuple[str, ...], code: str
) -> None:
    asked(own, *command)
    with RedisRelay(url_of(own)) as relay, pytest.raises(ReceiverUnavailable, match=f"now: {code}$"):
        relay(events[0])


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        ("LOADING Redis is loading the dataset in memory", "is still loading$"),
        ("MISCONF Redis is configured to save RDB snapshots", "now: MISCONF$"),
        ("MOVED 12182 127.0.0.1:7001", "now: MOVED$"),
        (f"ERR {SECRET} is no command", "now: ERR$"),
        ("NOAUTH Authentication required.", "refuses the user or the password"),
        (
            "NOPERM this user has no permissions to run the 'xadd' command",
            r"its ACL needs ~clawguard \+xadd$",
        ),
    ],
)
def test_what_redis_answers_says_why_and_parks_nothing(events: list[Event], answer: str, says: str) -> None:
    def talk(one: socket.socket) -> None:
        while data := one.recv(65_536):
            for command in data.split(b"\r\n*"):
                one.sendall(f"-{answer}\r\n".encode() if b"XADD" in command else b"+OK\r\n")

    with pretender(talk) as port, RedisRelay(f"redis://{HOST}:{port}") as relay:
        with pytest.raises(ReceiverUnavailable, match=says) as caught:
            relay(events[0])
        assert SECRET not in str(caught.value)


def test_a_redis_that_says_nothing_is_given_up(events: list[Event]) -> None:
    with (
        pretender(lambda one: one.recv(65_536)) as port,
        RedisRelay(f"redis://{HOST}:{port}", timeout=0.2) as relay,
        pytest.raises(ReceiverUnavailable, match=r"did not answer in time$"),
    ):
        relay(events[0])


def commands(one: socket.socket) -> Iterator[bytes]:
    """Yield the name of each command that comes."""
    while data := one.recv(65_536):
        yield from re.findall(rb"\*[0-9]+\r\n\$[0-9]+\r\n([A-Z]+)\r\n", data)


@pytest.mark.parametrize("slow", [b"AUTH", b"SELECT", b"XADD", b"CLIENT"])
def test_attack_a_redis_that_drips_bytes_holds_nobody_beyond_the_deadline(
    slow: bytes, events: list[Event]
) -> None:
    def talk(one: socket.socket) -> None:
        for command in commands(one):
            answer = b"$3\r\n1-1\r\n" if command == b"XADD" else b"+OK\r\n"
            (drip if command == slow else socket.socket.sendall)(one, answer)

    with (
        pretender(talk) as port,
        RedisRelay(f"redis://:{SECRET}@{HOST}:{port}/3", timeout=2) as relay,
        pytest.raises(ReceiverUnavailable, match=r"did not answer in time$"),
    ):
        relay(events[0])


def test_attack_a_redis_that_answers_each_command_late_has_the_time_of_one_call(events: list[Event]) -> None:
    def talk(one: socket.socket) -> None:
        for command in commands(one):
            time.sleep(0.4)
            one.sendall(b"$3\r\n1-1\r\n" if command == b"XADD" else b"+OK\r\n")

    with (
        pretender(talk) as port,
        RedisRelay(f"redis://:{SECRET}@{HOST}:{port}/3", timeout=1) as relay,
        pytest.raises(ReceiverUnavailable, match=r"did not answer in time$"),
    ):
        relay(events[0])


@pytest.mark.parametrize("scheme", ["rediss", "unix"])
def test_attack_the_deadline_holds_over_tls_and_a_unix_socket_too(
    scheme: str, tmp_path: Path, events: list[Event]
) -> None:
    files, path = tls_files(tmp_path, HOST), tmp_path / "redis.sock"

    def talk(plain: socket.socket) -> None:
        with files.served().wrap_socket(plain, server_side=True) if scheme == "rediss" else plain as one:
            for command in commands(one):
                if command == b"XADD":
                    drip(one, b"$3\r\n1-1\r\n")
                one.sendall(b"+OK\r\n")

    with pretender(talk, path=path if scheme == "unix" else None) as port:
        where = f"//{HOST}:{port}/0?ssl_ca_certs={files.authority}" if scheme == "rediss" else f"//{path}"
        with (
            RedisRelay(f"{scheme}:{where}", timeout=1) as relay,
            pytest.raises(ReceiverUnavailable, match=r"did not answer in time$"),
        ):
            relay(events[0])


def test_a_tls_handshake_that_drips_holds_nobody_beyond_the_deadline(events: list[Event]) -> None:
    def talk(one: socket.socket) -> None:
        one.recv(10_000)
        drip(one, b"\x16\x03\x03\x00\x60" + bytes(0x60))

    with (
        pretender(talk) as port,
        RedisRelay(f"rediss://{HOST}:{port}/0", timeout=0.4) as relay,
        pytest.raises(ReceiverUnavailable, match=r"did not answer in time$"),
    ):
        relay(events[0])


def test_a_redis_at_a_unix_socket_takes_events(tmp_path: Path, events: list[Event]) -> None:
    path = tmp_path / "redis.sock"
    with redis_server(tmp_path / "redis", "--unixsocket", str(path)) as server:
        with RedisRelay(f"unix://{path}") as relay:
            for event in events:
                relay(event)
        assert [each["id"] for each in entries(server.port, "clawguard")] == [each.id for each in events]


def test_a_name_server_that_hangs_holds_nobody_beyond_the_deadline(
    events: list[Event], monkeypatch: pytest.MonkeyPatch
) -> None:
    go = threading.Event()

    def hang(*_: object, **__: object) -> list[Any]:
        assert go.wait(PATIENCE)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    with RedisRelay("redis://broker.example/0", timeout=0.2) as relay:
        with pytest.raises(ReceiverUnavailable, match=r"did not answer in time$"):
            relay(events[0])
        go.set()
        with pytest.raises(ReceiverUnavailable, match=r"cannot be reached$"):
            relay(events[0])


def test_no_error_says_the_password(own: Server, events: list[Event]) -> None:
    asked(own, "ACL", "SETUSER", "writer", "on", f">{SECRET}", "~clawguard", "+xadd", "+client")
    for credentials, says in [
        (f"writer:{SECRET}x@", "refuses the user or the password"),
        (f"nobody:{SECRET}@", "refuses the user or the password"),
    ]:
        relay = RedisRelay(url_of(own, credentials))
        with relay, pytest.raises(ReceiverUnavailable, match=says) as caught:
            relay(events[0])
        assert SECRET not in repr(caught.value) + str(caught.value) + repr(relay)
        assert caught.value.__cause__ is None
        assert caught.value.__context__ is None
    with RedisRelay(url_of(own, f"writer:{SECRET}@")) as relay:
        relay(events[0])
    with (
        RedisRelay(url_of(own, f"writer:{SECRET}@"), stream="other") as relay,
        pytest.raises(ReceiverUnavailable, match=r"its ACL needs ~other \+xadd$"),
    ):
        relay(events[0])
    assert len(entries(own.port, "clawguard")) == 1


def test_nobody_there_is_no_fault_of_the_event(events: list[Event]) -> None:
    port = free_port()
    with (
        RedisRelay(f"redis://{HOST}:{port}/0") as relay,
        pytest.raises(ReceiverUnavailable, match=f"^Redis at {HOST}:{port} cannot be reached$"),
    ):
        relay(events[0])


def test_tls_holds_the_certificate_against_who_is_trusted(tmp_path: Path, events: list[Event]) -> None:
    files, tls_port = tls_files(tmp_path, HOST), free_port()
    arguments = ["--tls-port", str(tls_port), "--tls-cert-file", str(files.certificate)]
    arguments += ["--tls-key-file", str(files.key), "--tls-ca-cert-file", str(files.authority)]
    arguments += ["--tls-auth-clients", "no"]
    with redis_server(tmp_path / "redis", *arguments) as server:
        with RedisRelay(f"rediss://{HOST}:{tls_port}/0?ssl_ca_certs={files.authority}") as relay:
            relay(events[0])
        with (
            RedisRelay(f"rediss://{HOST}:{tls_port}/0") as relay,
            pytest.raises(ReceiverUnavailable, match=r"shows no certificate that holds$"),
        ):
            relay(events[1])
        with (
            RedisRelay(f"rediss://localhost:{tls_port}/0?ssl_ca_certs={files.authority}") as relay,
            pytest.raises(ReceiverUnavailable, match=r"shows no certificate that holds$"),
        ):
            relay(events[1])
        assert [each["id"] for each in entries(server.port, "clawguard")] == [events[0].id]


def test_a_closed_relay_is_unavailable_and_loses_nothing(url: str, stream: str, events: list[Event]) -> None:
    relay = RedisRelay(url, stream=stream)
    relay(events[0])
    relay.close()
    relay.close()
    with pytest.raises(ReceiverUnavailable, match=r"is closed$"):
        relay(events[1])
    assert len(entries(REDIS, stream)) == 1


def test_a_close_in_the_middle_of_a_call_lets_it_end_and_keeps_nothing(events: list[Event]) -> None:
    begun, go, seen = threading.Event(), threading.Event(), list[bytes]()

    def talk(one: socket.socket) -> None:
        for command in commands(one):
            if command == b"XADD":
                begun.set()
                assert go.wait(PATIENCE)
                one.sendall(b"$3\r\n1-1\r\n")
                seen.append(one.recv(1))
            else:
                one.sendall(b"+OK\r\n")

    with pretender(talk) as port, ThreadPoolExecutor(1) as pool:
        relay = RedisRelay(f"redis://{HOST}:{port}")
        call = pool.submit(relay, events[0])
        assert begun.wait(PATIENCE)
        relay.close()
        go.set()
        assert call.result() is None
        until(lambda: seen == [b""])
        with pytest.raises(ReceiverUnavailable, match=r"is closed$"):
            relay(events[0])


@pytest.mark.parametrize(
    ("query", "is_checked"),
    [
        ("", True),
        ("?ssl_ca_certs=/ca.pem", True),
        ("?ssl_cert_reqs=required", True),
        ("?ssl_cert_reqs=none", False),
        ("?ssl_check_hostname=no", False),
    ],
)
def test_attack_host_names_are_held_against_certificates_unless_the_url_says_otherwise(
    query: str, is_checked: bool
) -> None:
    pool = RedisRelay(f"rediss://h/0{query}")._redis.connection_pool
    assert pool.connection_kwargs["ssl_check_hostname"] is is_checked


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        *[
            ("url", each)
            for each in ("", 7, None, b"redis://h", "http://h", "h:6379", "redis://h/abc", "redis://[::1")
        ],
        *[("url", f"redis://:{SECRET}@h{each}") for each in (":99999", ":x", "/0?foo=1", "/1/2", "?db=x")],
        *[("url", f"redis://{each}h/0") for each in (f"{SECRET}#x@", f"u:12?{SECRET}@", f"u:{SECRET} @")],
        *[("url", f"redis://{each}/0") for each in ("h\n", "h:0", "[h]", "[::1]h", "h,g", "h\u200b")],
        *[("url", f"redis://h/0?{each}={SECRET}") for each in UNKNOWN],
        *[("stream", each) for each in ("", 7, "a\nb", "x" * 256)],
        *[("max_length", each) for each in (0, -1, 1.5, "9", True, 2**63)],
        *[("timeout", each) for each in (0, 11, "5")],
        ("format", "cef"),
        ("source", ""),
    ],
)
def test_settings_that_cannot_be_are_refused_at_once(argument: str, value: Any) -> None:
    with pytest.raises(InvalidArgument) as caught:
        RedisRelay(**{argument: value})
    assert caught.value.argument == argument
    assert SECRET not in str(caught.value)


def test_a_relay_shows_no_password_and_is_not_copied() -> None:
    relay = RedisRelay(f"rediss://user:{SECRET}@broker.example:7000/3", stream="audit")
    assert repr(relay) == "RedisRelay('broker.example:7000', stream='audit')"
    assert repr(RedisRelay(f"unix:///run/redis.sock?password={SECRET}")) == (
        "RedisRelay('/run/redis.sock', stream='clawguard')"
    )
    with pytest.raises(TypeError):
        pickle.dumps(relay)


def test_a_missing_library_says_which_extra_brings_it() -> None:
    source = "import sys; sys.modules['redis'] = None; import clawguard.relays.redis"
    run = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=False)
    assert (
        "ImportError: this relay needs the library redis: pip install 'clawguard-sessions[redis]'"
        in run.stderr
    )


def test_what_a_redis_without_a_file_forgets_is_sent_again_under_a_new_name(tmp_path: Path) -> None:
    with (
        redis_server(tmp_path / "redis", "--appendonly", "no") as server,
        SessionManager.open(":memory:", sweep_every=None) as manager,
        RedisRelay(url_of(server)) as relay,
        RedisRelay(url_of(server)) as another,
    ):
        made(manager, 20)
        manager.on("session.*", relay, durable="redis", after=0)
        until(lambda: position(manager, "redis") == 20)
        server.kill()
        server.start()
        assert entries(server.port, "clawguard") == []
        manager.on("session.*", another, durable="redis-again", after=0)
        until(lambda: position(manager, "redis-again") == 20)
        found = entries(server.port, "clawguard")
    assert [each["seq"] for each in found] == [str(seq) for seq in range(1, 21)]


def test_a_refused_event_is_parked_with_the_reason(own: Server, tmp_path: Path) -> None:
    asked(own, "CONFIG", "SET", "proto-max-bulk-len", "1048576")
    with (
        SessionManager.open(tmp_path / "data" / "clawguard.db", kek=KEK, sweep_every=None) as manager,
        RedisRelay(url_of(own)) as relay,
    ):
        made(manager, 3)

        def enlarge(event: Event) -> None:
            relay(large(event, 2**20) if event.seq == 2 else event)

        manager.on("session.*", enlarge, durable="redis", after=0)
        until(lambda: position(manager, "redis") == 3)
        (parked,) = manager.subscribers.parked("redis")
    assert (parked.seq, parked.tries) == (2, 1)
    assert parked.error.endswith("takes no text as large as this event")
    assert [each["seq"] for each in entries(own.port, "clawguard")] == ["1", "3"]
