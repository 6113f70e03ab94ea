"""Each call by which a change reaches the disk fails in turn: nothing false is said, each error is typed."""

from __future__ import annotations

import os
import random
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from clawguard import AccessDenied, ClawguardError, SessionManager
from tests.faults.disk_run import FAILING
from tests.faults.lab import acknowledged, assert_whole, founded, report, rows, sizes
from tests.servers import missing

STEPS = 9
UNKNOWN = "outcome_unknown"
GONE = ("", 0, None)


class Fault(NamedTuple):
    """Hold which call fails, how, for how long, and how many of them the work makes at least."""

    call: str
    error: str
    until: str
    among: int


FAULTS = {
    "a sync fails": Fault("fdatasync", "EIO", "", 20),
    "a write fails": Fault("pwrite64", "EIO", "", 200),
    "the disk is full for some writes": Fault("pwrite64", "ENOSPC", f"..{FAILING + 5}", 200),
    "the disk is full from then on": Fault("pwrite64", "ENOSPC", "+", 200),
}


def run(tmp_path: Path, fault: Fault, kths: list[int], *, how: str = "as it is") -> tuple[list[Path], int]:
    """Have the work done once for each fault; return what it left behind, and how many calls failed."""
    if shutil.which("strace") is None:
        missing("strace, which makes calls fail")
    before, target, trace = tmp_path / "before" / "clawguard.db", tmp_path / "after", tmp_path / "trace"
    founded(before)
    inject = f"inject={fault.call}:error={fault.error}:when={FAILING}{fault.until}"
    strace = [
        "strace",
        "-f",
        "-y",
        "--seccomp-bpf",
        "-o",
        str(trace),
        "-e",
        f"trace={fault.call}",
        "-e",
        inject,
    ]
    work = ["-m", "tests.faults.disk_run", str(before.parent), str(target), fault.call, how, str(STEPS)]
    subprocess.run(
        [*strace, sys.executable, *work, *map(str, kths)], check=True, timeout=600, env={"PATH": os.defpath}
    )
    injected = re.findall(r"<([^>]*)>.*\(INJECTED\)", trace.read_text("ascii"))
    failed = sum(not path.endswith("scratch") for path in injected)
    return [target / str(kth) for kth in kths], failed


def faults_of(folder: Path) -> tuple[list[str], Counter[str]]:
    """Hold what was said against what is there; return what is wrong, and how often each thing was said."""
    path, said = folder / "db" / "clawguard.db", acknowledged(folder / "acks")
    assert_whole(path)
    found = {each[0]: each[1:] for each in rows(path, "SELECT id, agent_id, generation, cause FROM sessions")}
    wrong = [f"{what}: {rest}" for what, *rest in said if what == "untyped"]
    with SessionManager.open(path, sweep_every=None) as manager:
        for what, about, *rest in said:
            if what == "refused":
                wrong += [] if rest[-1] == UNKNOWN else changed(found, about, rest[0], said)
            elif not holds(found, manager, what, about, rest):
                wrong.append(f"{what} was said of {about}")
        manager.revoke(manager.create("afterwards", scopes="a"))
    return wrong, Counter(rest[-1] if what == "refused" else what for what, _, *rest in said)


def holds(found: dict[str, Any], manager: SessionManager, what: str, about: str, rest: list[Any]) -> bool:
    """Tell whether what was acknowledged is so."""
    if what == "created":
        return rest[0] in found
    if what == "refreshed":
        return bool(found.get(about, GONE)[1] >= rest[0])
    if what == "ended":
        try:
            manager.validate(rest[0])
        except AccessDenied:
            return found.get(about, GONE)[2] == "revoked"
        return False
    return what in ("closed", "untyped")


def changed(found: dict[str, Any], about: str, what: str, said: list[list[Any]]) -> list[str]:
    """Return what an error changed that says that nothing was: a name, an end that nobody acknowledged."""
    if what == "created":
        is_there = any(agent == about for agent, *_ in found.values())
    else:
        later = any(other[:2] == [what, about] for other in said) or any(
            other[:3] == ["refused", about, what] and other[-1] == UNKNOWN for other in said
        )
        is_there = what == "ended" and found.get(about, GONE)[2] is not None and not later
    return [f"an error said that {about} was not {what}, and it was"] if is_there else []


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("count", sizes(4, 120))
def test_whatever_call_to_the_disk_fails_nothing_is_said_that_is_not_so(
    tmp_path: Path, fault: str, count: int, seed: int
) -> None:
    which, chance = FAULTS[fault], random.Random(seed)
    kths = sorted(chance.sample(range(1, which.among + 1), min(count, which.among)))
    folders, failed = run(tmp_path, which, kths)
    wrong: list[str] = []
    said: Counter[str] = Counter()
    for folder in folders:
        more, told = faults_of(folder)
        wrong += more
        said += told
    report(f"k-th fault: {fault}", processes=len(kths), failed_calls=failed, **dict(sorted(said.items())),
           false=len(wrong))  # fmt: skip
    assert wrong == []
    assert failed >= len(kths) // 2, "hardly any call failed: this shows nothing"


@pytest.mark.control
def test_a_store_that_takes_a_failed_commit_for_done_is_caught(tmp_path: Path, seed: int) -> None:
    which = FAULTS["the disk is full for some writes"]
    kths = sorted(random.Random(seed).sample(range(1, which.among), 6))
    folders, _ = run(tmp_path, which, kths, how="careless")
    caught = [folder for folder in folders if is_caught(folder)]
    report("k-th fault, control: a commit's error is passed over", processes=len(kths), caught=len(caught))
    assert caught


def is_caught(folder: Path) -> bool:
    try:
        return bool(faults_of(folder)[0])
    except (AssertionError, ClawguardError):
        return True
