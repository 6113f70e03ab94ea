"""What a verifier asks a server, member by member, and what it says of an answer that is none."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from clawguard import IssuedSession, SessionContext
from clawguard.errors import (
    ClawguardError,
    ConfigError,
    InsufficientScope,
    InvalidProof,
    InvalidToken,
    KeyInUse,
    SessionEnded,
    StoreUnavailable,
    TokenSuperseded,
)
from clawguard.guard import CertificateProof, DPoPProof
from clawguard.sessions.remote import RemoteVerifier
from tests.openers import open_manager

WRONG: Any = 7
Asked = list[tuple[str, dict[str, Any], bool]]


class Server:
    """Answer in an asking's place; `asked` holds every question, `told` is what is changed in an answer."""

    def __init__(self, session: IssuedSession) -> None:
        self.session = session
        self.asked: Asked = []
        self.told: dict[str, Any] = {}
        self.metadata: dict[str, Any] = {"token_issuer": "urn:clawguard:here"}
        self.closed = 0

    def get(self, path: str, *, by_anybody: bool) -> dict[str, Any]:
        assert (path, by_anybody) == ("/.well-known/oauth-authorization-server", True)
        return self.metadata

    def post(self, path: str, body: dict[str, Any], *, twice: bool) -> dict[str, Any]:
        self.asked.append((path, body, twice))
        told: dict[str, Any] = {"nonce": body["nonce"], "refusal": None}
        if path == "/v1/authorize":
            decision = {"allowed": True, "action": body["action"], "reason": "scopes", "policy": "-"}
            told["decision"] = decision | {"rule": None, "masked_fields": []}
        elif body.get("quiet"):
            held = {"session_id": self.session.id, "generation": self.session.generation}
            told |= {"context": None, "held": held}
        else:
            told |= {"context": self.session.as_context().to_dict(), "held": None}
        return told | self.told

    def close(self) -> None:
        self.closed += 1


@pytest.fixture(scope="module")
def session() -> Iterator[IssuedSession]:
    with open_manager(audiences=["mail"]) as manager:
        yield manager.create("planner", scopes="docs:read mail:send", audience="mail")


@pytest.fixture
def server(session: IssuedSession) -> Server:
    return Server(session)


def opened(server: Any, *, issuer: str | None = None, audience: str | None = None) -> RemoteVerifier:
    return RemoteVerifier(server, issuer=issuer, audience=audience)


@pytest.fixture
def remote(server: Server) -> RemoteVerifier:
    return opened(server)


@pytest.fixture
def context(session: IssuedSession) -> SessionContext:
    return session.as_context()


def asked(server: Server) -> tuple[str, dict[str, Any], bool]:
    """Return the last question without its nonce, which no two share."""
    nonces = {body["nonce"] for _, body, _ in server.asked}
    assert len(nonces) == len(server.asked)
    assert all(len(each) >= 22 for each in nonces)
    path, body, twice = server.asked[-1]
    return path, {name: each for name, each in body.items() if name != "nonce"}, twice


NOTHING: dict[str, Any] = {"require": [], "any_of": [], "consistency": "bounded"}


def test_a_token_is_asked_about_once_with_all_that_was_given(
    server: Server, remote: RemoteVerifier, session: IssuedSession
) -> None:
    assert remote.validate(session.token) == session.as_context()
    assert asked(server) == ("/v1/validate", {**NOTHING, "token": session.token}, False)
    remote.validate(
        session.token,
        require="docs:read",
        any_of="mail:send web:read",
        audience="mail",
        source="192.0.2.1",
        consistency="linearizable",
    )
    body = {
        "require": ["docs:read"],
        "any_of": ["mail:send", "web:read"],
        "consistency": "linearizable",
        "audience": "mail",
        "source": "192.0.2.1",
        "token": session.token,
    }
    assert asked(server) == ("/v1/validate", body, False)


@pytest.mark.parametrize(
    ("proof", "told"),
    [
        (
            DPoPProof("a.b.c", method="GET", url="https://api.example.com/"),
            {"dpop": "a.b.c", "method": "GET", "url": "https://api.example.com/"},
        ),
        (CertificateProof.of_thumbprint("A" * 43), {"thumbprint": "A" * 43}),
    ],
)
def test_a_proof_goes_with_its_token(
    server: Server, remote: RemoteVerifier, session: IssuedSession, proof: Any, told: dict[str, str]
) -> None:
    remote.validate(session.token, proof=proof)
    assert asked(server)[1] == {**NOTHING, "token": session.token, "proof": told}


def test_a_context_is_asked_about_by_what_tells_it(
    server: Server, remote: RemoteVerifier, context: SessionContext
) -> None:
    told = {
        "session_id": context.session_id,
        "generation": context.generation,
        "scopes": ["docs:read", "mail:send"],
    }
    remote.validate(context)
    assert asked(server) == ("/v1/validate", {**NOTHING, "context": told}, True)
    remote.recheck(context, require="docs:read", any_of="mail:send")
    body: dict[str, Any] = {"context": told, "quiet": True}
    body |= {"require": ["docs:read"], "any_of": ["mail:send"]}
    assert asked(server) == ("/v1/validate", body, True)
    assert remote.authorize(context, "docs:read").action == "docs:read"
    assert asked(server) == ("/v1/authorize", {"context": told, "action": "docs:read", "risk": 0}, True)
    remote.authorize(context, "docs:read", resource="a", risk=0.5)
    body = {"context": told, "action": "docs:read", "resource": "a", "risk": 0.5}
    assert asked(server) == ("/v1/authorize", body, True)


def test_what_this_service_is_called_is_asked_for_unless_a_call_says_otherwise(
    server: Server, session: IssuedSession
) -> None:
    remote = opened(server, audience="mail")
    remote.validate(session.token)
    assert asked(server)[1]["audience"] == "mail"
    for verifier, given in ((opened(server, audience="docs"), {}), (remote, {"audience": "docs"})):
        with pytest.raises(StoreUnavailable) as refused:
            verifier.validate(session.token, **given)  # type: ignore[arg-type]
        assert asked(server)[1]["audience"] == "docs"
        assert str(refused.value) == "the server gave no valid answer (no context)"


Call = Callable[[RemoteVerifier, Any], object]
HELD = {"session_id": "another", "generation": 1}
DECISION: dict[str, Any] = {"allowed": True, "action": "docs:write", "reason": "scopes", "policy": "-"}
DECISION |= {"rule": None, "masked_fields": []}


@pytest.mark.parametrize(
    ("told", "call", "said"),
    [
        ({"nonce": "another"}, lambda r, c: r.validate(c), "answer"),
        ({"refusal": 7}, lambda r, c: r.validate(c), "answer"),
        ({"context": None}, lambda r, c: r.validate(c), "answer"),
        ({"context": None, "held": HELD}, lambda r, c: r.validate(c), "context"),
        ({}, lambda r, c: r.validate(c, require="web:read"), "context"),
        ({}, lambda r, c: r.validate(c, any_of="web:read"), "context"),
        ({"held": None}, lambda r, c: r.recheck(c), "answer"),
        ({"held": HELD}, lambda r, c: r.recheck(c), "context"),
        ({"decision": None}, lambda r, c: r.authorize(c, "docs:read"), "answer"),
        ({"decision": DECISION}, lambda r, c: r.authorize(c, "docs:read"), "decision"),
    ],
)
def test_what_is_no_answer_to_the_question_is_said_to_be_none(
    server: Server, remote: RemoteVerifier, context: SessionContext, told: Any, call: Call, said: str
) -> None:
    server.told = told
    with pytest.raises(StoreUnavailable) as refused:
        call(remote, context)
    assert str(refused.value) == f"the server gave no valid answer (no {said})"


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (
            lambda r, c: r.validate(c, consistency="strong"),
            "consistency: must be 'bounded' or 'linearizable'",
        ),
        (lambda r, c: r.validate(c, audience=""), "audience: must be 1 to 255 printable characters"),
        (lambda r, c: r.validate(c, source=""), "source: must be 1 to 255 printable characters"),
        (
            lambda r, c: r.validate(c, proof=CertificateProof.of_thumbprint("A" * 43)),
            "proof: goes with a token; a context needs none",
        ),
        (
            lambda r, c: r.validate("a.b.c", proof=WRONG),
            "proof: must be a DPoPProof or a CertificateProof",
        ),
        (
            lambda r, c: r.validate(WRONG),
            "token_or_context: must be a token or a SessionContext; pass `session.token`",
        ),
        (
            lambda r, c: r.recheck(WRONG),
            "token_or_context: must be a token or a SessionContext; pass `session.token`",
        ),
        (
            lambda r, c: r.authorize(WRONG, "x"),
            "context: must be a SessionContext; `validate` gives it",
        ),
        (
            lambda r, c: r.validate("cgr1_none"),
            "the token is not valid; a refresh token goes to redeem(), and nowhere else",
        ),
    ],
)
def test_a_mistake_is_told_and_nobody_asked(
    server: Server, remote: RemoteVerifier, context: SessionContext, call: Call, told: str
) -> None:
    with pytest.raises(ClawguardError) as refused:
        call(remote, context)
    assert str(refused.value) == told
    assert server.asked == []


@pytest.mark.parametrize("name", ["require", "any_of"])
def test_scopes_that_are_none_are_named_by_their_argument(
    remote: RemoteVerifier, context: SessionContext, name: str
) -> None:
    calls: tuple[Callable[..., object], ...] = (remote.validate, remote.recheck)
    for call in calls:
        with pytest.raises(ClawguardError) as refused:
            call(context, **{name: "NOT"})
        assert refused.value.argument == name  # type: ignore[attr-defined]


@pytest.mark.parametrize("token", ["", "a" * 8_193, "\xe9"])
def test_what_is_no_token_is_not_asked_about(server: Server, remote: RemoteVerifier, token: str) -> None:
    with pytest.raises(InvalidToken):
        remote.validate(token)
    assert server.asked == []


def test_a_server_that_does_not_know_this_verifier_says_nothing_about_a_token(
    server: Server, remote: RemoteVerifier, session: IssuedSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise KeyInUse("k", "s")

    monkeypatch.setattr(server, "post", refuse)
    with pytest.raises(StoreUnavailable) as refused:
        remote.validate(session.token)
    assert str(refused.value) == (
        "the server does not know this verifier, or not as one that may ask; "
        "its own token needs the scope clawguard:introspect"
    )


def test_it_is_met_first_and_let_go_of_where_it_is_another(server: Server) -> None:
    assert opened(server, issuer="urn:clawguard:here").issuer == "urn:clawguard:here"
    assert server.closed == 0
    with pytest.raises(ConfigError) as refused:
        opened(server, issuer="urn:other")
    assert str(refused.value) == ("the server is of another issuer; leave issuer= out, or name another URL")
    server.metadata = {}
    with pytest.raises(StoreUnavailable) as unknown:
        opened(server)
    assert str(unknown.value) == "the server gave no valid answer (no issuer)"
    assert server.closed == 2


def test_what_needs_a_store_says_that_there_is_none(remote: RemoteVerifier) -> None:
    for call in (lambda: remote.events, lambda: remote.inspect("x")):
        with pytest.raises(ConfigError) as refused:
            call()
        assert str(refused.value) == "a verifier at a server has no store of its own; ask the server"
    assert not hasattr(remote, "no_such_name")


@pytest.mark.parametrize(
    ("refusal", "error"),
    [
        ({"code": "invalid_proof"}, InvalidProof()),
        ({"code": "token_superseded"}, TokenSuperseded()),
        ({"code": "session_ended", "cause": "revoked", "reason": "lost"}, SessionEnded("revoked", "lost")),
        ({"code": "session_ended"}, InvalidToken()),
        (
            {"code": "insufficient_scope", "agent_id": "a", "required": ["x", "y"], "missing": ["y"]},
            InsufficientScope("a", ("x", "y"), ("y",)),
        ),
        (
            {"code": "insufficient_scope", "agent_id": "a", "missing": ["y"], "any_of": True},
            InsufficientScope("a", (), ("y",), any_of=True),
        ),
        ({"code": "insufficient_scope"}, InvalidToken()),
        ({"code": "invalid_token"}, InvalidToken()),
    ],
)
def test_a_refusal_is_raised_as_beside_the_store(
    server: Server, remote: RemoteVerifier, session: IssuedSession, refusal: Any, error: ClawguardError
) -> None:
    server.told = {"context": None, "refusal": refusal}
    with pytest.raises(ClawguardError) as refused:
        remote.validate(session.token)
    assert (refused.type, vars(refused.value)) == (type(error), vars(error))
