"""Binding a session: `use`, `current_session`, `requires`, plain and async."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import threading

import pytest

from clawguard import (
    InsufficientScope,
    InvalidToken,
    NoSession,
    SessionEnded,
    SessionManager,
    TokenSuperseded,
    current_session,
    requires,
)


@requires("mail:send")
def send(to: str) -> str:
    """Send."""
    return f"{to} by {current_session().agent_id}"


@requires("mail:send")
async def send_later(to: str) -> str:
    return f"{to} by {current_session().agent_id}"


def test_use_binds_the_session_for_its_block_only(manager: SessionManager) -> None:
    made = manager.create("a", scopes="mail:send")
    with pytest.raises(NoSession):
        current_session()
    with manager.use(made.token) as context:
        assert current_session() == context == made.as_context()
        assert send("ana") == "ana by a"
    with pytest.raises(NoSession):
        send("ana")
    assert send.__doc__ == "Send."
    manager.validate(made.token)


def test_bindings_nest(manager: SessionManager) -> None:
    outer, inner = (manager.create(each, scopes="x") for each in "ab")
    with manager.use(outer.token):
        with manager.use(manager.validate(inner.token)):
            assert current_session().agent_id == "b"
        assert current_session().agent_id == "a"


def test_the_same_binding_entered_twice_leaves_nothing_bound(manager: SessionManager) -> None:
    use = manager.use(manager.create("a", scopes="x").token)

    def enter_twice() -> None:
        with use, contextlib.suppress(RuntimeError), use:
            pass
        with pytest.raises(NoSession):
            current_session()

    contextvars.copy_context().run(enter_twice)


def test_a_bound_session_is_not_bound_in_another_thread(manager: SessionManager) -> None:
    seen: list[BaseException] = []

    def look() -> None:
        try:
            current_session()
        except NoSession as error:
            seen.append(error)

    with manager.use(manager.create("a", scopes="x").token):
        thread = threading.Thread(target=look)
        thread.start()
        thread.join()
    assert len(seen) == 1


def test_use_refuses_before_the_body_runs(manager: SessionManager) -> None:
    made = manager.create("a", scopes="x")
    with pytest.raises(InsufficientScope), manager.use(made.token, require="y"):
        pytest.fail("the body ran")
    with pytest.raises(InvalidToken), manager.use("rubbish"):
        pytest.fail("the body ran")
    with pytest.raises(NoSession):
        current_session()


def test_requires_reads_the_row_on_every_call(manager: SessionManager) -> None:
    first, second, third = (manager.create("a", scopes="mail:send") for _ in range(3))
    with manager.use(first.token):
        manager.refresh(first)
        with pytest.raises(TokenSuperseded):
            send("ana")
    with manager.use(second.token):
        manager.revoke(second)
        with pytest.raises(SessionEnded):
            send("ana")
    with manager.use(manager.create("b", scopes="x").token), pytest.raises(InsufficientScope) as refusal:
        send("ana")
    assert str(refusal.value) == "b lacks mail:send"
    manager.validate(third.token)


@pytest.mark.parametrize("fails", [False, True])
def test_end_ends_the_session_on_the_way_out(manager: SessionManager, fails: bool) -> None:
    made = manager.create("a", scopes="x")
    expectation = pytest.raises(LookupError) if fails else contextlib.nullcontext()
    with expectation, manager.use(made.token, end=True):
        if fails:
            raise LookupError
    assert manager.get_session(made.id).cause == "finished"


def test_async_use_binds_and_ends_too(manager: SessionManager) -> None:
    made = manager.create("a", scopes="mail:send")

    async def main() -> str:
        async with manager.use(made.token, end=True):
            answer = await send_later("ana")
        with pytest.raises(NoSession):
            await send_later("ana")
        return answer

    assert asyncio.run(main()) == "ana by a"
    assert manager.get_session(made.id).cause == "finished"


def test_an_end_cancels_an_async_body_and_says_why(manager: SessionManager) -> None:
    made = manager.create("a", scopes="x")
    reached: list[str] = []

    async def main() -> None:
        async with manager.use(made.token):
            manager.revoke(made, reason="leaked")
            await asyncio.Event().wait()
            reached.append("the body went on")

    with pytest.raises(SessionEnded, match="leaked"):
        asyncio.run(main())
    assert reached == []


def test_an_async_body_that_swallows_its_cancelling_is_told_of_the_end(manager: SessionManager) -> None:
    made = manager.create("a", scopes="x")

    async def main() -> None:
        async with manager.use(made.token):
            manager.revoke(made)
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.Event().wait()

    with pytest.raises(SessionEnded):
        asyncio.run(main())


def test_a_cancelling_from_outside_stays_a_cancelling(manager: SessionManager) -> None:
    made = manager.create("a", scopes="x")

    async def body() -> None:
        async with manager.use(made.token):
            await asyncio.Event().wait()

    async def main() -> bool:
        task = asyncio.create_task(body())
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        return task.cancelled()

    assert asyncio.run(main())
    manager.validate(made.token)
