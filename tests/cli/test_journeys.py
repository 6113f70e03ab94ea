"""The stories of the how-to pages: each command typed as it stands there, each output held against it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.journeys import ROOT, Typed, differences, steps_of, walk

PAGES = ("first-minutes", "protect", "production", "incident", "keys", "growing", "audit", "testing")


def text_of(name: str) -> str:
    return (ROOT / "docs" / "howto" / f"{name}.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def first_minutes(tmp_path_factory: pytest.TempPathFactory) -> list[Typed]:
    return walk(text_of("first-minutes"), tmp_path_factory.mktemp("first-minutes"))


def test_the_first_minutes_go_as_the_page_says(first_minutes: list[Typed]) -> None:
    assert len(first_minutes) == len(steps_of(text_of("first-minutes"))) > 9
    assert not differences(first_minutes), "\n\n".join(differences(first_minutes))


@pytest.mark.slow
@pytest.mark.parametrize("name", PAGES[1:])
def test_journey(name: str, tmp_path: Path) -> None:
    page = text_of(name)
    typed = walk(page, tmp_path)
    assert len(typed) == len(steps_of(page)) > 3
    assert not differences(typed), "\n\n".join(differences(typed))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("planner  live 14m 58s  docs:read tools:*", "planner  live 14m 58s  docs:read"),
        ("clawguard: planner lacks mail:send", "clawguard: planner lacks docs:read"),
        ("$ echo $?\n3", "$ echo $?\n0"),
        ("$ echo $?\n3", "$ true"),
        ("2 sessions ended", "1 session ended"),
        ("All of it went as promised", "It went well"),
        ("chain       planner > summarizer\n", ""),
    ],
)
def test_a_fault_planted_in_a_page_is_found(before: str, after: str, first_minutes: list[Typed]) -> None:
    """Hold what the commands printed against a page that says something else."""
    page = text_of("first-minutes")
    assert before in page
    planted = steps_of(page.replace(before, after))
    typed = [each._replace(step=step) for step, each in zip(planted, first_minutes, strict=True)]
    assert differences(typed)


@pytest.mark.parametrize("name", PAGES)
def test_no_token_is_typed_or_shown(name: str) -> None:
    assert "eyJ" not in text_of(name)
    assert "cgr1_" not in text_of(name)
