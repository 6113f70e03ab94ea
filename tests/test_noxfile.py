"""The table of integrations: both ends of each framework, as pyproject.toml promises them."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

import noxfile

ROOT = Path(__file__).resolve().parents[1]
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"][
    "optional-dependencies"
]
FRAMEWORKS = sorted({row.extra for row in noxfile.ROWS})


@pytest.mark.parametrize("row", noxfile.ROWS, ids=lambda row: row.name)
def test_every_row_names_what_is_there(row: noxfile.Row) -> None:
    assert row.extra in EXTRAS
    assert row.name.startswith((f"{row.extra}-oldest", f"{row.extra}-newest"))
    assert all((ROOT / each).exists() for each in row.tests)
    assert bool(row.pins) == (row.name != f"{row.extra}-newest")


@pytest.mark.parametrize("extra", FRAMEWORKS)
def test_both_ends_are_run_and_the_oldest_pins_are_the_lower_bounds_of_the_extra(extra: str) -> None:
    pins = {row.name: row.pins for row in noxfile.ROWS}
    assert pins[f"{extra}-newest"] == ()
    bounds = {each.name: each.specifier for each in map(Requirement, EXTRAS[extra])}
    for pin in map(Requirement, pins[f"{extra}-oldest"]):
        (only,) = pin.specifier
        (least,) = (each.version for each in bounds[pin.name] if each.operator == ">=")
        assert Version(least) == Version(only.version.removesuffix(".*"))


def test_the_frameworks_of_the_web_are_all_there() -> None:
    modules = {path.stem for path in (ROOT / "clawguard" / "web").glob("*.py")}
    assert modules & EXTRAS.keys() <= set(FRAMEWORKS)
