"""The capacity model predicts what was measured, and its page says what it says."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from benchmarks.capacity import (
    LOADS,
    chart,
    checks,
    mean_wait,
    needs_of,
    page,
    read_units,
    simulate,
    simulate_wait,
)

DOCS = Path(__file__).parents[1] / "docs"
APART = 2.5
UNITS = read_units()
CHECKS = list(checks(UNITS))


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.what)
def test_the_model_predicts_what_was_measured(check: object) -> None:
    assert check.factor <= APART  # type: ignore[attr-defined]


def test_every_engine_and_act_was_measured_alone_and_beside_others() -> None:
    points = {(each["engine"], each["act"], each["processes"]) for each in UNITS.told["points"]}
    assert len(points) == 18
    assert len(CHECKS) == 12 + 2


@pytest.mark.parametrize("busy", [0.2, 0.5, 0.8])
def test_simulated_waits_are_those_of_the_formula(busy: float) -> None:
    mean, slowest = simulate_wait(busy, lock=0.001)
    assert mean == pytest.approx(mean_wait(busy, lock=0.001), rel=0.1)
    assert slowest > mean


def test_a_lock_is_what_limits_writers_however_many_there_are() -> None:
    alone, many = (simulate(count, away=0.001, held=0.004) for count in (1, 64))
    assert alone == pytest.approx(200, rel=0.05)
    assert many == pytest.approx(250, rel=0.05)


def test_cores_are_what_limits_writers_that_share_the_lock() -> None:
    alone, many = (simulate(count, away=0.001, held=0.004, places=8) for count in (1, 64))
    assert alone == pytest.approx(200, rel=0.05)
    assert many == pytest.approx(2_000, rel=0.05)


def test_more_of_anything_never_needs_less() -> None:
    for load in LOADS:
        for greater in (load._replace(live=load.live * 2), load._replace(validations=load.validations * 2),
                        load._replace(revoked=0.5), load._replace(kept=load.kept * 2)):  # fmt: skip
            before, after = needs_of(load, UNITS), needs_of(greater, UNITS)
            assert all(more >= less for less, more in zip(before, after, strict=True))


def test_the_page_and_the_chart_are_those_of_the_measurements() -> None:
    text = (DOCS / "scaling.md").read_text(encoding="utf-8")
    assert page(text, UNITS) == text, "run: make scaling"
    drawn = (DOCS / "scaling.svg").read_text(encoding="utf-8")
    assert drawn == chart(UNITS), "run: make scaling"
    assert ET.fromstring(drawn).tag.endswith("svg")
