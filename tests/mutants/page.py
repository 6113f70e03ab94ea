"""What became of the mutants: kept in docs/mutants.json, and written into a page.

A survivor's reason is written into that file by hand, and stays there as long as the same change survives.
"""

from __future__ import annotations

import difflib
import json
import re
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from benchmarks.marks import filled
from tests.faults.figures import ROOT, commit, machine

KEPT = ROOT / "docs" / "mutants.json"
PAGE = ROOT / "docs" / "mutants.md"
MADE = ROOT / "mutants" / "clawguard"
_KILLED, _BY_TYPES, _NOT_JUDGED = {1, 3, 24, -24, 36, 152, 255, -9, -11}, 37, None


@dataclass(frozen=True, slots=True, kw_only=True)
class Module:
    """Count a module's mutants: `types` are those that the types tell, `waiting` what was not judged."""

    name: str
    mutants: int
    tests: int
    types: int
    survived: int
    waiting: int

    @property
    def share(self) -> float:
        """The share of those judged that were killed, in percent."""
        judged = self.mutants - self.waiting
        return 100 * (self.tests + self.types) / judged if judged else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Survivor:
    """Hold a change that no test tells, and why that is so."""

    function: str
    was: str
    becomes: str
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """Hold what a run found."""

    date: str
    commit: str
    machine: str
    modules: tuple[Module, ...]
    survivors: tuple[Survivor, ...]


def read(path: Path = KEPT) -> Findings:
    """Return what is kept in a file."""
    kept = json.loads(path.read_text("utf-8"))
    kept["modules"] = tuple(Module(**each) for each in kept["modules"])
    kept["survivors"] = tuple(Survivor(**each) for each in kept["survivors"])
    return Findings(**kept)


def found(made: Path = MADE, known: tuple[Survivor, ...] = ()) -> Findings:
    """Gather what mutmut keeps beside each mutated file; the reasons are those that are known."""
    reasons = {(each.function, each.was, each.becomes): each.reason for each in known}
    modules, survivors = [], []
    for meta in sorted(made.rglob("*.py.meta")):
        verdicts = json.loads(meta.read_text("utf-8"))["exit_code_by_key"]
        if not verdicts:
            continue
        source = meta.with_suffix("")
        name = ".".join(source.relative_to(made).with_suffix("").parts)
        modules.append(_counted(name, list(verdicts.values())))
        for mutant, verdict in verdicts.items():
            if verdict not in {*_KILLED, _BY_TYPES, _NOT_JUDGED}:
                change = (f"{name}.{_function(mutant)}", *change_of(source, mutant))
                survivors.append(
                    Survivor(
                        function=change[0], was=change[1], becomes=change[2], reason=reasons.get(change, "")
                    )
                )
    return Findings(
        date=f"{datetime.now(UTC):%Y-%m-%d}",
        commit=commit(),
        machine=machine(),
        modules=tuple(modules),
        survivors=tuple(survivors),
    )


def _counted(name: str, verdicts: list[int | None]) -> Module:
    tests, types = sum(each in _KILLED for each in verdicts), verdicts.count(_BY_TYPES)
    waiting = verdicts.count(_NOT_JUDGED)
    survived = len(verdicts) - tests - types - waiting
    return Module(
        name=name, mutants=len(verdicts), tests=tests, types=types, survived=survived, waiting=waiting
    )


def _function(mutant: str) -> str:
    """Return a mutant's function as one writes it: `x_name__mutmut_1`, or `xǁClassǁname__mutmut_1`."""
    bare = re.sub(r"__mutmut_\d+$", "", mutant.rpartition(".")[2])
    return bare.removeprefix("xǁ").replace("ǁ", ".") if bare.startswith("xǁ") else bare.removeprefix("x_")


def change_of(source: Path, mutant: str) -> tuple[str, str]:
    """Return the lines that a mutant changes, before and after."""
    name = mutant.rpartition(".")[2]
    original = re.sub(r"_\d+$", "_orig", name)
    before, after = (_lines(source, each) for each in (original, name))
    was, becomes = [], []
    for tag, i, j, k, m in difflib.SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        if tag != "equal":
            was += before[i:j]
            becomes += after[k:m]
    return _joined(was), _joined(becomes)


def _joined(lines: list[str]) -> str:
    return " ".join(" ".join(lines).split())


def _lines(source: Path, function: str) -> list[str]:
    start, end = _spans(source)[function]
    return [
        line.replace(function, "")
        for line in _text(source)[start - 1 : end]
        if "mutmut generated" not in line
    ]


@cache
def _spans(source: Path) -> dict[str, tuple[int, int]]:
    spans: dict[str, tuple[int, int]] = json.loads(Path(f"{source}.spans").read_text("utf-8"))["spans"]
    return spans


@cache
def _text(source: Path) -> list[str]:
    return source.read_text("utf-8").splitlines()


def table(findings: Findings) -> str:
    """Return the figures by module and all survivors, as Markdown."""
    total = Module(
        name="all",
        **{
            name: sum(getattr(each, name) for each in findings.modules)
            for name in ("mutants", "tests", "types", "survived", "waiting")
        },
    )
    lines = [f"{findings.date}, {findings.commit}. {findings.machine}.", ""]
    lines += ["| module | mutants | killed by tests | by types | survived | not judged | killed |"]
    lines += ["| --- | ---: | ---: | ---: | ---: | ---: | ---: |"]
    for each in (*findings.modules, total):
        counts = (each.mutants, each.tests, each.types, each.survived, each.waiting)
        lines.append(f"| `{each.name}` | {' | '.join(map(str, counts))} | {each.share:.1f} % |")
    lines += ["", "| survivor | was | becomes | why it survives |", "| --- | --- | --- | --- |"]
    for one in findings.survivors:
        cells = [_code(one.function), _code(one.was), _code(one.becomes), one.reason or "not looked at yet"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _code(text: str) -> str:
    """Return text as code in a table's cell, where a bar would begin the next one."""
    shown = text.replace("|", "\u00a6")
    return f"`` {shown} ``" if shown else "nothing"


def rendered(page: str, findings: Findings) -> str:
    """Return a page with the tables between its marks."""
    return filled(page, "mutants", table(findings))


def write() -> None:
    """Keep what the mutants show now, and write it into the page."""
    findings = found(known=read().survivors if KEPT.exists() else ())
    KEPT.write_text(json.dumps(asdict(findings), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    PAGE.write_text(rendered(PAGE.read_text("utf-8"), findings), encoding="utf-8")
    for each in findings.modules:
        print(f"{each.name}: {each.share:.1f} % of {each.mutants - each.waiting} killed")
