"""POST requests to one place: over a connection that is kept, each within a deadline, none passed on.

A socket's own timeout bounds one step; a server that sends a byte now and then would hold a call for ever.
Here every step is given what is left of the call's time. No proxy is asked and no redirect followed.
"""

from __future__ import annotations

import errno
import io
import os
import select
import socket
import ssl
import threading
import time
import weakref
from collections import deque
from concurrent.futures import Future
from contextlib import suppress
from http.client import HTTPConnection, HTTPException, HTTPResponse
from typing import Any

from clawguard.errors import ReceiverUnavailable
from clawguard.relays.endpoints import Endpoint

__all__ = ["Poster"]

_Address = tuple[int, tuple[Any, ...]]

_MOST_OF_A_BODY = 4_096  # bytes of an answer; where there are more, the connection is closed instead
_PATIENCE_WITH_A_BODY = 1.0  # seconds
_MOST_ADDRESSES = 4  # each has its share of the time, so that a dead one does not take it all


class Poster:
    """Send requests to one place; many threads may, each over a connection of its own."""

    def __init__(self, endpoint: Endpoint, context: ssl.SSLContext | None, *, timeout: float) -> None:
        self._endpoint = endpoint
        self._context = context
        self._timeout = timeout
        self._resolver = _Resolver(endpoint)
        self._idle: deque[_Connection] = deque()
        self._closed = False
        weakref.finalize(self, _close_all, self._idle)

    def post(self, headers: dict[str, str], body: bytes) -> int:
        """Return the status of the answer; raise ReceiverUnavailable where none came in time."""
        deadline = time.monotonic() + self._timeout
        if self._closed:
            raise self._unavailable("is not sent to any more: the relay is closed")
        try:
            return self._post(headers, body, deadline)
        except (OSError, HTTPException) as error:
            reason = self._reason(error)
        raise self._unavailable(reason)  # out here: what the other side sent goes nowhere with it

    def close(self) -> None:
        """Close what is idle, and what is in use after its call."""
        self._closed = True
        _close_all(self._idle)

    def _post(self, headers: dict[str, str], body: bytes, deadline: float) -> int:
        kept = self._kept()
        if kept is not None:
            with suppress(ConnectionError, ssl.SSLError):  # closed as the request was on its way
                return self._exchange(kept, headers, body, deadline)
        return self._exchange(self._connect(deadline), headers, body, deadline)

    def _exchange(
        self, connection: _Connection, headers: dict[str, str], body: bytes, deadline: float
    ) -> int:
        connection.line.deadline = deadline
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

    def _connect(self, deadline: float) -> _Connection:
        first: OSError | None = None
        addresses = self._resolver.addresses(deadline)[:_MOST_ADDRESSES]
        for left, address in zip(range(len(addresses), 0, -1), addresses, strict=True):
            try:
                line = self._line(*address, until=time.monotonic() + _left(deadline) / left)
                return _Connection(self._endpoint.host, line)
            except OSError as error:
                first = first or error
        raise first or socket.gaierror()

    def _line(self, family: int, address: tuple[Any, ...], *, until: float) -> _Line:
        plain = socket.socket(family, socket.SOCK_STREAM)
        try:
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            plain.settimeout(_left(until))
            plain.connect(address)
            if self._context is None:
                return _Line(plain)
            plain.settimeout(_left(until))  # of the whole handshake
            return _Line(self._context.wrap_socket(plain, server_hostname=self._endpoint.host))
        except BaseException:
            plain.close()
            raise

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
        self.line.deadline = min(self.line.deadline, time.monotonic() + _PATIENCE_WITH_A_BODY)
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


class _Line:
    """What an HTTP connection needs of a socket, with one deadline for whatever is done on it."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.deadline = 0.0
        self.has_ended = False

    def sendall(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            self.sock.settimeout(_left(self.deadline))
            rest = rest[self.sock.send(rest) :]

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(_Reader(self))

    def is_quiet(self) -> bool:
        """Tell whether nothing has come: the other side's goodbye, or an answer that nobody asked for."""
        if isinstance(self.sock, ssl.SSLSocket) and self.sock.pending():
            return False
        poll = select.poll()
        poll.register(self.sock, select.POLLIN)
        return not poll.poll(0)

    def close(self) -> None:
        self.sock.close()


class _Reader(io.RawIOBase):
    """Read from a line, and note where it ends."""

    def __init__(self, line: _Line) -> None:
        self._line = line

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object, /) -> int:
        self._line.sock.settimeout(_left(self._line.deadline))
        count = self._line.sock.recv_into(buffer)  # type: ignore[arg-type]  # a buffer has no name before 3.12
        self._line.has_ended = count == 0
        return count


class _Resolver:
    """Find the addresses of a host; who does not wait for a name server any longer leaves it to a thread."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._asked: tuple[int, Future[list[_Address]]] | None = None

    def addresses(self, deadline: float) -> list[_Address]:
        """Return family and address of each; for this machine, or a host that is one, nobody is asked."""
        known = [(_family(each), (each, self._endpoint.port)) for each in self._endpoint.addresses]
        return known or self._answer().result(_left(deadline))

    def _answer(self) -> Future[list[_Address]]:
        """Ask, or go on waiting for what was asked: a name server that hangs gathers no threads."""
        asked = self._asked
        if asked is not None and asked[0] == os.getpid() and not asked[1].done():
            return asked[1]
        answer: Future[list[_Address]] = Future()
        try:
            threading.Thread(
                target=self._look_up, args=(answer,), name="clawguard-webhook-name", daemon=True
            ).start()
        except RuntimeError as error:
            raise OSError(errno.EAGAIN, "no thread could be started") from error
        self._asked = (os.getpid(), answer)
        return answer

    def _look_up(self, answer: Future[list[_Address]]) -> None:
        try:
            found = socket.getaddrinfo(self._endpoint.host, self._endpoint.port, type=socket.SOCK_STREAM)
            answer.set_result([(family, address) for family, *_, address in found])
        except BaseException as error:  # whatever it was, somebody waits
            answer.set_exception(error if isinstance(error, OSError) else socket.gaierror())


def _family(address: str) -> int:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def _left(deadline: float) -> float:
    """Return the seconds until a deadline; raise TimeoutError where there are none."""
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _close_all(idle: deque[_Connection]) -> None:
    while idle:
        idle.pop().close()
