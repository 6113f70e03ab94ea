"""Machines of a test's own: network namespaces with addresses, each joined to one in the middle."""

from __future__ import annotations

import ctypes
import os
import secrets
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

_NEW_NETWORK = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


def can_be_made() -> bool:
    """Tell whether this process may make network namespaces: it takes root and iproute2."""
    if os.geteuid():
        return False
    name = f"cg{secrets.token_hex(3)}"
    try:
        _ip("netns", "add", name)
        _ip("netns", "del", name)
    except (OSError, subprocess.CalledProcessError):
        return False
    return True


class Machine:
    """Be a namespace; what a process or thread opens `inside` of it uses its network alone."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.address = "127.0.0.1"

    @contextmanager
    def inside(self) -> Iterator[None]:
        """Have this thread, and what it starts, use this machine's network for a block."""
        with Path("/proc/thread-self/ns/net").open() as before:
            _enter(Path("/run/netns") / self.name)
            try:
                yield
            finally:
                _set(before.fileno())


class Cable:
    """Join a machine to the one in the middle; pulled, it drops every packet and tells nobody."""

    def __init__(self, middle: Machine, end: str) -> None:
        self._middle, self._end = middle, end

    def hold(self) -> None:
        """Pull it."""
        _ip("-n", self._middle.name, "link", "set", self._end, "down")

    def go_on(self) -> None:
        """Put it back."""
        _ip("-n", self._middle.name, "link", "set", self._end, "up")


@contextmanager
def machines(count: int) -> Iterator[tuple[Machine, list[tuple[Machine, Cable]]]]:
    """Make a machine in the middle, and so many that a cable joins to it; all of it goes at the end."""
    mark = secrets.token_hex(3)
    with ExitStack() as made:
        middle = _machine(f"cg{mark}", made)
        others = []
        for number in range(1, count + 1):
            other = _machine(f"cg{mark}{number}", made)
            other.address, end = f"10.123.{number}.2", f"to{number}"
            _ip(
                "-n",
                middle.name,
                "link",
                "add",
                end,
                "type",
                "veth",
                "peer",
                "name",
                "eth0",
                "netns",
                other.name,
            )
            _plug(middle, end, f"10.123.{number}.1")
            _plug(other, "eth0", other.address)
            others.append((other, Cable(middle, end)))
        yield middle, others


def address_of_middle(other: Machine) -> str:
    """Return where a machine sees the one in the middle."""
    return other.address.rpartition(".")[0] + ".1"


def _machine(name: str, made: ExitStack) -> Machine:
    _ip("netns", "add", name)
    made.callback(_ip, "netns", "del", name)
    _ip("-n", name, "link", "set", "lo", "up")
    return Machine(name)


def _plug(machine: Machine, end: str, address: str) -> None:
    _ip("-n", machine.name, "address", "add", f"{address}/24", "dev", end)
    _ip("-n", machine.name, "link", "set", end, "up")


def _enter(path: Path) -> None:
    with path.open() as file:
        _set(file.fileno())


def _set(number: int) -> None:
    if _libc.setns(number, _NEW_NETWORK):
        raise OSError(ctypes.get_errno(), "setns")


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)
