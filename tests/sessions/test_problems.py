"""What a server refuses is raised where it was asked as the same error; what is no problem is none."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from hypothesis import given
from hypothesis import strategies as st

from clawguard.errors import (
    ClawguardError,
    ClockError,
    ConfigError,
    DelegationRefused,
    EntryUnreadable,
    EventsArchived,
    InsufficientScope,
    InvalidArgument,
    InvalidToken,
    KeyInUse,
    LimitReached,
    OutcomeUnknown,
    PolicyDenied,
    SearchUnavailable,
    SessionEnded,
    SessionNotFound,
    StoreBusy,
    StoreMoved,
    StoreUnavailable,
    StoreUpgraded,
    TokenSuperseded,
)
from clawguard.server.problems import Failed, answer_problems
from clawguard.sessions.problems import error_of

TOLD: list[ClawguardError] = [
    InvalidArgument("ttl", "must be more than 0 seconds"),
    InvalidArgument("subject", "must say what kind of principal it is", hint="write 'user:ana'"),
    EventsArchived(12),
    EntryUnreadable("s1", 7, "it was altered"),
    InsufficientScope("planner", ("a:b", "c:d"), ("a:b", "c:d")),
    PolicyDenied("mail:send", "the rule no-mail"),
    SessionEnded("ttl"),
    SessionEnded("revoked", "laptop lost"),
    SessionNotFound("s1"),
    TokenSuperseded(),
    *(KeyInUse(key, "s1") for key in ("k", "ana's", '"k"', "a'b\"c\\d")),
    LimitReached("planner", 3),
    DelegationRefused("planner lacks a:b", missing=("a:b",), hint="ask for less"),
    *(
        kind("it cannot be had", hint="come back later")
        for kind in (
            ClockError,
            ConfigError,
            OutcomeUnknown,
            SearchUnavailable,
            StoreBusy,
            StoreMoved,
            StoreUnavailable,
            StoreUpgraded,
        )
    ),
]


def answer(error: ClawguardError) -> httpx.Response:
    """Return what a server answers where an error is raised."""
    app = FastAPI()
    answer_problems(app)

    @app.get("/")
    async def fail() -> None:
        raise Failed(error)

    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            return await client.get("/")

    return asyncio.run(ask())


@pytest.mark.parametrize("error", TOLD, ids=lambda error: type(error).__name__)
def test_an_error_of_the_server_is_read_back_as_itself(error: ClawguardError) -> None:
    told = answer(error)
    found = error_of(told.status_code, told.json(), told.headers.get("WWW-Authenticate", ""))
    assert type(found) is type(error)
    assert vars(found) == vars(error)


def read(code: str, detail: str = "so it is; do this", *, challenge: str = "", **more: Any) -> ClawguardError:
    found = error_of(400, {"code": code, "detail": detail, **more}, challenge)
    assert found is not None
    return found


@pytest.mark.parametrize("code", ["invalid_request", "malformed_body", "body_too_large"])
@pytest.mark.parametrize(
    ("errors", "argument", "said"),
    [
        ([], "request", "request: so it is; do this"),
        ([("body.scopes.0", "Field required"), ("body.ttl", "no")], "scopes", "scopes: Field required"),
        ([("limit", "no\nnumber")], "limit", "limit: no number"),
        ([("body.meta\x00data", "no")], "meta data", "meta data: no"),
        ([("", "no")], "request", "request: no"),
        ([("0.1", "no")], "request", "request: no"),
    ],
)
def test_a_malformed_request_is_an_invalid_argument_by_its_first_fault(
    code: str, errors: list[tuple[str, str]], argument: str, said: str
) -> None:
    found = read(code, errors=[{"at": at, "message": message} for at, message in errors])
    assert isinstance(found, InvalidArgument)
    assert (found.argument, str(found)) == (argument, said)


def test_scopes_that_the_caller_itself_lacks_are_named_as_the_header_names_them() -> None:
    found = read("insufficient_scope", challenge='Bearer realm="x", scope="clawguard:read a:*"')
    assert isinstance(found, InsufficientScope)
    assert (found.agent_id, found.missing) == ("the caller", ("clawguard:read", "a:*"))
    assert found.required == found.missing


def test_words_that_tell_less_than_expected_are_the_same_error_with_less_in_it() -> None:
    assert str(read("session_not_found", "none")).startswith("no session of this id; ")
    taken, limited, ended = read("key_in_use", "x"), read("limit_reached", "x"), read("session_ended", "x")
    assert isinstance(taken, KeyInUse)
    assert (taken.key, taken.session_id) == ("", "")
    assert isinstance(limited, LimitReached)
    assert (limited.agent_id, limited.limit) == ("the agent", 0)
    assert isinstance(ended, SessionEnded)
    assert (ended.cause, ended.reason) == ("revoked", "x")
    assert isinstance(read("session_ended", "session ended: mood", cause="mood"), SessionEnded)
    assert read("session_ended", "session ended: mood", cause="mood").cause == "revoked"  # type: ignore[attr-defined]
    plain = read("store_busy", "tried\nagain")
    assert (plain.message, plain.hint) == ("tried again", None)


def test_a_caller_whose_token_is_refused_is_told_where_its_own_comes_from() -> None:
    found = error_of(401, {"code": "session_not_found", "detail": "x"}, "")
    assert isinstance(found, InvalidToken)
    assert str(found) == (
        "the token is not valid; the caller's own is not, at this server: see token= and CLAWGUARD_TOKEN"
    )


@pytest.mark.parametrize(
    "body",
    [
        None,
        {},
        {"code": "store_busy"},
        {"detail": "x"},
        {"code": "unheard_of", "detail": "x"},
        {"code": 7, "detail": "x"},
        {"code": "store_busy", "detail": "x" * 2_049},
        {"code": "c" * 65, "detail": "x"},
        {"code": "invalid_request", "detail": "x", "errors": [{"at": "a" * 129, "message": "x"}]},
    ],
)
def test_what_is_no_problem_is_no_error(body: dict[str, Any] | None) -> None:
    assert error_of(400, body, "") is None


CODES = sorted({error.code for error in TOLD} | {"invalid_request"})
LINES = st.text(max_size=40)


@given(
    code=st.sampled_from(CODES),
    detail=LINES,
    more=st.fixed_dictionaries(
        {},
        optional={
            "errors": st.lists(st.fixed_dictionaries({"at": st.text("a0.", max_size=6), "message": LINES})),
            "argument": LINES,
            "missing": st.lists(LINES),
            "cause": LINES,
            "session_id": LINES,
            "seq": st.integers(),
            "until": st.integers(),
        },
    ),
    challenge=LINES,
)
def test_attack_whatever_a_problem_says_it_is_one_error_in_one_printable_line(
    code: str, detail: str, more: dict[str, Any], challenge: str
) -> None:
    found = error_of(400, {"code": code, "detail": detail, **more}, challenge)
    assert isinstance(found, ClawguardError)
    assert str(found).isprintable()
