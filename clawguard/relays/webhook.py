"""Webhooks: one signed POST for each event, in the form of https://www.standardwebhooks.com (1.0.0)."""

from __future__ import annotations

import binascii
import hmac
import re
import ssl
from collections.abc import Mapping, Sequence

from clawguard.clock import SECOND, Clock, Duration, SystemClock
from clawguard.errors import EventRefused, InvalidArgument, ReceiverFailed, ReceiverUnavailable
from clawguard.events.event import Event
from clawguard.relays.base import TIMEOUT, Relay, check_context, check_timeout
from clawguard.relays.encoding import SOURCE, Format, encoder
from clawguard.relays.endpoints import Endpoint, parse_endpoint
from clawguard.relays.posting import Poster

__all__ = ["WebhookRelay"]

_PREFIX = "whsec_"
_SHORTEST_KEY, _LONGEST_KEY = 24, 64  # bytes
_MOST_SECRETS = 8
_LONGEST_VALUE = 4_096
_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")  # a token (RFC 9110, 5.6.2)
_VALUE = re.compile(r"([!-~]([ -~\t]*[!-~])?)?")
_OURS = frozenset({"host", "content-type", "content-length"})
_FRAMING = frozenset(  # what says how a request is to be read: ours is read one way
    {"accept-encoding", "connection", "content-encoding", "expect", "keep-alive", "proxy-connection"}
    | {"te", "trailer", "transfer-encoding", "upgrade"}
)
_NOT_NOW = frozenset({408, 425, 429, 502, 503, 504})
_OF_THE_URL = frozenset({401, 403, 404, 405, 407, 410, 421, 451})  # and not of the event: a deployment's


class WebhookRelay(Relay):
    """Send each event to a URL, signed, and wait until it is taken: give it to `on` with `durable=`.

    An answer of 2xx takes the event. 408, 425, 429, 502, 503, 504 and none at all are "not now". A 4xx that
    speaks of the event, such as 400, 413 or 422, refuses it for good. The rest are failed tries, also what
    speaks of the URL alone: 3xx, for no redirect is followed, 401, 403, 404, 405, 407, 410, 421 and 451. A
    call may be made from any thread, also in a forked child.
    """

    def __init__(
        self,
        url: str,
        *,
        secret: str | Sequence[str],
        format: Format = "cloudevents",
        source: str = SOURCE,
        headers: Mapping[str, str] | None = None,
        timeout: Duration = TIMEOUT,
        ssl_context: ssl.SSLContext | None = None,
        clock: Clock | None = None,
    ) -> None:
        """Take where to send, in which `format`, of which log (`source`: give `manager.issuer`).

        `url` is https, or http to this machine. `secret` is `whsec_` and the base64 of 24 to 64 bytes, which
        the receiver has too; while it is exchanged, several: there is a signature by each. `headers` are sent
        beside ours. A call gives up after `timeout` seconds (at most 10), whatever the server does.
        `ssl_context` is for a CA of one's own. Raises InvalidArgument; it does not connect.
        """
        self._endpoint = parse_endpoint(url)
        self._keys = _keys(secret)
        self._encoder = encoder(format, source=source)
        self._headers = {**_checked_headers(headers), "Content-Type": self._encoder.content_type}
        self._clock = _checked_clock(clock)
        context = _context(ssl_context, self._endpoint)
        self._poster = Poster(self._endpoint, context, timeout=check_timeout(timeout))

    def __repr__(self) -> str:
        return f"WebhookRelay({str(self._endpoint)!r})"

    def __call__(self, event: Event) -> None:
        """Send an event, and wait until it is taken.

        Raises ReceiverUnavailable, EventRefused or ReceiverFailed; after the first or the last the receiver
        may have it all the same.
        """
        body = self._encoder.encode(event)
        self._judge(self._poster.post(self._headers | self._signed(event.id, body), body))

    def close(self) -> None:
        """Close its connections; what is called afterwards raises ReceiverUnavailable."""
        self._poster.close()

    def _signed(self, event_id: str, body: bytes) -> dict[str, str]:
        """Return the headers by which a receiver knows who sent a body, and when, and whether it was here."""
        timestamp = str(self._clock.now() // SECOND)
        content = b".".join((event_id.encode(), timestamp.encode(), body))
        return {
            "webhook-id": event_id,
            "webhook-timestamp": timestamp,
            "webhook-signature": " ".join(_signature(key, content) for key in self._keys),
        }

    def _judge(self, status: int) -> None:
        """Raise unless an answer took the event; of what the receiver said, the status alone is told."""
        if 200 <= status < 300:
            return
        answer = f"{self._endpoint} answered {status}"
        if status in _NOT_NOW:
            raise ReceiverUnavailable(answer)
        if 300 <= status < 400:
            raise ReceiverFailed(f"{answer}: redirects are not followed", hint="give the URL where it leads")
        if 400 <= status < 500 and status not in _OF_THE_URL:
            raise EventRefused(answer)
        raise ReceiverFailed(answer)


def _checked_clock(clock: Clock | None) -> Clock:
    if clock is not None and not callable(getattr(clock, "now", None)):
        raise InvalidArgument("clock", "must be None or a Clock")
    return clock or SystemClock()


def _signature(key: bytes, content: bytes) -> str:
    return f"v1,{_base64(hmac.digest(key, content, 'sha256'))}"


def _base64(data: bytes) -> str:
    return binascii.b2a_base64(data, newline=False).decode()


def _keys(secret: object) -> tuple[bytes, ...]:
    """Return the keys that sign, one or several; raise InvalidArgument without a word of them."""
    given = (secret,) if isinstance(secret, str) else secret
    if not isinstance(given, list | tuple) or not 0 < len(given) <= _MOST_SECRETS:
        raise InvalidArgument("secret", f"must be a string, or a list of 1 to {_MOST_SECRETS}")
    return tuple(_key(each) for each in given)


def _key(secret: object) -> bytes:
    hint = "make one with 'whsec_' + base64.b64encode(secrets.token_bytes(32)).decode()"
    if not isinstance(secret, str) or not secret.startswith(_PREFIX):
        raise InvalidArgument("secret", f"must begin with {_PREFIX}", hint=hint)
    text = secret.removeprefix(_PREFIX)
    try:
        key = binascii.a2b_base64(text + "=" * (-len(text) % 4))
    except ValueError:
        key = b""
    if text not in (_base64(key), _base64(key).rstrip("=")):  # some write it without the padding
        key = b""
    if not _SHORTEST_KEY <= len(key) <= _LONGEST_KEY:
        raise InvalidArgument(
            "secret",
            f"must be {_PREFIX} and the base64 of {_SHORTEST_KEY} to {_LONGEST_KEY} bytes",
            hint=hint,
        )
    return key


def _checked_headers(headers: object) -> dict[str, str]:
    """Return the headers to add; raise InvalidArgument, which shows a name at most, never a value."""
    if headers is None:
        return {}
    if not isinstance(headers, Mapping):
        raise InvalidArgument("headers", "must be a dict of names and values")
    checked: dict[str, str] = {}
    for name, value in headers.items():
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise InvalidArgument("headers", "has a name that no header may have")
        _check_header(name, value)
        if name.lower() in (each.lower() for each in checked):
            raise InvalidArgument("headers", f"has {name} twice")
        checked[name] = value
    return checked


def _check_header(name: str, value: object) -> None:
    if name.lower().startswith("webhook-") or name.lower() in _OURS | _FRAMING:
        raise InvalidArgument("headers", f"may not set {name}", hint="the relay does")
    if not isinstance(value, str) or len(value) > _LONGEST_VALUE or not _VALUE.fullmatch(value):
        raise InvalidArgument(
            "headers",
            f"has a value for {name} that is not up to {_LONGEST_VALUE} printable ASCII characters",
            hint="no line ends, and no blanks around it",
        )


def _context(given: object, endpoint: Endpoint) -> ssl.SSLContext | None:
    """Return what TLS is spoken with, None for http; raise InvalidArgument for what would not verify."""
    if given is None:
        return _default_context() if endpoint.scheme == "https" else None
    if endpoint.scheme != "https":
        raise InvalidArgument("ssl_context", "is for https")
    return check_context(given, argument="ssl_context")


def _default_context() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context
