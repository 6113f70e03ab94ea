"""The WSGI middleware: under the server's own rules, and over HTTP."""

from __future__ import annotations

import http.client
import io
import json
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple
from wsgiref.handlers import SimpleHandler
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator

import pytest

from clawguard import (
    NoSession,
    SessionContext,
    SessionManager,
    StoreBusy,
    Verifier,
    current_session,
    requires,
)
from clawguard.errors import ClockError
from clawguard.web.wsgi import ENVIRON_KEY, ClawguardMiddleware

App = Callable[..., Iterable[bytes]]


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes
    log: str


def ask(app: Any, token: str | None = None, **environ: str) -> Answer:
    """Run one request through the standard library's WSGI server, which holds apps to PEP 3333."""
    if token is not None:
        environ["HTTP_AUTHORIZATION"] = f"Bearer {token}"
    setup_testing_defaults(environ)
    environ.setdefault("REMOTE_ADDR", "192.0.2.1")
    environ.setdefault("QUERY_STRING", "")
    out, log = io.BytesIO(), io.StringIO()
    handler = SimpleHandler(io.BytesIO(), out, log, environ, multithread=False)
    handler.run(app)
    head, _, body = out.getvalue().partition(b"\r\n\r\n")
    status, *lines = head.decode("latin-1").split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines)
    return Answer(int(status.split()[1]) if status else 0, headers, body, log.getvalue())


def whoami(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    context = environ[ENVIRON_KEY]
    assert context is current_session()
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [context.agent_id.encode()]


@requires("mail:send", "mail:read")
def send_mail() -> bytes:
    return b"sent"


def mail(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    body = send_mail()
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [body]


@pytest.fixture
def manager() -> Iterator[SessionManager]:
    with SessionManager.open(":memory:", sweep_every=None) as manager:
        yield manager


def test_a_valid_token_comes_through(manager: SessionManager) -> None:
    token = manager.create("planner", scopes="docs:read").token
    answer = ask(validator(ClawguardMiddleware(validator(whoami), manager)), token)
    assert (answer.status, answer.body) == (200, b"planner")


def test_the_session_is_bound_for_the_app_alone(manager: SessionManager) -> None:
    ask(ClawguardMiddleware(whoami, manager), manager.create("planner", scopes="").token)
    with pytest.raises(NoSession):
        current_session()


def test_without_a_token_the_app_is_not_called(manager: SessionManager) -> None:
    def never(environ: Any, start_response: Any) -> list[bytes]:
        raise AssertionError

    answer = ask(ClawguardMiddleware(never, manager))
    assert answer.status == 401
    assert answer.headers["WWW-Authenticate"] == 'Bearer realm="clawguard", DPoP algs="ES256 EdDSA RS256"'
    assert answer.headers["Cache-Control"] == "no-store"
    assert json.loads(answer.body)["error"] == "unauthorized"


def test_attack_57_one_token_in_one_place(manager: SessionManager) -> None:
    token = manager.create("planner", scopes="").token
    app = ClawguardMiddleware(whoami, manager)
    for environ in (
        {"QUERY_STRING": f"access_token={token}"},
        {"HTTP_AUTHORIZATION": f"Bearer {token},Bearer {token}"},
    ):
        assert ask(app, **environ).status == 400
    assert ask(app, token, QUERY_STRING="access_token=x").status == 400


def test_attack_105_119_whatever_is_wrong_the_answer_is_the_same(manager: SessionManager) -> None:
    app = ClawguardMiddleware(whoami, manager)
    revoked, replaced = (manager.create("planner", scopes="") for _ in range(2))
    manager.revoke(revoked, reason="leaked")
    manager.refresh(replaced)
    tokens = [revoked.token, replaced.token, revoked.token[:-4], "x", "a.b.c", replaced.id, "é", "x" * 20_000]
    answers = [ask(app, token) for token in tokens]
    assert {answer.status for answer in answers} == {401}
    assert len({(answer.headers["WWW-Authenticate"], answer.body) for answer in answers}) == 1


def test_every_required_scope_is_named(manager: SessionManager) -> None:
    app = ClawguardMiddleware(mail, manager, require="tool:use")
    answer = ask(app, manager.create("planner", scopes="mail:*").token)
    assert (answer.status, answer.headers["WWW-Authenticate"].rpartition(", ")[2]) == (
        403,
        'scope="tool:use"',
    )
    answer = ask(app, manager.create("planner", scopes="tool:use mail:read").token)
    assert answer.status == 403
    assert answer.headers["WWW-Authenticate"].endswith('scope="mail:read mail:send tool:use"')
    assert ask(app, manager.create("planner", scopes="tool:use mail:*").token).body == b"sent"


def test_the_source_is_noted_where_there_is_one(manager: SessionManager) -> None:
    app = ClawguardMiddleware(whoami, manager)
    session = manager.create("planner", scopes="")
    for address in ("192.0.2.7", "", "evil\n", "x" * 300):
        assert ask(app, session.token, REMOTE_ADDR=address).status == 200
    manager._parts.recorder.flush()
    assert manager.get_session(session.id).last_source == "192.0.2.7"


@pytest.mark.parametrize("error", [StoreBusy("locked"), ClockError("set back")])
def test_what_cannot_be_checked_is_refused(error: Exception) -> None:
    class Broken:
        def validate(self, *args: Any, **kwargs: Any) -> SessionContext:
            raise error

        def recheck(self, context: SessionContext, /, **asked: Any) -> None:
            raise error

    answer = ask(ClawguardMiddleware(whoami, Broken()), "a.b.c")
    assert answer.status == 503
    assert int(answer.headers["Retry-After"]) > 0
    assert b"locked" not in answer.body


def test_a_session_that_ends_inside_the_app_is_refused_by_the_next_tool(manager: SessionManager) -> None:
    def app(environ: Any, start_response: Any) -> list[bytes]:
        manager.revoke(current_session())
        return mail(environ, start_response)

    answer = ask(ClawguardMiddleware(app, manager), manager.create("planner", scopes="mail:*").token)
    assert (answer.status, json.loads(answer.body)["error"]) == (401, "invalid_token")


def test_a_refusal_replaces_a_response_that_has_not_gone_out(manager: SessionManager) -> None:
    def eager(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain"), ("X-Secret", "1")])
        return [send_mail()]

    answer = ask(ClawguardMiddleware(eager, manager), manager.create("planner", scopes="mail:read").token)
    assert answer.status == 403
    assert "X-Secret" not in answer.headers


def test_a_generator_runs_with_the_session_bound(manager: SessionManager) -> None:
    closed = []

    def lazy(environ: Any, start_response: Any) -> Iterator[bytes]:
        try:
            start_response("200 OK", [("Content-Type", "text/plain")])
            yield current_session().agent_id.encode()
            yield send_mail()
        finally:
            closed.append(current_session().agent_id)

    app = validator(ClawguardMiddleware(lazy, manager))
    assert ask(app, manager.create("planner", scopes="mail:*").token).body == b"plannersent"
    assert closed == ["planner"]


def test_a_generator_that_is_refused_at_once_is_answered(manager: SessionManager) -> None:
    def lazy(environ: Any, start_response: Any) -> Iterator[bytes]:
        body = send_mail()
        start_response("200 OK", [("Content-Type", "text/plain")])
        yield body

    app = validator(ClawguardMiddleware(lazy, manager))
    answer = ask(app, manager.create("planner", scopes="mail:read").token)
    assert (answer.status, json.loads(answer.body)["error"]) == (403, "insufficient_scope")


def test_a_stream_breaks_off_when_its_session_ends(manager: SessionManager) -> None:
    def stream(environ: Any, start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])
        yield b"first "
        manager.revoke(current_session())
        yield b"second"

    answer = ask(ClawguardMiddleware(stream, manager), manager.create("planner", scopes="").token)
    assert (answer.status, answer.body) == (200, b"first ")
    assert "SessionEnded" in answer.log


def test_an_answer_to_the_request_that_ended_the_session_goes_out(manager: SessionManager) -> None:
    def log_out(environ: Any, start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])
        manager.end(current_session())
        yield b"bye"

    answer = ask(ClawguardMiddleware(log_out, manager), manager.create("planner", scopes="").token)
    assert (answer.status, answer.body) == (200, b"bye")


def test_the_answer_to_head_has_no_body(manager: SessionManager) -> None:
    answer = ask(ClawguardMiddleware(whoami, manager), REQUEST_METHOD="HEAD")
    assert (answer.status, answer.body) == (401, b"")


def test_an_error_that_is_no_refusal_is_the_servers(manager: SessionManager) -> None:
    def broken(environ: Any, start_response: Any) -> list[bytes]:
        raise ZeroDivisionError

    answer = ask(ClawguardMiddleware(broken, manager), manager.create("planner", scopes="").token)
    assert answer.status == 500
    assert "ZeroDivisionError" in answer.log


class Quiet(WSGIRequestHandler):
    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[SessionManager, int]]:
    """Serve the middleware over a verifier of its own; the manager is another holder of the same database."""
    database = tmp_path / "own" / "clawguard.db"
    with (
        SessionManager.open(database, sweep_every=None) as manager,
        Verifier.open(database) as verifier,
        make_server(
            "127.0.0.1", 0, ClawguardMiddleware(mail, verifier), server_class=WSGIServer, handler_class=Quiet
        ) as server,
    ):
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield manager, server.server_port
        server.shutdown()
        thread.join()


def fetch(port: int, *authorizations: str) -> tuple[int, str | None, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.putrequest("GET", "/")
    for each in authorizations:
        connection.putheader("Authorization", each)
    connection.endheaders()
    response = connection.getresponse()
    found = response.status, response.getheader("WWW-Authenticate"), response.read()
    connection.close()
    return found


def test_over_http(server: tuple[SessionManager, int]) -> None:
    manager, port = server
    session = manager.create("planner", scopes="mail:*")
    bearer = session.headers()["Authorization"]
    assert fetch(port, bearer) == (200, None, b"sent")
    assert fetch(port)[0] == 401
    assert fetch(port, bearer, bearer)[0] == 400
    assert fetch(port, "Basic dXNlcjpwYXNz", bearer)[0] == 400
    assert fetch(port, manager.create("reader", scopes="mail:read").headers()["Authorization"])[0] == 403
    manager.revoke(session)
    status, challenge, _ = fetch(port, bearer)
    assert (status, challenge) == (401, 'Bearer realm="clawguard", error="invalid_token"')
