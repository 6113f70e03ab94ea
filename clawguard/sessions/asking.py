"""Asking a server: JSON over connections that are kept, within a deadline; whatever goes wrong denies."""

from __future__ import annotations

import http.client
import json
import ssl
import threading
from collections.abc import Callable
from ipaddress import ip_address
from time import monotonic
from typing import Any
from urllib.parse import urlsplit

from clawguard.errors import ClockError, ConfigError, InvalidArgument, StoreUnavailable
from clawguard.forks import call_around_fork
from clawguard.guard import normal_uri

__all__ = ["Asking", "is_server"]

_LONGEST_ANSWER = 262_144
_KEPT_FOR = 2.0  # seconds; a server closes what is idle for longer
_KEPT = 16
_BROKEN = (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError)

Token = str | Callable[[], str]


def is_server(url: object) -> bool:
    """Tell whether a URL is that of a server, and no store's."""
    return isinstance(url, str) and url.lower().startswith(("https://", "http://"))


class Asking:
    """Send requests to one server, as whoever the token is; safe for threads and forks.

    `timeout` is in seconds, for each step of a call: connect, send, each read. Raises InvalidArgument for a
    URL that is not https, or http at a loopback address.
    """

    def __init__(self, url: str, token: Token | None, *, timeout: float) -> None:
        self._scheme, self._host, self._port, self._path = _parts(url)
        if token is None or not (callable(token) or isinstance(token, str)):
            raise ConfigError(
                "a server answers only whom it knows",
                hint="give token=, the verifier's own with the scope clawguard:introspect, or a callable",
            )
        self._token = token
        self._timeout = timeout
        self._tls = ssl.create_default_context() if self._scheme == "https" else None
        self._closed = False
        self.after_fork()
        call_around_fork(self)

    def __repr__(self) -> str:
        return f"Asking('{self._scheme}://{self._host}:{self._port}')"

    def after_fork(self) -> None:
        """Leave the parent's connections alone: two processes on one would mix up their answers."""
        self._lock = threading.Lock()
        self._idle: list[tuple[http.client.HTTPConnection, float]] = []

    def close(self) -> None:
        """Close every connection; what is asked later is refused."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for connection, _ in idle:
            connection.close()

    def get(self, path: str) -> dict[str, Any]:
        """Return what the server says at a path, to anybody."""
        return self._ask("GET", path, None, {})

    def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """Return what the server answers, or raise what it refuses: InvalidArgument, ClockError.

        StoreUnavailable for everything else: no answer in time, no valid one, or one to somebody it does not
        know.
        """
        token = self._token if isinstance(self._token, str) else self._token()
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        return self._ask("POST", path, json.dumps(body).encode(), headers)

    def _ask(self, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> dict[str, Any]:
        try:
            status, answer = self._exchange(method, self._path + path, body, headers)
            told = json.loads(answer)
        except (OSError, http.client.HTTPException, ValueError) as error:
            # The address and the text of the error stay out: only its kind is told.
            kind, hint = type(error).__name__, "is it up, and is its certificate valid?"
            raise StoreUnavailable(f"the server gave no valid answer ({kind})", hint=hint) from None
        if not isinstance(told, dict):
            raise StoreUnavailable("the server gave no valid answer (not an object)")
        if status != 200:
            raise _refusal(status, told)
        return told

    def _exchange(
        self, method: str, path: str, body: bytes | None, headers: dict[str, str]
    ) -> tuple[int, bytes]:
        kept = self._take()
        if kept is not None:
            try:
                return self._send(kept, method, path, body, headers)
            except _BROKEN:  # the server closed it meanwhile
                kept.close()
        return self._send(self._connect(), method, path, body, headers)

    def _send(
        self,
        connection: http.client.HTTPConnection,
        method: str,
        path: str,
        body: bytes | None,
        headers: dict[str, str],
    ) -> tuple[int, bytes]:
        try:
            connection.request(method, path, body, headers)
            with connection.getresponse() as response:
                answer = response.read(_LONGEST_ANSWER)
                is_whole = response.isclosed()
        except BaseException:
            connection.close()
            raise
        if is_whole and not response.will_close:
            self._give_back(connection)
        else:
            connection.close()
        return response.status, answer

    def _connect(self) -> http.client.HTTPConnection:
        if self._tls is None:
            return http.client.HTTPConnection(self._host, self._port, timeout=self._timeout)
        return http.client.HTTPSConnection(self._host, self._port, timeout=self._timeout, context=self._tls)

    def _take(self) -> http.client.HTTPConnection | None:
        with self._lock:
            if self._closed:
                raise StoreUnavailable("the verifier is closed")
            while self._idle:
                connection, since = self._idle.pop()
                if monotonic() - since < _KEPT_FOR:
                    return connection
                connection.close()
        return None

    def _give_back(self, connection: http.client.HTTPConnection) -> None:
        with self._lock:
            if not self._closed and len(self._idle) < _KEPT:
                self._idle.append((connection, monotonic()))
                return
        connection.close()


def _parts(url: str) -> tuple[str, str, int, str]:
    normal = normal_uri(url)
    parts = urlsplit(normal or "")
    if normal is None or not parts.hostname or set(url) & set("?#"):
        raise InvalidArgument("url", "is not the URL of a server", hint="write https://auth.example.com")
    if parts.scheme == "http" and not _is_loopback(parts.hostname):
        raise InvalidArgument(
            "url",
            "must begin with https: tokens would be readable on their way",
            hint="http is for 127.0.0.1 and [::1] only",
        )
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return parts.scheme, parts.hostname, port, parts.path.rstrip("/")


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _refusal(status: int, told: dict[str, Any]) -> Exception:
    """Return the error for an answer that is none: it denies, whatever it was."""
    code, argument, detail = told.get("code"), told.get("argument"), str(told.get("detail", ""))
    if status == 400 and code == InvalidArgument.code and isinstance(argument, str):
        return InvalidArgument(argument[:64], detail.partition(": ")[2][:256])
    if status == 503 and code == ClockError.code:
        return ClockError("the clock of the server stands below its log's last event")
    if status in (401, 403):
        return StoreUnavailable(
            "the server does not know this verifier, or not as one that may ask",
            hint="its own token needs the scope clawguard:introspect",
        )
    return StoreUnavailable(f"the server could not answer ({status})")
