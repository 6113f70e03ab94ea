"""One table of requests, and one answer to each whichever adapter is asked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from clawguard import NoSession, SessionContext, StoreBusy, StoreUnavailable, current_session
from clawguard.errors import ClawguardError, ClockError
from tests.web.adapters import ORIGIN, Ask, Build, Sent
from tests.web.world import (
    ALGS,
    BAD_PROOF,
    GOOD,
    INVALID,
    MISSING,
    NOT_PROVED,
    TWICE,
    UNAVAILABLE,
    World,
    bearer,
    beside,
    dpop,
    header,
    lacks,
    told,
)


class Case(NamedTuple):
    """Hold a request and the answer to it; the apps need `docs:read`, /mail needs `mail:send` too."""

    make: Callable[[World], Sent]
    expected: tuple[int, str | None, str | bytes]


CASES: dict[str, Case] = {
    "good": Case(lambda world: bearer(world.good.token), GOOD),
    "good, in lower case": Case(lambda world: header(f"bearer {world.good.token}"), GOOD),
    "good, more spaces": Case(lambda world: header(f"Bearer   {world.good.token}"), GOOD),
    "good, POST": Case(lambda world: bearer(world.good.token, method="POST"), GOOD),
    "good, HEAD": Case(lambda world: bearer(world.good.token, method="HEAD"), (200, None, b"")),
    "good, a query": Case(lambda world: bearer(world.good.token, query="q=access_token"), GOOD),
    "good, a cookie": Case(lambda world: beside(world, ("Cookie", "theme=access_token")), GOOD),
    "good, a cookie of another's token": Case(
        lambda world: beside(world, ("Cookie", "a=b; access_token=x")), GOOD
    ),
    "good, wide scope": Case(lambda world: bearer(world.make("docs:*").token), GOOD),
    "good, counted": Case(lambda world: bearer(world.make(max_uses=2).token), GOOD),
    "good, its last use": Case(lambda world: bearer(world.make(max_uses=1).token), GOOD),
    "good, a proof that nobody asked for": Case(lambda world: beside(world, ("DPoP", "x")), GOOD),
    "good, a path beyond ASCII": Case(lambda world: bearer(world.good.token, path="/%E2%82%AC"), GOOD),
    "missing": Case(lambda world: Sent(), MISSING),
    "missing, HEAD": Case(lambda world: Sent(method="HEAD"), (401, MISSING[1], b"")),
    "missing, empty header": Case(lambda world: header(""), MISSING),
    "missing, a cookie of another name": Case(lambda world: Sent((("Cookie", "session=x"),)), MISSING),
    "missing, a token in a cookie": Case(
        lambda world: Sent((("Cookie", f"access_token={world.good.token}"),)), MISSING
    ),
    "another scheme": Case(lambda world: header("Basic dXNlcjpwYXNz"), MISSING),
    "no scheme": Case(lambda world: header(world.good.token), MISSING),
    "scheme only": Case(lambda world: header("Bearer"), TWICE),
    "two words": Case(lambda world: header(f"Bearer {world.good.token} x"), TWICE),
    "two headers": Case(lambda world: beside(world, ("Authorization", f"Bearer {world.good.token}")), TWICE),
    "two headers of two schemes": Case(
        lambda world: beside(world, ("Authorization", "Basic dXNlcjpwYXNz")), TWICE
    ),
    "two in one header": Case(
        lambda world: header(f"Bearer {world.good.token}, Bearer {world.good.token}"), TWICE
    ),
    "query string": Case(lambda world: Sent(query=f"access_token={world.good.token}"), TWICE),
    "query string too": Case(lambda world: bearer(world.good.token, query="access_token=x"), TWICE),
    "query string, escaped": Case(lambda world: bearer(world.good.token, query="access%5Ftoken=x"), TWICE),
    "garbage": Case(lambda world: bearer("a.b.c"), INVALID),
    "one character": Case(lambda world: bearer("x"), INVALID),
    "signature cut": Case(lambda world: bearer(world.good.token[:-4]), INVALID),
    "huge": Case(lambda world: bearer("x" * 60_000), INVALID),
    "beyond ASCII": Case(lambda world: bearer("é" * 20), INVALID),
    "expired": Case(lambda world: bearer(world.expired()), INVALID),
    "revoked": Case(lambda world: bearer(world.revoked()), INVALID),
    "replaced": Case(lambda world: bearer(world.replaced()), INVALID),
    "used up": Case(lambda world: bearer(world.used_up()), INVALID),
    "its parent ended": Case(lambda world: bearer(world.orphaned()), INVALID),
    "another audience": Case(lambda world: bearer(world.make(audience="other").token), INVALID),
    "a refresh token": Case(lambda world: bearer(world.make(refreshable=True).refresh_token or ""), INVALID),
    "a session's id": Case(lambda world: bearer(world.good.id), INVALID),
    "too little": Case(lambda world: bearer(world.make("mail:send").token), lacks("docs:read")),
    "nothing": Case(lambda world: bearer(world.make("").token), lacks("docs:read")),
    "too little for the tool": Case(
        lambda world: bearer(world.good.token, path="/mail"), lacks("docs:read mail:send")
    ),
    "enough for the tool": Case(
        lambda world: bearer(world.make("docs:read mail:*").token, path="/mail"), (200, None, b"sent")
    ),
    "proved": Case(lambda world: dpop(world, world.proof()), GOOD),
    "proved, a query": Case(lambda world: dpop(world, world.proof(), query="q=1"), GOOD),
    "proved, an escaped path": Case(
        lambda world: dpop(world, world.proof(url=f"{ORIGIN}/a%20b"), path="/a%20b"), GOOD
    ),
    "proved, a path beyond ASCII": Case(
        lambda world: dpop(world, world.proof(url=f"{ORIGIN}/%E2%82%AC"), path="/%E2%82%AC"), GOOD
    ),
    "proved, POST": Case(lambda world: dpop(world, world.proof(method="POST"), method="POST"), GOOD),
    "not proved": Case(dpop, BAD_PROOF),
    "no proof": Case(lambda world: dpop(world, "x"), BAD_PROOF),
    "two proofs": Case(lambda world: dpop(world, world.proof(), world.proof()), BAD_PROOF),
    "proved for another method": Case(lambda world: dpop(world, world.proof(method="PUT")), BAD_PROOF),
    "proved for another path": Case(lambda world: dpop(world, world.proof(url=f"{ORIGIN}/x")), BAD_PROOF),
    "proved for another host": Case(
        lambda world: dpop(world, world.proof(url="http://evil.example/whoami")), BAD_PROOF
    ),
    "proved for another token": Case(lambda world: dpop(world, world.proof(token="a.b.c")), BAD_PROOF),
    "proved, and not bound": Case(
        lambda world: dpop(world, world.proof(token=world.good.token), token=world.good.token), BAD_PROOF
    ),
    "bound, sent as Bearer": Case(lambda world: bearer(world.bound.token), NOT_PROVED),
    "proved, too little for the tool": Case(
        lambda world: dpop(world, world.proof(url=f"{ORIGIN}/mail"), path="/mail"),
        lacks("docs:read mail:send", ALGS),
    ),
}


@pytest.fixture(scope="module")
def ask(build: Build, world: World) -> Ask:
    return build(world.verifier, require="docs:read", origin=ORIGIN)


@pytest.mark.parametrize("name", CASES)
def test_every_adapter_gives_the_same_answer(name: str, ask: Ask, world: World) -> None:
    case = CASES[name]
    assert told(ask(case.make(world))) == case.expected


class Broken:
    """Fail as a verifier does that cannot know."""

    def __init__(self, error: ClawguardError) -> None:
        self.error = error

    def validate(self, *args: Any, **kwargs: Any) -> SessionContext:
        raise self.error

    def recheck(self, context: SessionContext, /, **asked: Any) -> None:
        raise self.error


@pytest.mark.parametrize("error", [StoreBusy("locked"), StoreUnavailable("on fire"), ClockError("set back")])
def test_what_cannot_be_checked_is_refused(build: Build, error: ClawguardError) -> None:
    answer = build(Broken(error))(header("Bearer a.b.c"))
    assert told(answer) == UNAVAILABLE
    assert {name.lower(): value for name, value in answer.headers.items()}["retry-after"] == "1"
    assert error.message.encode() not in answer.body


def test_every_refusal_says_that_it_must_not_be_stored(ask: Ask, world: World) -> None:
    for case in CASES.values():
        answer = ask(case.make(world))
        headers = {name.lower(): value for name, value in answer.headers.items()}
        if answer.status >= 400:
            assert (headers["cache-control"], headers["content-type"]) == ("no-store", "application/json")


def test_a_request_is_validated_once_and_its_source_is_noted(build: Build, world: World) -> None:
    shown: list[object] = []

    class Counted:
        def validate(self, shown_one: Any, /, **options: Any) -> SessionContext:
            shown.append(shown_one)
            assert options["source"] == "192.0.2.1"
            return world.verifier.validate(shown_one, **options)

        def recheck(self, context: SessionContext, /, **asked: Any) -> None:
            world.verifier.recheck(context, **asked)

    for path in ("/whoami", "/mail"):
        token = world.make("docs:read mail:send", max_uses=2).token
        assert build(Counted(), require="docs:read")(bearer(token, path=path)).status == 200
        assert shown.count(token) == 1


def test_an_optional_request_without_a_credential_is_nobodys(build: Build, world: World) -> None:
    ask = build(world.verifier, optional=True)
    for sent in (Sent(), Sent(path="/mail"), header("Basic dXNlcjpwYXNz")):
        with world.manager.use(world.make("docs:read mail:send").token):
            assert told(ask(sent)) == MISSING  # the apps ask for the session all the same
    assert told(ask(bearer(world.good.token))) == GOOD
    assert told(ask(bearer("x"))) == INVALID
    assert told(ask(Sent(query="access_token=x"))) == TWICE


def test_no_adapter_leaves_a_session_bound(ask: Ask, world: World) -> None:
    for sent in (bearer(world.good.token), bearer(world.good.token, path="/mail"), Sent()):
        ask(sent)
        with pytest.raises(NoSession):
            current_session()
