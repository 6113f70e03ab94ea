"""The page of mutants says what became of each, and gives a reason for every survivor."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.mutants.page import PAGE, Survivor, found, read, rendered

MUTATED = """\
def x_least__mutmut_orig(one: int, other: int) -> int:
    return one if one < other else other


def x_least__mutmut_1(one: int, other: int) -> int:
    return one if one <= other else other


def x_least__mutmut_2(one: int, other: int) -> int:
    return one if one > other else other
"""
SPANS = {"x_least__mutmut_orig": [1, 2], "x_least__mutmut_1": [5, 6], "x_least__mutmut_2": [9, 10]}
SURVIVOR = Survivor(
    function="guard.least",
    was="return one if one < other else other",
    becomes="return one if one <= other else other",
)


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """Return a folder as mutmut leaves it: a mutant that survived, one that was killed, one not judged."""
    verdicts = {
        "clawguard.guard.x_least__mutmut_1": 0,
        "clawguard.guard.x_least__mutmut_2": 1,
        "unjudged": None,
    }
    (tmp_path / "guard.py").write_text(MUTATED, "utf-8")
    (tmp_path / "guard.py.spans").write_text(json.dumps({"spans": SPANS}), "utf-8")
    (tmp_path / "guard.py.meta").write_text(json.dumps({"exit_code_by_key": verdicts}), "utf-8")
    return tmp_path


def test_what_mutmut_leaves_is_counted_and_each_survivor_told(made: Path) -> None:
    findings = found(made)
    (module,) = findings.modules
    assert (module.name, module.mutants, module.tests, module.types) == ("guard", 3, 1, 0)
    assert (module.survived, module.waiting, module.share) == (1, 1, 50)
    assert findings.survivors == (SURVIVOR,)


def test_a_reason_stays_with_its_survivor(made: Path) -> None:
    known = Survivor(function=SURVIVOR.function, was=SURVIVOR.was, becomes=SURVIVOR.becomes, reason="equal")
    assert found(made, (known,)).survivors == (known,)
    page = rendered("before <!-- made: mutants --> old <!-- end --> after", found(made, (known,)))
    assert page.startswith("before <!-- made: mutants -->\n")
    assert page.endswith("<!-- end --> after")
    assert "one <= other else other `` | equal |" in page
    assert " old " not in page


def test_the_page_is_what_was_kept_and_each_survivor_of_what_was_judged_whole_has_its_reason() -> None:
    findings = read()
    assert PAGE.read_text("utf-8") == rendered(PAGE.read_text("utf-8"), findings)
    sampled = {each.name for each in findings.modules if each.waiting}
    whole = [each for each in findings.survivors if each.function.partition(".")[0] != "sessions"]
    assert sampled <= {each.name for each in findings.modules if each.name.startswith("sessions.")}
    assert [each.function for each in whole if not each.reason] == []


def test_of_what_was_sampled_at_least_95_of_a_hundred_are_killed() -> None:
    sampled = [each for each in read().modules if each.name.startswith("sessions.")]
    judged = sum(each.mutants - each.waiting for each in sampled)
    assert judged >= 0.12 * sum(each.mutants for each in sampled)
    assert sum(each.tests + each.types for each in sampled) >= 0.95 * judged


def test_of_what_was_judged_whole_at_least_95_of_a_hundred_are_killed() -> None:
    whole = [each for each in read().modules if not each.name.startswith("sessions.")]
    assert {each.name for each in whole} >= {"scopes", "events.chain", "guard.tokens", "guard.policy"}
    assert sum(each.tests + each.types for each in whole) >= 0.95 * sum(each.mutants for each in whole)
