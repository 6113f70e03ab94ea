"""Asking a server: JSON over kept connections, each call within one deadline; what goes wrong denies.

No redirect is followed, no proxy asked, and nothing is sent twice but what may be done twice.
"""

from __future__ import annotations

import http.client
import json
import ssl
from collections.abc import Callable, Iterator, Mapping
from ipaddress import ip_address
from typing import Any, NamedTuple
from urllib.parse import urlencode, urlsplit

from clawguard.deadlines import Deadline
from clawguard.errors import ConfigError, InvalidArgument, OutcomeUnknown, StoreUnavailable
from clawguard.guard import normal_uri
from clawguard.guard.encoding import STRICT
from clawguard.http_lines import Connection, Connections

__all__ = ["Asking", "is_server"]

LONGEST_ANSWER = 262_144  # bytes; all that a verifier needs is little
_KEPT_FOR = 2.0  # seconds; a server closes what is idle for longer
_LONGEST_TOKEN = 8_192

Token = str | Callable[[], str]
Query = Mapping[str, str | list[str]]


def is_server(url: object) -> bool:
    """Tell whether a URL is that of a server, and no store's."""
    return isinstance(url, str) and url.lower().startswith(("https://", "http://"))


class Told(NamedTuple):
    """Hold an answer as it came."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes


class _Unsent(Exception):
    """The request did not go out whole, so that nobody can have done what it asks for."""

    def __init__(self, error: Exception) -> None:
        self.error = error


class Asking:
    """Send requests to one server, as whoever the token is; safe for threads and forks.

    `timeout` is in seconds, for a call as a whole; `longest` is the most that an answer may have, in bytes.
    Raises InvalidArgument for a URL that is not https, or http at a loopback address.
    """

    def __init__(
        self, url: str, token: Token | None, *, timeout: float, longest: int = LONGEST_ANSWER
    ) -> None:
        scheme, host, self._authority, port, self._path = _parts(url)
        if token is None or not (callable(token) or isinstance(token, str)):
            raise ConfigError(
                "a server answers only whom it knows",
                hint="give token=, the verifier's own with the scope clawguard:introspect, or a callable",
            )
        self._token = token
        self._timeout = timeout
        self._longest = longest
        self._origin = f"{scheme}://{self._authority}"
        self._deadline = Deadline()
        self._connections = Connections(
            host,
            port,
            known=[host] if _is_address(host) else [],
            context=ssl.create_default_context() if scheme == "https" else None,
            deadline=self._deadline,
            kept_for=_KEPT_FOR,
        )

    def __repr__(self) -> str:
        return f"Asking({self._origin!r})"

    def close(self) -> None:
        """Close every connection; what is asked later is refused."""
        self._connections.close()

    def get(self, path: str, query: Query | None = None, *, by_anybody: bool = False) -> dict[str, Any]:
        """Return what the server says at a path, or raise what it refuses."""
        target = path if not query else f"{path}?{urlencode(query, doseq=True)}"
        return self._ask("GET", target, None, {} if by_anybody else self._authorization(), twice=True)

    def post(self, path: str, body: Mapping[str, Any], *, twice: bool = False) -> dict[str, Any]:
        """Return what the server answers, or raise what it refuses, as `clawguard.sessions.problems` says.

        StoreUnavailable where no answer came in time, or no valid one. Unless it may be done `twice`, it is
        sent once, and OutcomeUnknown where it may have been done all the same.
        """
        headers = {**self._authorization(), "Content-Type": "application/json"}
        return self._ask("POST", path, json.dumps(body).encode(), headers, twice=twice)

    def lines(self, path: str, query: Query, *, silence: float) -> Iterator[dict[str, Any] | None]:
        """Yield the objects of an answer that goes on, one a line, and None for an empty line.

        Its head has the time of a call, each line `silence` seconds. Ends with the answer; StoreUnavailable
        where that is cut off, is quiet for longer, or is none.
        """
        self._deadline.begin(self._timeout)
        target = f"{self._path}{path}?{urlencode(query, doseq=True)}"
        connection: Connection | None = None
        try:
            connection = self._connections.connect()
            connection.request("GET", target, None, {"Host": self._authority} | self._authorization())
            answer = connection.answer()
            if answer.status != 200:
                _read(Told(answer.status, answer.headers, answer.read(LONGEST_ANSWER)), StoreUnavailable)
            self._deadline.begin(silence)
            while line := answer.readline(self._longest + 1):
                found = _object_of(line)
                if found is None and line.strip():
                    raise StoreUnavailable("the server gave no valid answer (no JSON object)")
                yield found
                self._deadline.begin(silence)  # others may have asked in this thread meanwhile
            if connection.line.has_ended:  # the answer has not, then
                raise http.client.IncompleteRead(b"")
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise _no_answer(StoreUnavailable, error) from None
        finally:
            if connection is not None:
                connection.close()

    def _authorization(self) -> dict[str, str]:
        token = self._token if isinstance(self._token, str) else self._token()
        if not isinstance(token, str) or not _may_be_sent(token):
            raise ConfigError("the token for the server is none", hint="see token= and CLAWGUARD_TOKEN")
        return {"Authorization": f"Bearer {token}"}

    def _ask(
        self, method: str, path: str, body: bytes | None, headers: dict[str, str], *, twice: bool
    ) -> dict[str, Any]:
        self._deadline.begin(self._timeout)
        if self._connections.closed:
            raise StoreUnavailable("the verifier is closed")
        kind = StoreUnavailable if twice else OutcomeUnknown
        try:
            told = self._exchange(method, self._path + path, body, headers, twice=twice)
        except _Unsent as unsent:
            kind, fault = StoreUnavailable, unsent.error
        except (OSError, http.client.HTTPException, ValueError) as error:
            fault = error
        else:
            return _read(told, kind)
        raise _no_answer(kind, fault)

    def _exchange(
        self, method: str, path: str, body: bytes | None, headers: dict[str, str], *, twice: bool
    ) -> Told:
        kept = self._connections.kept()
        if kept is not None:
            try:
                return self._send(kept, method, path, body, headers)
            except _Unsent as unsent:
                if not isinstance(unsent.error, ConnectionError | ssl.SSLError):
                    raise
            except (ConnectionError, ssl.SSLError):  # the server closed it meanwhile
                if not twice:
                    raise
        try:
            fresh = self._connections.connect()
        except OSError as error:
            raise _Unsent(error) from None
        return self._send(fresh, method, path, body, headers)

    def _send(
        self, connection: Connection, method: str, path: str, body: bytes | None, headers: dict[str, str]
    ) -> Told:
        is_reusable = False
        try:
            try:
                connection.request(method, path, body, {"Host": self._authority} | headers)
            except (OSError, http.client.HTTPException, ValueError) as error:
                raise _Unsent(error) from None
            answer = connection.answer()
            content = answer.read(self._longest + 1)
            # Too long, cut off, or with no length by which that could be told.
            if len(content) > self._longest or not answer.isclosed():
                raise http.client.IncompleteRead(b"")
            is_reusable = not answer.will_close
            return Told(answer.status, answer.headers, content)
        finally:
            self._connections.put_back(connection, is_reusable=is_reusable)


def _read(told: Told, kind: type[StoreUnavailable]) -> dict[str, Any]:
    """Return the object of a good answer; raise what another one says."""
    found = _object_of(told.body)
    if told.status in (200, 201):
        if found is None:
            raise kind("the server gave no valid answer (no JSON object)")
        return found
    from clawguard.sessions.problems import error_of  # with pydantic, which whoever asks no server is spared

    problem = error_of(told.status, found, told.headers.get("WWW-Authenticate", ""))
    if problem is not None:
        raise problem
    if told.status < 500:
        raise StoreUnavailable(f"the server gave no valid answer ({told.status})", hint="is the URL right?")
    raise kind(f"the server could not answer ({told.status})")


def _object_of(raw: bytes) -> dict[str, Any] | None:
    """Return the JSON object that the bytes hold, or None: no name twice, no NaN, no nesting without end."""
    try:
        value = STRICT.decode(raw.decode())
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _no_answer(kind: type[StoreUnavailable], fault: Exception) -> StoreUnavailable:
    # The address and the text of the error stay out: only its kind is told.
    name, hint = type(fault).__name__, "is it up, and is its certificate valid?"
    if kind is OutcomeUnknown:
        hint = "it may have been done or not: look, or repeat it as it was where it has a request id"
    return kind(f"the server gave no valid answer ({name})", hint=hint)


def _may_be_sent(token: str) -> bool:
    """Tell whether a text can stand in a header: it may have been read from anywhere."""
    return 0 < len(token) <= _LONGEST_TOKEN and token.isascii() and token.isprintable() and " " not in token


def _parts(url: str) -> tuple[str, str, str, int, str]:
    """Return scheme, host, authority, port and path of a server's URL."""
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
    return parts.scheme, parts.hostname, parts.netloc, port, parts.path.rstrip("/")


def _is_address(host: str) -> bool:
    try:
        return bool(ip_address(host))
    except ValueError:
        return False


def _is_loopback(host: str) -> bool:
    return _is_address(host) and ip_address(host).is_loopback
