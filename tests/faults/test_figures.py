"""The page of guarantees says what the experiments found, and names only tests that there are."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests.faults.figures import KEPT, PAGE, ROOT, Figures, Notes, keep, read, rendered

NODE = re.compile(r"tests/[\w/]+\.py(?:::\w+)*")


def nodes_that_are_gone(text: str) -> list[str]:
    """Return what of the tests that a text names is not there: a file, or a function in it."""
    return sorted(named for named in set(NODE.findall(text)) if not is_there(*named.partition("::")[::2]))


def is_there(file: str, function: str) -> bool:
    path = ROOT / file
    if not path.exists():
        return False
    found = ast.walk(ast.parse(path.read_text("utf-8")))
    names = {each.name for each in found if isinstance(each, ast.FunctionDef | ast.ClassDef)}
    return set(function.split("::")) - {""} <= names


def test_every_test_that_the_page_names_is_there() -> None:
    page = PAGE.read_text("utf-8")
    assert len(NODE.findall(page)) > 30
    assert nodes_that_are_gone(page) == []


@pytest.mark.parametrize(
    "named", ["tests/faults/test_gone.py", "tests/faults/test_figures.py::test_gone", "tests/gone.py::test_a"]
)
def test_a_test_that_is_gone_is_found(named: str) -> None:
    here = "tests/faults/test_figures.py::test_a_test_that_is_gone_is_found[it]"
    assert nodes_that_are_gone(f"`{here}` and `pytest {named}`") == [named]


def test_the_table_is_made_of_what_was_kept() -> None:
    page = PAGE.read_text("utf-8")
    assert rendered(page, read(KEPT)) == page, "write it with `make torture`, not by hand"


def test_what_an_experiment_tells_stands_in_the_table(tmp_path: Path) -> None:
    kept, notes = tmp_path / "kept.json", Notes()
    for taken_back in (3, 0):
        notes.clear()
        notes.seed = 7
        notes.tell("G-X", {"acked_ends": 120, "taken_back": taken_back})
        keep(kept, "tests/test_x.py::test_x[full]", notes.figures("tests/test_x.py::test_x[full]"))
    (found,) = read(kept)
    row = rendered("<!-- made: experiments --><!-- end -->", [found]).splitlines()[-3]
    assert row == (
        "| G-X | `tests/test_x.py::test_x[full]` | acked ends 120, taken back 0 | 7 "
        f"| {found.date}, {found.commit} |"
    )


def test_an_experiment_that_fails_loses_its_figures(tmp_path: Path) -> None:
    kept = tmp_path / "kept.json"
    for name in ("a", "b"):
        keep(kept, name, [figures_of(name)])
    keep(kept, "a", [])
    assert [each.test for each in read(kept)] == ["b"]


def figures_of(test: str) -> Figures:
    return Figures(
        experiment="G", test=test, figures={}, seed=None, commit="c", date="2026-01-01", machine="m"
    )


def test_a_seed_is_taken_from_the_environment(
    monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CLAWGUARD_SEED", "7")
    assert request.getfixturevalue("seed") == 7
    assert "CLAWGUARD_SEED=7" in capsys.readouterr().out
