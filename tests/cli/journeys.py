"""Read the commands of a page, type them in one shell, and hold what they print against the page."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
BLOCK = re.compile(r"^```console\n(.*?)^```", re.M | re.S)
ANYTHING = "..."

MASKS = (
    (re.compile(r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"), "ID"),
    (re.compile(r"\b\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|\+00:00)?"), "INSTANT"),
    (re.compile(r"\b\d{8}T\d{6,}Z"), "INSTANT"),
    (re.compile(r"\b\d\d:\d\d:\d\d(?:\.\d+)?Z?"), "TIME"),
    (re.compile(r"\b\d+(?:\.\d+)?[wdhms](?: \d+[wdhms])?\b"), "SPAN"),
    (re.compile(r"\b[0-9a-f]{16,}\b"), "HEX"),
    (re.compile(r"(?<![\w-])[\w-]{43}(?![\w-])"), "KEY"),
    (re.compile(r"\b\d+ (?:MiB|bytes)"), "SIZE"),
    (re.compile(r"(?:[\d,]+\.\d+|\d[\d,]*) +(?:us|a second)"), "SPEED"),
    (re.compile(r"\b\d+(?:\.\d+)+\b"), "NUMBER"),
    (re.compile(r" {2,}"), "  "),
)


class Step(NamedTuple):
    """Hold one command of a page, and the lines that it is said to print."""

    command: str
    expected: tuple[str, ...]


class Typed(NamedTuple):
    """Hold a command that was typed, what it printed, and its exit code."""

    step: Step
    lines: tuple[str, ...]
    code: int


def steps_of(page: str) -> list[Step]:
    """Return a page's commands: lines after a `$`, and what follows them up to the next."""
    steps: list[tuple[list[str], list[str]]] = []
    for block in BLOCK.findall(page):
        for line in block.splitlines():
            if line.startswith("$ "):
                steps.append(([line[2:]], []))
            elif line == ">" or line.startswith("> "):
                steps[-1][0].append(line[2:])
            else:
                steps[-1][1].append(line)
    return [Step("\n".join(command), tuple(expected)) for command, expected in steps]


def walk(page: str, folder: Path) -> list[Typed]:
    """Type every command in one shell, in a folder of its own, as a newcomer does."""
    steps, mark = steps_of(page), "---step---"
    after = f"_code=$?; printf '\\n{mark} %s\\n' $_code; (exit $_code)"
    script = folder / ".steps.sh"
    script.write_text("".join(f"{step.command}\n{after}\n" for step in steps), encoding="utf-8")
    own = {name: value for name, value in os.environ.items() if not name.startswith("CLAWGUARD_")}
    path = f"{Path(sys.executable).parent}:{own['PATH']}"
    run = subprocess.run(
        ["bash", script.name],
        cwd=folder,
        env=own | {"PATH": path, "HOME": os.fspath(folder), "PYTHONPATH": os.fspath(ROOT)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=100,
    )
    told = re.split(rf"\n{mark} (\d+)\n", run.stdout)
    return [
        Typed(step, tuple(text.strip("\n").splitlines()), int(code))
        for step, text, code in zip(steps, told[::2], told[1::2], strict=False)
    ]


def masked(line: str) -> str:
    """Return a line without what differs from run to run."""
    for pattern, name in MASKS:
        line = pattern.sub(name, line)
    return line.strip()


def differences(typed: list[Typed]) -> list[str]:
    """Return what is not as the page says: other lines, or a failure that it does not ask the code of."""
    found = []
    for each, following in zip(typed, [*typed[1:], None], strict=True):
        if not fits(list(map(masked, each.step.expected)), list(map(masked, each.lines))):
            found.append(f"$ {each.step.command}\nprinted\n" + "\n".join(each.lines))
        if each.code and not (following and "$?" in following.step.command):
            found.append(f"$ {each.step.command}\nended with {each.code}\n" + "\n".join(each.lines))
    return found


def fits(expected: list[str], lines: list[str]) -> bool:
    """Tell whether lines are as expected; `...` alone stands for any lines, within one for any text."""
    if not expected:
        return not lines
    first, *rest = expected
    if first == ANYTHING:
        return any(fits(rest, lines[start:]) for start in range(len(lines) + 1))
    if not lines:
        return False
    before, found, after = first.partition(ANYTHING)
    same = lines[0].startswith(before) and lines[0].endswith(after) if found else lines[0] == first
    return same and fits(rest, lines[1:])
