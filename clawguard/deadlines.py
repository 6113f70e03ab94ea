"""Connections of which every step is given what is left of a call's time, from the look-up of a name on.

A socket's own timeout bounds one step; a server that sends a byte now and then would hold a call for ever.
"""

from __future__ import annotations

import errno
import os
import socket
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any

__all__ = ["Deadline", "Dialler", "Line"]

_Address = tuple[int, tuple[Any, ...]]

_SHARES = 4  # of the time left, an address gets one at least, so that a dead one does not take it all


class Deadline(threading.local):
    """When the call must end that a thread is making; each thread has its own."""

    def __init__(self) -> None:
        self._moment = 0.0  # of time.monotonic()

    def begin(self, seconds: float) -> None:
        """Begin a call that may take so long."""
        self._moment = time.monotonic() + seconds

    def shorten(self, seconds: float) -> None:
        """Let the rest of a call take no longer than that."""
        self._moment = min(self._moment, time.monotonic() + seconds)

    def left(self) -> float:
        """Return the seconds that are left, more than 0; raise TimeoutError where there are none."""
        return _left(self._moment)


class Line:
    """What the clients of servers need of a socket, with one deadline for whatever is done on it."""

    def __init__(self, sock: socket.socket, deadline: Deadline) -> None:
        self.sock = sock
        self.deadline = deadline
        self._step: float | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.sock, name)  # what takes no time

    def settimeout(self, seconds: float | None) -> None:
        """Let a step take no longer than that, be more left or not."""
        self._step = seconds

    def sendall(self, data: bytes) -> None:
        """Send it all, or raise TimeoutError."""
        rest = memoryview(data)
        while rest:
            rest = rest[self._in_time().send(rest) :]

    def recv(self, size: int, flags: int = 0) -> bytes:
        """Return what comes next, or raise TimeoutError."""
        return self._in_time().recv(size, flags)

    def recv_into(self, buffer: Any) -> int:
        """Read what comes next, or raise TimeoutError; return how much it is."""
        return self._in_time().recv_into(buffer)

    def _in_time(self) -> socket.socket:
        left = self.deadline.left()
        self.sock.settimeout(left if self._step is None else min(left, self._step))
        return self.sock


class Dialler:
    """Open connections to one host in the time of a call; a name server that hangs is left to a thread."""

    def __init__(self, host: str, port: int, *, known: Sequence[str], deadline: Deadline) -> None:
        """Take a host, and those of its addresses for which nobody need be asked."""
        self.deadline = deadline
        self._host = host
        self._port = port
        self._known: list[_Address] = [(_family(each), (each, port)) for each in known]
        self._asked: tuple[int, Future[list[_Address]]] | None = None

    def dial(self, finish: Callable[[socket.socket], socket.socket] = lambda plain: plain) -> socket.socket:
        """Return what `finish` makes of a connection to the first address that will do.

        Raises the OSError of the first one that would not.
        """
        first: OSError | None = None
        addresses = self._known or self._answer().result(self.deadline.left())
        for remaining, address in zip(range(len(addresses), 0, -1), addresses, strict=True):
            try:
                share = self.deadline.left() / min(remaining, _SHARES)
                return _connected(*address, until=time.monotonic() + share, finish=finish)
            except OSError as error:
                first = first or error
        raise first or socket.gaierror()

    def _answer(self) -> Future[list[_Address]]:
        """Ask, or go on waiting for what was asked: a name server that hangs gathers no threads."""
        asked = self._asked
        if asked is not None and asked[0] == os.getpid() and not asked[1].done():
            return asked[1]
        answer: Future[list[_Address]] = Future()
        try:
            threading.Thread(target=self._look_up, args=(answer,), name="clawguard-name", daemon=True).start()
        except RuntimeError as error:
            raise OSError(errno.EAGAIN, "no thread could be started") from error
        self._asked = (os.getpid(), answer)
        return answer

    def _look_up(self, answer: Future[list[_Address]]) -> None:
        try:
            found = socket.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)
            answer.set_result([(family, address) for family, *_, address in found])
        except BaseException as error:  # whatever it was, somebody waits
            answer.set_exception(error if isinstance(error, OSError) else socket.gaierror())


def _connected(
    family: int,
    address: tuple[Any, ...],
    *,
    until: float,
    finish: Callable[[socket.socket], socket.socket],
) -> socket.socket:
    plain = socket.socket(family, socket.SOCK_STREAM)
    try:
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        plain.settimeout(_left(until))
        plain.connect(address)
        plain.settimeout(_left(until))  # of a whole handshake of TLS
        return finish(plain)
    except BaseException:
        plain.close()
        raise


def _family(address: str) -> int:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def _left(moment: float) -> float:
    left = moment - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left
