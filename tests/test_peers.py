"""The comparison with other libraries: every peer is pinned, and none drops out in silence."""

from __future__ import annotations

import ast
import json
import math
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.peers import __main__ as driver
from benchmarks.peers import environments, running
from benchmarks.peers.catalogue import OURS, PARTS, PEERS, Peer, works_of
from benchmarks.peers.environments import environment, pins, reason
from benchmarks.peers.figures import BadLine, Figures, Line, Run, read_line
from benchmarks.peers.running import Broken, Size, measured, started

FOLDER = Path(driver.__file__).parent
ROWS = [(peer, row) for peer in PEERS for row in peer.rows]
ROW_NAMES = [f"{peer.module}-{row.work}-{row.ours}" for peer, row in ROWS]
EVERYWHERE = (
    "worker.py",
    "measures.py",
    "requests.py",
    "django_app.py",
    "engines.py",
    "../harness.py",
    "../material.py",
)
PIN = re.compile(r"[A-Za-z0-9._-]+==[A-Za-z0-9.]+")
SECONDS = st.floats(min_value=1e-9, max_value=10, allow_nan=False)


def named(name: str) -> str:
    """Return a distribution's name as an index compares them."""
    return re.sub(r"[-_.]+", "-", name).lower()


def parsed(name: str) -> ast.Module:
    return ast.parse((FOLDER / name).read_text(encoding="utf-8"))


def imported(name: str) -> Iterator[str]:
    """Return what a module of the folder imports, by whole names; neighbours begin with a dot."""
    for node in ast.walk(parsed(name)):
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield "." * node.level + (node.module or "")


def offered(name: str) -> set[str]:
    """Return the works that a module gives, by reading: its library is not installed here."""
    yielded = (node.value for node in ast.walk(parsed(name)) if isinstance(node, ast.Yield))
    [works] = [value for value in yielded if isinstance(value, ast.Dict)]
    return {ast.literal_eval(key) for key in works.keys if key is not None}


def test_these_libraries_are_compared() -> None:
    assert {named(peer.name) for peer in PEERS} == {
        "pyjwt",
        "joserfc",
        "flask-jwt-extended",
        "fastapi-users",
        "djangorestframework-simplejwt",
        "django-rest-knox",
        "biscuit-python",
        "tenuo",
        "openai-agents",
        "google-adk",
    }


@pytest.mark.parametrize("peer", PEERS, ids=lambda peer: peer.module)
def test_all_that_is_installed_for_a_peer_is_pinned(peer: Peer) -> None:
    lines = pins(peer).read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if not PIN.fullmatch(line)] == []
    assert named(peer.name) in {named(line.partition("==")[0]) for line in lines}
    assert peer.setting


@pytest.mark.parametrize("peer", PEERS, ids=lambda peer: peer.module)
def test_a_peers_module_gives_the_works_of_its_rows_and_no_others(peer: Peer) -> None:
    assert offered(f"{peer.module}.py") == set(works_of(peer)[0])


def test_clawguards_side_gives_the_works_that_the_tables_name() -> None:
    assert offered("ours.py") == set(OURS) == {row.ours for _, row in ROWS}


@pytest.mark.parametrize(("peer", "row"), ROWS, ids=ROW_NAMES)
def test_a_row_says_in_sentences_what_cannot_be_compared(peer: Peer, row: object) -> None:
    differs = row.differs  # type: ignore[attr-defined]
    assert len(differs) > 40
    assert re.fullmatch(r"[A-Z].*\.", differs)
    assert "|" not in differs


def test_every_row_has_a_table_and_every_table_rows() -> None:
    assert {row.part for _, row in ROWS} == {part.name for part in PARTS}


@pytest.mark.parametrize("name", [*(f"{peer.module}.py" for peer in PEERS), *EVERYWHERE])
def test_what_runs_in_a_peers_environment_needs_nothing_of_clawguard(name: str) -> None:
    modules = {*EVERYWHERE, ".measures", ".requests", ".django_app", ".engines"}
    for found in imported(name):
        assert found.partition(".")[0] != "clawguard", f"{name} imports {found}"
        if found.startswith((".", "benchmarks")):
            assert found in modules | {"benchmarks.harness", "benchmarks.material"}, f"{name} imports {found}"


@pytest.mark.parametrize(
    "name", ["worker.py", "measures.py", "requests.py", "../harness.py", "../material.py"]
)
def test_what_runs_in_every_environment_needs_the_standard_library_alone(name: str) -> None:
    for found in imported(name):
        top = found.partition(".")[0]
        assert found.startswith((".", "benchmarks")) or top in sys.stdlib_module_names, f"{name}: {found}"


def line(**seconds: object) -> str:
    return json.dumps({"python": "3", "sqlite": "3", "versions": {"peer": "1"}, "seconds": seconds})


@given(st.dictionaries(st.text(min_size=1), SECONDS, min_size=1))
def test_a_line_is_read_as_it_was_written(seconds: dict[str, float]) -> None:
    assert read_line(line(**seconds), list(seconds)).seconds == seconds


@pytest.mark.parametrize("value", [0.0, -1e-6, math.nan, math.inf, None, "1e-6", True, 1, []])
def test_a_figure_that_is_no_time_is_refused(value: object) -> None:
    with pytest.raises(BadLine, match="sign"):
        read_line(line(sign=value), ["sign"])


@pytest.mark.parametrize("text", ["", "\n", "warning: slow", "[]", "{}", "1", '{"seconds": 1}', line()])
def test_what_is_no_line_of_figures_is_refused(text: str) -> None:
    with pytest.raises(BadLine):
        read_line(text, ["sign"])


def test_a_worker_answers_each_round_with_all_that_it_was_asked_for() -> None:
    with started(sys.executable, "ours", ["create", "validate_again"], "--seconds", "0.001") as worker:
        for _ in range(2):
            assert set(worker.round().seconds) == {"create", "validate_again"}


def test_a_worker_that_ends_says_why() -> None:
    with (
        started(sys.executable, "no_such_module", ["sign"]) as worker,
        pytest.raises(Broken, match="no_such_module ended: ModuleNotFoundError"),
    ):
        worker.round()


def test_a_worker_that_does_not_answer_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "_PATIENCE", 0)
    with (
        started(sys.executable, "ours", ["create"]) as worker,
        pytest.raises(Broken, match="ours gave no round within 0 s"),
    ):
        worker.round()


PEER = PEERS[0]
[KNOX] = [peer for peer in PEERS if peer.module == "knox"]


def pinned_to(line: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = folder / "pins.txt"
    file.write_text(line, encoding="utf-8")
    monkeypatch.setattr(environments, "pins", lambda _peer: file)


def test_an_environment_is_made_once_and_again_when_its_pins_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands = list[list[str]]()

    def run(command: list[str]) -> None:
        commands.append(command)
        (tmp_path / "cache" / PEER.module).mkdir(parents=True, exist_ok=True)

    monkeypatch.setattr(environments, "_run", run)
    made = list[Path]()
    for pinned in ("one==1", "one==1", "one==2"):
        pinned_to(pinned, tmp_path, monkeypatch)
        made.append(environment(PEER, tmp_path / "cache"))
    assert [command[2] for command in commands] == ["venv", "pip"] * 2
    assert [command[0] for command in commands] == [sys.executable, str(made[0])] * 2


@pytest.mark.slow
def test_a_peer_that_cannot_be_installed_is_absent_for_a_reason_and_not_taken_as_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pinned_to("./no-such-folder", tmp_path, monkeypatch)
    monkeypatch.setattr(running, "environment", lambda peer: environment(peer, tmp_path / "cache"))
    assert measured(PEER, Size(1, 0.001)).absent.startswith("not installed: ")
    assert not (tmp_path / "cache" / PEER.module / "made-of").exists()


def test_a_peer_that_ran_on_something_else_is_not_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = iter([Line(str(number), "3", {"PyJWT": "1"}, {}) for number in range(4)])
    monkeypatch.setattr(running, "environment", lambda _peer: sys.executable)
    monkeypatch.setattr(running.Worker, "round", lambda _worker: next(lines))
    absent = measured(PEER, Size(1, 0.001)).absent
    assert absent == "pyjwt ran on Python 3, SQLite 3, clawguard on Python 2, SQLite 3"


def test_a_peer_whose_worker_breaks_is_absent_for_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "environment", lambda _peer: sys.executable)
    peer = PEER._replace(module="no_such_module")
    assert "ModuleNotFoundError" in measured(peer, Size(1, 0.001)).absent


@given(
    st.lists(
        st.sampled_from(["ERROR:", "No", "matching", "/tmp/x/y", "https://host.test/simple", "a|b"]),
        min_size=1,
    )
)
def test_a_reason_shows_no_address_no_path_and_breaks_no_table(words: list[str]) -> None:
    said = reason(f"first\n{' '.join(words)}\n\n")
    assert "host" not in said
    assert "tmp" not in said
    assert "|" not in said


def figures(*, theirs: float = 1e-3, ours: float = 1e-6) -> dict[str, Figures]:
    """Return what a run would have found, all of it at the same speed."""
    found = {}
    for peer in PEERS:
        works, our_works = works_of(peer)
        found[peer.module] = Figures(
            "1.0", {each: [theirs] for each in works}, {each: [ours] for each in our_works}
        )
    return found


def run_driver(
    found: dict[str, Figures], folder: Path, monkeypatch: pytest.MonkeyPatch, *arguments: str
) -> int:
    """Run the driver with figures in the place of measurements, on a page of its own."""
    monkeypatch.setattr(driver, "measured", lambda peer, _size: found[peer.module])
    (folder / "assets").mkdir()
    (folder / "benchmarks.md").write_text("<!-- made: peers -->\n<!-- end -->\n", encoding="utf-8")
    return driver.main(arguments, docs=folder, kept=folder / "figures.json")


def test_a_run_without_problems_writes_the_page_and_the_charts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run_driver(figures(), tmp_path, monkeypatch, "--write") == 0
    assert "PyJWT" in (tmp_path / "benchmarks.md").read_text(encoding="utf-8")
    assert len(list((tmp_path / "assets").glob("*.svg"))) == len(PARTS)
    assert Run.read(tmp_path / "figures.json").peers == figures()


def test_a_run_that_is_not_to_be_written_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run_driver(figures(), tmp_path, monkeypatch) == 0
    assert "PyJWT" not in (tmp_path / "benchmarks.md").read_text(encoding="utf-8")
    assert not (tmp_path / "figures.json").exists()


def test_a_run_without_a_peer_fails_and_names_it_on_the_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = figures() | {"knox": Figures(absent="not installed: no such release")}
    assert run_driver(found, tmp_path, monkeypatch, "--write") == 1
    assert "django-rest-knox was not measured: not installed: no such release" in capsys.readouterr().err
    page = (tmp_path / "benchmarks.md").read_text(encoding="utf-8")
    assert page.count("Not measured: not installed: no such release.") == len(KNOX.rows)
    assert "Not measured: django-rest-knox; the tables say why." in page


def test_a_budget_that_is_missed_fails_the_run_and_stands_on_the_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_driver(figures(ours=1e-3), tmp_path, monkeypatch, "--write") == 1
    budgets = sum(row.budget is not None for _, row in ROWS)
    assert budgets == 8
    assert capsys.readouterr().err.count("over budget") == budgets
    assert (tmp_path / "benchmarks.md").read_text(encoding="utf-8").count("MISSED") == budgets


def test_a_part_of_the_peers_is_never_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SystemExit):
        run_driver(figures(), tmp_path, monkeypatch, "--write", "--only", "knox")


def test_each_sides_rounds_are_kept_apart() -> None:
    found = Figures()
    for seconds in (1.0, 3.0):
        found.add(Line("3", "3", {}, {"sign": seconds}), Line("3", "3", {}, {"create": seconds / 4}))
    assert (found.theirs, found.ours) == ({"sign": [1.0, 3.0]}, {"create": [0.25, 0.75]})
    assert found.pair(PEER.rows[0]).ratio == pytest.approx(1 / 4)
