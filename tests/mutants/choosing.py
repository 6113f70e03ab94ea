"""Which tests are run against a mutant: those that speak of what was changed first, within some seconds."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from functools import cache

_OWN = {
    "guard": ("tests/guard/",),
    "clawguard": ("tests/test_scopes",),
    "events": ("tests/events/",),
    "sessions": ("tests/sessions/", "tests/contract/", "tests/history/", "tests/server/test_remote"),
}
_COLLECTED = 0.03  # what a test costs beside its call, a store that is opened first of all


def chosen(
    mutant: str,
    was: str,
    reaching: Collection[str],
    lasts: Mapping[str, float],
    *,
    seconds: float,
    all_tests: bool,
) -> list[str]:
    """Return those of the tests that reach a mutated function which run against it; `was` is what it changes.

    Its package's own first, of these the module's own, those whose names speak of what was changed, and the
    quickest. Without `all_tests` none but the package's own, where there are any.
    """
    *_, package, module = mutant.split(".")[:-1]
    own = {each for each in reaching if each.startswith(_OWN[package])}
    named = {each for each in reaching if f"/test_{module}" in each}
    words = _words(f"{mutant} {was}")
    ranked = sorted(
        reaching if all_tests else own or named or reaching,
        key=lambda each: (
            each not in own,
            each not in named,
            -len(words & _of_test(each)),
            lasts[each],
            each,
        ),
    )
    found: list[str] = []
    for test in ranked:
        cost = lasts[test] + _COLLECTED
        if cost <= seconds:  # what takes longer keeps no quicker one behind it from running
            found.append(test)
            seconds -= cost
    return found or sorted(ranked, key=lambda each: lasts[each])[:1]


def seconds_of(tests: Collection[str], lasts: Mapping[str, float]) -> float:
    """Return how long tests take."""
    return sum(lasts[each] + _COLLECTED for each in tests)


def _words(text: str) -> frozenset[str]:
    """Return how the words of a text begin; what raises is a refusal."""
    found = re.findall("[a-z]{4,}", text.lower())
    return frozenset(word[:5] for word in [*found, *(("refusal", "mistake") if "raise" in found else ())])


@cache
def _of_test(test: str) -> frozenset[str]:
    return _words(test.partition("[")[0])
