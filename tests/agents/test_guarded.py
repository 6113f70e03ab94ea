"""What stands before an MCP server's app, message by message; no MCP library is needed."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from clawguard import NoSession, SessionManager, StoreBusy, current_session, requires
from clawguard.agents.callers import EXCHANGE_KEY, Callers
from clawguard.agents.guarded import GuardedApp
from clawguard.errors import ClawguardError

METADATA = "https://mcp.example.com/.well-known/oauth-protected-resource/mcp"
START: dict[str, Any] = {"type": "http.response.start", "status": 200, "headers": []}
END: dict[str, Any] = {"type": "http.response.body", "body": b"done"}
PART: dict[str, Any] = {"type": "http.response.body", "body": b"part", "more_body": True}


@pytest.fixture
def manager() -> Iterator[SessionManager]:
    with SessionManager.open(":memory:", sweep_every=None) as opened:
        yield opened


def ask(app: Any, token: str | None = None, **more: Any) -> list[dict[str, Any]]:
    """Send one request; return what was sent, and last what was raised."""
    sent: list[dict[str, Any]] = []
    headers = [(b"host", b"127.0.0.1"), *more.pop("headers", ())]
    if token is not None:
        headers.append((b"authorization", b"Bearer " + token.encode()))
    scope = {
        "type": "http", "method": "POST", "path": "/mcp", "query_string": b"", "headers": headers, **more
    }  # fmt: skip

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(dict(message))

    async def main() -> None:
        try:
            await app(scope, receive, send)
        except ClawguardError as error:
            sent.append({"type": "raised", "error": error})

    asyncio.run(main())
    return sent


@requires("docs:write")
def write() -> str:
    return "written"


def calling(callers: Callers, *before: dict[str, Any]) -> Any:
    """Make a server that sends some messages, then has a tool called, then says what came of it."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        for message in before:
            await send(message)

        async def tool() -> str:
            return write()

        try:
            await callers.run(scope, tool)
        except ClawguardError as refused:
            for message in (START, {**END, "body": refused.code.encode()}):
                if message is not START or START not in before:
                    await send(message)
        else:
            await send(END)

    return GuardedApp(app, callers, metadata_url=METADATA)


@pytest.mark.parametrize("method", ["POST", "GET"])
@pytest.mark.parametrize("before", [(), (START,), (START, PART)], ids=["nothing", "start", "part"])
def test_a_refusal_is_the_answer_for_as_long_as_none_has_gone_out(
    manager: SessionManager, method: str, before: tuple[dict[str, Any], ...]
) -> None:
    session = manager.create("planner", scopes="docs:read")
    sent = ask(calling(Callers(manager), *before), session.token, method=method)
    can_wait = method == "POST"
    is_answered = not before or (can_wait and before == (START,))
    assert sent[0]["status"] == (403 if is_answered else 200)
    assert b"insufficient_scope" in sent[-1]["body"]  # as the answer, or as the server tells it
    assert len([each for each in sent if each["type"] == "http.response.start"]) == 1
    if is_answered:
        challenge = dict(sent[0]["headers"])[b"www-authenticate"].decode()
        assert f'resource_metadata="{METADATA}"' in challenge
        assert 'scope="docs:write"' in challenge


def test_the_server_sees_neither_token_nor_proof_and_nobody_is_bound_in_it(manager: SessionManager) -> None:
    session, seen = manager.create("planner", scopes="docs:read"), []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        with pytest.raises(NoSession):
            current_session()
        seen.append(scope)
        await send(START)
        await send(END)

    callers = Callers(manager)
    guarded = GuardedApp(app, callers, metadata_url=METADATA)
    assert ask(guarded, session.token, headers=[(b"dpop", b"proof")])[0]["status"] == 200
    assert session.token not in repr(seen)
    assert b"dpop" not in dict(seen[0]["headers"])
    stand_in = dict(seen[0]["headers"])[b"authorization"].decode().removeprefix("Bearer ")
    assert ask(guarded, stand_in)[0]["status"] == 401
    with manager.use(session.token), pytest.raises(ClawguardError):
        asyncio.run(callers.find(stand_in))


def test_the_metadatas_path_is_open_to_that_path_alone_and_to_nobody(manager: SessionManager) -> None:
    session, seen = manager.create("planner", scopes="docs:read"), []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append((EXCHANGE_KEY in scope, dict(scope["headers"]).get(b"authorization")))
        await send(START)
        await send(END)

    guarded = GuardedApp(app, Callers(manager), metadata_url=METADATA)
    path = "/.well-known/oauth-protected-resource/mcp"
    for token in (None, session.token):
        assert ask(guarded, token, path=path, method="GET")[0]["status"] == 200
    assert seen == [(False, None)] * 2
    for other in (path + "/", "/x" + path, path.upper(), "/mcp/.." + path):
        assert ask(guarded, path=other)[0]["status"] == 401
    closed = GuardedApp(app, Callers(manager), metadata_url=None)
    answer = ask(closed, path=path)[0]
    assert answer["status"] == 401
    assert b"resource_metadata" not in dict(answer["headers"])[b"www-authenticate"]


def test_a_call_outside_of_its_guard_runs_for_nobody(manager: SessionManager) -> None:
    async def tool() -> str:
        return current_session().session_id

    session = manager.create("planner", scopes="docs:read")
    unguarded: list[dict[str, Any] | None] = [{}, None]
    for scope in unguarded:
        with pytest.raises(NoSession):
            asyncio.run(Callers(manager).run(scope, tool))
    with manager.use(session.token), pytest.raises(NoSession):
        asyncio.run(Callers(manager).run({}, tool))
    with manager.use(session.token):
        assert asyncio.run(Callers(manager).run(None, tool)) == session.id


def test_attack_a_task_that_outlives_its_call_acts_as_the_caller(manager: SessionManager) -> None:
    session = manager.create("planner", scopes="docs:read")

    async def main() -> None:
        go_on, left = asyncio.Event(), []

        async def later() -> str:
            await go_on.wait()
            return current_session().session_id

        async def tool() -> str:
            left.append(asyncio.create_task(later()))
            return await asyncio.create_task(now())

        async def now() -> str:
            return current_session().session_id

        with manager.use(session.token):
            assert await Callers(manager).run(None, tool) == session.id
        go_on.set()
        with pytest.raises(NoSession):
            await left[0]

    asyncio.run(main())


def test_a_failure_of_the_work_is_its_own_and_a_refusal_it_hides_is_not(manager: SessionManager) -> None:
    callers = Callers(manager)

    async def broken() -> str:
        raise ValueError("of its own")

    async def hiding() -> str:
        try:
            return write()
        except ClawguardError:
            raise ValueError("something went wrong") from None

    async def coping() -> str:
        try:
            return write()
        except ClawguardError:
            return "without"

    with manager.use(manager.create("planner", scopes="docs:read").token):
        with pytest.raises(ValueError, match="of its own"):
            asyncio.run(callers.run(None, broken))
        with pytest.raises(ClawguardError, match="planner lacks docs:write"):
            asyncio.run(callers.run(None, hiding))
        assert asyncio.run(callers.run(None, coping)) == "without"


def test_a_store_that_fails_is_503_and_never_an_open_door(manager: SessionManager) -> None:
    class Locked:
        issuer = manager.issuer
        recheck = manager.recheck

        def validate(self, given: Any, /, **more: Any) -> Any:
            raise StoreBusy("locked")

    session = manager.create("planner", scopes="docs:*")
    sent = ask(calling(Callers(Locked())), session.token)
    assert sent[0]["status"] == 503


def test_the_lifespan_is_the_servers_own(manager: SessionManager) -> None:
    seen = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["type"])

    ask(GuardedApp(app, Callers(manager), metadata_url=None), type="lifespan")
    assert seen == ["lifespan"]
