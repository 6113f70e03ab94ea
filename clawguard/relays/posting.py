"""POST requests to one place: over a connection that is kept, each within a deadline, none passed on.

No proxy is asked and no redirect followed.
"""

from __future__ import annotations

import io
import os
import re
import select
import socket
import ssl
import weakref
from collections import deque
from contextlib import suppress
from http.client import BadStatusLine, HTTPConnection, HTTPException, HTTPResponse, RemoteDisconnected

from clawguard.errors import ReceiverUnavailable
from clawguard.relays.endpoints import Endpoint
from clawguard.relays.lines import Deadline, Dialler, Line

__all__ = ["Poster"]

_MOST_OF_A_BODY = 4_096  # bytes of an answer; where there are more, the connection is closed instead
_PATIENCE_WITH_A_BODY = 1.0  # seconds
_STATUS_LINE = re.compile(rb"(HTTP/1\.[0-9]) ([1-9][0-9]{2})( [^\r\n]*)?\r?\n")
_LONGEST_LINE = 65_536  # bytes


class Poster:
    """Send requests to one place; many threads may, each over a connection of its own."""

    def __init__(self, endpoint: Endpoint, context: ssl.SSLContext | None, *, timeout: float) -> None:
        self._endpoint = endpoint
        self._context = context
        self._timeout = timeout
        self._deadline = Deadline()
        self._dialler = Dialler(
            endpoint.host, endpoint.port, known=endpoint.addresses, deadline=self._deadline
        )
        self._idle: deque[_Connection] = deque()
        self._closed = False
        weakref.finalize(self, _close_all, self._idle)

    def post(self, headers: dict[str, str], body: bytes) -> int:
        """Return the status of the answer; raise ReceiverUnavailable where none came in time."""
        self._deadline.begin(self._timeout)
        if self._closed:
            raise self._unavailable("is not sent to any more: the relay is closed")
        try:
            return self._post(headers, body)
        except (OSError, HTTPException) as error:
            reason = self._reason(error)
        raise self._unavailable(reason)  # out here: what the other side sent goes nowhere with it

    def close(self) -> None:
        """Close what is idle, and what is in use after its call."""
        self._closed = True
        _close_all(self._idle)

    def _post(self, headers: dict[str, str], body: bytes) -> int:
        kept = self._kept()
        if kept is not None:
            with suppress(ConnectionError, ssl.SSLError):  # closed as the request was on its way
                return self._exchange(kept, headers, body)
        return self._exchange(self._connect(), headers, body)

    def _exchange(self, connection: _Connection, headers: dict[str, str], body: bytes) -> int:
        is_reusable = False
        try:
            with suppress(ConnectionError):  # who has answered need not have read it all
                connection.request(
                    "POST", self._endpoint.target, body, {"Host": self._endpoint.authority} | headers
                )
            answer = connection.answer()
            is_reusable = connection.is_through_with(answer)
            return answer.status
        finally:
            self._put_back(connection, is_reusable)

    def _put_back(self, connection: _Connection, is_reusable: bool) -> None:
        if not is_reusable:
            connection.close()
            return
        self._idle.append(connection)
        if self._closed:
            _close_all(self._idle)

    def _kept(self) -> _Connection | None:
        """Return an idle connection that is good; others, and a forked parent's, are closed on this side."""
        while True:
            try:
                connection = self._idle.pop()
            except IndexError:
                return None
            if connection.pid == os.getpid() and connection.line.is_quiet():
                return connection
            connection.close()

    def _connect(self) -> _Connection:
        line = _Line(self._dialler.dial(self._secured), self._deadline)
        return _Connection(self._endpoint.host, line)

    def _secured(self, plain: socket.socket) -> socket.socket:
        if self._context is None:
            return plain
        return self._context.wrap_socket(plain, server_hostname=self._endpoint.host)

    def _reason(self, error: OSError | HTTPException) -> str:
        """Say what went wrong, in words that hold nothing which the other side sent."""
        match error:
            case TimeoutError():
                return f"did not answer within {self._timeout:g} s"
            case ssl.SSLCertVerificationError():
                return f"shows a certificate that does not hold: {error.verify_message}"
            case ssl.SSLError():
                return "does not speak TLS as it must"
            case socket.gaierror():
                return "cannot be found: its name has no address"
            case HTTPException() | ConnectionResetError() | ConnectionAbortedError() | BrokenPipeError():
                return "broke off, or sent what is no HTTP"
            case _:
                return f"cannot be reached ({error.strerror})"

    def _unavailable(self, reason: str) -> ReceiverUnavailable:
        return ReceiverUnavailable(f"{self._endpoint} {reason}")


class _Connection(HTTPConnection):
    """An HTTP connection over a line that is open already, of this process alone."""

    auto_open = 0

    def __init__(self, host: str, line: _Line) -> None:
        super().__init__(host)
        self.sock = line
        self.line = line
        self.pid = os.getpid()
        self.response_class = _Answer

    def answer(self) -> HTTPResponse:
        """Return the answer when its head is there; the standard library takes one that was cut off."""
        answer = self.getresponse()
        if self.line.has_ended:
            raise HTTPException
        return answer

    def is_through_with(self, answer: HTTPResponse) -> bool:
        """Read what is left of an answer, if it is little and comes soon; tell whether that was all."""
        if answer.will_close:
            return False
        self.line.deadline.shorten(_PATIENCE_WITH_A_BODY)
        try:
            answer.read(_MOST_OF_A_BODY)
        except (OSError, HTTPException, ValueError):  # of a body that nobody wants to see
            return False
        return answer.isclosed()


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


def _close_all(idle: deque[_Connection]) -> None:
    while idle:
        idle.pop().close()
