"""What cannot be opened, and in which words: the argument, what is wrong with it, and how to mend it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from clawguard import SessionManager, Verifier
from clawguard.errors import ClawguardError

WRONG: Any = 7


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (lambda: SessionManager.open(WRONG), "InvalidArgument: url: must be a path or a URL"),
        (
            lambda: SessionManager.open(":memory:", audiences="mail"),
            "InvalidArgument: audiences: must be a list of names; write audiences=['mail']",
        ),
        (
            lambda: SessionManager.open(":memory:", create=WRONG),
            "InvalidArgument: create: must be True or False",
        ),
        (
            lambda: SessionManager.open(":memory:", max_staleness=0.1),
            "InvalidArgument: max_staleness: must be 0, or at least 0.25 seconds",
        ),
        (
            lambda: SessionManager.open(":memory:", max_sessions_per_agent=0),
            "InvalidArgument: max_sessions_per_agent: must be an integer of at least 1, or None",
        ),
        (
            lambda: SessionManager.open(":memory:", at_limit=WRONG),
            "InvalidArgument: at_limit: must be 'deny' or 'evict_oldest'",
        ),
        (
            lambda: SessionManager.open(":memory:", refresh_grace=61),
            "InvalidArgument: refresh_grace: must be 0 to 60 seconds",
        ),
        (
            lambda: SessionManager.open(":memory:", create=False),
            "ConfigError: ':memory:' is private to its manager; share a file, or the manager itself",
        ),
        (
            lambda: Verifier.open(":memory:"),
            "ConfigError: ':memory:' is private to its manager; share a file, or the manager itself",
        ),
        (
            lambda: Verifier.open("https://auth.example.com"),
            (
                "ConfigError: a server answers only whom it knows; give token=, the verifier's own with "
                "the scope clawguard:introspect, or a callable"
            ),
        ),
        (
            lambda: Verifier.open("http://auth.example.com", token="a"),
            (
                "InvalidArgument: url: must begin with https: tokens would be readable on their way; "
                "http is for 127.0.0.1 and [::1] only"
            ),
        ),
        (
            lambda: Verifier.open("https://", token="a"),
            "InvalidArgument: url: is not the URL of a server; write https://auth.example.com",
        ),
        (
            lambda: Verifier.open("/nonexistent/clawguard.db", token="a"),
            "InvalidArgument: token: goes with the URL of a server",
        ),
    ],
)
def test_a_refusal_says_what_is_wrong_and_how_to_mend_it(asked: Callable[[], object], told: str) -> None:
    with pytest.raises((ClawguardError, TypeError, ValueError)) as refused:
        asked()
    assert f"{type(refused.value).__name__}: {refused.value}" == told
