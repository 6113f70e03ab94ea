"""FastAPI: what the dependency gives, binds and answers, and what the OpenAPI page says of it."""

import asyncio
import json
from collections.abc import Iterator
from typing import Annotated, Any

import pytest
from fastapi import Depends, FastAPI, Security, WebSocket
from fastapi.responses import StreamingResponse

from clawguard import SessionContext, SessionManager, current_session, requires
from clawguard.errors import NoSession
from clawguard.web.asgi import ClawguardMiddleware
from clawguard.web.fastapi import ClawguardBearer, answer_refusals
from tests.held import hold_reads
from tests.openers import open_manager
from tests.schemas import schema
from tests.web.adapters import Sent, over_asgi
from tests.web.test_asgi import exchange, run_alone

LONG = 30.0


@pytest.fixture
def manager() -> Iterator[SessionManager]:
    with SessionManager.open(":memory:", sweep_every=None) as manager:
        yield manager


def test_the_endpoint_gets_the_session_and_it_is_bound(manager: SessionManager) -> None:
    guard = ClawguardBearer(manager)
    app = FastAPI()

    @app.get("/async")
    async def waits(session: Annotated[SessionContext, Security(guard, scopes=["docs:read"])]) -> str:
        assert session == current_session()
        return session.agent_id

    @app.get("/sync")
    def works(session: Annotated[SessionContext, Security(guard)]) -> str:
        assert session == current_session()
        return session.agent_id

    headers = tuple(manager.create("planner", scopes="docs:*").headers().items())
    for path in ("/async", "/sync"):
        for guarded in (app, ClawguardMiddleware(app, manager)):
            assert over_asgi(guarded)(Sent(headers, path=path)).body == b'"planner"'


def test_attack_a_session_that_another_guard_let_in(manager: SessionManager) -> None:
    with SessionManager.open(":memory:", sweep_every=None) as other:
        theirs = tuple(other.create("stranger", scopes="*").headers().items())
        app = FastAPI(dependencies=[Security(ClawguardBearer(other))])
        answer_refusals(app)

        @app.get("/")
        async def whoami(session: Annotated[SessionContext, Security(ClawguardBearer(manager))]) -> str:
            return session.agent_id

        for guarded in (app, ClawguardMiddleware(app, other)):
            assert over_asgi(guarded)(Sent(theirs, path="/")).status == 401


def test_while_a_server_is_asked_for_a_scope_that_lacks_the_loop_turns_on() -> None:
    """The first guard has let the session in; the second refuses it, and has that written down."""
    app = FastAPI()
    answer_refusals(app)

    async def hold() -> None:
        held.append(await hold_reads(url))

    held: list[asyncio.Task[int]] = []
    with schema() as url, open_manager(url) as manager:
        guard = ClawguardBearer(manager)

        @app.get("/", dependencies=[Security(guard), Depends(hold), Security(guard, scopes=["docs:write"])])
        async def never() -> str:
            return "never"

        headers = tuple(manager.create("planner", scopes="docs:read").headers().items())
        assert over_asgi(app)(Sent(headers, path="/")).status == 403
    assert held[0].done()


def test_without_a_credential_auto_error_false_gives_none(manager: SessionManager) -> None:
    guard = ClawguardBearer(manager, auto_error=False)
    app = FastAPI()

    @app.get("/")
    def whoami(session: Annotated[SessionContext | None, Security(guard)]) -> str | None:
        if session is None:
            with pytest.raises(NoSession):
                current_session()
        return None if session is None else session.agent_id

    ask = over_asgi(app)
    assert ask(Sent(path="/")).body == b"null"
    assert ask(Sent(tuple(manager.create("planner", scopes="").headers().items()), path="/")).status == 200
    assert ask(Sent((("Authorization", "Bearer x"),), path="/")).status == 401


def test_the_openapi_page_names_the_scheme_and_the_scopes(manager: SessionManager) -> None:
    app = FastAPI()
    guard = ClawguardBearer(manager, description="From the host.")

    @app.get("/")
    def read(session: Annotated[SessionContext, Security(guard, scopes=["docs:read"])]) -> None: ...

    page = app.openapi()
    assert page["components"]["securitySchemes"] == {
        "Clawguard": {
            "type": "http",
            "scheme": "bearer",
            "bearerFormat": "JWT",
            "description": "From the host.",
        }
    }
    assert page["paths"]["/"]["get"]["security"] == [{"Clawguard": ["docs:read"]}]
    assert "parameters" not in page["paths"]["/"]["get"]


def test_without_the_handler_status_and_challenge_are_the_same(manager: SessionManager) -> None:
    app = FastAPI()

    @app.get("/")
    def read(
        session: Annotated[SessionContext, Security(ClawguardBearer(manager), scopes=["a:b"])],
    ) -> None: ...

    answer = over_asgi(app)(Sent(tuple(manager.create("planner", scopes="").headers().items()), path="/"))
    assert (answer.status, json.loads(answer.body)) == (403, {"detail": "insufficient_scope"})
    assert answer.headers["www-authenticate"].endswith('error="insufficient_scope", scope="a:b"')


def test_what_runs_when_its_session_ends_is_cancelled_and_answered(manager: SessionManager) -> None:
    app = FastAPI()
    answer_refusals(app)

    @app.get("/")
    async def run(session: Annotated[SessionContext, Security(ClawguardBearer(manager))]) -> None:
        manager.revoke(session)
        await asyncio.sleep(LONG)

    start, body = run_alone(manager, app)
    assert (start["status"], json.loads(body["body"])["error"]) == (401, "invalid_token")


def test_a_stream_breaks_off_when_its_session_ends(manager: SessionManager) -> None:
    app = FastAPI()

    async def parts() -> Any:
        yield current_session().agent_id
        manager.revoke(current_session())
        await asyncio.sleep(LONG)

    @app.get("/")
    def stream(session: Annotated[SessionContext, Security(ClawguardBearer(manager))]) -> StreamingResponse:
        return StreamingResponse(parts())

    with pytest.raises(RuntimeError, match="already started"):
        run_alone(manager, app)


def test_a_websocket_is_refused_or_closed_with_the_reason(manager: SessionManager) -> None:
    app = FastAPI()

    @app.websocket("/")
    async def feed(
        socket: WebSocket, session: Annotated[SessionContext, Security(ClawguardBearer(manager))]
    ) -> None:
        await socket.accept()
        manager.revoke(session)
        await socket.receive_text()

    sent = run_alone(manager, app, {"type": "websocket.connect"}, type="websocket")
    closed = {"type": "websocket.close", "code": 1008, "reason": "invalid_token"}
    assert [each["type"] for each in sent] == ["websocket.accept", "websocket.close"]
    assert sent[1] == closed
    connect = {"type": "websocket.connect"}
    (refused,) = asyncio.run(exchange(app, connect, type="websocket"))
    assert refused == closed | {"reason": "unauthorized"}


@requires("mail:send")
def mail() -> None: ...


def test_what_a_tool_refuses_is_answered(manager: SessionManager) -> None:
    app = FastAPI()

    @app.get("/")
    def send(
        session: Annotated[SessionContext, Security(ClawguardBearer(manager), scopes=["docs:read"])],
    ) -> None:
        mail()

    headers = tuple(manager.create("planner", scopes="docs:read").headers().items())
    answer = over_asgi(app)(Sent(headers, path="/"))
    assert (answer.status, answer.headers["www-authenticate"].rpartition(", ")[2]) == (
        403,
        'scope="docs:read mail:send"',
    )
