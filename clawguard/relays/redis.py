"""Redis Streams: one entry for each event, with its id among the fields."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from clawguard.checks import check_text, is_integer
from clawguard.clock import Duration
from clawguard.deadlines import Deadline
from clawguard.errors import ClawguardError, EventRefused, InvalidArgument, ReceiverUnavailable
from clawguard.events.event import Event
from clawguard.relays.base import TIMEOUT, Relay, check_timeout, without_library
from clawguard.relays.encoding import SOURCE, Format, encoder

try:
    from redis import Redis, exceptions

    from clawguard.relays.redis_pool import pool_of
except ModuleNotFoundError as error:
    raise without_library("redis", extra="redis") from error

if TYPE_CHECKING:
    from redis.typing import EncodableT, FieldT

__all__ = ["RedisRelay"]

_CODE = re.compile(r"([A-Z]{3,}) ")
_TOO_LARGE = re.compile(r"invalid bulk length|maximum allowed size|max request size", re.IGNORECASE)
_LIMIT, _SMALLEST_LIMIT = "proto-max-bulk-len", 2**20  # bytes; no Redis can be set to take less


class RedisRelay(Relay):
    """Add each event to a Redis stream: give it to `on` with `durable=`.

    An entry has the fields `id`, by which a repeated event is known, `type`, `seq` and `event`, the whole
    event as JSON. A call returns when Redis has answered with the entry's own id; it connects when it must,
    and may be made from any thread, also in a forked child.
    """

    def __init__(
        self,
        url: str = "redis://127.0.0.1:6379/0",
        *,
        stream: str = "clawguard",
        max_length: int | None = None,
        format: Format = "cloudevents",
        source: str = SOURCE,
        timeout: Duration = TIMEOUT,
    ) -> None:
        """Take where to write, in which `format`, of which log (`source`: give `manager.issuer`).

        `url` is as redis-py reads it: `redis://`, `rediss://` for TLS, `unix://`; its query may hold `db`,
        `username`, `password`, `client_name` and which certificates hold (`ssl_ca_certs` and such). With
        `max_length` Redis drops the oldest entries, roughly, read or not. A call gives up after `timeout`
        seconds (at most 10), whatever Redis does. Raises InvalidArgument; it does not connect.
        """
        self._encoder = encoder(format, source=source)
        self._stream = check_text(stream, argument="stream")
        if max_length is not None and not is_integer(max_length, least=1, most=2**63 - 1):
            raise InvalidArgument("max_length", "must be None, or how many entries to keep, at least 1")
        self._max_length = max_length
        self._timeout = check_timeout(timeout)
        self._deadline = Deadline()
        pool = pool_of(url, deadline=self._deadline, longest=self._timeout)
        self._where = _where(pool.connection_kwargs)
        self._redis = Redis(connection_pool=pool)
        self._closed = False

    def __repr__(self) -> str:
        return f"RedisRelay({self._where!r}, stream={self._stream!r})"

    def __call__(self, event: Event) -> None:
        """Add an event, and wait until Redis has it.

        Raises ReceiverUnavailable where Redis cannot take it now, EventRefused where it is too large ever to
        be taken. After an error Redis may have it all the same.
        """
        if self._closed:
            raise ReceiverUnavailable("the Redis relay is closed")
        text = self._encoder.encode(event)
        fields: dict[FieldT, EncodableT] = {
            "id": event.id,
            "type": event.type,
            "seq": event.seq,
            "event": text,
        }
        self._deadline.begin(self._timeout)
        try:
            self._redis.xadd(self._stream, fields, maxlen=self._max_length)
        except (exceptions.RedisError, OSError) as error:
            failure = self._failure(error, size=len(text))
        else:
            return
        finally:
            if self._closed:
                self.close()  # what was in use
        raise failure

    def close(self) -> None:
        """Close what is idle, and what is in use after its call; later calls raise ReceiverUnavailable."""
        self._closed = True
        self._redis.connection_pool.disconnect(inuse_connections=False)

    def _failure(self, error: Exception, *, size: int) -> ClawguardError:
        """Return what to raise; of the client's own words, which may quote settings, it holds none."""
        where = f"Redis at {self._where}"
        if isinstance(error, exceptions.AuthenticationError | exceptions.AuthorizationError):
            return ReceiverUnavailable(f"{where} refuses the user or the password of the URL")
        if isinstance(error, exceptions.TimeoutError | TimeoutError):
            return ReceiverUnavailable(f"{where} did not answer in time")
        if isinstance(error, exceptions.BusyLoadingError):
            return ReceiverUnavailable(f"{where} is still loading")
        if _TOO_LARGE.search(str(error)) or self._is_beyond_limit(size):
            return EventRefused(f"{where} takes no text as large as this event")
        if not isinstance(error, exceptions.ResponseError):
            why = "shows no certificate that holds" if "CERTIFICATE" in str(error) else "cannot be reached"
            return ReceiverUnavailable(f"{where} {why}")
        return self._refusal(where, _code_of(error))

    def _is_beyond_limit(self, size: int) -> bool:
        """Ask Redis: it hangs up on a text beyond its limit, and why is often lost with the connection."""
        if size <= _SMALLEST_LIMIT:
            return False
        try:
            return int(self._redis.config_get(_LIMIT).get(_LIMIT) or size) < size
        except (exceptions.RedisError, OSError):
            return False

    def _refusal(self, where: str, code: str) -> ClawguardError:
        if code == "WRONGTYPE":
            return ReceiverUnavailable(
                f"{where} holds something else than a stream as {self._stream!r}",
                hint="remove that key, or name another stream=",
            )
        if code == "NOPERM":
            return ReceiverUnavailable(
                f"{where} does not let its user write the stream {self._stream!r}",
                hint=f"its ACL needs ~{self._stream} +xadd",
            )
        return ReceiverUnavailable(f"{where} does not take events now: {code}")


def _where(settings: Mapping[str, Any]) -> str:
    if "path" in settings:
        return str(settings["path"])
    return f"{settings.get('host', 'localhost')}:{settings.get('port', 6379)}"


def _code_of(error: exceptions.ResponseError) -> str:
    """Return the code that begins Redis's answer: redis-py takes some of them off."""
    named = {
        exceptions.MovedError: "MOVED",
        exceptions.ReadOnlyError: "READONLY",
        exceptions.OutOfMemoryError: "OOM",
        exceptions.NoPermissionError: "NOPERM",
    }
    code = _CODE.match(str(error))
    return named.get(type(error)) or (code[1] if code else "ERR")
