"""Spans: each verb has one, below the caller's, whichever way it is called."""

from __future__ import annotations

import asyncio
import inspect
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.trace import SpanKind

from clawguard import (
    AsyncSessionManager,
    AsyncVerifier,
    Event,
    SessionManager,
    Verifier,
    requires,
)
from clawguard.sessions import validating
from clawguard.sessions.change import RevisionMoved
from clawguard.web.wsgi import ClawguardMiddleware
from tests.clocks import FakeClock
from tests.openers import open_manager
from tests.otel.telemetry import POLICY, WATCHED, Telemetry, places, refused
from tests.web.test_wsgi import ask, whoami

# What reads, keeps house, writes the host's own events, or calls one of the others: none of it gives, checks
# or takes authority by itself.
UNWATCHED = {
    "open", "close", "on", "off", "use", "recheck", "inspect", "create_session", "get_session",
    "active_count", "prune_expired", "publish",
}  # fmt: skip


def test_every_verb_gives_a_span_that_says_whom_it_concerns(
    manager: SessionManager, telemetry: Telemetry
) -> None:
    with telemetry.watch(manager):
        made = manager.create("planner", scopes="docs:read a:b", subject="user:ana", refreshable=True)
        child = manager.delegate(made, "helper", scopes="docs:read")
        context = manager.validate(child.token)
        manager.reload_policy(POLICY)
        decision = manager.authorize(context, "docs:read")
        assert decision
        assert manager.redeem(made.refresh_token or "").generation == 2
        assert manager.refresh(made.id).generation == 3
        assert manager.end(session=child)
        others = [manager.create("other", scopes="x") for _ in range(3)]
        assert manager.invalidate(others[0].id)
        all_of_other = manager.revoke_all_for_agent("other")
        act = manager.agents.disable("other")
        manager.agents.enable("other")
        manager.keys.rotate()
        assert manager.revoke(made.id, reason="leaked")
        assert not manager.revoke(made.id)
        assert manager.revoke_where(everything=True, dry_run=True).count == 0
    ours = {"session.id": made.id, "gen_ai.agent.id": "planner", "user.id": "user:ana"}
    where = {"clawguard.workspace_id": "default", "clawguard.depth": 0}
    theirs = {
        "session.id": child.id, "gen_ai.agent.id": "helper", "user.id": "user:ana", "clawguard.depth": 1,
        "clawguard.workspace_id": "default", "clawguard.generation": 1,
    }  # fmt: skip
    assert set(telemetry.names()) == WATCHED
    assert telemetry.told("delegate") == theirs | {
        "clawguard.scopes": ("docs:read",),
        "clawguard.parent_id": made.id,
    }
    assert telemetry.told("validate") == theirs
    for verb, generation in (("redeem", 2), ("refresh", 3)):
        assert telemetry.told(verb) == ours | where | {
            "clawguard.generation": generation,
            "clawguard.scopes": ("a:b", "docs:read"),
        }
    asked = {"session.id": child.id, "clawguard.action": "docs:read", "clawguard.allowed": True}
    assert telemetry.told("authorize") == asked | {"clawguard.rule": "documents"}
    assert telemetry.told("end") == {"session.id": child.id, "clawguard.ended": True}
    assert telemetry.told("revoke") == {"session.id": made.id, "clawguard.ended": False}
    assert telemetry.told("invalidate")["session.id"] == others[0].id
    assert telemetry.told("revoke_all_for_agent") == {
        "gen_ai.agent.id": "other", "clawguard.cause_id": all_of_other.cause_id, "clawguard.count": 2,
    }  # fmt: skip
    assert telemetry.told("agents.disable") == {"clawguard.cause_id": act.cause_id, "clawguard.count": 0}
    assert telemetry.told("reload_policy") == {"clawguard.policy": manager.policy.digest}
    for span in telemetry.spans:
        assert span.kind is SpanKind.INTERNAL
        assert span.status.is_unset
        assert not span.events
        assert span.start_time is not None
        assert span.end_time is not None
        assert span.start_time <= span.end_time


def test_every_verb_of_a_manager_is_watched_or_left_out_on_purpose(
    manager: SessionManager, telemetry: Telemetry
) -> None:
    methods = {
        name
        for name, each in inspect.getmembers(SessionManager, inspect.isroutine)
        if not name.startswith("_")
    }
    assert methods == {verb for verb in WATCHED if "." not in verb} | UNWATCHED
    with telemetry.watch(manager):
        ours = {f"{prefix}{name}" for prefix, owner in places(manager) for name in vars(owner)}
    theirs = {f"{prefix}{name}" for prefix, owner in places(manager) for name in vars(owner)}
    assert ours - theirs == WATCHED | {"_instrumentation"}


def test_a_refusal_is_told_by_its_code_alone(manager: SessionManager, telemetry: Telemetry) -> None:
    with telemetry.watch(manager):
        made = manager.create("planner", scopes="docs:read")
        context = manager.validate(made.token)
        refused(manager.validate, made.token, require="mail:send")
        assert telemetry.told("validate") == {
            "error.type": "insufficient_scope", "gen_ai.agent.id": "planner",
            "clawguard.missing": ("mail:send",),
        }  # fmt: skip
        refused(manager.delegate, context, "helper", scopes="mail:send")
        assert telemetry.told("delegate") == {
            "error.type": "delegation_refused", "clawguard.parent_id": made.id,
            "clawguard.missing": ("mail:send",),
        }  # fmt: skip
        manager.revoke(made, reason="leaked by hook")
        refused(manager.refresh, session=made)
        assert telemetry.told("refresh") == {
            "error.type": "session_ended", "session.id": made.id, "clawguard.cause": "revoked",
        }  # fmt: skip
        refused(manager.revoke, "no such session")
        assert telemetry.told("revoke") == {"error.type": "session_not_found"}
        with pytest.raises(TypeError):
            manager.create("planner", scope="x")  # type: ignore[call-arg]
        assert telemetry.told("create") == {"error.type": "TypeError"}
    failed = [span for span in telemetry.spans if "error.type" in (span.attributes or {})]
    assert len(failed) == 5
    for span in failed:
        assert not span.status.is_ok
        assert not span.status.is_unset
        assert span.status.description is None
        assert not span.events


def test_the_text_of_an_error_that_is_not_ours_is_not_told(telemetry: Telemetry) -> None:
    class Clock(FakeClock):
        broken = False

        def now(self) -> int:
            if self.broken:
                raise RuntimeError("a secret")
            return super().now()

    clock = Clock()
    with open_manager(clock=clock) as manager:
        token = manager.create("planner", scopes="x").token
        with telemetry.watch(manager):
            clock.broken = True
            with pytest.raises(RuntimeError):
                manager.validate(token)
            with pytest.raises(RuntimeError):
                manager.create("planner", scopes="x")
            clock.broken = False
    assert telemetry.told("validate") == telemetry.told("create") == {"error.type": "RuntimeError"}
    assert telemetry.count("refusals", operation="create", error="RuntimeError") == 1
    assert "a secret" not in telemetry.everything()


def test_a_span_is_below_the_one_that_is_active(manager: SessionManager, telemetry: Telemetry) -> None:
    with telemetry.watch(manager):
        with telemetry.request() as request:
            made = manager.create("planner", scopes="x")
            manager.validate(made.token)
        manager.validate(made.token)
    below = [span.parent and span.parent.span_id for span in telemetry.spans]
    mine = request.get_span_context().span_id
    assert below == [mine, mine, None, None]


def test_what_a_call_brings_about_on_its_thread_is_below_its_span(
    manager: SessionManager, telemetry: Telemetry
) -> None:
    def receiver(_: Event) -> None:
        with telemetry.request():
            pass

    with telemetry.watch(manager):
        manager.on("session.created", receiver)
        manager.create("planner", scopes="x")
    below, create = telemetry.spans
    assert below.parent is not None
    assert create.context is not None
    assert below.parent.span_id == create.context.span_id


def test_awaited_calls_give_the_same_spans_below_the_same_parent(
    tmp_path: Path, telemetry: Telemetry
) -> None:
    async def life(manager: AsyncSessionManager) -> int:
        with telemetry.request() as request:
            made = await manager.create("planner", scopes="docs:read", refreshable=True)
            child = await manager.delegate(made, "helper", scopes="docs:read")
            context = await manager.validate(child.token)
            await manager.authorize(context, "docs:read")
            await manager.redeem(made.refresh_token or "")
            await manager.refresh(made)
            for call in (manager.end, manager.invalidate, manager.revoke):
                await call(child)
            await manager.revoke_all_for_agent("planner")
            await manager.revoke_where(everything=True)
            await manager.agents.disable("planner")
            await manager.agents.enable("planner")
            await manager.keys.rotate()
            await manager.reload_policy(POLICY)
        return request.get_span_context().span_id

    async def main() -> int:
        async with AsyncSessionManager.open(tmp_path / "clawguard.db") as manager:
            with telemetry.watch(manager):
                return await life(manager)

    request = asyncio.run(main())
    spans = [span for span in telemetry.spans if span.name != "request"]
    assert {span.name.removeprefix("clawguard.") for span in spans} == WATCHED
    assert {span.parent and span.parent.span_id for span in spans} == {request}


def test_a_create_that_is_cancelled_is_told_with_its_undoing(tmp_path: Path, telemetry: Telemetry) -> None:
    async def main() -> None:
        async with AsyncSessionManager.open(tmp_path / "clawguard.db") as manager:
            with telemetry.watch(manager):
                task = asyncio.create_task(manager.create("a", scopes="x"))
                await asyncio.sleep(0)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task

    asyncio.run(main())
    assert telemetry.names() == ["create", "end"]
    assert telemetry.told("create")["session.id"] == telemetry.told("end")["session.id"]


def test_a_verifier_tells_what_it_checks(tmp_path: Path, telemetry: Telemetry) -> None:
    path = tmp_path / "clawguard.db"

    async def awaited(token: str) -> None:
        async with AsyncVerifier.open(path) as verifier:
            with telemetry.watch(verifier):
                await verifier.validate(token)

    with (
        open_manager(path, clock=None, policy=POLICY) as manager,
        Verifier.open(path, clock=FakeClock()) as verifier,
    ):
        token = manager.create("planner", scopes="docs:read").token
        before = dict(vars(verifier))
        with telemetry.watch(verifier):
            verifier.authorize(verifier.validate(token), "docs:read")
        assert vars(verifier) == before
    assert telemetry.names() == ["validate", "authorize"]
    telemetry.clear()
    with SessionManager.open(tmp_path / "other.db") as other:
        path = tmp_path / "other.db"
        asyncio.run(awaited(other.create("planner", scopes="x").token))
    assert telemetry.names() == ["validate"]


def test_what_validates_by_itself_is_measured_too(manager: SessionManager, telemetry: Telemetry) -> None:
    @requires("x")
    def tool() -> str:
        return "done"

    async def block(token: str) -> str:
        async with AsyncSessionManager(manager).use(token):
            return tool()

    token = manager.create("planner", scopes="x").token
    with telemetry.watch(manager):
        with manager.use(token, end=False):
            assert tool() == "done"
        assert telemetry.names() == ["validate", "validate"]
        assert asyncio.run(block(token)) == "done"
        assert ask(ClawguardMiddleware(whoami, manager), token).status == 200
        assert telemetry.names() == ["validate"] * 5
        with manager.use(token, end=True):
            pass
        assert telemetry.names() == ["validate"] * 6 + ["end"]
        assert manager.create_session("planner", None, "x").id == telemetry.told("create")["session.id"]
        assert telemetry.names().count("create") == 1


def test_a_validate_that_begins_anew_is_one_call(
    manager: SessionManager, telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = manager.create("planner", scopes="x", max_uses=2).token
    moves = [RevisionMoved]
    take = vars(validating)["take"]

    def move_once(*given: Any) -> None:
        if moves:
            raise moves.pop()
        take(*given)

    monkeypatch.setattr(validating, "take", move_once)
    with telemetry.watch(manager):
        manager.validate(token)
    assert telemetry.names() == ["validate"]
    assert telemetry.count("operation.duration", operation="validate") == 1
