"""Cookies and metadata, where an app asks for them: the same answers whichever adapter is asked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from clawguard import SessionContext
from clawguard.web.cookies import clear_cookie, set_cookie
from tests.web.adapters import ORIGIN, Ask, Build, Sent
from tests.web.world import ALGS, BEARER, GOOD, INVALID, MISSING, NOT_PROVED, TWICE, World, lacks, told

NAME = "__Host-clawguard-token"
METADATA = "https://api.example.com/.well-known/oauth-protected-resource"
CROSS_ORIGIN = (403, None, "cross_origin")
OWN_PAGE = ("Sec-Fetch-Site", "same-origin")
OWN_ORIGIN = ("Origin", ORIGIN)


def cookie(token: str, *headers: tuple[str, str], more: str = "", **rest: str) -> Sent:
    return Sent((("Cookie", f"{NAME}={token}{more}"), *headers), **rest)


def post(world: World, *headers: tuple[str, str]) -> Sent:
    return cookie(world.good.token, *headers, method="POST")


class Case(NamedTuple):
    """Hold a request and the answer to it; the apps need `docs:read`, /mail needs `mail:send` too."""

    make: Callable[[World], Sent]
    expected: tuple[int, str | None, str | bytes]


CASES: dict[str, Case] = {
    "in the cookie": Case(lambda world: cookie(world.good.token), GOOD),
    "in the header, no cookie": Case(lambda world: Sent(tuple(world.good.headers().items())), GOOD),
    "among others": Case(lambda world: Sent((("Cookie", f"a=b; {NAME}={world.good.token};c=d"),)), GOOD),
    "HEAD": Case(lambda world: cookie(world.good.token, method="HEAD"), (200, None, b"")),
    "beside another's Authorization": Case(
        lambda world: cookie(world.good.token, ("Authorization", "Basic dXNlcjpwYXNz")), GOOD
    ),
    "no cookie": Case(lambda world: Sent(), MISSING),
    "beside another's cookie": Case(lambda world: cookie(world.good.token, more="; access_token=x"), GOOD),
    "another cookie": Case(lambda world: Sent((("Cookie", f"token={world.good.token}"),)), MISSING),
    "a name in other letters": Case(
        lambda world: Sent((("Cookie", f"__host-clawguard-token={world.good.token}"),)), MISSING
    ),
    "a name behind white space that browsers let any host set": Case(
        lambda world: Sent((("Cookie", f"\xa0{NAME}={world.good.token}"),)), MISSING
    ),
    "header and cookie": Case(
        lambda world: cookie(world.good.token, ("Authorization", f"Bearer {world.good.token}")), TWICE
    ),
    "twice": Case(lambda world: cookie(world.good.token, more=f"; {NAME}={world.good.token}"), TWICE),
    "twice, in two headers": Case(lambda world: cookie(world.good.token, more=f"; a=b; {NAME}=x"), TWICE),
    "in the query too": Case(lambda world: cookie(world.good.token, query="access_token=x"), TWICE),
    "empty": Case(lambda world: cookie(""), INVALID),
    "garbage": Case(lambda world: cookie('"a; b"'), INVALID),
    "revoked": Case(lambda world: cookie(world.revoked()), INVALID),
    "bound to a key": Case(lambda world: cookie(world.bound.token), NOT_PROVED),
    "bound, with a proof": Case(lambda world: cookie(world.bound.token, ("DPoP", world.proof())), NOT_PROVED),
    "too little for the tool": Case(
        lambda world: cookie(world.good.token, path="/mail"), lacks("docs:read mail:send")
    ),
    "a form of its own page": Case(lambda world: post(world, OWN_PAGE), GOOD),
    "a form of its own page, an older browser": Case(lambda world: post(world, OWN_ORIGIN), GOOD),
    "a form of another site": Case(
        lambda world: post(world, ("Sec-Fetch-Site", "cross-site"), OWN_ORIGIN), CROSS_ORIGIN
    ),
    "a form of a sister host": Case(
        lambda world: post(world, ("Sec-Fetch-Site", "same-site"), OWN_ORIGIN), CROSS_ORIGIN
    ),
    "a form of nobody's": Case(lambda world: post(world, ("Sec-Fetch-Site", "none")), CROSS_ORIGIN),
    "a form of two minds": Case(
        lambda world: post(world, OWN_PAGE, ("Sec-Fetch-Site", "cross-site")), CROSS_ORIGIN
    ),
    "a form of another origin, an older browser": Case(
        lambda world: post(world, ("Origin", "https://evil.example")), CROSS_ORIGIN
    ),
    "a form of another scheme, an older browser": Case(
        lambda world: post(world, ("Origin", ORIGIN.replace("http", "https"))), CROSS_ORIGIN
    ),
    "a form of a sandbox": Case(lambda world: post(world, ("Origin", "null")), CROSS_ORIGIN),
    "a form that says nothing": Case(post, CROSS_ORIGIN),
    "another site's form with a token that is none": Case(
        lambda world: cookie("x", method="POST"), CROSS_ORIGIN
    ),
    "a header needs no page": Case(
        lambda world: Sent(
            (*world.good.headers().items(), ("Origin", "https://evil.example")), method="POST"
        ),
        GOOD,
    ),
}


@pytest.fixture(scope="module")
def ask(build: Build, world: World) -> Ask:
    return build(world.verifier, require="docs:read", cookie=NAME)


@pytest.mark.parametrize("name", CASES)
def test_every_adapter_reads_the_cookie_alike(name: str, ask: Ask, world: World) -> None:
    case = CASES[name]
    assert told(ask(case.make(world))) == case.expected


def test_a_cookie_that_nobody_asked_for_is_no_credential(build: Build, world: World) -> None:
    assert told(build(world.verifier)(cookie(world.good.token))) == MISSING


def test_a_page_is_held_against_the_origin_that_is_given(build: Build, world: World) -> None:
    ask = build(world.verifier, cookie=NAME, origin="https://api.example.com")
    assert told(ask(post(world, ("Origin", "https://api.example.com")))) == GOOD
    assert told(ask(post(world, OWN_ORIGIN))) == CROSS_ORIGIN


def test_attack_csrf_a_forged_request_takes_no_use(build: Build, world: World) -> None:
    shown: list[object] = []

    class Counted:
        def validate(self, shown_one: Any, /, **options: Any) -> SessionContext:
            shown.append(shown_one)
            return world.verifier.validate(shown_one, **options)

        def recheck(self, context: SessionContext, /, **asked: Any) -> None:
            world.verifier.recheck(context, **asked)

    ask = build(Counted(), cookie=NAME)
    assert told(ask(post(world, ("Sec-Fetch-Site", "cross-site")))) == CROSS_ORIGIN
    assert not shown


def test_a_browser_keeps_what_is_set_and_forgets_what_is_cleared(ask: Ask, world: World) -> None:
    kept = set_cookie(NAME, world.good).partition(";")[0]
    assert told(ask(Sent((("Cookie", kept),)))) == GOOD
    assert clear_cookie(NAME).startswith(f"{NAME}=; Max-Age=0;")


def pointing(challenge: str) -> str:
    return f'{challenge}, resource_metadata="{METADATA}"'


def test_every_challenge_names_the_metadata(build: Build, world: World) -> None:
    ask = build(world.verifier, require="docs:read", resource_metadata=METADATA, cookie=NAME)
    little = world.make("mail:send")
    for sent, status, challenge in (
        (Sent(), 401, f"{pointing(BEARER)}, {pointing(ALGS)}"),
        (Sent((("Authorization", "Bearer x"),)), 401, pointing(f'{BEARER}, error="invalid_token"')),
        (Sent((("Authorization", "Bearer"),)), 400, pointing(f'{BEARER}, error="invalid_request"')),
        (Sent(tuple(little.headers().items())), 403, pointing(lacks("docs:read")[1])),
        (
            Sent(tuple(world.good.headers().items()), path="/mail"),
            403,
            pointing(lacks("docs:read mail:send")[1]),
        ),
        (post(world), 403, None),
    ):
        assert told(ask(sent))[:2] == (status, challenge)


def test_nobodys_request_is_told_of_the_metadata_by_what_it_calls(build: Build, world: World) -> None:
    ask = build(world.verifier, optional=True, resource_metadata=METADATA)
    assert told(ask(Sent()))[:2] == (401, f"{pointing(BEARER)}, {pointing(ALGS)}")
