"""The ASGI middleware: message by message, and under a real server."""

from __future__ import annotations

import asyncio
import http.client
import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import websockets.exceptions
from websockets.sync.client import ClientConnection, connect

from clawguard import (
    AsyncSessionManager,
    AsyncVerifier,
    IssuedSession,
    NoSession,
    SessionContext,
    SessionEnded,
    SessionManager,
    StoreBusy,
    Verifier,
    current_session,
    requires,
)
from clawguard.errors import ClawguardError, InvalidArgument
from clawguard.guard import CertificateProof, ProofKey
from clawguard.web.asgi import SCOPE_KEY, ClawguardMiddleware
from tests.certificates import certificate
from tests.web.servers import serving

LONG = 30.0  # what would be waited for if nothing ended it


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes


async def exchange(app: Any, *incoming: dict[str, Any], **scope: Any) -> list[dict[str, Any]]:
    """Run one request or WebSocket and return what was sent; what comes in after `incoming` never comes."""
    sent: list[dict[str, Any]] = []
    waiting = list(incoming)

    async def receive() -> dict[str, Any]:
        if not waiting:
            await asyncio.sleep(LONG)
        return waiting.pop(0)

    async def send(message: Any) -> None:
        sent.append(dict(message))

    whole = {
        "type": "http",
        "method": "GET",
        "scheme": "http",
        "path": "/",
        "query_string": b"",
        "headers": [(b"host", b"127.0.0.1")],
        "client": ("192.0.2.1", 7),
        **scope,
    }
    try:
        await app(whole, receive, send)
    except ClawguardError as error:
        sent.append({"type": "raised", "error": error})
    return sent


def ask(app: Any, authorization: str | None = None, dpop: str | None = None, **scope: Any) -> Answer:
    given = {"authorization": authorization, "dpop": dpop, "host": "127.0.0.1"}
    headers = [(name.encode(), value.encode("latin-1")) for name, value in given.items() if value is not None]
    request = {"type": "http.request", "body": b"", "more_body": False}
    start, *parts = asyncio.run(exchange(app, request, **{"headers": headers, **scope}))
    sent = {name.decode(): value.decode() for name, value in start["headers"]}
    return Answer(start["status"], sent, b"".join(part.get("body", b"") for part in parts))


async def respond(send: Any, *parts: bytes) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    for part in parts:
        await send({"type": "http.response.body", "body": part, "more_body": True})
    await send({"type": "http.response.body", "body": b"", "more_body": False})


async def whoami(scope: Any, receive: Any, send: Any) -> None:
    context = scope[SCOPE_KEY]
    assert context is current_session()
    await respond(send, context.agent_id.encode())


@requires("mail:send", "mail:read")
def send_mail() -> bytes:
    return b"sent"


async def mail(scope: Any, receive: Any, send: Any) -> None:
    await respond(send, await asyncio.to_thread(send_mail))


@pytest.fixture
def manager() -> Iterator[SessionManager]:
    with SessionManager.open(":memory:", sweep_every=None) as manager:
        yield manager


def bearer(session: IssuedSession) -> str:
    return f"Bearer {session.token}"


@pytest.mark.parametrize("twin", [lambda manager: manager, AsyncSessionManager])
def test_a_valid_token_comes_through_whoever_checks_it(manager: SessionManager, twin: Any) -> None:
    app = ClawguardMiddleware(whoami, twin(manager), require="docs:read")
    answer = ask(app, bearer(manager.create("planner", scopes="docs:read")))
    assert (answer.status, answer.body) == (200, b"planner")


def test_a_verifier_and_its_twin_check_as_a_manager_does(tmp_path: Path) -> None:
    database = tmp_path / "own" / "clawguard.db"
    with SessionManager.open(database, sweep_every=None) as manager, Verifier.open(database) as verifier:
        token = bearer(manager.create("planner", scopes=""))
        for each in (verifier, AsyncVerifier(verifier)):
            assert ask(ClawguardMiddleware(whoami, each), token).body == b"planner"


def test_the_session_is_bound_for_the_app_alone(manager: SessionManager) -> None:
    async def run() -> None:
        headers = [(b"authorization", bearer(manager.create("planner", scopes="")).encode())]
        assert (await exchange(ClawguardMiddleware(whoami, manager), headers=headers))[0]["status"] == 200
        with pytest.raises(NoSession):
            current_session()

    asyncio.run(run())


def test_tools_run_in_threads_with_the_session_bound(manager: SessionManager) -> None:
    app = ClawguardMiddleware(mail, manager, require="tool:use")
    assert ask(app, bearer(manager.create("planner", scopes="tool:use mail:*"))).body == b"sent"
    answer = ask(app, bearer(manager.create("planner", scopes="tool:use mail:read")))
    assert answer.status == 403
    assert answer.headers["www-authenticate"].endswith('scope="mail:read mail:send tool:use"')


def test_exactly_one_validate_a_request(manager: SessionManager, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    validate = SessionManager.validate

    def counted(self: Any, token: Any, /, **kwargs: Any) -> SessionContext:
        calls.append(token)
        return validate(self, token, **kwargs)

    monkeypatch.setattr(SessionManager, "validate", counted)
    session = manager.create("planner", scopes="")
    assert ask(ClawguardMiddleware(whoami, manager), bearer(session)).status == 200
    assert calls == [session.token]


def test_whoever_is_bound_around_it_an_optional_request_without_a_token_is_nobodys(
    manager: SessionManager,
) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert SCOPE_KEY not in scope or scope[SCOPE_KEY] is None
        await mail(scope, receive, send)

    async def run() -> None:
        session = manager.create("host", scopes="mail:*")
        async with manager.use(session.token):
            sent = await exchange(ClawguardMiddleware(app, manager, optional=True))
            assert sent[0]["status"] == 401
            assert current_session().agent_id == "host"

    asyncio.run(run())


@pytest.mark.parametrize("authorization", ["Bearer x", "Bearer", "Bearer a, Bearer b"])
def test_an_optional_token_is_checked_where_there_is_one(manager: SessionManager, authorization: str) -> None:
    async def never(scope: Any, receive: Any, send: Any) -> None:
        raise AssertionError

    assert ask(ClawguardMiddleware(never, manager, optional=True), authorization).status in (400, 401)


def test_the_source_is_noted_where_there_is_one(manager: SessionManager) -> None:
    app = ClawguardMiddleware(whoami, manager)
    session = manager.create("planner", scopes="")
    for client in (("192.0.2.7", 1), None, ("evil\n", 1), ("x" * 300, 1), ("", 0)):
        assert ask(app, bearer(session), client=client).status == 200
    manager._parts.recorder.flush()
    assert manager.get_session(session.id).last_source == "192.0.2.7"


def test_what_cannot_be_checked_is_refused(manager: SessionManager) -> None:
    class Broken:
        def validate(self, *args: Any, **kwargs: Any) -> SessionContext:
            raise StoreBusy("locked")

        def recheck(self, context: SessionContext, /, **asked: Any) -> None:
            raise StoreBusy("locked")

    answer = ask(ClawguardMiddleware(whoami, Broken()), "Bearer a.b.c")
    assert (answer.status, answer.headers["retry-after"]) == (503, "1")
    assert b"locked" not in answer.body


@pytest.mark.parametrize("twice", ["authorization", "query"])
def test_attack_57_one_token_in_one_place(manager: SessionManager, twice: str) -> None:
    token = bearer(manager.create("planner", scopes=""))
    header = (b"authorization", token.encode())
    headers = {"authorization": [header, header], "query": [header]}[twice]
    query = b"access_token=x" if twice == "query" else b""
    assert ask(ClawguardMiddleware(whoami, manager), headers=headers, query_string=query).status == 400


def test_a_bound_token_comes_through_with_its_proof_alone(manager: SessionManager) -> None:
    key = ProofKey.generate()
    session = manager.create("planner", scopes="", cnf=key.cnf)
    app = ClawguardMiddleware(whoami, manager)
    proof = key.proof(method="GET", url="http://127.0.0.1/a%20b/%E2%82%AC", token=session.token)
    path = {"path": "/a b/€"}
    assert ask(app, f"DPoP {session.token}", proof, **path).status == 200
    again = ask(app, f"DPoP {session.token}", proof, **path)
    assert (again.status, json.loads(again.body)["error"]) == (401, "invalid_dpop_proof")
    assert ask(app, f"Bearer {session.token}").status == 401


def test_a_certificate_is_taken_from_the_terminator_alone(manager: SessionManager) -> None:
    reported = certificate("a")
    cnf = {"x5t#S256": CertificateProof(reported).thumbprint}
    token = bearer(manager.create("planner", scopes="", cnf=cnf))
    assert ask(ClawguardMiddleware(whoami, manager), token).status == 401

    def report(each: Any, scope: Any) -> Any:
        return each

    for each, status in [(reported, 200), (certificate("b"), 401), (None, 401), (b"junk", 401)]:
        app = ClawguardMiddleware(whoami, manager, certificate_of=partial(report, each))
        assert ask(app, token).status == status


def test_the_lifespan_passes_through(manager: SessionManager) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "lifespan.startup.complete"})

    sent = asyncio.run(exchange(ClawguardMiddleware(app, manager), type="lifespan"))
    assert sent == [{"type": "lifespan.startup.complete"}]


def test_what_is_not_known_does_not_pass(manager: SessionManager) -> None:
    (refused,) = asyncio.run(exchange(ClawguardMiddleware(whoami, manager), type="telepathy"))
    assert isinstance(refused["error"], InvalidArgument)


def test_the_answer_to_head_has_no_body(manager: SessionManager) -> None:
    assert ask(ClawguardMiddleware(whoami, manager), method="HEAD").body == b""


def run_alone(manager: SessionManager, app: Any, *incoming: Any, **scope: Any) -> list[dict[str, Any]]:
    """Run an app that guards itself, with a token."""
    headers = [(b"authorization", bearer(manager.create("planner", scopes="")).encode())]
    return asyncio.run(exchange(app, *incoming, headers=headers, **scope))


def run_with(manager: SessionManager, app: Any, *incoming: Any, **scope: Any) -> list[dict[str, Any]]:
    """Run an app under the middleware, with a token."""
    return run_alone(manager, ClawguardMiddleware(app, manager), *incoming, **scope)


def test_what_runs_when_its_session_ends_is_cancelled_and_answered(manager: SessionManager) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        manager.revoke(current_session())
        await asyncio.sleep(LONG)

    start, body = run_with(manager, app)
    assert (start["status"], json.loads(body["body"])["error"]) == (401, "invalid_token")


def test_a_stream_says_nothing_more_once_its_session_has_ended(manager: SessionManager) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"first", "more_body": True})
        manager.revoke(current_session())
        try:
            await send({"type": "http.response.body", "body": b"second", "more_body": True})
        except SessionEnded:
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    _, first, _, raised = run_with(manager, app)
    assert first["body"] == b"first"
    assert isinstance(raised["error"], SessionEnded)


def test_an_error_that_hides_the_end_hides_nothing(manager: SessionManager) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "websocket.accept"})
        manager.revoke(current_session())
        try:
            await send({"type": "websocket.send", "text": "late"})
        except SessionEnded as error:
            raise ExceptionGroup("hidden", [error]) from None

    assert run_with(manager, app, type="websocket")[1:] == [
        {"type": "websocket.close", "code": 1008, "reason": "invalid_token"}
    ]


def test_an_answer_to_the_request_that_ended_the_session_goes_out(manager: SessionManager) -> None:
    async def log_out(scope: Any, receive: Any, send: Any) -> None:
        manager.end(current_session())
        await respond(send, b"bye")

    assert [each.get("body") for each in run_with(manager, log_out)] == [None, b"bye", b""]


async def echo(scope: Any, receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": f"{current_session().agent_id}: {message['text']}"})


def test_a_websocket_hears_and_says_nothing_more_once_its_session_has_ended(
    manager: SessionManager,
) -> None:
    heard = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "websocket.accept"})
        manager.revoke(current_session())
        heard.append(await receive())

    sent = run_with(manager, app, {"type": "websocket.receive", "text": "late"}, type="websocket")
    assert sent[1:] == [{"type": "websocket.close", "code": 1008, "reason": "invalid_token"}]
    assert not heard


def test_a_websocket_closes_when_the_store_cannot_be_read(
    manager: SessionManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(self: Any, context: SessionContext, /, **asked: Any) -> None:
        raise StoreBusy("locked")

    monkeypatch.setattr(SessionManager, "recheck", broken)
    sent = run_with(manager, echo, {"type": "websocket.connect"}, type="websocket")
    assert sent[1:] == [{"type": "websocket.close", "code": 1013, "reason": "temporarily_unavailable"}]


def test_a_handshake_is_refused_before_it_is_accepted(manager: SessionManager) -> None:
    app = ClawguardMiddleware(echo, manager)
    (closed,) = asyncio.run(exchange(app, type="websocket"))
    assert closed == {"type": "websocket.close", "code": 1008, "reason": "unauthorized"}
    extensions: dict[str, Any] = {"websocket.http.response": {}}
    start, body = asyncio.run(exchange(app, type="websocket", extensions=extensions))
    assert (start["type"], start["status"]) == ("websocket.http.response.start", 401)
    assert json.loads(body["body"])["error"] == "unauthorized"


def test_a_websocket_proves_the_get_request_that_opens_it(manager: SessionManager) -> None:
    key = ProofKey.generate()
    session = manager.create("planner", scopes="", cnf=key.cnf)
    proof = key.proof(method="GET", url="https://127.0.0.1/feed", token=session.token)
    headers = [(b"authorization", f"DPoP {session.token}".encode()), (b"dpop", proof.encode())]
    scope = {
        "type": "websocket",
        "scheme": "wss",
        "path": "/feed",
        "headers": [*headers, (b"host", b"127.0.0.1")],
    }
    sent = asyncio.run(
        exchange(
            ClawguardMiddleware(echo, manager),
            {"type": "websocket.connect"},
            {"type": "websocket.disconnect"},
            **scope,
        )
    )
    assert sent == [{"type": "websocket.accept"}]


async def endless(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        return
    if scope["type"] == "websocket":
        await echo(scope, receive, send)
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"first", "more_body": True})
    await asyncio.sleep(LONG)


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[SessionManager, int]]:
    """Serve over a verifier of its own; the manager is another holder of the same database."""
    database = tmp_path / "own" / "clawguard.db"
    with (
        SessionManager.open(database, sweep_every=None) as manager,
        Verifier.open(database) as verifier,
        serving(ClawguardMiddleware(endless, verifier)) as port,
    ):
        yield manager, port


def test_a_stream_breaks_off_when_its_session_ends(served: tuple[SessionManager, int]) -> None:
    manager, port = served
    session = manager.create("planner", scopes="")
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=LONG / 2)
    connection.request("GET", "/", headers=session.headers())
    response = connection.getresponse()
    assert response.read1(5) == b"first"
    manager.revoke(session)
    with pytest.raises(http.client.IncompleteRead):
        response.read()
    connection.close()


def open_socket(port: int, session: IssuedSession) -> ClientConnection:
    return connect(f"ws://127.0.0.1:{port}/", additional_headers=session.headers(), proxy=None)


def test_a_websocket_is_closed_when_its_session_ends(served: tuple[SessionManager, int]) -> None:
    manager, port = served
    session = manager.create("planner", scopes="")
    with open_socket(port, session) as client:
        client.send("hello")
        assert client.recv(timeout=LONG / 2) == "planner: hello"
        manager.revoke(session)
        with pytest.raises(websockets.exceptions.ConnectionClosedError) as closed:
            client.recv(timeout=LONG / 2)
    assert closed.value.rcvd is not None
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (1008, "invalid_token")
    with pytest.raises(websockets.exceptions.InvalidStatus) as refused:
        open_socket(port, session)
    assert refused.value.response.status_code == 401
    assert "invalid_token" in refused.value.response.headers["WWW-Authenticate"]
