"""Reading bearer tokens and answering refusals, case by case."""

from __future__ import annotations

import json
import re

import pytest

from clawguard import errors
from clawguard.errors import (
    AccessDenied,
    ClawguardError,
    ClockError,
    InsufficientScope,
    InvalidProof,
    InvalidToken,
    NoSession,
    OutcomeUnknown,
    PolicyDenied,
    SessionEnded,
    StoreBusy,
    StoreMoved,
    StoreUnavailable,
    StoreUpgraded,
    TokenSuperseded,
)
from clawguard.scopes import ScopeSet
from clawguard.web.bearer import REFUSED, Credential, Refusal, carries_token, read_credential, refusal_for

BARE = 'Bearer realm="clawguard"'
DPOP = 'DPoP algs="ES256 EdDSA RS256"'
MISSING = f"{BARE}, {DPOP}"
INVALID_REQUEST = f'{BARE}, error="invalid_request"'
INVALID_TOKEN = f'{BARE}, error="invalid_token"'


def challenge_of(refusal: Refusal) -> str | None:
    return dict(refusal.headers).get("WWW-Authenticate")


def refused(authorization: str | None, *, elsewhere: bool = False) -> tuple[int, str | None]:
    found = read_credential(authorization, elsewhere=elsewhere)
    assert isinstance(found, Refusal)
    return found.status, challenge_of(found)


@pytest.mark.parametrize(
    "authorization",
    ["Bearer a.b.c", "bearer a.b.c", "BEARER a.b.c", "Bearer   a.b.c", " Bearer a.b.c ", "Bearer\ta.b.c"],
)
def test_a_token_is_read(authorization: str) -> None:
    assert read_credential(authorization) == Credential("a.b.c")


def test_what_is_no_token_at_all_is_left_to_the_validator() -> None:
    assert read_credential("Bearer ={}\x00\xff") == Credential("={}\x00\xff")


@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "",
        " ",
        ",",
        "Basic dXNlcjpwYXNz",
        "a.b.c",
        "Bearera.b.c",
        "Token a.b.c",
        "Digest a, b",
    ],
)
def test_without_a_credential_the_challenge_is_bare(authorization: str | None) -> None:
    assert refused(authorization) == (401, MISSING)


@pytest.mark.parametrize(
    "authorization", ["Bearer", "Bearer ", "Bearer a b", "Bearer a\tb", "Bearer Bearer a"]
)
def test_a_malformed_header_is_a_bad_request(authorization: str) -> None:
    assert refused(authorization) == (400, INVALID_REQUEST)


@pytest.mark.parametrize(
    "authorization",
    [
        "Bearer a.b.c, Bearer a.b.c",
        "Bearer a.b.c,Bearer d.e.f",
        "Bearer a.b.c,",
        "Basic dXNlcjpwYXNz, Bearer a.b.c",
        "Bearer a.b.c, Basic dXNlcjpwYXNz",
        "DPoP a.b.c, bearer a.b.c",
        ",Bearer a.b.c",
    ],
)
def test_attack_57_two_headers(authorization: str) -> None:
    assert refused(authorization) == (400, INVALID_REQUEST)


@pytest.mark.parametrize("authorization", [None, "Bearer a.b.c", "Basic dXNlcjpwYXNz"])
def test_attack_57_token_elsewhere(authorization: str | None) -> None:
    assert refused(authorization, elsewhere=True) == (400, INVALID_REQUEST)


@pytest.mark.parametrize(
    "query",
    [
        "access_token=a.b.c",
        "access_token",
        "access_token=",
        "x=1&access_token=a",
        "access%5Ftoken=a",
        "%61ccess_token=a",
    ],
)
def test_attack_57_token_in_the_query_string(query: str) -> None:
    assert carries_token(query)


@pytest.mark.parametrize("query", ["", "x=access_token", "my_access_token=1", "&&="])
def test_other_queries_are_none_of_our_business(query: str) -> None:
    assert not carries_token(query)


ANSWERS: list[tuple[ClawguardError, int, str | None]] = [
    (InvalidToken(), 401, INVALID_TOKEN),
    (SessionEnded("revoked", "leaked"), 401, INVALID_TOKEN),
    (SessionEnded("ttl"), 401, INVALID_TOKEN),
    (TokenSuperseded(), 401, INVALID_TOKEN),
    (NoSession(), 401, MISSING),
    (InvalidProof(), 401, f"{INVALID_TOKEN}, {DPOP}"),
    (InsufficientScope("a", ("x:y",), ("x:y",)), 403, f'{BARE}, error="insufficient_scope", scope="x:y"'),
    (AccessDenied("by a policy"), 403, None),
    (PolicyDenied("mail:send", "not today"), 403, None),
    (StoreUnavailable("disk on fire"), 503, None),
    (StoreBusy("locked"), 503, None),
    (StoreUpgraded("newer"), 503, None),
    (StoreMoved("elsewhere"), 503, None),
    (OutcomeUnknown("who knows"), 503, None),
    (ClockError("set back"), 503, None),
]


@pytest.mark.parametrize(("error", "status", "challenge"), ANSWERS)
def test_every_refusal_has_its_answer(error: ClawguardError, status: int, challenge: str | None) -> None:
    refusal = refusal_for(error)
    assert (refusal.status, challenge_of(refusal)) == (status, challenge)
    assert ("Retry-After" in dict(refusal.headers)) == (status == 503)


def test_no_refusal_is_without_a_case_here() -> None:
    tree = {each for name in errors.__all__ if issubclass(each := getattr(errors, name), REFUSED)}
    assert tree == {type(error) for error, _, _ in ANSWERS}


@pytest.mark.parametrize(("error", "status", "challenge"), ANSWERS)
def test_every_answer_is_json_and_never_stored(
    error: ClawguardError, status: int, challenge: str | None
) -> None:
    refusal = refusal_for(error)
    headers = dict(refusal.headers)
    assert headers["Cache-Control"] == "no-store"
    assert headers["Content-Type"] == "application/json"
    assert headers["Content-Length"] == str(len(refusal.body))
    assert set(json.loads(refusal.body)) == {"error", "error_description"}
    assert error.message.encode() not in refusal.body or isinstance(error, InvalidToken)


def test_attack_105_forged_ended_and_replaced_tokens_look_alike() -> None:
    errors = [InvalidToken(), SessionEnded("revoked", "leaked"), SessionEnded("ttl"), TokenSuperseded()]
    assert len({refusal_for(error) for error in errors}) == 1


def test_every_scope_that_is_needed_is_named() -> None:
    error = InsufficientScope("planner", ("mail:send", "docs:read"), ("mail:send",))
    refusal = refusal_for(error, require=ScopeSet(["tool:use"]))
    assert (
        challenge_of(refusal) == f'{BARE}, error="insufficient_scope", scope="docs:read mail:send tool:use"'
    )


@pytest.mark.parametrize(
    "evil",
    ['x", realm="evil', "x\r\nSet-Cookie: a=b", "x\nX: y", "x\\", "x\x00", "é", "\u2028", "A:B", "x" * 300],
)
def test_attack_102_scope_text_that_is_no_scope_goes_nowhere(evil: str) -> None:
    refusal = refusal_for(InsufficientScope(evil, (evil, "mail:send"), (evil,)))
    assert challenge_of(refusal) == f'{BARE}, error="insufficient_scope"'
    assert evil.encode() not in refusal.body


def test_attack_102_error_text_goes_nowhere() -> None:
    evil = 'x"\r\nSet-Cookie: a=b'
    for error in (
        SessionEnded("revoked", evil),
        StoreUnavailable(evil),
        ClockError(evil),
        AccessDenied(evil),
    ):
        refusal = refusal_for(error)
        assert all(re.fullmatch(r"[ -~]+", value) for _, value in refusal.headers)
        assert "Set-Cookie" not in repr(refusal)


def test_attack_104_a_credential_does_not_show_its_token() -> None:
    assert "a.b.c" not in repr(read_credential("Bearer a.b.c"))
