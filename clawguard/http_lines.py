"""HTTP/1.1 to one place: over connections that are kept, whatever is done on them within a call's deadline.

No proxy is asked and no redirect followed.
"""

from __future__ import annotations

import io
import math
import os
import re
import select
import socket
import ssl
import time
import weakref
from collections import deque
from collections.abc import Sequence
from http.client import BadStatusLine, HTTPConnection, HTTPException, HTTPResponse, RemoteDisconnected

from clawguard.deadlines import Deadline, Dialler, Line

__all__ = ["Connection", "Connections"]

_STATUS_LINE = re.compile(rb"(HTTP/1\.[0-9]) ([1-9][0-9]{2})( [^\r\n]*)?\r?\n")
_LONGEST_LINE = 65_536  # bytes


class Connections:
    """Open and keep connections to one place; many threads may, each has its own while it uses it."""

    def __init__(
        self,
        host: str,
        port: int,
        *,
        known: Sequence[str],
        context: ssl.SSLContext | None,
        deadline: Deadline,
        kept_for: float = math.inf,
    ) -> None:
        """Take a host, and those of its addresses for which nobody need be asked.

        What was idle for longer than `kept_for` seconds is not used again: the other side may be closing it.
        """
        self._kept_for = kept_for
        self._host = host
        self._context = context
        self._deadline = deadline
        self._dialler = Dialler(host, port, known=known, deadline=deadline)
        self._idle: deque[Connection] = deque()
        self.closed = False
        weakref.finalize(self, _close_all, self._idle)

    def kept(self) -> Connection | None:
        """Return an idle connection that is good; others, and a forked parent's, are closed on this side."""
        while True:
            try:
                connection = self._idle.pop()
            except IndexError:
                return None
            is_young = time.monotonic() - connection.since < self._kept_for
            if is_young and connection.pid == os.getpid() and connection.line.is_quiet():
                return connection
            connection.close()

    def connect(self) -> Connection:
        """Return a new connection; raises OSError."""
        return Connection(self._host, _Line(self._dialler.dial(self._secured), self._deadline))

    def put_back(self, connection: Connection, *, is_reusable: bool) -> None:
        """Keep a connection for the next call, or close it."""
        if not is_reusable:
            connection.close()
            return
        connection.since = time.monotonic()
        self._idle.append(connection)
        if self.closed:
            _close_all(self._idle)

    def close(self) -> None:
        """Close what is idle, and what is in use after its call."""
        self.closed = True
        _close_all(self._idle)

    def _secured(self, plain: socket.socket) -> socket.socket:
        if self._context is None:
            return plain
        return self._context.wrap_socket(plain, server_hostname=self._host)


class Connection(HTTPConnection):
    """An HTTP connection over a line that is open already, of this process alone."""

    auto_open = 0

    def __init__(self, host: str, line: _Line) -> None:
        super().__init__(host)
        self.sock = line
        self.line = line
        self.pid = os.getpid()
        self.since = time.monotonic()
        self.response_class = _Answer

    def answer(self) -> HTTPResponse:
        """Return the answer when its head is there; the standard library takes one that was cut off."""
        answer = self.getresponse()
        if self.line.has_ended:
            raise HTTPException
        return answer


class _Answer(HTTPResponse):
    """The final answer, behind whatever was said before it (RFC 9110, 15.2)."""

    def begin(self) -> None:
        super().begin()
        while 101 < self.status < 200:
            self.headers = None  # type: ignore[assignment]  # as before the first one
            super().begin()

    def _read_status(self) -> tuple[str, int, str]:
        """Read the first line as it must be; the standard library takes any number that Python writes."""
        line = self.fp.readline(_LONGEST_LINE)
        if not line:
            raise RemoteDisconnected("")
        found = _STATUS_LINE.fullmatch(line)
        if found is None:
            raise BadStatusLine("")
        return found[1].decode(), int(found[2]), ""


class _Line(Line):
    """What an HTTP connection needs of a socket."""

    has_ended = False

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(_Reader(self))

    def is_quiet(self) -> bool:
        """Tell whether nothing has come: the other side's goodbye, or an answer that nobody asked for."""
        if isinstance(self.sock, ssl.SSLSocket) and self.sock.pending():
            return False
        poll = select.poll()
        poll.register(self.sock, select.POLLIN)
        return not poll.poll(0)


class _Reader(io.RawIOBase):
    """Read from a line, and note where it ends."""

    def __init__(self, line: _Line) -> None:
        self._line = line

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object, /) -> int:
        count = self._line.recv_into(buffer)
        self._line.has_ended = count == 0
        return count


def _close_all(idle: deque[Connection]) -> None:
    while idle:
        idle.pop().close()
