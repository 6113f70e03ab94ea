"""Power cuts without a plug: the system calls of a real run, and every disk that they may have left behind.

strace records what a run wrote and when it synced. Between two syncs a disk may have kept all of it, nothing,
the first part, whole files or any sectors of it: an *image* is one such disk, after any step of the run.
"""

from __future__ import annotations

import os
import random
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import compress
from pathlib import Path
from typing import NamedTuple

__all__ = ["Disk", "Step", "choices", "copy_rest", "in_order", "nothing", "play", "record"]

_SECTOR = 512
_WRITES = ("pwrite64", "write")
_MODELLED = ("pwrite64", "create", "remove", "truncate", "sync")
# What is traced and not modelled may happen elsewhere, and not to the files of a disk.
_CALLS = (
    "openat,pwrite64,write,ftruncate,fsync,fdatasync,unlink,unlinkat,"
    "open,creat,writev,pwritev,pwritev2,fallocate,truncate,rename,renameat,renameat2,link,linkat,symlink,"
    "symlinkat,copy_file_range,sendfile,splice"
)
_LINE = re.compile(
    r"(?P<pid>\d+) +(?:<\.\.\. (?P<resumed>\w+) resumed>|(?P<call>\w+)\()(?P<rest>.*)", re.DOTALL
)
_RESULT = re.compile(r"\) += (?P<result>-?\d+)")
_OPENED = re.compile(r'AT_FDCWD<[^>]*>, "(?P<path>/[^"]*|\\x2f[^"]*)", (?P<flags>[A-Z_|]+)')
_DATA = re.compile(r'"(?P<data>(?:\\x[0-9a-f]{2})*)"(?P<cut>\.\.\.)?, \d+(?:, (?P<offset>\d+))?')
_NUMBER = re.compile(r", (?P<number>\d+)")
_PATHS = re.compile(r'["<]([^">]*)[">]')

Choose = Callable[[random.Random, int], list[bool]]


class Step(NamedTuple):
    """Hold one thing that the run did to a file; its call began and ended at these places in the trace."""

    what: str
    path: str
    began: int
    ended: int
    offset: int = 0
    data: bytes = b""


def record(work: list[str], trace: Path, acks: Path) -> list[Step]:
    """Run a command of this Python under strace, and return what it did to files, in order.

    A step is done when its call has ended; but what an acknowledgement claims holds from its beginning on.
    """
    calls = ",".join(f"?{call}" for call in _CALLS.split(","))  # some machines lack some of them
    command = ["strace", "-f", "-y", "-xx", "--seccomp-bpf", "-s", "70000", "-e", f"trace={calls}"]
    subprocess.run(
        [*command, "-o", str(trace), sys.executable, *work], check=True, timeout=300, env=dict(os.environ)
    )
    with trace.open(encoding="ascii") as lines:
        return in_order(lines, str(acks))


def in_order(trace: Iterable[str], acks: str) -> list[Step]:
    """Return the steps of a trace."""
    return sorted(_steps(trace), key=lambda step: step.began if step.path == acks else step.ended)


def _steps(trace: Iterable[str]) -> Iterator[Step]:
    begun: dict[str, tuple[int, str]] = {}
    for number, line in enumerate(trace):
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
        call, results = found["call"] or found["resumed"], _RESULT.findall(rest)
        assert results, f"a {call} whose result is not known"
        if int(results[-1]) >= 0:
            for step in _step(call, rest, int(results[-1])):
                yield step._replace(began=began, ended=number)


def _step(call: str, rest: str, result: int) -> Iterator[Step]:
    """Return what a call that went well did; one that is not modelled is there for each path in it."""
    paths = _PATHS.findall(rest)
    if call == "openat":
        yield from _opening(rest)
    elif call in ("unlink", "unlinkat"):
        yield Step("remove", _text(paths[-1]), 0, 0)
    elif call in ("fsync", "fdatasync"):
        yield Step("sync", _text(paths[0]), 0, 0)
    elif call == "ftruncate":
        size = int(_NUMBER.search(rest)["number"])  # type: ignore[index]
        yield Step("truncate", _text(paths[0]), 0, 0, size)
    elif call in _WRITES:
        written = _DATA.search(rest)
        assert written is not None, f"a {call} of {paths[0]} that is not understood"
        assert not written["cut"], f"a {call} of {paths[0]} that was cut short"
        data = bytes.fromhex(written["data"].replace("\\x", ""))
        yield Step(call, _text(paths[0]), 0, 0, int(written["offset"] or 0), data[:result])
    else:
        yield from (Step(call, _text(path), 0, 0) for path in paths)


def _opening(rest: str) -> Iterator[Step]:
    if "O_CREAT" in rest or "O_TRUNC" in rest:
        opened = _OPENED.match(rest)
        assert opened is not None, "an openat that is not understood"
        for flag, what in (("O_CREAT", "create"), ("O_TRUNC", "truncate")):
            if flag in opened["flags"]:
                yield Step(what, _text(opened["path"]), 0, 0)


def _text(text: str) -> str:
    """Return a path as it is: strace writes some of them in hexadecimal."""
    return bytes.fromhex(text.replace("\\x", "")).decode() if text.startswith("\\x") else text


@dataclass
class _File:
    """Hold what is certainly on the disk of a file, and what may be."""

    content: bytearray
    pending: list[Step] = field(default_factory=list)


class _Named(NamedTuple):
    """Hold which file a name stood for, if any, since a place in the trace."""

    since: int
    file: _File | None


class Disk:
    """Hold the files of one folder as a disk may have them; those `aside` are made anew and never read."""

    def __init__(self, before: Path, folder: Path, names: list[str], *, aside: list[str]) -> None:
        self._folder = folder
        self._aside = [str(folder / name) for name in aside]
        # Of each name what is certain, and behind it what it may stand for instead; the last is so now.
        self._names = {str(folder / name): [_Named(-1, _before(before / name))] for name in names}

    def take(self, step: Step) -> None:
        """Do one step: what it wrote is certain after a sync of its file, or for names of the folder."""
        if not Path(step.path).is_relative_to(self._folder) or step.path in self._aside:
            return
        assert step.what in _MODELLED, f"a {step.what} of {step.path}, which is not modelled"
        if (step.what, step.path) == ("sync", str(self._folder)):
            for path, named in self._names.items():
                certain = [place for place, each in enumerate(named) if each.since < step.began]
                self._names[path] = named[certain[-1] :]
            return
        assert step.path in self._names, f"a {step.what} of {step.path}, which is not held"
        self._do(step, self._names[step.path])

    def _do(self, step: Step, named: list[_Named]) -> None:
        file = named[-1].file
        if step.what == "remove":
            named.append(_Named(step.ended, None))
        elif file is None:
            assert step.what == "create", f"a {step.what} of {step.path}, which is not there"
            named.append(_Named(step.ended, _File(bytearray())))
        elif step.what == "sync":
            for each in [each for each in file.pending if each.ended < step.began]:
                _apply(file.content, each)
                file.pending.remove(each)
        elif step.what != "create":
            file.pending.append(step)

    def lay(self, folder: Path, choose: Choose, chance: random.Random) -> None:
        """Write one of the images into a folder."""
        for path, (certain, *others) in self._names.items():
            file = [certain, *compress(others, choose(chance, len(others)))][-1].file
            if file is not None:
                content = bytearray(file.content)
                parts = [part for step in file.pending for part in _parts(step, choose)]
                for part in compress(parts, choose(chance, len(parts))):
                    _apply(content, part)
                laid = folder / Path(path).name
                laid.write_bytes(content)
                laid.chmod(0o600)


def _before(path: Path) -> _File | None:
    return _File(bytearray(path.read_bytes())) if path.exists() else None


def _apply(content: bytearray, step: Step) -> None:
    if step.what == "truncate":
        del content[step.offset :]
    content.extend(bytes(max(0, step.offset - len(content))))
    content[step.offset : step.offset + len(step.data)] = step.data


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


def whole_files(chance: random.Random, count: int) -> list[bool]:
    """Keep all of one file, and nothing of another."""
    return [chance.random() < 0.5] * count


choices: tuple[Choose, ...] = (nothing, everything, first_part, torn, whole_files)


def play(steps: list[Step], disk: Disk, acks: Path, *, after: set[int]) -> Iterator[tuple[int, bytes]]:
    """Do the steps; after some of them stop, and give the number and all that was said so far."""
    said = b""
    for number, step in enumerate(steps):
        if step.path == str(acks):
            said += step.data
        else:
            disk.take(step)
        if number in after:
            yield number, said


def copy_rest(source: Path, target: Path, *, but: list[str]) -> None:
    """Copy what the run never wrote."""
    target.mkdir(mode=0o700)
    for each in source.iterdir():
        if each.name not in but and each.is_file():
            shutil.copy2(each, target / each.name)
