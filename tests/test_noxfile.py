"""The table of integrations: both ends of each framework, as pyproject.toml promises them."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

import noxfile

ROOT = Path(__file__).resolve().parents[1]
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"][
    "optional-dependencies"
]
FRAMEWORKS = sorted({row.extra for row in noxfile.ROWS})


@pytest.mark.parametrize("row", noxfile.ROWS, ids=lambda row: row.name)
def test_every_row_names_what_is_there(row: noxfile.Row) -> None:
    assert row.extra in EXTRAS
    assert row.name in (f"{row.extra}-oldest", f"{row.extra}-newest")
    assert all((ROOT / each).exists() for each in row.tests)
    assert bool(row.pins) == row.name.endswith("-oldest")


@pytest.mark.parametrize("extra", FRAMEWORKS)
def test_the_oldest_pins_are_the_lower_bounds_of_the_extra(extra: str) -> None:
    oldest, _newest = (f"{extra}-{end}" for end in ("oldest", "newest"))
    assert {oldest, _newest} <= {row.name for row in noxfile.ROWS}
    (pins,) = (row.pins for row in noxfile.ROWS if row.name == oldest)
    bounds = {each.name: each.specifier for each in map(Requirement, EXTRAS[extra])}
    for pin in map(Requirement, pins):
        (only,) = pin.specifier
        assert bounds.pop(pin.name) == SpecifierSet(f">={only.version.removesuffix('.*')}")
    assert not bounds


def test_the_frameworks_of_the_web_are_all_there() -> None:
    modules = {path.stem for path in (ROOT / "clawguard" / "web").glob("*.py")}
    assert modules & EXTRAS.keys() <= set(FRAMEWORKS)
