"""A cookie's name, what is set, and what a Cookie header is read as."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http.cookies import SimpleCookie

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clawguard import SessionManager
from clawguard.errors import InvalidArgument
from clawguard.guard import ProofKey
from clawguard.web.cookies import checked_cookie, clear_cookie, is_own_page, set_cookie, tokens_in
from clawguard.web.wsgi import ClawguardMiddleware
from tests.web.test_wsgi import whoami

NAME = "__Host-clawguard-token"


def test_a_cookie_is_for_this_host_and_for_no_script() -> None:
    with SessionManager.open(":memory:", sweep_every=None) as manager:
        session = manager.create("planner", scopes="", ttl=60)
        cookie: SimpleCookie = SimpleCookie(set_cookie(NAME, session))
        morsel = cookie[NAME]
        assert morsel.value == session.token
        assert parsedate_to_datetime(morsel["expires"]) == session.token_expires_at.replace(microsecond=0)
        assert (morsel["path"], morsel["secure"], morsel["httponly"], morsel["samesite"]) == (
            "/", True, True, "Strict",
        )  # fmt: skip
        assert not morsel["domain"]


def test_clearing_takes_the_same_attributes() -> None:
    cookie: SimpleCookie = SimpleCookie(clear_cookie(NAME))
    morsel = cookie[NAME]
    assert (morsel.value, morsel["max-age"], morsel["path"], morsel["secure"]) == ("", "0", "/", True)


@pytest.mark.parametrize(
    "name",
    ["", "token", "__Secure-token", "__host-token", "__Host-", "__Host-a b", "__Host-a;b", "__Host-é", None],
)
def test_another_host_could_set_any_other_name(name: str) -> None:
    with pytest.raises(InvalidArgument, match="cookie"):
        checked_cookie(name)
    with pytest.raises(InvalidArgument, match="cookie"):
        clear_cookie(name)
    if name is not None:
        with (
            SessionManager.open(":memory:", sweep_every=None) as manager,
            pytest.raises(InvalidArgument, match="cookie"),
        ):
            ClawguardMiddleware(whoami, manager, cookie=name)


def test_a_token_that_no_browser_keeps_or_sends_is_not_set() -> None:
    with SessionManager.open(":memory:", sweep_every=None) as manager:
        long = manager.create("planner", scopes=[f"docs:{'x' * 60}{number}" for number in range(60)])
        with pytest.raises(InvalidArgument, match="too long"):
            set_cookie(NAME, long)
        bound = manager.create("planner", scopes="", cnf=ProofKey.generate().cnf)
        with pytest.raises(InvalidArgument, match="bound"):
            set_cookie(NAME, bound)


@pytest.mark.parametrize(
    ("cookies", "found"),
    [
        ("", []),
        (f"{NAME}=a", ["a"]),
        (f" {NAME} = a ;b=c", ["a"]),
        (f"{NAME}=a=b", ["a=b"]),
        (NAME, [""]),
        (f"{NAME}=a; {NAME}=b", ["a", "b"]),
        (f"x{NAME}=a; {NAME}x=b; {NAME.lower()}=c", []),
        (f'sandwich="x; {NAME}=a; y"', ["a"]),
        (f'$Version=1; {NAME}="a"; $Path="/"', ['"a"']),
    ],
)
def test_a_cookie_header_is_read_as_browsers_write_it(cookies: str, found: list[str]) -> None:
    assert tokens_in(cookies, NAME) == found


@pytest.mark.parametrize("space", ["\xa0", "\x85", "\x1c", "\x0b", "\u2000", "\u3000", "\ufeff"])
def test_attack_csrf_white_space_that_hides_the_prefix_from_a_browser(space: str) -> None:
    assert tokens_in(f"{space}{NAME}=a", NAME) == []
    assert tokens_in(f"{NAME}{space}=a", NAME) == []


@given(st.text(st.characters(max_codepoint=255)), st.text(alphabet="abc.-_", min_size=1))
def test_what_is_beside_it_neither_hides_nor_changes_a_token(beside: str, token: str) -> None:
    beside = beside.replace(";", "").replace("__Host", "")
    assert tokens_in(f"{beside}; {NAME}={token}; {beside}", NAME) == [token]


OWN = "https://api.example.com"


@pytest.mark.parametrize(
    ("fetch_site", "origin", "expected"),
    [
        ("same-origin", None, True),
        ("same-origin", OWN, True),
        ("same-site", OWN, False),
        ("cross-site", None, False),
        ("none", None, False),
        ("", OWN, False),
        ("Same-Origin", None, False),
        ("same-origin,cross-site", OWN, False),
        (None, OWN, True),
        (None, "https://API.example.com:443", True),
        (None, None, False),
        (None, "", False),
        (None, "null", False),
        (None, "http://api.example.com", False),
        (None, "https://api.example.com:8443", False),
        (None, "https://api.example.com.evil.example", False),
        (None, f"{OWN},https://evil.example", False),
    ],
)
def test_attack_csrf_only_a_page_of_this_origin_counts(
    fetch_site: str | None, origin: str | None, expected: bool
) -> None:
    assert is_own_page(fetch_site, origin, own=OWN) is expected
    if fetch_site is None:
        assert not is_own_page(None, origin, own=None)


def test_the_end_that_a_browser_is_told_is_the_tokens() -> None:
    with SessionManager.open(":memory:", sweep_every=None) as manager:
        session = manager.create("planner", scopes="", ttl=60)
        until = parsedate_to_datetime(set_cookie(NAME, session).split("Expires=")[1].split(";")[0])
        assert 0 < (until - datetime.now(UTC)).total_seconds() <= 61
