"""How a side of the comparison is timed: in loops as long as is asked, without what is only set up."""

from __future__ import annotations

import asyncio
import io

import pytest

from benchmarks.peers.measures import Loop, added, calls, consuming, expect, later, spending
from benchmarks.peers.worker import rounds


def test_every_second_round_goes_backwards_and_does_each_work_once() -> None:
    done: list[str] = []

    def work(name: str) -> object:
        return lambda seconds: done.append(name) or seconds

    works = {name: work(name) for name in "abc"}
    found = list(rounds(io.StringIO("\n\n"), works, ["a", "b"], 0.5))  # type: ignore[arg-type]
    assert done == ["a", "b", "b", "a"]
    assert found == [{"a": 0.5, "b": 0.5}] * 2


class Clock:
    """Stand still but for what is done."""

    now = 0.0

    def __call__(self) -> float:
        return self.now

    def spend(self, seconds: float) -> None:
        self.now += seconds


@pytest.mark.parametrize(("cost", "asked"), [(1e-6, 0.1), (1e-4, 0.01), (3e-3, 0.06), (1.0, 0.06)])
def test_a_loop_is_about_as_long_as_it_is_asked_to_be(cost: float, asked: float) -> None:
    clock = Clock()
    loop = calls(lambda: clock.spend(cost), clock=clock)
    assert loop(asked) == pytest.approx(cost)
    before = clock.now
    assert loop(asked) == pytest.approx(cost)
    number = (clock.now - before) / cost
    assert number == pytest.approx(min(2_000, max(5, asked / cost)), abs=1)


def test_what_a_work_uses_up_is_made_before_and_used_once() -> None:
    made, used = list[int](), list[int]()

    def make() -> int:
        made.append(len(made))
        return made[-1]

    consuming(make, used.append)(1e-4)
    assert made == used
    assert len(used) > 10


def test_what_awaiting_uses_up_is_made_before_and_used_once() -> None:
    made, used = list[int](), list[int]()

    async def make() -> int:
        made.append(len(made))
        return made[-1]

    async def use(number: int) -> None:
        used.append(number)

    with asyncio.Runner() as runner:
        spending(runner, make, use)(1e-4)
    assert made == used
    assert len(used) > 10


def test_what_a_guard_adds_is_the_difference() -> None:
    def taking(seconds: float) -> object:
        clock = Clock()
        return lambda clock=clock, **_: calls(lambda: clock.spend(seconds), clock=clock)

    measure = added(lambda **_: taking(3e-3)(), lambda **_: taking(1e-3)())  # type: ignore[operator]
    assert measure(0.1) == pytest.approx(2e-3)


def test_what_is_not_asked_for_is_not_set_up() -> None:
    set_up = list[int]()

    def make() -> Loop:
        set_up.append(1)
        return calls(list)

    measure = later(make)
    assert set_up == []
    measure(1e-5)
    measure(1e-5)
    assert set_up == [1]


def test_other_answers_than_expected_are_not_measured() -> None:
    expect("answers", found=[401], expected=[401])
    with pytest.raises(RuntimeError, match=r"answers: \[200\] in the place of \[401\]"):
        expect("answers", found=[200], expected=[401])
