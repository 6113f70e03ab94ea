"""The page of the comparison: it is of the kept figures, says who is faster, and leaves other parts alone."""

from __future__ import annotations

import re
import statistics
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.__main__ import main as measure_budgets
from benchmarks.harness import Pair, Result
from benchmarks.marks import PageHasNoMark, filled
from benchmarks.peers.catalogue import PARTS, PEERS, Part, works_of
from benchmarks.peers.charts import chart
from benchmarks.peers.figures import KEPT, Figures, Run
from benchmarks.peers.tables import cells, chart_name, faster, made, rows_of
from benchmarks.report import table

DOCS = Path(__file__).parents[1] / "docs"
SVG = "{http://www.w3.org/2000/svg}"
SECONDS = st.floats(min_value=1e-7, max_value=5)


def run_of(theirs: list[float], ours: list[float], absent: frozenset[str] = frozenset()) -> Run:
    """Return a run in which every work of a side took the same."""
    found = {}
    for peer in PEERS:
        works, our_works = works_of(peer)
        found[peer.module] = Figures(
            "1.0", {each: list(theirs) for each in works}, {each: list(ours) for each in our_works}
        )
        if peer.module in absent:
            found[peer.module] = Figures(absent="not installed: no such release")
    return Run("2026-01-01", "a machine", "0.1.0", len(theirs), found)


def circles(drawn: str, side: str) -> list[float]:
    """Return how far right the points of a side stand, without that of the legend."""
    found = ET.fromstring(drawn).iter(f"{SVG}circle")
    return [float(each.get("cx", "")) for each in found if each.get("class") == side][1:]


def test_the_page_and_the_charts_are_those_of_the_kept_figures() -> None:
    run = Run.read(KEPT)
    page = (DOCS / "benchmarks.md").read_text(encoding="utf-8")
    assert filled(page, "peers", made(run)) == page, "run: python -m benchmarks.peers --render"
    for part in PARTS:
        drawn = (DOCS / "assets" / chart_name(part)).read_text(encoding="utf-8")
        assert drawn == chart(part, run), "run: python -m benchmarks.peers --render"


def test_the_kept_figures_are_of_the_releases_that_are_pinned() -> None:
    run = Run.read(KEPT)
    for peer in PEERS:
        pins = (KEPT.parent / f"{peer.module}.txt").read_text(encoding="utf-8")
        name = re.sub(r"[-_.]+", "[-_.]+", peer.name)
        assert re.search(rf"^{name}=={re.escape(run.peers[peer.module].version)}$", pins, re.M | re.I), (
            peer.name
        )


def test_what_is_kept_is_read_again(tmp_path: Path) -> None:
    run = run_of([1e-6, 2.5e-4], [3.0], frozenset({"knox"}))
    run.write(tmp_path / "figures.json")
    assert Run.read(tmp_path / "figures.json") == run


@given(ratio=st.floats(min_value=1e-4, max_value=1e4))
def test_the_faster_side_is_named_whichever_it_is(ratio: float) -> None:
    said = faster("PyJWT", Pair([ratio], [1.0]))
    expected = "clawguard" if ratio < 1 else "PyJWT"
    assert said == "even" or said.startswith(f"{expected} ")


@pytest.mark.parametrize(
    ("ratio", "said"),
    [
        (0.1, "clawguard 10.0 x"),
        (0.01, "clawguard 100 x"),
        (2.5, "knox 2.5 x"),
        (1.04, "even"),
        (0.96, "even"),
    ],
)
def test_how_many_times_faster_is_said_in_figures(ratio: float, said: str) -> None:
    assert faster("knox", Pair([ratio] * 4, [1.0] * 4)) == said


def test_a_side_that_is_faster_in_too_few_rounds_is_not_called_faster() -> None:
    assert faster("knox", Pair([2.0, 2.0, 2.0, 0.5], [1.0] * 4)) == "knox 2.0 x"
    assert faster("knox", Pair([2.0, 2.0, 2.0, 0.5, 0.5], [1.0] * 5)) == "even"
    assert faster("knox", Pair([0.5, 0.5, 0.5, 2.0, 2.0], [1.0] * 5)) == "even"


@given(theirs=st.lists(SECONDS, min_size=1, max_size=9), ours=st.lists(SECONDS, min_size=1, max_size=9))
def test_a_row_shows_the_median_the_fastest_and_the_slowest(theirs: list[float], ours: list[float]) -> None:
    count = min(len(theirs), len(ours))
    run = run_of(theirs[:count], ours[:count])
    peer, row, figures = next(rows_of(PARTS[0], run))
    shown = cells(peer, row, figures)
    for seconds, cell in ((theirs[:count], shown.theirs), (ours[:count], shown.mine)):
        found = [float(number) * UNITS[unit] for number, unit in re.findall(r"([\d.]+) (us|ms|s)\b", cell)]
        expected = [statistics.median(seconds), min(seconds), max(seconds)]
        assert found == pytest.approx(expected, rel=0.06, abs=6e-8)


UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0}


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.name)
def test_every_row_stands_in_its_table_with_what_cannot_be_compared(part: Part) -> None:
    run = run_of([1e-3], [1e-5])
    lines = made(run).splitlines()
    for peer, row, _ in rows_of(part, run):
        begins, ends = f"| **{peer.name}**: {row.what}<br>1.0\N{NO-BREAK SPACE}ms ", f" | {row.differs} |"
        assert any(line.startswith(begins) and line.endswith(ends) for line in lines)


def test_a_missed_budget_is_said_and_a_row_without_one_says_nothing() -> None:
    run = run_of([1e-3], [1e-3])
    for part in PARTS:
        for peer, row, figures in rows_of(part, run):
            verdict = cells(peer, row, figures).verdict
            assert verdict.endswith("MISSED") if row.budget else verdict == ""
            assert figures.missed(row) == (row.budget is not None)


def test_a_row_that_was_not_measured_says_why_and_shows_no_figure() -> None:
    run = run_of([1e-3], [1e-3], frozenset(peer.module for peer in PEERS))
    for part in PARTS:
        for peer, row, figures in rows_of(part, run):
            shown = cells(peer, row, figures)
            assert shown.differs == "**Not measured: not installed: no such release.**"
            assert not re.search(
                r"\d (us|ms|s)\b", " ".join([shown.theirs, shown.mine, shown.faster, shown.verdict])
            )
            assert not figures.missed(row)


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.name)
def test_a_chart_has_a_point_for_each_side_of_each_row_the_faster_further_left(part: Part) -> None:
    drawn = chart(part, run_of([1e-3, 2e-3, 3e-3], [1e-5, 2e-5, 3e-5]))
    theirs, ours = circles(drawn, "theirs"), circles(drawn, "ours")
    assert len(theirs) == len(ours) == sum(row.part == part.name for peer in PEERS for row in peer.rows)
    assert all(mine < other for mine, other in zip(ours, theirs, strict=True))


@given(seconds=SECONDS, times=st.floats(min_value=1.5, max_value=1e4))
def test_points_stand_within_the_chart_in_their_order(seconds: float, times: float) -> None:
    drawn = chart(PARTS[0], run_of([seconds * times], [seconds]))
    width = float(ET.fromstring(drawn).get("viewBox", "").split()[2])
    for mine, other in zip(circles(drawn, "ours"), circles(drawn, "theirs"), strict=True):
        assert 0 < mine < other < width


def test_a_chart_says_what_was_not_measured() -> None:
    drawn = chart(PARTS[0], run_of([1e-3], [1e-3], frozenset({"tenuo"})))
    [tenuo] = [peer for peer in PEERS if peer.module == "tenuo"]
    assert drawn.count("not measured") == len(tenuo.rows)
    nothing = chart(PARTS[0], run_of([1e-3], [1e-3], frozenset(peer.module for peer in PEERS)))
    assert circles(nothing, "ours") == []


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.name)
def test_a_chart_stands_alone_and_has_a_dark_side(part: Part) -> None:
    drawn = (DOCS / "assets" / chart_name(part)).read_text(encoding="utf-8")
    assert "prefers-color-scheme: dark" in drawn
    assert drawn.count("http") == 1  # the name of the format; nothing is fetched
    assert ET.fromstring(drawn).find(f"{SVG}title") is not None


@given(st.text(alphabet="ab|\n<!-", max_size=40), st.text(alphabet="ab|\n", max_size=40))
def test_filling_a_part_changes_nothing_else(before: str, text: str) -> None:
    after = "between<!-- made: two -->kept<!-- end -->after"
    new = filled(f"{before}<!-- made: one -->old<!-- end -->{after}", "one", text)
    assert new == f"{before}<!-- made: one -->\n\n{text}\n\n<!-- end -->{after}"
    assert filled(new, "one", text) == new


@pytest.mark.parametrize("page", ["", "<!-- made: one -->", "<!-- end -->", "<!-- made: two --><!-- end -->"])
def test_a_page_without_the_marks_of_a_part_is_refused(page: str) -> None:
    with pytest.raises(PageHasNoMark, match="<!-- made: one -->"):
        filled(page, "one", "text")


def test_each_of_the_two_parts_of_the_page_leaves_the_other_as_it_is() -> None:
    page = (DOCS / "benchmarks.md").read_text(encoding="utf-8")
    budgets = table([Result("validate", 0.5, 1.0)], quick=False)
    peers = made(run_of([1e-3], [1e-5]))
    both = filled(filled(page, "budgets", budgets), "peers", peers)
    assert both == filled(filled(page, "peers", peers), "budgets", budgets)
    assert budgets in both
    assert peers in both


def test_a_page_that_cannot_be_written_is_refused_before_anything_is_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "page.md"
    for text in (None, "# no marks"):
        if text is not None:
            page.write_text(text, encoding="utf-8")
        with pytest.raises(SystemExit):
            measure_budgets(["--write", str(page)])
        assert "--write" in capsys.readouterr().err
