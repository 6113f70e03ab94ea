"""Fuzz each target for a while with atheris, and keep the inputs that reach what no other one does.

Run by `make fuzz`, where each puts its figures into docs/experiments.json, as the experiments do. A crash's
input is written beside the run's other files, and the run ends with status 1.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import atheris

_LONGEST = 4_096
_LONGEST_KEPT = 512
_LAST = re.compile(rb"^(?:stat::number_of_executed_units: +|Done |#)(\d+)", re.MULTILINE)


def main() -> int:
    """Fuzz those targets that are named, by default all; each in a process of its own."""
    if sys.argv[2:3] == ["--inside"]:  # all that follows is the fuzzer's
        return _fuzz(sys.argv[1], sys.argv[3:])
    from tests.faults.figures import commit
    from tests.fuzz.targets import TARGETS

    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=main.__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(TARGETS)}")
    parser.add_argument("--seconds", type=int, default=600, help="for each target")
    parser.add_argument("--into", type=Path, default=Path("build/fuzz"), help="where runs keep their files")
    given = parser.parse_args()
    commit()  # asked for before what is kept changes the files
    failed = [name for name in given.names or TARGETS if not _run(name, given.into / name, given.seconds)]
    if failed:
        print(f"crashed: {', '.join(failed)}")
    return 1 if failed else 0


def _fuzz(name: str, arguments: list[str]) -> int:
    """Be the process that fuzzes one target; it ends here."""
    with atheris.instrument_imports(include=["clawguard", "tests.fuzz"]):
        from tests.fuzz.targets import TARGETS
    atheris.Setup(arguments, TARGETS[name].run)
    atheris.Fuzz()
    return 0


def _run(name: str, folder: Path, seconds: int) -> bool:
    """Fuzz a target and keep what is new; tell whether nothing crashed."""
    from tests.fuzz.corpus import inputs_of, keep

    folder = folder.resolve()
    found, kept = folder / "found", folder / "kept"
    for place in (found, kept):
        place.mkdir(parents=True, exist_ok=True)
        for old in place.iterdir():
            old.unlink()
    _write(found, inputs_of(name))
    options = (f"-max_len={_LONGEST}", f"-artifact_prefix={folder}/", "-rss_limit_mb=2048", "-timeout=10")
    timed = (f"-max_total_time={seconds}", "-print_final_stats=1")
    said, status = _inside(name, folder, *options, *timed, str(found))
    (folder / "log.txt").write_bytes(said)
    executions = max((int(each) for each in _LAST.findall(said)), default=0)
    ran = f"{name}: {executions:,} executions in {seconds} s"
    if status != 0:
        print(f"{ran}, CRASHED, see {folder}; the corpus stays as it was", flush=True)
        _note(name, {})
        return False
    _inside(name, folder, "-set_cover_merge=1", *options, str(kept), str(found))
    count = keep(name, [data for data in _read(kept) if len(data) <= _LONGEST_KEPT])
    print(f"{ran}, no crash, {count} inputs kept", flush=True)
    _note(name, {"seconds": seconds, "executions": executions, "crashes": 0, "inputs kept": count})
    return True


def _note(name: str, figures: dict[str, object]) -> None:
    """Put a run's figures in the place of those it had, where they are wanted; a crash has none."""
    from tests.faults.figures import Notes, keep

    notes, test, wanted = Notes(), f"tests/fuzz/targets.py[{name}]", os.environ.get("CLAWGUARD_FIGURES")
    if figures:
        notes.tell(f"fuzzing: {name.replace('_', ' ')}", figures)
    if wanted:
        keep(Path(wanted), test, notes.figures(test))


def _inside(name: str, folder: Path, *arguments: str) -> tuple[bytes, int]:
    """Run the fuzzer on a target; return what it said and its status."""
    program = folder / "again"  # a merge starts itself over, by its first argument
    command = shlex.join([sys.executable, "-m", "tests.fuzz", name, "--inside", str(program)])
    program.write_text(f'#!/bin/sh\nexec {command} "$@"\n', encoding="utf-8")
    program.chmod(0o700)
    done = subprocess.run(
        [program, *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
    )
    return done.stdout, done.returncode


def _write(folder: Path, inputs: list[bytes]) -> None:
    for number, data in enumerate(inputs):
        (folder / f"{number:05}").write_bytes(data)


def _read(folder: Path) -> list[bytes]:
    return [path.read_bytes() for path in folder.iterdir()]


if __name__ == "__main__":
    sys.exit(main())
