"""A pool of connections to Redis: from a URL of which only what is known is taken, each call within its time.

redis-py bounds each step alone, and takes from a URL whatever a connection can be given.
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import SplitResult, parse_qs, urlsplit

from redis import exceptions
from redis.backoff import NoBackoff
from redis.connection import Connection, ConnectionPool, SSLConnection, UnixDomainSocketConnection
from redis.retry import Retry

from clawguard.deadlines import Deadline, Dialler, Line
from clawguard.errors import InvalidArgument
from clawguard.relays.hosts import addresses_of, host_of, is_uri

__all__ = ["pool_of"]

_EXAMPLE = "such as 'redis://127.0.0.1:6379/0'"
_SETTINGS = frozenset(
    {"db", "username", "password", "client_name"}
    | {"ssl_ca_certs", "ssl_ca_path", "ssl_certfile", "ssl_keyfile", "ssl_password"}
    | {"ssl_cert_reqs", "ssl_check_hostname"}
)
_DATABASE = re.compile(r"/?([0-9]+/?)?")


class _InTime:
    """Have a connection of redis-py's do every step in the time of the call."""

    def __init__(self, *, dialler: Dialler, **settings: Any) -> None:
        self.dialler = dialler
        super().__init__(**settings)

    def _connect(self) -> Line:
        """Return what redis-py takes for its socket."""
        deadline = self.dialler.deadline
        try:
            return Line(super()._connect(), deadline)  # type: ignore[misc]
        except TimeoutError:
            raise exceptions.TimeoutError from None


class _Dialled(Connection):
    """Leave name and addresses to the dialler: redis-py would wait for them as long as they take."""

    dialler: Dialler

    def _connect(self) -> Any:
        return self.dialler.dial()


class _Local(UnixDomainSocketConnection):
    dialler: Dialler

    def _connect(self) -> Any:
        self.socket_connect_timeout = self.dialler.deadline.left()
        return super()._connect()  # type: ignore[no-untyped-call]


class _Tcp(_InTime, _Dialled): ...


class _Tls(_InTime, SSLConnection, _Dialled): ...


class _Unix(_InTime, _Local): ...


_KINDS: dict[str, type] = {"redis": _Tcp, "rediss": _Tls, "unix": _Unix}


def pool_of(url: object, *, deadline: Deadline, longest: float) -> ConnectionPool:
    """Return a pool that has not connected; raise InvalidArgument without a word of the URL.

    A call takes as long as the deadline says, `longest` seconds at most.
    """
    parts, query = _split(url)
    settings: dict[str, Any] = {
        "connection_class": _KINDS[parts.scheme],
        "dialler": _dialler(parts, deadline),
        "socket_timeout": longest,
        "retry": Retry(NoBackoff(), 0),  # the durable subscriber does that
        "protocol": 2,
    }
    if parts.scheme == "rediss" and "ssl_check_hostname" not in query:  # before redis-py 6 that was off
        settings["ssl_check_hostname"] = query.get("ssl_cert_reqs") != ["none"]
    try:
        pool = ConnectionPool.from_url(str(url), **settings)
        pool.connection_class(**pool.connection_kwargs)  # never connected; a fault would show only later
    except (TypeError, ValueError, exceptions.RedisError):
        raise InvalidArgument("url", "has a query that redis-py does not take") from None
    return pool


def _split(url: object) -> tuple[SplitResult, dict[str, list[str]]]:
    """Take apart what has a host, a database and a query that there could be."""
    if not isinstance(url, str):
        raise InvalidArgument("url", "must be a string", hint=_EXAMPLE)
    if not is_uri(url):
        raise InvalidArgument(
            "url",
            "holds what no URL of a Redis may, such as a blank or #",
            hint="escape it: # in a password is %23",
        )
    try:
        parts = urlsplit(url)
        query = parse_qs(parts.query, strict_parsing=bool(parts.query))
        if parts.scheme not in _KINDS or parts.port == 0 or (parts.hostname and host_of(parts) is None):
            raise ValueError
    except ValueError:
        raise InvalidArgument("url", "must be a redis://, rediss:// or unix:// URL", hint=_EXAMPLE) from None
    if parts.scheme != "unix" and not _DATABASE.fullmatch(parts.path):
        raise InvalidArgument("url", "must end in the number of a database", hint=_EXAMPLE)
    if query.keys() - _SETTINGS:
        raise InvalidArgument("url", "sets what it may not", hint=f"only {', '.join(sorted(_SETTINGS))}")
    return parts, query


def _dialler(parts: SplitResult, deadline: Deadline) -> Dialler:
    host = parts.hostname or "localhost"
    return Dialler(host, parts.port or 6379, known=addresses_of(host), deadline=deadline)
