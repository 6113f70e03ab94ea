"""Against a mutant run first the tests that are likely to tell, and as many as the seconds are enough for."""

from __future__ import annotations

from tests.mutants.choosing import chosen

MUTANT = "clawguard.sessions.issuing.xǁIssuingǁ_keep_limit__mutmut_22"
WAS = "oldest = next((each for (each,) in live if each not in spared), None)"
SERVED = "tests/server/test_oauth.py::test_a_token_of_the_oldest"
QUICK = "tests/contract/test_log.py::test_quick"
SPEAKING = "tests/contract/test_limits.py::test_or_the_oldest_ends"
NAMED = "tests/sessions/test_issuing.py::test_named"
LONG = "tests/sessions/test_issuing.py::test_long[file]"
LASTS = {SERVED: 0.1, QUICK: 0.1, SPEAKING: 0.2, NAMED: 0.3, LONG: 60.0}


def test_the_modules_own_come_first_then_those_that_speak_of_the_change_then_the_quickest() -> None:
    found = chosen(MUTANT, WAS, LASTS.keys(), LASTS, seconds=100, all_tests=True)
    assert found == [NAMED, LONG, SPEAKING, QUICK, SERVED]


def test_a_test_that_takes_too_long_keeps_none_behind_it_from_running() -> None:
    found = chosen(MUTANT, WAS, LASTS.keys(), LASTS, seconds=1, all_tests=True)
    assert found == [NAMED, SPEAKING, QUICK, SERVED]


def test_a_first_run_asks_the_packages_own_where_there_are_any() -> None:
    assert SERVED not in chosen(MUTANT, WAS, LASTS.keys(), LASTS, seconds=100, all_tests=False)
    assert chosen(MUTANT, WAS, [SERVED], LASTS, seconds=100, all_tests=False) == [SERVED]


def test_a_mutant_that_only_long_tests_reach_has_the_quickest_of_them() -> None:
    assert chosen(MUTANT, WAS, [LONG], LASTS, seconds=1, all_tests=True) == [LONG]
    assert chosen(MUTANT, WAS, [], LASTS, seconds=1, all_tests=True) == []


def test_what_raises_is_told_by_tests_of_refusals() -> None:
    refusal = "tests/sessions/test_refusals.py::test_a_refusal_says_what_is_wrong"
    lasts = {**LASTS, refusal: 0.5}
    was = 'raise InvalidArgument("turn", "was entered before")'
    found = chosen(MUTANT, was, [QUICK, refusal], lasts, seconds=1, all_tests=True)
    assert found == [refusal, QUICK]
