"""LangGraph: each request is asked whose it is and what it may do, as LangGraph's server asks."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clawguard import AsyncSessionManager, ConfigError, InvalidArgument, SessionManager, Verifier
from clawguard.models import IssuedSession
from tests.clocks import FakeClock
from tests.openers import open_manager

pytest.importorskip("langgraph_sdk", reason="needs the extra langgraph")

from langgraph_sdk import Auth
from langgraph_sdk.auth.types import AuthContext, StudioUser

from clawguard.agents.langgraph import _label, make_auth

KINDS = {
    "threads": ["create", "read", "update", "delete", "search", "create_run"],
    "assistants": ["create", "read", "update", "delete", "search"],
    "crons": ["create", "read", "update", "delete", "search"],
    "store": ["put", "get", "search", "delete", "list_namespaces"],
}
ASKED = [(resource, action) for resource, actions in KINDS.items() for action in actions]
OWNER = {
    "clawguard_workspace_id": "default",
    "clawguard_agent_id": "planner",
    "clawguard_subject": "user:ana",
}
Refused = Auth.exceptions.HTTPException


@pytest.fixture
def planner(manager: SessionManager) -> IssuedSession:
    return manager.create("planner", scopes="threads:* assistants:* crons:* store:*", subject="user:ana")


def headers(session: IssuedSession) -> dict[bytes, bytes]:
    return {name.lower().encode(): value.encode() for name, value in session.headers().items()}


def enter(auth: Auth, sent: dict[bytes, bytes]) -> Any:
    """Authenticate as the server does, which keeps the user as JSON with what it runs."""
    handler: Any = auth._authenticate_handler
    return json.loads(json.dumps(asyncio.run(handler(headers=sent))))


def ask(auth: Auth, user: Any, resource: Any, action: Any, value: Any = None) -> Any:
    """Ask the most specific handler, as the server does."""
    permissions = user["permissions"] if isinstance(user, dict) else user.permissions
    ctx = AuthContext(permissions=permissions, user=user, resource=resource, action=action)
    keys = [(resource, action), (resource, "*"), ("*", action), ("*", "*")]
    found = [handler for key in keys for handler in auth._handlers.get(key, ())]
    handler: Any = [*found, *auth._global_handlers][0]
    return asyncio.run(handler(ctx=ctx, value={} if value is None else value))


def test_what_the_server_can_ask_is_known() -> None:
    """A new kind of request is denied until somebody has thought about it, and this test says so."""
    hints = get_type_hints(AuthContext)
    assert set(get_args(hints["action"])) == {action for _, action in ASKED}
    assert set(get_args(hints["resource"])) == {*KINDS, "runs"}  # it asks for those of a thread as its own


@pytest.mark.parametrize("twin", [False, True])
def test_a_bearer_token_gives_a_user_without_a_token(
    manager: SessionManager, planner: IssuedSession, twin: bool
) -> None:
    user = enter(make_auth(AsyncSessionManager(manager) if twin else manager), headers(planner))
    assert (user["identity"], user["display_name"], user["is_authenticated"]) == (planner.id, "planner", True)
    assert user["permissions"] == ["assistants:*", "crons:*", "store:*", "threads:*"]
    assert user["session"] == manager.validate(planner.token).to_dict()
    assert not any(part in json.dumps(user) for part in planner.token.split("."))


def test_a_verifier_will_do(tmp_path: Path) -> None:
    clock, path = FakeClock(), tmp_path / "clawguard.db"
    with open_manager(path, clock=clock) as own, Verifier.open(path, clock=clock) as verifier:
        session = own.create("planner", scopes="threads:read")
        auth = make_auth(verifier)
        assert ask(auth, enter(auth, headers(session)), "threads", "read")["clawguard_agent_id"] == "planner"


MISSING, TWICE, INVALID = (401, "unauthorized"), (400, "invalid_request"), (401, "invalid_token")
BAD: dict[str, tuple[Callable[[IssuedSession], dict[bytes, bytes]], tuple[int, str]]] = {
    "nothing": (lambda _: {}, MISSING),
    "empty": (lambda _: {b"authorization": b""}, MISSING),
    "no token": (lambda _: {b"authorization": b"Bearer "}, TWICE),
    "another scheme": (lambda s: {b"authorization": b"Basic " + s.token.encode()}, MISSING),
    "no scheme": (lambda s: {b"authorization": s.token.encode()}, MISSING),
    "two tokens": (lambda s: {b"authorization": f"Bearer {s.token}, Bearer {s.token}".encode()}, TWICE),
    "no text": (lambda _: {b"authorization": b"Bearer \xff\xfe"}, INVALID),
    "cut short": (lambda s: {b"authorization": f"Bearer {s.token[:-1]}".encode()}, INVALID),
    "in another place": (lambda s: {b"x-api-key": s.token.encode()}, MISSING),
    "a proof that cannot be": (
        lambda s: {b"authorization": f"DPoP {s.token}".encode(), b"dpop": b"x"},
        (401, "invalid_dpop_proof"),
    ),
}


@pytest.mark.parametrize("how", BAD)
def test_a_missing_or_bad_token_is_answered_as_everywhere(
    manager: SessionManager, planner: IssuedSession, how: str
) -> None:
    sent, answer = BAD[how]
    with pytest.raises(Refused) as refusal:
        enter(make_auth(manager), sent(planner))
    assert (refusal.value.status_code, refusal.value.detail) == answer
    assert dict(refusal.value.headers or {})["WWW-Authenticate"].startswith(("Bearer ", "DPoP "))


def test_attack_57_a_token_in_the_query_string(manager: SessionManager, planner: IssuedSession) -> None:
    handler: Any = make_auth(manager)._authenticate_handler
    with pytest.raises(Refused) as refusal:
        asyncio.run(handler(headers=headers(planner), query_params={"access_token": "x"}))
    assert refusal.value.status_code == 400
    assert asyncio.run(handler(headers=headers(planner), query_params={"q": "access_token"}))


def test_attack_a_server_that_lets_a_client_say_who_it_is(
    manager: SessionManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    for found, is_old in (("0.6.39", True), ("0.7.103", True), ("0.8.0", False), ("1.0.0rc1", False)):
        monkeypatch.setattr("clawguard.agents.langgraph.version", lambda _, found=found: found)
        with pytest.raises(ConfigError, match="langgraph-api") if is_old else nullcontext():
            make_auth(manager)


def test_what_every_request_needs_is_asked_first(manager: SessionManager, planner: IssuedSession) -> None:
    with pytest.raises(Refused) as refusal:
        enter(make_auth(manager, require="langgraph:use"), headers(planner))
    assert (refusal.value.status_code, refusal.value.detail) == (403, "insufficient_scope: langgraph:use")


def test_a_session_that_ended_is_refused_at_once_and_nothing_is_told(
    manager: SessionManager, planner: IssuedSession, caplog: pytest.LogCaptureFixture
) -> None:
    """Also in what the server goes on with for it, such as a run in the background."""
    auth = make_auth(manager)
    with caplog.at_level(logging.DEBUG):
        user = enter(auth, headers(planner))
        manager.revoke(planner, reason="leaked by bob")
        for refused in (partial(enter, auth, headers(planner)), partial(ask, auth, user, "threads", "read")):
            with pytest.raises(Refused) as refusal:
                refused()
            assert refusal.value.status_code == 401
            assert "bob" not in str(refusal.value)
            assert refusal.value.__cause__ is None
    assert not any(part in caplog.text for part in planner.token.split("."))


@pytest.mark.parametrize(("resource", "action"), ASKED)
def test_each_request_needs_the_scope_of_what_it_does(
    manager: SessionManager, resource: str, action: str
) -> None:
    auth = make_auth(manager)
    others = [f"{one}:{other}" for one, other in ASKED if (one, other) != (resource, action)]
    without = manager.create("without", scopes=others)
    with pytest.raises(Refused) as refusal:
        ask(auth, enter(auth, headers(without)), resource, action)
    assert refusal.value.status_code == 403
    assert refusal.value.detail == f"insufficient_scope: {resource}:{action}"
    assert f'scope="{resource}:{action}"' in dict(refusal.value.headers or {})["WWW-Authenticate"]
    exact = manager.create("exact", scopes=f"{resource}:{action}")
    assert ask(auth, enter(auth, headers(exact)), resource, action)
    manager._parts.recorder.flush()
    denied = manager.events.read(types="guard.denied")
    assert [(each.agent_id, each.data["action"]) for each in denied] == [("without", f"{resource}:{action}")]


def test_what_is_not_known_is_denied_to_everybody(manager: SessionManager) -> None:
    auth = make_auth(manager)
    user = enter(auth, headers(manager.create("root", scopes="*")))
    for resource, action in (("runs", "read"), ("secrets", "read"), ("store", "drop")):
        assert ask(auth, user, resource, action) is False


def forged(user: Any) -> Iterator[Any]:
    """Yield users that `authenticate` did not make."""
    yield StudioUser("langgraph-studio-user", is_authenticated=True)
    yield {"identity": "x", "permissions": ["*"]}
    for name in user["session"]:
        yield {**user, "session": {key: each for key, each in user["session"].items() if key != name}}
    yield {**user, "session": {**user["session"], "expires_at": "tomorrow"}}
    yield {**user, "session": None}


def test_attack_a_user_that_was_not_let_in_by_a_token(
    manager: SessionManager, planner: IssuedSession
) -> None:
    """The development server lets anybody in as a studio user, unless that is switched off."""
    auth = make_auth(manager)
    for user in forged(enter(auth, headers(planner))):
        for resource, action in ASKED:
            assert ask(auth, user, resource, action) is False


@pytest.mark.parametrize("resource", ["threads", "assistants", "crons"])
def test_what_is_made_and_seen_is_the_owners(
    manager: SessionManager, planner: IssuedSession, resource: str
) -> None:
    auth = make_auth(manager)
    user = enter(auth, headers(planner))
    for action in KINDS[resource]:
        assert ask(auth, user, resource, action) == OWNER
    values: list[dict[str, Any]] = [{}, {"metadata": None}, {"metadata": {"x": 1}}]
    for value in values:
        assert ask(auth, user, resource, "create", value) == OWNER
        assert OWNER.items() <= value["metadata"].items()


@pytest.mark.parametrize("action", ["create", "create_run", "update"])
def test_attack_metadata_that_name_another_owner(
    manager: SessionManager, planner: IssuedSession, action: str
) -> None:
    auth, metadata = make_auth(manager), {"clawguard_subject": "user:bob", "clawguard_agent_id": "x", "n": 1}
    ask(auth, enter(auth, headers(planner)), "threads", action, {"metadata": metadata})
    assert metadata == {**OWNER, "n": 1}


def test_who_shares_is_said_by_the_host(manager: SessionManager, planner: IssuedSession) -> None:
    for owned_by, names in {
        ("agent_id",): {"clawguard_workspace_id", "clawguard_agent_id"},
        ("subject",): {"clawguard_workspace_id", "clawguard_subject"},
        (): {"clawguard_workspace_id"},
    }.items():
        auth = make_auth(manager, owned_by=owned_by)
        assert ask(auth, enter(auth, headers(planner)), "threads", "read").keys() == names
    for bad in ("subject", ["session_id"], ["workspace_id"]):
        with pytest.raises(InvalidArgument, match="owned_by"):
            make_auth(manager, owned_by=bad)


OWN = tuple(map(_label, ("default", "planner", "user:ana")))


@pytest.mark.parametrize("action", KINDS["store"])
@pytest.mark.parametrize(
    ("given", "moved"),
    [
        (("notes",), (*OWN, "notes")),
        ((), OWN),
        (None, OWN),
        ((*OWN, "notes"), (*OWN, "notes")),
        ((*OWN[:2], _label("user:bob")), (*OWN, *OWN[:2], _label("user:bob"))),
        (OWN[:2], (*OWN, *OWN[:2])),
    ],
)
def test_attack_a_namespace_of_another_owner(
    manager: SessionManager, planner: IssuedSession, action: str, given: Any, moved: Any
) -> None:
    auth, value = make_auth(manager), {"namespace": given}
    assert ask(auth, enter(auth, headers(planner)), "store", action, value) is True
    assert value["namespace"] == moved


@given(one=st.text(), other=st.text())
def test_no_two_owners_have_one_label(one: str, other: str) -> None:
    try:
        labels = _label(one), _label(other)
    except UnicodeEncodeError:
        return  # no id holds a lone surrogate
    assert (labels[0] == labels[1]) == (one == other)
    assert not any(set(label) & set(".%_") for label in labels)
    assert labels[0].startswith(labels[1]) == (one == other)


def test_while_the_store_is_down_nobody_is_let_in(manager: SessionManager, planner: IssuedSession) -> None:
    auth = make_auth(manager)
    user = enter(auth, headers(planner))
    manager.close()
    for refused in (partial(enter, auth, headers(planner)), partial(ask, auth, user, "threads", "read")):
        with pytest.raises(Refused) as refusal:
            refused()
        assert (refusal.value.status_code, dict(refusal.value.headers or {})) == (503, {"Retry-After": "1"})


def test_a_handler_of_the_hosts_own_takes_its_place(manager: SessionManager, planner: IssuedSession) -> None:
    auth = make_auth(manager)

    @auth.on.threads.read
    async def own(ctx: Any, value: Any) -> bool:
        return True

    user = enter(auth, headers(planner))
    assert ask(auth, user, "threads", "read") is True
    assert ask(auth, user, "threads", "update") == OWNER
