"""NATS JetStream: every event a message, known by its id, and nothing that goes wrong loses or parks one."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import pickle
import re
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nats
import pytest

from clawguard import Event, InvalidArgument, SessionManager
from clawguard.errors import EventRefused, ReceiverUnavailable
from clawguard.relays import jetstream
from clawguard.relays.nats import NatsRelay
from tests.certificates import tls_files
from tests.relays.scene import SECRET, Talk, large, pretender, some_events
from tests.servers import (
    HOST,
    NATS,
    Server,
    drop_stream,
    free_port,
    in_jetstream,
    nats_server,
    nats_url,
    published,
    stream_of,
    unique,
)
from tests.subscribing import PATIENCE, made, position, until

INFO = b'INFO {"server_id":"x","version":"2.9.10","proto":1,"headers":true,"max_payload":1048576}\r\n'


@pytest.fixture
def url() -> str:
    return nats_url()


@pytest.fixture
def subject() -> str:
    return unique("clawguard-test")


@pytest.fixture
def stream(url: str, subject: str) -> Iterator[str]:
    with stream_of(NATS, f"{subject}.>") as name:
        yield name


@pytest.fixture(scope="module")
def events() -> list[Event]:
    return some_events()


def url_of(server: Server, credentials: str = "", scheme: str = "nats") -> str:
    return f"{scheme}://{credentials}{HOST}:{server.port}"


def ids_in(port: int, stream: str) -> list[str]:
    return [each.headers["Nats-Msg-Id"] for each in published(port, stream)]


def open_files() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def test_every_event_of_the_log_becomes_a_message_in_order(url: str, subject: str, stream: str) -> None:
    with SessionManager.open(":memory:", sweep_every=None) as manager:
        for each in made(manager, 50):
            manager.revoke(each)
        with NatsRelay(url, subject=subject, source=manager.issuer) as relay:
            manager.on("*", relay, durable="nats", after=0)
            until(lambda: position(manager, "nats") == 100)
        expected = [
            (f"{subject}.{event.type}", event.id, event.to_cloudevent(source=manager.issuer))
            for event in manager.events.read(limit=200)
        ]
    found = published(NATS, stream)
    assert [(each.subject, each.headers["Nats-Msg-Id"], json.loads(each.body)) for each in found] == expected
    assert {each.headers["Content-Type"] for each in found} == {"application/cloudevents+json"}


def test_the_hosts_own_events_have_subjects_too(url: str, subject: str, stream: str) -> None:
    with (
        SessionManager.open(":memory:", sweep_every=None) as manager,
        NatsRelay(url, subject=subject) as relay,
    ):
        manager.events.register("memory.added")
        manager.on("memory.*", relay, durable="nats")
        event = manager.publish("memory.added", {"text": "noon"})
        until(lambda: published(NATS, stream))
    assert [(each.subject, each.headers["Nats-Msg-Id"]) for each in published(NATS, stream)] == [
        (f"{subject}.memory.added", event.id)
    ]


@pytest.mark.parametrize("format", ["ocsf", "clawguard"])
def test_an_event_is_written_in_the_format_asked_for(
    url: str, subject: str, stream: str, format: Any, events: list[Event]
) -> None:
    with NatsRelay(url, subject=subject, format=format) as relay:
        relay(events[0])
    (message,) = published(NATS, stream)
    expected = events[0].to_dict() if format == "clawguard" else events[0].to_ocsf()
    assert json.loads(message.body) == expected
    assert message.headers["Content-Type"] == "application/json"


def test_the_stream_has_the_event_when_the_call_returns(
    url: str, subject: str, stream: str, events: list[Event]
) -> None:
    with NatsRelay(url, subject=subject) as relay:
        for count, event in enumerate(events, start=1):
            relay(event)
            assert len(published(NATS, stream)) == count


def test_an_event_that_comes_twice_is_one_message(
    url: str, subject: str, stream: str, events: list[Event]
) -> None:
    for _ in range(2):
        with NatsRelay(url, subject=subject) as relay:
            relay(events[0])
            relay(events[0])
    assert ids_in(NATS, stream) == [events[0].id]


def test_threads_may_share_a_relay(url: str, subject: str, stream: str) -> None:
    events = some_events(60)
    with NatsRelay(url, subject=subject) as relay:
        shares = [events[start::4] for start in range(4)]
        threads = [
            threading.Thread(target=lambda share=share: [relay(each) for each in share]) for share in shares
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    found = ids_in(NATS, stream)
    assert sorted(found) == sorted(event.id for event in events)
    for share in shares:
        assert [each for each in found if each in {event.id for event in share}] == [
            each.id for each in share
        ]


def test_a_forked_child_has_a_connection_of_its_own(
    url: str, subject: str, stream: str, events: list[Event]
) -> None:
    with NatsRelay(url, subject=subject) as relay:
        relay(events[0])
        if not (pid := os.fork()):
            try:
                relay(events[1])
                relay.close()
                os._exit(0)
            except BaseException:
                os._exit(1)
        assert os.waitpid(pid, 0)[1] == 0
        relay(events[2])
    assert ids_in(NATS, stream) == [event.id for event in events]


def test_a_call_from_a_coroutine_does_not_meet_its_loop(
    url: str, subject: str, stream: str, events: list[Event]
) -> None:
    async def main() -> None:
        with NatsRelay(url, subject=subject) as relay:
            relay(events[0])

    asyncio.run(main())
    assert ids_in(NATS, stream) == [events[0].id]


def test_without_a_stream_events_wait_for_one(url: str, subject: str) -> None:
    tried: list[int] = []
    with SessionManager.open(":memory:", sweep_every=None) as manager:
        made(manager, 5)
        with NatsRelay(url, subject=subject) as relay:

            def take(event: Event) -> None:
                tried.append(event.seq)
                relay(event)

            manager.on("session.*", take, durable="nats", after=0, tries=1)
            until(lambda: len(tried) > 3)
            assert set(tried) == {1}
            with stream_of(NATS, f"{subject}.>") as stream:
                until(lambda: position(manager, "nats") == 5)
                assert [json.loads(each.body)["data"]["seq"] for each in published(NATS, stream)] == [
                    1,
                    2,
                    3,
                    4,
                    5,
                ]
        assert manager.subscribers.parked("nats") == ()


def test_no_stream_is_made_unless_asked_for(url: str, subject: str, events: list[Event]) -> None:
    with (
        NatsRelay(url, subject=subject) as relay,
        pytest.raises(
            ReceiverUnavailable, match=f"has no stream for {subject}.>; make one, or name one in create_"
        ),
    ):
        relay(events[0])


def test_a_stream_that_is_asked_for_is_made_on_disk(url: str, subject: str, events: list[Event]) -> None:
    name = unique("MADE")
    try:
        for event in events[:2]:
            with NatsRelay(url, subject=subject, create_stream=name) as relay:
                relay(event)
        config = in_jetstream(NATS, lambda context: context.stream_info(name)).config
        assert (config.subjects, config.storage, config.max_msgs) == ([f"{subject}.>"], "file", -1)
        assert ids_in(NATS, name) == [event.id for event in events[:2]]
        with NatsRelay(url, subject=subject, create_stream=name) as relay:
            relay(events[2])
            drop_stream(NATS, name)
            with pytest.raises(ReceiverUnavailable, match="has no stream for"):
                relay(events[2])
            relay(events[2])
        assert ids_in(NATS, name) == [events[2].id]
    finally:
        drop_stream(NATS, name)


def test_a_stream_that_is_there_stays_as_it_is(url: str, subject: str, events: list[Event]) -> None:
    with stream_of(NATS, f"{subject}.session.>", "other.>" + subject, max_msgs=7) as name:
        with NatsRelay(url, subject=subject, create_stream=name) as relay:
            relay(events[0])
        config = in_jetstream(NATS, lambda context: context.stream_info(name)).config
    assert (config.subjects, config.max_msgs) == ([f"{subject}.session.>", "other.>" + subject], 7)


def test_another_streams_subjects_are_not_taken_from_it(
    url: str, subject: str, stream: str, events: list[Event]
) -> None:
    with (
        NatsRelay(url, subject=subject, create_stream=unique("MADE")) as relay,
        pytest.raises(ReceiverUnavailable, match="has another stream with subjects of"),
    ):
        relay(events[0])
    assert ids_in(NATS, stream) == []


def test_an_event_beyond_the_servers_limit_is_refused_and_one_at_it_is_not(
    url: str, subject: str, stream: str, events: list[Event]
) -> None:
    headers = {"Nats-Msg-Id": events[0].id, "Content-Type": "application/cloudevents+json"}
    body = json.dumps(large(events[0], 0).to_cloudevent(), separators=(",", ":")).encode()
    room = 2**20 - jetstream.Message(f"{subject}.{events[0].type}", body, headers).size()
    with NatsRelay(url, subject=subject) as relay:
        with pytest.raises(EventRefused, match=r"takes no message as large as this event$"):
            relay(large(events[0], room + 1))
        relay(large(events[0], room))
    assert ids_in(NATS, stream) == [events[0].id]


def test_an_event_beyond_the_streams_limit_is_refused(url: str, subject: str, events: list[Event]) -> None:
    with stream_of(NATS, f"{subject}.>", max_msg_size=4_096) as stream:
        with NatsRelay(url, subject=subject) as relay:
            with pytest.raises(
                EventRefused, match=r"has a stream that takes no message as large as this event$"
            ):
                relay(large(events[0], 4_096))
            relay(events[1])
        assert ids_in(NATS, stream) == [events[1].id]


def test_a_full_stream_is_unavailable(url: str, subject: str, events: list[Event]) -> None:
    with (
        stream_of(NATS, f"{subject}.>", max_msgs=1, discard="new"),
        NatsRelay(url, subject=subject) as relay,
    ):
        relay(events[0])
        with pytest.raises(ReceiverUnavailable, match=r"does not take events now: JetStream error [0-9]+$"):
            relay(events[1])


def test_no_error_says_the_password(tmp_path: Path, events: list[Event]) -> None:
    config = tmp_path / "nats.conf"
    config.write_text(
        f"""authorization {{ users = [
            {{ user: writer, password: "{SECRET}/%" }}
            {{ user: reader, password: "{SECRET}", permissions: {{ publish: ["$JS.API.>"] }} }}
        ] }}"""
    )
    with nats_server(tmp_path / "nats", "-c", str(config)) as server:
        for credentials, says in [
            ("", "refuses the user, password or token of the URL"),
            (f"writer:{SECRET}@", "refuses the user, password or token of the URL"),
            (f"{SECRET}@", "refuses the user, password or token of the URL"),
            (f"reader:{SECRET}@", "does not let its user publish below clawguard.events"),
        ]:
            relay = NatsRelay(url_of(server, credentials), create_stream="LOG")
            with relay, pytest.raises(ReceiverUnavailable, match=f"{says}$") as caught:
                relay(events[0])
            assert SECRET not in repr(caught.value) + str(caught.value) + repr(relay)
            assert caught.value.__cause__ is None
        with NatsRelay(url_of(server, f"writer:{SECRET}%2F%25@"), create_stream="LOG") as relay:
            relay(events[0])
        count = in_jetstream(
            server.port, lambda context: context.stream_info("LOG"), user="writer", password=f"{SECRET}/%"
        ).state.messages
    assert count == 1


def test_nobody_there_is_no_fault_of_the_event(events: list[Event]) -> None:
    first, second = free_port(), free_port()
    servers = [f"nats://{HOST}:{first}", f"nats://{HOST}:{second}"]
    says = f"^NATS at {HOST}:{first}, {HOST}:{second} cannot be reached$"
    with NatsRelay(servers) as relay, pytest.raises(ReceiverUnavailable, match=says):
        relay(events[0])


def test_another_server_of_the_cluster_will_do(
    url: str, subject: str, stream: str, events: list[Event]
) -> None:
    for _ in range(4):  # which one is tried first is left to chance
        with NatsRelay([f"nats://{HOST}:{free_port()}", url], subject=subject) as relay:
            relay(events[0])
    assert ids_in(NATS, stream) == [events[0].id]


@pytest.mark.parametrize("said", [b"", INFO], ids=["silent", "no pong"])
def test_a_server_that_says_nothing_is_given_up(events: list[Event], said: bytes) -> None:
    with (
        pretender(lambda one: one.sendall(said)) as port,
        NatsRelay(f"nats://{HOST}:{port}", timeout=0.3) as relay,
    ):
        with pytest.raises(ReceiverUnavailable, match=r"did not answer in time$"):
            relay(events[0])
        open_before = open_files()
        for _ in range(4):
            with pytest.raises(ReceiverUnavailable, match=r"did not answer in time$"):
                relay(events[0])
        until(lambda: open_files() < open_before + 4)  # one or two may be on their way out, of both sides


def test_a_connection_that_breaks_under_an_event_is_noticed_before_the_time_is_up(
    events: list[Event],
) -> None:
    def talk(one: socket.socket) -> None:
        one.sendall(INFO)
        while data := one.recv(65_536):
            if b"PUB" in data:
                one.shutdown(socket.SHUT_RDWR)
                return
            one.sendall(b"PONG\r\n" * data.count(b"PING"))

    with (
        pretender(talk) as port,
        NatsRelay(f"nats://{HOST}:{port}", timeout=10) as relay,
        pytest.raises(ReceiverUnavailable, match=r"cannot be reached$"),
    ):
        relay(events[0])


@contextmanager
def answerer(url: str, subject: str, said: bytes) -> Iterator[None]:
    """Have somebody who is no stream answer what is published below a subject."""
    ready, over = threading.Event(), threading.Event()

    async def answer(message: Any) -> None:
        await message.respond(said)

    async def echo() -> None:
        client = await nats.connect(url)
        await client.subscribe(f"{subject}.>", cb=answer)
        await client.flush()
        ready.set()
        await asyncio.to_thread(over.wait)
        await client.close()

    thread = threading.Thread(target=asyncio.run, args=(echo(),))
    thread.start()
    try:
        assert ready.wait(PATIENCE)
        yield
    finally:
        over.set()
        thread.join()


def test_what_answers_but_is_no_stream_takes_nothing(url: str, subject: str, events: list[Event]) -> None:
    with (
        answerer(url, subject, b"yes?"),
        NatsRelay(url, subject=subject) as relay,
        pytest.raises(ReceiverUnavailable),
    ):
        relay(events[0])


def test_attack_an_answer_in_another_streams_name_takes_nothing_where_one_is_named(
    url: str, subject: str, events: list[Event]
) -> None:
    with stream_of(NATS, f"{subject}.elsewhere") as name:
        with answerer(url, subject, b'{"stream":"audit","seq":7}'):
            with (
                NatsRelay(url, subject=subject, create_stream=name) as relay,
                pytest.raises(ReceiverUnavailable, match=f"somebody else than the stream {name} answer"),
            ):
                relay(events[0])
            with NatsRelay(url, subject=subject) as relay:
                relay(events[0])  # so that it was an answer
        assert ids_in(NATS, name) == []


@pytest.mark.parametrize("limit", [b"0", b"-5", b"true", b"null", b'"a"', b"1.5"])
def test_a_limit_that_there_could_not_be_parks_nothing(limit: bytes, events: list[Event]) -> None:
    def talk(one: socket.socket) -> None:
        one.sendall(INFO.replace(b"1048576", limit))
        while data := one.recv(65_536):
            one.sendall(b"PONG\r\n" * data.count(b"PING"))

    with (
        pretender(talk) as port,
        NatsRelay(f"nats://{HOST}:{port}") as relay,
        pytest.raises(ReceiverUnavailable, match=r"does not speak NATS as it must$"),
    ):
        relay(events[0])


def test_nothing_is_sent_in_the_clear_where_tls_was_asked_for(events: list[Event]) -> None:
    heard: list[bytes] = []

    def talk(one: socket.socket) -> None:
        one.sendall(INFO)
        while data := one.recv(65_536):
            heard.append(data)

    with pretender(talk) as port:
        with (
            NatsRelay(f"tls://user:{SECRET}@{HOST}:{port}", timeout=1) as relay,
            pytest.raises(ReceiverUnavailable, match=r"offers no TLS$"),
        ):
            relay(events[0])
        assert heard == []
        with (
            NatsRelay(f"nats://user:{SECRET}@{HOST}:{port}", timeout=1) as relay,
            pytest.raises(ReceiverUnavailable),
        ):
            relay(events[0])
        assert SECRET.encode() in b"".join(heard)  # so this would have heard it


def test_tls_holds_the_certificate_against_who_is_trusted(tmp_path: Path, events: list[Event]) -> None:
    files = tls_files(tmp_path, HOST)
    arguments = ["--tls", "--tlscert", str(files.certificate), "--tlskey", str(files.key)]
    with nats_server(tmp_path / "nats", *arguments) as server:
        with NatsRelay(url_of(server, scheme="tls"), create_stream="LOG", tls=files.trusting()) as relay:
            relay(events[0])
        with (
            NatsRelay(url_of(server, scheme="tls"), create_stream="LOG") as relay,
            pytest.raises(ReceiverUnavailable, match=r"shows no certificate that holds$"),
        ):
            relay(events[1])
        count = in_jetstream(
            server.port, lambda context: context.stream_info("LOG"), tls=files.trusting()
        ).state.messages
    assert count == 1


def test_a_closed_relay_is_unavailable_and_leaves_no_thread(
    url: str, subject: str, stream: str, events: list[Event]
) -> None:
    before = set(threading.enumerate())
    relay = NatsRelay(url, subject=subject)
    relay(events[0])
    relay.close()
    relay.close()
    with pytest.raises(ReceiverUnavailable, match=r"is closed$"):
        relay(events[1])
    assert ids_in(NATS, stream) == [events[0].id]
    until(lambda: set(threading.enumerate()) <= before)


def test_who_forgets_to_close_leaves_no_thread_and_no_connection(events: list[Event]) -> None:
    seen: list[bytes] = []
    before = set(threading.enumerate())
    with pretender(acknowledging(seen.append)) as port:
        relay = NatsRelay(f"nats://{HOST}:{port}")
        relay(events[0])
        del relay
        gc.collect()
        until(lambda: seen == [b""])
        until(lambda: not [each for each in threading.enumerate() if each.name == "clawguard-nats"])
    until(lambda: set(threading.enumerate()) <= before)


def acknowledging(ended: Callable[[bytes], object], go: threading.Event | None = None) -> Talk:
    """Return what acknowledges each message, when it may, and tells the end of the connection."""

    def talk(one: socket.socket) -> None:
        one.sendall(INFO)
        said = b""
        while data := one.recv(65_536):
            said += data
            one.sendall(b"PONG\r\n" * data.count(b"PING"))
            for reply in re.findall(rb"HPUB \S+ (\S+) ", data):
                assert go is None or go.wait(PATIENCE)
                (number,) = re.findall(rb"\r\nSUB \S+ +(\d+)\r\n", said)
                body = b'{"stream":"LOG","seq":1}'
                one.sendall(b"MSG %b %b %d\r\n%b\r\n" % (reply, number, len(body), body))
        ended(data)

    return talk


def test_a_close_in_the_middle_of_a_call_lets_it_end_and_keeps_nothing(events: list[Event]) -> None:
    go, seen = threading.Event(), list[bytes]()
    before = set(threading.enumerate())
    with pretender(acknowledging(seen.append, go)) as port, ThreadPoolExecutor(1) as pool:
        relay = NatsRelay(f"nats://{HOST}:{port}")
        call = pool.submit(relay, events[0])
        until(relay._lock.locked)
        relay.close()
        assert not call.done()
        go.set()
        assert call.result() is None
        until(lambda: seen == [b""])
        with pytest.raises(ReceiverUnavailable, match=r"is closed$"):
            relay(events[0])
    until(lambda: set(threading.enumerate()) <= before)


def unverified() -> list[Any]:
    lax, nameless = ssl.create_default_context(), ssl.create_default_context()
    nameless.check_hostname = False
    lax.check_hostname = False
    lax.verify_mode = ssl.CERT_NONE
    return [lax, nameless, True, "ca.pem"]


@pytest.mark.parametrize("number", range(4))
def test_attack_a_context_that_verifies_nothing_is_refused(number: int) -> None:
    with pytest.raises(InvalidArgument, match=r"^tls: "):
        NatsRelay(tls=unverified()[number])


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        *[
            ("servers", each)
            for each in ("", 7, None, [], [7], "h:4222", "http://h", "ws://h", "nats://", b"nats://h")
        ],
        *[("servers", f"nats://u:{SECRET}@h{each}") for each in (":99999", ":x", "/path", "?a=1", "#b")],
        *[("servers", f"nats://{each}") for each in ("h h", "h\r\nPUB x", "h\n", "h\u200b", "h,g", "h:0")],
        *[("servers", f"nats://{each}") for each in ("[::1]h", "[h]", f"u:12#{SECRET}@h", f"u:{SECRET} @h")],
        ("servers", [f"nats://u:{SECRET}@h", f"nats://u:{SECRET}2@h"]),
        ("servers", [f"nats://u:{SECRET}@h", "nats://[::1"]),
        *[("subject", each) for each in ("", 7, "a b", "a.>", "a.*", ".a", "a.", "a..b", "$JS", "x" * 201)],
        *[("create_stream", each) for each in ("", 7, "a.b", "a b", "a*", "x" * 256)],
        *[("timeout", each) for each in (0, 11, "5")],
        ("format", "cef"),
        ("source", ""),
    ],
)
def test_settings_that_cannot_be_are_refused_at_once(argument: str, value: Any) -> None:
    with pytest.raises(InvalidArgument) as caught:
        NatsRelay(**{argument: value})
    assert caught.value.argument == argument
    assert SECRET not in str(caught.value)


def test_a_relay_shows_no_password_and_is_not_copied() -> None:
    relay = NatsRelay(
        [f"tls://user:{SECRET}@one.example", f"tls://user:{SECRET}@[::1]:7000"], subject="audit"
    )
    assert repr(relay) == "NatsRelay('one.example:4222, [::1]:7000', subject='audit')"
    assert SECRET not in repr(relay._link._servers)
    with pytest.raises(TypeError):
        pickle.dumps(relay)


def test_a_missing_library_says_which_extra_brings_it() -> None:
    source = "import sys; sys.modules['nats'] = None; import clawguard.relays.nats"
    run = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=False)
    assert (
        "ImportError: this relay needs the library nats-py: pip install 'clawguard-sessions[nats]'"
        in run.stderr
    )
