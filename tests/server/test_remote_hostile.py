"""Whatever a broken or hostile server answers, a verifier that asks it lets nobody in by it."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clawguard import ConfigError, IssuedSession, SessionContext, SessionManager, StoreUnavailable, Verifier
from clawguard.errors import AccessDenied, ClawguardError, OutcomeUnknown
from tests.server.hostile import Hostile, http
from tests.webhooks import rough

SOON = 5.0


class Scene(NamedTuple):
    """Hold a hostile server, a verifier that asks it, and a session whose token is genuine."""

    server: Hostile
    remote: Verifier
    session: IssuedSession
    other: IssuedSession
    context: SessionContext


@contextmanager
def asking(server: Hostile, *, timeout: float = SOON) -> Iterator[Verifier]:
    with rough(server.talk) as at, Verifier.open(at.url, token="x", lock_timeout=timeout) as remote:
        yield remote


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    path: Path = tmp_path_factory.mktemp("hostile") / "clawguard.db"
    server = Hostile()
    with SessionManager.open(path, sweep_every=None) as manager, asking(server) as remote:
        session = manager.create("planner", scopes="docs:read mail:send")
        other = manager.create("planner", scopes="docs:read mail:send web:read")
        yield Scene(server, remote, session, other, manager.validate(session.token))


def genuine(session: IssuedSession, asked: dict[str, Any]) -> dict[str, Any]:
    """Return what an honest server says to a question."""
    told: dict[str, Any] = {"nonce": asked.get("nonce"), "refusal": None}
    if "action" in asked:
        decision = {"allowed": True, "action": asked["action"], "reason": "scopes", "policy": "-"}
        return told | {"decision": decision | {"rule": None, "masked_fields": []}}
    if asked.get("quiet"):
        held = {"session_id": session.id, "generation": session.generation}
        return told | {"context": None, "held": held}
    return told | {"context": session.as_context().to_dict(), "held": None}


QUESTIONS: tuple[Callable[[Scene], Any], ...] = (
    lambda scene: scene.remote.validate(scene.session.token, require="docs:read"),
    lambda scene: scene.remote.validate(scene.context, require="docs:read"),
    lambda scene: scene.remote.recheck(scene.context),
    lambda scene: scene.remote.authorize(scene.context, "docs:read"),
)


def test_what_an_honest_server_says_is_believed(scene: Scene) -> None:
    scene.server.answer = lambda asked: http(genuine(scene.session, asked))
    found = [question(scene) for question in QUESTIONS]
    assert found[0] == found[1] == scene.context
    assert found[3]


def denies(scene: Scene) -> None:
    for question in QUESTIONS:
        with pytest.raises((StoreUnavailable, AccessDenied)):
            question(scene)


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
VALUES = st.recursive(
    SCALARS,
    lambda each: st.lists(each, max_size=4) | st.dictionaries(st.text(max_size=8), each, max_size=4),
    max_leaves=8,
)
NAMES = st.sampled_from(["nonce", "context", "held", "decision", "refusal", "allowed", "session_id", "code"])
TASTE = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])


@TASTE
@given(raw=st.binary(max_size=200))
def test_attack_no_bytes_are_a_yes(scene: Scene, raw: bytes) -> None:
    scene.server.answer = lambda _: raw
    denies(scene)
    scene.server.answer = lambda _: http(raw)
    denies(scene)


@TASTE
@given(value=VALUES | st.dictionaries(NAMES, VALUES, max_size=4))
def test_attack_no_json_is_a_yes(scene: Scene, value: Any) -> None:
    scene.server.answer = lambda _: http(value)
    denies(scene)


@TASTE
@given(data=st.data())
def test_attack_an_answer_that_was_altered_is_never_about_more_than_was_asked(
    scene: Scene, data: st.DataObject
) -> None:
    """An honest answer with one member exchanged, left out or added: what still counts gives nobody more."""
    told = genuine(scene.session, {"nonce": ""})
    names = [("", name) for name in told] + [("context", name) for name in told["context"]]
    where, name = data.draw(st.sampled_from(names))
    value = data.draw(VALUES | st.just(...) | st.just(genuine(scene.other, {})["context"].get(name)))

    def answer(asked: dict[str, Any]) -> bytes:
        told = genuine(scene.session, asked)
        part = told[where] if where else told
        if part is not None and value is ...:
            part.pop(name, None)
        elif part is not None:
            part[name] = value
        return http(told)

    scene.server.answer = answer
    for question in QUESTIONS[:2]:
        try:
            found = question(scene)
        except (StoreUnavailable, AccessDenied):
            continue
        same = ("session_id", "generation", "agent_id", "subject", "audience", "actors")
        assert [getattr(found, each) for each in same] == [getattr(scene.context, each) for each in same]
        assert "docs:read" in found.scopes
        assert not scene.context.scopes.missing(found.scopes)
        assert all(isinstance(each, str | None) for each in (found.role, found.task_type))


def test_attack_the_answer_to_another_question_is_none(scene: Scene) -> None:
    """An older answer, that of another session, and one that says less than was needed."""
    kept: list[bytes] = []

    def again(asked: dict[str, Any]) -> bytes:
        kept.append(http(genuine(scene.session, asked)))
        return kept[0]

    for question in QUESTIONS:
        kept.clear()
        scene.server.answer = again
        question(scene)
        with pytest.raises(StoreUnavailable):
            question(scene)
    scene.server.answer = lambda asked: http(genuine(scene.other, asked))
    for question in QUESTIONS[:3]:
        with pytest.raises(StoreUnavailable):
            question(scene)
    scene.server.answer = lambda asked: http(genuine(scene.session, asked))
    less: tuple[dict[str, Any], ...] = (
        {"require": "web:read"},
        {"any_of": "web:read"},
        {"audience": "billing"},
    )
    for more in less:
        with pytest.raises(StoreUnavailable):
            scene.remote.validate(scene.session.token, **more)
    scene.server.answer = lambda asked: http(genuine(scene.session, {"nonce": asked["nonce"]}))
    with pytest.raises(StoreUnavailable):  # who it is, where it was asked whether that still holds
        scene.remote.recheck(scene.context)
    scene.server.answer = lambda asked: http(genuine(scene.session, {**asked, "action": "web:read"}))
    with pytest.raises(StoreUnavailable):
        scene.remote.authorize(scene.context, "docs:read")


DEEP = b"[" * 100_000 + b"]" * 100_000
LARGE = 300_000


@pytest.mark.parametrize("kind", ["deep", "large", "large number", "twice", "cut off", "without a length"])
def test_attack_an_answer_to_choke_on_denies(scene: Scene, kind: str) -> None:
    def answer(asked: dict[str, Any]) -> bytes:
        honest = json.dumps(genuine(scene.session, asked)).encode()
        match kind:
            case "deep":
                return http(b'{"a":' + DEEP + b"," + honest[1:])
            case "large":
                return http(honest + b" " * LARGE)
            case "large number":
                return http(honest[:-1] + b', "a": ' + b"9" * 5_000 + b"}")
            case "twice":
                return http(honest[:-1] + b', "refusal": null}')
            case "cut off":
                return http(honest + b" ")[:-1]
            case _:
                return b"HTTP/1.1 200 OK\r\n\r\n" + honest

    scene.server.answer = answer
    scene.server.is_kept = False
    try:
        denies(scene)
    finally:
        scene.server.is_kept = True


def test_attack_a_server_that_sends_a_byte_now_and_then_holds_nobody(scene: Scene) -> None:
    """Each step is in time, and at the end of 20 s there is a yes: the call must be over before."""

    def drip(connection: socket.socket) -> None:
        def slowly(asked: dict[str, Any]) -> bytes:
            text = http(genuine(scene.session, asked))
            for number in range(len(text)):
                connection.sendall(text[number : number + 1])
                time.sleep(20 / len(text))
            return b""

        server = Hostile()
        server.answer = slowly
        server.talk(connection)

    with rough(drip) as at, Verifier.open(at.url, token="x", lock_timeout=0.4) as remote:
        for question in QUESTIONS[:2]:
            with pytest.raises(StoreUnavailable, match="TimeoutError"):
                question(scene._replace(remote=remote))


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_attack_no_redirect_is_followed(scene: Scene, status: int) -> None:
    elsewhere, server = Hostile(), Hostile()
    elsewhere.answer = lambda asked: http(genuine(scene.session, asked))
    with rough(elsewhere.talk) as there, asking(server) as remote:
        head = f"HTTP/1.1 {status} Elsewhere\r\nLocation: {there.url}\r\nContent-Length: 0\r\n\r\n"
        server.answer = lambda _: head.encode()
        denies(scene._replace(remote=remote))
        assert (there.connections, elsewhere.asked) == (0, [])


def test_a_token_is_asked_about_once_and_a_context_again(scene: Scene) -> None:
    """A use may have been spent by a question that has no answer, and nobody can tell."""
    server = Hostile()
    with asking(server) as remote:
        for question, times in zip(QUESTIONS, (1, 2, 2, 2), strict=True):
            server.answer = lambda asked: http(genuine(scene.session, asked))
            server.is_kept = True
            question(scene._replace(remote=remote))  # leaves a connection behind
            server.asked.clear()
            server.answer = lambda _: b""  # and there the next question is read, and the line cut
            with pytest.raises(OutcomeUnknown if times == 1 else StoreUnavailable) as caught:
                question(scene._replace(remote=remote))
            assert len(server.asked) == times
            assert (caught.type is OutcomeUnknown) is (times == 1)


@pytest.mark.parametrize("token", ["", "a\r\nX: 1", "a b", "é", "x" * 9_000, None, 7])
def test_what_cannot_stand_in_a_header_is_not_sent(scene: Scene, token: Any) -> None:
    server = Hostile()
    with (
        rough(server.talk) as at,
        Verifier.open(at.url, token=lambda: token, lock_timeout=SOON) as remote,
        pytest.raises(ConfigError, match="token"),
    ):
        remote.validate(scene.session.token)
    assert server.asked == []


@TASTE
@given(
    status=st.sampled_from([300, 400, 401, 403, 404, 409, 410, 422, 429, 500, 502, 503]),
    problem=VALUES
    | st.fixed_dictionaries(
        {"code": st.sampled_from(["invalid_argument", "session_ended", "store_busy"]) | st.text()},
        optional={"detail": VALUES, "argument": VALUES, "errors": VALUES, "cause": VALUES, "missing": VALUES},
    ),
)
def test_attack_no_problem_breaks_it(scene: Scene, status: int, problem: Any) -> None:
    body = json.dumps(problem).encode()
    head = f"HTTP/1.1 {status} Oh\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    scene.server.answer = lambda _: head + body
    for question in QUESTIONS:
        with pytest.raises(ClawguardError):
            question(scene)
