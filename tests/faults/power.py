"""Power cuts without a plug: the system calls of a real run, and every disk that they may have left behind.

strace records what a run wrote and when it synced. Between two syncs a disk may have kept all of it, nothing,
the first part, or any sectors of it: an *image* is one such disk, at the moment of an acknowledgement.
"""

from __future__ import annotations

import os
import random
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

__all__ = ["Disk", "Step", "choices", "play", "record"]

_SECTOR = 512
_CALLS = "openat,pwrite64,write,writev,pwritev,ftruncate,fallocate,fsync,fdatasync,unlink,rename"
_LINE = re.compile(
    r"(?P<pid>\d+) +(?:<\.\.\. (?P<resumed>\w+) resumed>|(?P<call>\w+)\()(?P<rest>.*)", re.DOTALL
)
_FD = re.compile(r"\d+<(?P<path>[^>]*)>")
_OPENED = re.compile(r'AT_FDCWD<[^>]*>, "(?P<path>[^"]*)", (?P<flags>[A-Z_|]+)')
_DATA = re.compile(r'"(?P<data>(?:\\x[0-9a-f]{2})*)"(?P<cut>\.\.\.)?, \d+(?:, (?P<offset>\d+))?')
_NUMBER = re.compile(r", (?P<number>\d+)")
_NAME = re.compile(r'"(?P<path>[^"]*)"')

Choose = Callable[[random.Random, int], list[bool]]


class Step(NamedTuple):
    """Hold one thing that the run did to a file; `began` is the place in the trace where its call began."""

    what: str
    path: str
    began: int
    offset: int = 0
    data: bytes = b""


def record(work: list[str], trace: Path) -> list[Step]:
    """Run a command of this Python under strace, and return what it did to files, in order."""
    command = ["strace", "-f", "-y", "-xx", "--seccomp-bpf", "-s", "70000", "-e", f"trace={_CALLS}"]
    subprocess.run(
        [*command, "-o", str(trace), sys.executable, *work], check=True, timeout=300, env=dict(os.environ)
    )
    return list(_steps(trace))


def _steps(trace: Path) -> Iterator[Step]:
    begun: dict[str, tuple[int, str]] = {}
    with trace.open(encoding="ascii") as lines:
        for number, line in enumerate(lines):
            found = _LINE.match(line)
            if found is None:
                continue
            pid, rest, began = found["pid"], found["rest"], number
            if found["resumed"]:
                began, earlier = begun.pop(pid)
                rest = earlier + rest
            elif "<unfinished ...>" in rest:
                begun[pid] = (number, rest.partition("<unfinished ...>")[0])
                continue
            if not rest.rstrip().endswith(")") and " = -1 " not in rest:
                yield from _step(found["call"] or found["resumed"], rest, began)


def _step(call: str, rest: str, began: int) -> Iterator[Step]:
    if call == "openat":
        opened = _OPENED.search(rest)
        if opened and "O_CREAT" in opened["flags"]:
            yield Step("create", _text(opened["path"]), began)
        return
    if call == "unlink":
        yield Step("remove", _text(_NAME.search(rest)["path"]), began)  # type: ignore[index]
        return
    described = _FD.match(rest)
    if described is None:
        return
    path = _text(described["path"])
    if call in ("fsync", "fdatasync"):
        yield Step("sync", path, began)
    elif call == "ftruncate":
        yield Step("truncate", path, began, int(_NUMBER.search(rest)["number"]))  # type: ignore[index]
    else:
        written = _DATA.search(rest)
        assert written is not None, f"a {call} of {path} that is not understood"
        assert not written["cut"], f"a {call} of {path} that was cut short"
        data = bytes.fromhex(written["data"].replace("\\x", ""))
        yield Step(call, path, began, int(written["offset"] or 0), data)


def _text(text: str) -> str:
    """Return a path as it is: strace writes some of them in hexadecimal."""
    return bytes.fromhex(text.replace("\\x", "")).decode() if text.startswith("\\x") else text


@dataclass
class _File:
    """Hold what is certainly on the disk of a file, and what may be."""

    exists: bool
    content: bytearray
    pending: list[Step] = field(default_factory=list)


class Disk:
    """Hold the files of one folder as a disk may have them; `lies` is a disk whose syncs do nothing."""

    def __init__(self, before: Path, folder: Path, names: list[str], *, lies: bool = False) -> None:
        self._folder = folder
        self._lies = lies
        self._files = {
            str(folder / name): _File((before / name).exists(), bytearray(_content(before / name)))
            for name in names
        }

    def take(self, step: Step) -> None:
        """Do one step: what it wrote is certain after a sync of its file, or for names of the folder."""
        if step.what == "sync":
            if not self._lies:
                self._sync(step)
        elif step.path in self._files:
            self._files[step.path].pending.append(step)

    def _sync(self, sync: Step) -> None:
        is_folder = sync.path == str(self._folder)
        for path, file in self._files.items():
            if not is_folder and path != sync.path:
                continue
            for step in list(file.pending):
                if step.began < sync.began and (step.what in ("create", "remove")) == is_folder:
                    _apply(file, step)
                    file.pending.remove(step)

    def lay(self, folder: Path, choose: Choose, chance: random.Random) -> None:
        """Write one of the images into a folder."""
        for path, file in self._files.items():
            image = _File(file.exists, bytearray(file.content))
            parts = [part for step in file.pending for part in _parts(step, choose)]
            for part, kept in zip(parts, choose(chance, len(parts)), strict=True):
                if kept:
                    _apply(image, part)
            if image.exists:
                laid = folder / Path(path).name
                laid.write_bytes(image.content)
                laid.chmod(0o600)


def _content(path: Path) -> bytes:
    return path.read_bytes() if path.exists() else b""


def _apply(file: _File, step: Step) -> None:
    if step.what in ("create", "remove"):
        file.exists = step.what == "create"
        if step.what == "remove":
            file.content.clear()
    elif step.what == "truncate":
        del file.content[step.offset :]
        file.content.extend(bytes(step.offset - len(file.content)))
    else:
        file.content.extend(bytes(max(0, step.offset - len(file.content))))
        file.content[step.offset : step.offset + len(step.data)] = step.data


def _parts(step: Step, choose: Choose) -> list[Step]:
    """Return the sectors of a write where they may go different ways."""
    if choose is not torn or not step.data:
        return [step]
    cuts = range(0, len(step.data), _SECTOR)
    return [step._replace(offset=step.offset + at, data=step.data[at : at + _SECTOR]) for at in cuts]


def nothing(_: random.Random, count: int) -> list[bool]:
    """Keep nothing that was not synced."""
    return [False] * count


def everything(_: random.Random, count: int) -> list[bool]:
    """Keep all of it."""
    return [True] * count


def first_part(chance: random.Random, count: int) -> list[bool]:
    """Keep what was written first."""
    kept = chance.randint(0, count)
    return [place < kept for place in range(count)]


def torn(chance: random.Random, count: int) -> list[bool]:
    """Keep any sectors."""
    share = chance.random()
    return [chance.random() < share for _ in range(count)]


choices: tuple[Choose, ...] = (nothing, everything, first_part, torn)


def play(steps: list[Step], disk: Disk, acks: Path, *, at: set[int]) -> Iterator[tuple[int, bytes]]:
    """Do the steps; at some acknowledgements stop, and give the number and all that was said so far."""
    said, number = b"", 0
    for step in steps:
        if step.path == str(acks) and step.what in ("write", "pwrite64"):
            said += step.data
            if number in at:
                yield number, said
            number += 1
        else:
            disk.take(step)


def copy_rest(source: Path, target: Path, *, but: list[str]) -> None:
    """Copy what the run never wrote."""
    target.mkdir(mode=0o700)
    for each in source.iterdir():
        if each.name not in but and each.is_file():
            shutil.copy2(each, target / each.name)
