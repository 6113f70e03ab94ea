"""Webhooks: signed, taken by 2xx alone, in the order of the log; what does not answer loses nothing."""

from __future__ import annotations

import base64
import copy
import json
import logging
import pickle
import ssl
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook, WebhookVerificationError

from clawguard import Event, InvalidArgument, SessionManager
from clawguard.clock import SECOND
from clawguard.errors import EventRefused, ReceiverFailed, ReceiverUnavailable
from clawguard.relays.encoding import Format, encoder
from clawguard.relays.webhook import WebhookRelay
from tests.certificates import tls_files
from tests.clocks import FakeClock
from tests.openers import KEK
from tests.subscribing import made, position, until
from tests.webhooks import OTHER_SECRET, SECRET, Hook, event, request_of, rough, running

HIDDEN = "T0PSECRET"


def secret_of(key: bytes) -> str:
    return "whsec_" + base64.b64encode(key).decode()


@pytest.fixture
def hook() -> Iterator[Hook]:
    with running(Hook()) as made:
        yield made


@pytest.fixture
def relay(hook: Hook) -> Iterator[WebhookRelay]:
    with WebhookRelay(hook.url, secret=SECRET) as made:
        yield made


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[SessionManager]:
    """A manager by the machine's own clock: retries wait for it."""
    with SessionManager.open(tmp_path / "data" / "clawguard.db", kek=KEK, sweep_every=None) as opened:
        yield opened


# What is sent


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40)
KEYS = st.binary(min_size=24, max_size=64)


@given(
    keys=st.lists(KEYS, min_size=1, max_size=8),
    texts=st.tuples(TEXTS, TEXTS),
    at=st.integers(0, 2**33),
    format=st.sampled_from(["cloudevents", "ocsf", "clawguard"]),
)
def test_every_signature_is_what_the_standards_own_library_makes(
    keys: list[bytes], texts: tuple[str, str], at: int, format: Format
) -> None:
    given = event(reason=texts[0], data={"fields": [texts[1]]})
    relay = WebhookRelay(
        "http://localhost", secret=[secret_of(each) for each in keys], clock=FakeClock(at * SECOND + 999_999)
    )
    body = encoder(format).encode(given)
    headers = relay._signed(given.id, body)
    moment = datetime.fromtimestamp(at, UTC)
    expected = [Webhook(secret_of(each)).sign(given.id, moment, body.decode()) for each in keys]
    assert headers["webhook-signature"].split(" ") == expected
    assert headers["webhook-timestamp"] == str(at)
    assert headers["webhook-id"] == given.id


@pytest.mark.parametrize("format", ["cloudevents", "ocsf", "clawguard"])
def test_a_receiver_verifies_and_reads_each_format(hook: Hook, format: Format) -> None:
    with WebhookRelay(hook.url, secret=SECRET, format=format, source="urn:clawguard:mine") as relay:
        relay(event())
    (delivery,) = hook.deliveries
    written = encoder(format, source="urn:clawguard:mine")
    assert delivery.verified() == json.loads(written.encode(event()))
    assert delivery.body == written.encode(event())
    assert delivery["content-type"] == written.content_type
    assert delivery["webhook-id"] == event().id
    assert delivery.path == "/hook"


def test_an_authority_of_ones_own_is_enough(tmp_path: Path) -> None:
    files = tls_files(tmp_path, "127.0.0.1")
    context = files.trusting()
    with (
        running(Hook(tls=files.served())) as hook,
        WebhookRelay(hook.url, secret=SECRET, ssl_context=context) as relay,
        WebhookRelay(hook.url, secret=SECRET) as other,
    ):
        relay(event())
        with pytest.raises(ReceiverUnavailable, match="certificate"):
            other(event())
        assert len(hook.deliveries) == 1


def test_while_a_secret_is_exchanged_both_verify(hook: Hook) -> None:
    with WebhookRelay(hook.url, secret=[OTHER_SECRET, SECRET.rstrip("=")]) as relay:
        relay(event())
    assert hook.deliveries[0].verified(SECRET) == hook.deliveries[0].verified(OTHER_SECRET)
    assert len(hook.deliveries[0]["webhook-signature"].split(" ")) == 2


def test_attack_a_webhook_that_was_forged_or_altered_does_not_verify(hook: Hook, relay: WebhookRelay) -> None:
    relay(event())
    (delivery,) = hook.deliveries
    headers = dict(delivery.headers)
    changed = [
        (delivery.body.replace(b"planner", b"painter"), headers, SECRET),
        (delivery.body + b" ", headers, SECRET),
        (delivery.body, headers | {"webhook-id": "another"}, SECRET),
        (delivery.body, headers | {"webhook-timestamp": str(int(delivery["webhook-timestamp"]) - 1)}, SECRET),
        (delivery.body, headers, OTHER_SECRET),
    ]
    for body, sent, secret in changed:
        with pytest.raises(WebhookVerificationError, match="No matching signature"):
            Webhook(secret).verify(body, sent)
    assert Webhook(SECRET).verify(delivery.body, headers)


def test_attack_a_webhook_sent_again_later_shows_its_age_and_its_id(hook: Hook) -> None:
    clock = FakeClock()
    with WebhookRelay(hook.url, secret=SECRET, clock=clock) as relay:
        relay(event())
        clock.advance(300)
        relay(event())
    first, second = hook.deliveries
    assert first["webhook-id"] == second["webhook-id"]
    assert int(second["webhook-timestamp"]) - int(first["webhook-timestamp"]) == 300
    assert first["webhook-signature"] != second["webhook-signature"]
    with pytest.raises(WebhookVerificationError, match="too old"):
        first.verified()


def test_a_request_says_what_it_must_and_nothing_of_the_sender() -> None:
    seen: list[bytes] = []

    def act(connection: Any) -> None:
        seen.append(request_of(connection))
        connection.sendall(b"HTTP/1.1 204 Fine\r\n\r\n")

    with (
        rough(act) as server,
        WebhookRelay(
            f"{server.url}a?b=c", secret=SECRET, headers={"Authorization": "Bearer x", "X-Empty": ""}
        ) as relay,
    ):
        relay(event())
    head = seen[0].partition(b"\r\n\r\n")[0].decode().split("\r\n")
    assert head[0] == "POST /a?b=c HTTP/1.1"
    names = [line.partition(":")[0].lower() for line in head[1:]]
    assert sorted(names) == [
        "accept-encoding", "authorization", "content-length", "content-type", "host",
        "webhook-id", "webhook-signature", "webhook-timestamp", "x-empty",
    ]  # fmt: skip
    assert f"Host: 127.0.0.1:{server.port}" in head
    assert "Authorization: Bearer x" in head
    assert "X-Empty: " in head


# What the answer says


OF_THE_URL = (401, 403, 404, 405, 407, 410, 421, 451)


def outcome_of(call: Callable[[], object], status: int) -> type[BaseException] | None:
    """Return what a call raised, which says the status and nothing else of the answer."""
    try:
        call()
    except (ReceiverUnavailable, EventRefused, ReceiverFailed) as error:
        raised = error
    else:
        return None
    assert str(status) in raised.message
    assert HIDDEN not in f"{raised} {raised.__context__}"
    return type(raised)


@pytest.mark.slow
def test_2xx_alone_takes_an_event_and_every_other_status_has_its_meaning(
    hook: Hook, relay: WebhookRelay
) -> None:
    statuses = range(200, 1_000)
    answers: list[Any] = [(each, {}, b"" if each in (204, 304) else HIDDEN.encode()) for each in statuses]
    hook.answer = lambda delivery: answers.pop(0)
    found = [outcome_of(lambda: relay(event()), each) for each in statuses]
    assert found == [expected_of(each) for each in statuses]
    assert len({each.connection for each in hook.deliveries}) == 1


def expected_of(status: int) -> type[BaseException] | None:
    if status < 300:
        return None
    if status in (408, 425, 429, 502, 503, 504):
        return ReceiverUnavailable
    is_of_the_event = 400 <= status < 500 and status not in OF_THE_URL
    return EventRefused if is_of_the_event else ReceiverFailed


@pytest.mark.parametrize("status", [300, 301, 302, 303, 304, 305, 307, 308])
def test_attack_a_redirect_to_an_internal_host_is_not_followed(
    status: int, hook: Hook, relay: WebhookRelay
) -> None:
    with running(Hook()) as internal:
        places = [internal.url, "/elsewhere", "//127.0.0.1/", f"http://user:{HIDDEN}@127.0.0.1/"]
        hook.answer = lambda delivery: (status, {"Location": places.pop()}, b"")
        for _ in range(4):
            with pytest.raises(ReceiverFailed, match="redirects are not followed") as caught:
                relay(event())
            assert HIDDEN not in str(caught.value)
        assert internal.deliveries == []
    assert {each.path for each in hook.deliveries} == {"/hook"}
    assert len(hook.deliveries) == 4


# As a durable subscriber


def test_a_subscriber_sends_every_event_once_and_in_order(manager: SessionManager, hook: Hook) -> None:
    with WebhookRelay(hook.url, secret=SECRET, source=manager.issuer) as relay:
        manager.on("*", relay, durable="hook")
        for _ in range(25):
            manager.revoke(manager.create("planner", scopes="x"))
        until(lambda: position(manager, "hook") == 50)
        manager.off(relay)
    assert hook.ids == [each.id for each in manager.events.read(limit=1_000)]
    bodies = [each.verified() for each in hook.deliveries]
    assert [each["sequence"] for each in bodies] == [f"{n:020}" for n in range(1, 51)]
    assert {each["source"] for each in bodies} == {manager.issuer}
    assert len({each.connection for each in hook.deliveries}) == 1


@pytest.mark.parametrize("status", [400, 409, 413, 414, 415, 422, 431])
def test_what_is_refused_is_parked_at_once_with_the_status_and_the_rest_flows(
    status: int, manager: SessionManager, hook: Hook
) -> None:
    poison: list[str] = []
    hook.answer = lambda delivery: status if delivery["webhook-id"] in poison else 204
    with WebhookRelay(hook.url, secret=SECRET) as relay:
        made(manager, 5)
        events = manager.events.read()
        poison.append(events[2].id)
        manager.on("session.*", relay, durable="hook", after=0)
        until(lambda: position(manager, "hook") == 5)
        assert hook.ids == [each.id for each in events]
        (parked,) = manager.subscribers.parked("hook")
        assert (parked.seq, parked.tries) == (3, 1)
        assert parked.error.startswith(f"http://127.0.0.1 answered {status}")
        (alarm,) = manager.events.read(types="subscriber.parked")
        assert alarm.reason == parked.error
        poison.clear()
        assert manager.subscribers.replay("hook") == 1
        until(lambda: not manager.subscribers.parked("hook"))
        assert hook.ids[5:] == [events[2].id]
        manager.off(relay)


def test_a_failing_server_is_tried_again_until_the_event_is_parked(
    manager: SessionManager, hook: Hook
) -> None:
    first, second = made(manager, 2), [204]
    hook.answer = lambda delivery: 500 if delivery.verified()["subject"] == first[0] else second[0]
    with WebhookRelay(hook.url, secret=SECRET) as relay:
        manager.on("session.*", relay, durable="hook", after=0, tries=3)
        until(lambda: position(manager, "hook") == 2)
        (parked,) = manager.subscribers.parked("hook")
        assert (parked.seq, parked.error, parked.tries) == (1, "http://127.0.0.1 answered 500", 3)
        one, two = (each.id for each in manager.events.read(limit=2))
        assert hook.ids == [one, one, one, two]
        manager.off(relay)


@pytest.mark.parametrize("status", [*OF_THE_URL, 301, 307])
def test_an_answer_about_the_url_alone_parks_nothing_when_it_passes(
    status: int, manager: SessionManager, hook: Hook
) -> None:
    hook.answer = lambda delivery: status if len(hook.deliveries) <= 2 else 204
    with WebhookRelay(hook.url, secret=SECRET) as relay:
        made(manager, 3)
        manager.on("session.*", relay, durable="hook", after=0, tries=3)
        until(lambda: position(manager, "hook") == 3)
        assert manager.subscribers.parked("hook") == ()
        one, two, three = (each.id for each in manager.events.read(types="session.*"))
        assert hook.ids == [one, one, one, two, three]
        manager.off(relay)


def test_an_answer_about_the_url_that_stays_parks_the_event_after_its_tries(
    manager: SessionManager, hook: Hook
) -> None:
    hook.answer = lambda delivery: 404
    with WebhookRelay(hook.url, secret=SECRET) as relay:
        made(manager, 1)
        manager.on("session.*", relay, durable="hook", after=0, tries=2)
        until(lambda: manager.subscribers.parked("hook"))
        (parked,) = manager.subscribers.parked("hook")
        assert (parked.seq, parked.error, parked.tries) == (1, "http://127.0.0.1 answered 404", 2)
        manager.off(relay)


@pytest.mark.parametrize("status", [408, 425, 429, 502, 503, 504])
def test_a_receiver_that_cannot_now_is_asked_again_and_nothing_is_parked_or_overtaken(
    status: int, manager: SessionManager, hook: Hook
) -> None:
    hook.answer = lambda delivery: status if len(hook.deliveries) <= 3 else 204
    with WebhookRelay(hook.url, secret=SECRET) as relay:
        made(manager, 3)
        manager.on("session.*", relay, durable="hook", after=0, tries=1)
        until(lambda: position(manager, "hook") == 3)
        assert manager.subscribers.parked("hook") == ()
        one, two, three = (each.id for each in manager.events.read(types="session.*"))
        assert hook.ids == [one, one, one, one, two, three]
        manager.off(relay)


def test_a_relay_that_was_closed_loses_nothing(manager: SessionManager, hook: Hook) -> None:
    closed = WebhookRelay(hook.url, secret=SECRET)
    closed.close()
    manager.on("session.*", closed, durable="hook", tries=1)
    made(manager, 2)
    until(lambda: manager._parts.servers._servers["hook"]._outages >= 2)  # type: ignore[union-attr]
    manager.off(closed)
    with WebhookRelay(hook.url, secret=SECRET) as relay:
        manager.on("session.*", relay, durable="hook", tries=1)
        until(lambda: position(manager, "hook") == 2)
        manager.off(relay)
    assert hook.ids == [each.id for each in manager.events.read(types="session.*")]


# What is asked for


BAD_SECRETS: list[Any] = [
    None, 7, b"whsec_", "", HIDDEN, "whsec_", [], [SECRET, HIDDEN], (SECRET, None), [SECRET] * 9, {SECRET},
    base64.b64encode(bytes(32)).decode(), secret_of(bytes(23)), secret_of(bytes(65)), SECRET + "=",
    SECRET + "\n",
    SECRET.replace("whsec_", "WHSEC_"), "whsk_" + base64.b64encode(bytes(32)).decode(), " " + SECRET,
    "whsec_" + HIDDEN * 6 + "!", "whsec_" + "\u00e9" * 44, SECRET.replace("AAEC", "A\nEC"),
    "whsec_" + base64.urlsafe_b64encode(b"\xff" * 32).decode(), "whsec_" + "A" * 42 + "B=",
]  # fmt: skip


@pytest.mark.parametrize("secret", BAD_SECRETS, ids=range(len(BAD_SECRETS)))
def test_a_secret_that_will_not_do_is_refused_and_shown_nowhere(secret: Any) -> None:
    with pytest.raises(InvalidArgument, match=r"^secret: ") as caught:
        WebhookRelay("https://a.example", secret=secret)
    said = f"{caught.value} {caught.value!r} {caught.value.__cause__}"
    assert HIDDEN not in said
    assert SECRET[6:] not in said


@given(KEYS)
def test_every_key_of_24_to_64_bytes_is_taken(key: bytes) -> None:
    for text in (secret_of(key), secret_of(key).rstrip("=")):
        relay = WebhookRelay("http://localhost", secret=text)
        assert relay._keys == (key,)


BAD_HEADERS: list[Any] = [
    7, "A: b", [("A", "b")], {7: "b"}, {"A": 7}, {"A": None}, {"A": b"b"}, {"": "b"}, {"A b": "c"},
    {"A:": "b"},
    {"A\r\nB": "c"}, {"\u00c4": "b"}, {"A": "\u00e4"}, {"A": f"{HIDDEN}\r\nB: c"}, {"A": f"{HIDDEN}\n"},
    {"A": f"\x00{HIDDEN}"}, {"A": f" {HIDDEN}"}, {"A": f"{HIDDEN}\t"}, {"A": HIDDEN * 1_000},
    {"X-Key": "a", "x-key": "b"}, {"Webhook-Id": "a"}, {"webhook-signature": "a"}, {"WEBHOOK-TIMESTAMP": "a"},
    {"webhook-other": "a"}, {"Content-Type": "a"}, {"content-length": "0"}, {"Host": "internal"},
    {"Transfer-Encoding": "chunked"}, {"Connection": "close"}, {"Expect": "100-continue"}, {"TE": "trailers"},
    {"Upgrade": "h2c"}, {"Content-Encoding": "gzip"}, {"Proxy-Connection": "close"}, {"Trailer": "A"},
]  # fmt: skip


@pytest.mark.parametrize("headers", BAD_HEADERS, ids=range(len(BAD_HEADERS)))
def test_attack_headers_that_inject_or_replace_others(headers: Any) -> None:
    with pytest.raises(InvalidArgument, match=r"^headers: ") as caught:
        WebhookRelay("https://a.example", secret=SECRET, headers=headers)
    assert HIDDEN not in f"{caught.value} {caught.value!r}"


@given(st.dictionaries(st.text(max_size=12), st.text(max_size=12), max_size=4))
def test_headers_that_are_taken_stand_on_lines_of_their_own(headers: dict[str, str]) -> None:
    try:
        relay = WebhookRelay("http://localhost", secret=SECRET, headers=headers)
    except InvalidArgument:
        return
    for name, value in headers.items():
        assert relay._headers[name] == value
        assert (name + value).isascii()
        assert not set(name + value) & set("\r\n\0")
        assert ":" not in name


def unverified() -> list[Any]:
    lax, nameless = ssl.create_default_context(), ssl.create_default_context()
    nameless.check_hostname = False
    lax.check_hostname = False
    lax.verify_mode = ssl.CERT_NONE
    return [lax, nameless, ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), True, "ca.pem"]


@pytest.mark.parametrize("number", range(5))
def test_attack_a_context_that_verifies_nothing_is_refused(number: int) -> None:
    with pytest.raises(InvalidArgument, match=r"^ssl_context: "):
        WebhookRelay("https://a.example", secret=SECRET, ssl_context=unverified()[number])


@pytest.mark.parametrize(
    ("argument", "given"),
    [
        ("url", {"url": "http://a.example"}),
        ("format", {"format": "cef"}),
        ("source", {"source": ""}),
        ("clock", {"clock": "x"}),
        ("clock", {"clock": 0}),
        ("timeout", {"timeout": 0}),
        ("timeout", {"timeout": 11}),
        ("timeout", {"timeout": None}),
        ("ssl_context", {"url": "http://localhost", "ssl_context": ssl.create_default_context()}),
    ],
)
def test_bad_input_is_named(argument: str, given: dict[str, Any]) -> None:
    asked: dict[str, Any] = {"url": "https://a.example", "secret": SECRET, **given}
    with pytest.raises(InvalidArgument, match=rf"^{argument}: "):
        WebhookRelay(asked.pop("url"), **asked)


def test_a_relay_shows_scheme_and_host_and_is_never_copied() -> None:
    relay = WebhookRelay(
        f"https://a.example:8443/{HIDDEN}?k={HIDDEN}", secret=SECRET, headers={"Authorization": HIDDEN}
    )
    assert repr(relay) == "WebhookRelay('https://a.example')"
    duplicates: tuple[Callable[[object], object], ...] = (copy.copy, copy.deepcopy, pickle.dumps)
    for duplicate in duplicates:
        with pytest.raises(TypeError, match="WebhookRelay"):
            duplicate(relay)


def test_no_secret_is_logged_or_recorded_whatever_goes_wrong(
    manager: SessionManager, hook: Hook, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    answers = [500, 503, 422]
    hook.answer = lambda delivery: (answers[min(2, len(hook.deliveries) - 1)], {"X": HIDDEN}, HIDDEN.encode())
    url = f"{hook.url}/{HIDDEN}?key={HIDDEN}"
    with WebhookRelay(url, secret=SECRET, headers={"Authorization": HIDDEN}) as relay:
        manager.on("session.*", relay, durable="hook")
        made(manager, 1)
        until(lambda: manager.subscribers.parked("hook"))
        manager.off(relay)
    manager.prune_expired()
    told = caplog.text + "".join(str(each.to_dict()) for each in manager.events.read(limit=100))
    assert "EventRefused" in told
    for secret in (HIDDEN, SECRET, SECRET[6:], hook.deliveries[0]["webhook-signature"]):
        assert secret not in told


def test_an_event_is_not_touched(hook: Hook, relay: WebhookRelay) -> None:
    given: Event = event(data={"fields": ["name"]})
    before = given.to_dict()
    relay(given)
    assert given.to_dict() == before
