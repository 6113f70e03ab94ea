"""POST requests to one place: over a connection that is kept, each within a deadline, none passed on."""

from __future__ import annotations

import socket
import ssl
from contextlib import suppress
from http.client import HTTPException, HTTPResponse

from clawguard.deadlines import Deadline
from clawguard.errors import ReceiverUnavailable
from clawguard.http_lines import Connection, Connections
from clawguard.relays.endpoints import Endpoint

__all__ = ["Poster"]

_MOST_OF_A_BODY = 4_096  # bytes of an answer; where there are more, the connection is closed instead
_PATIENCE_WITH_A_BODY = 1.0  # seconds


class Poster:
    """Send requests to one place; many threads may, each over a connection of its own."""

    def __init__(self, endpoint: Endpoint, context: ssl.SSLContext | None, *, timeout: float) -> None:
        self._endpoint = endpoint
        self._timeout = timeout
        self._deadline = Deadline()
        self._connections = Connections(
            endpoint.host, endpoint.port, known=endpoint.addresses, context=context, deadline=self._deadline
        )

    def post(self, headers: dict[str, str], body: bytes) -> int:
        """Return the status of the answer; raise ReceiverUnavailable where none came in time."""
        self._deadline.begin(self._timeout)
        if self._connections.closed:
            raise self._unavailable("is not sent to any more: the relay is closed")
        try:
            return self._post(headers, body)
        except (OSError, HTTPException) as error:
            reason = self._reason(error)
        raise self._unavailable(reason)  # out here: what the other side sent goes nowhere with it

    def close(self) -> None:
        """Close what is idle, and what is in use after its call."""
        self._connections.close()

    def _post(self, headers: dict[str, str], body: bytes) -> int:
        kept = self._connections.kept()
        if kept is not None:
            with suppress(ConnectionError, ssl.SSLError):  # closed as the request was on its way
                return self._exchange(kept, headers, body)
        return self._exchange(self._connections.connect(), headers, body)

    def _exchange(self, connection: Connection, headers: dict[str, str], body: bytes) -> int:
        is_reusable = False
        try:
            with suppress(ConnectionError):  # who has answered need not have read it all
                connection.request(
                    "POST", self._endpoint.target, body, {"Host": self._endpoint.authority} | headers
                )
            answer = connection.answer()
            is_reusable = self._is_through_with(answer)
            return answer.status
        finally:
            self._connections.put_back(connection, is_reusable=is_reusable)

    def _is_through_with(self, answer: HTTPResponse) -> bool:
        """Read what is left of an answer, if it is little and comes soon; tell whether that was all."""
        if answer.will_close:
            return False
        self._deadline.shorten(_PATIENCE_WITH_A_BODY)
        try:
            answer.read(_MOST_OF_A_BODY)
        except (OSError, HTTPException, ValueError):  # of a body that nobody wants to see
            return False
        return answer.isclosed()

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
