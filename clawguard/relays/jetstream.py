"""A connection to NATS for one relay: made when it is needed, dropped after any failure.

The client's own reconnecting is off: it keeps what was published meanwhile and sends it later, when the
subscriber has long been told to try again.
"""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import Coroutine, Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

from clawguard.checks import is_integer
from clawguard.errors import ClawguardError, EventRefused, InvalidArgument, ReceiverUnavailable
from clawguard.relays.base import check_context, without_library
from clawguard.relays.hosts import bracketed, host_of, is_uri

try:
    from nats import errors
    from nats.aio.client import Client
    from nats.js import errors as js_errors
    from nats.js.api import StorageType
except ModuleNotFoundError as error:
    raise without_library("nats-py", extra="nats") from error

__all__ = ["Link", "Message"]

_EXAMPLE = "such as 'nats://127.0.0.1:4222'"
_SCHEMES = ("nats", "tls")
_STREAM = re.compile(r"[A-Za-z0-9_-]{1,255}")
_TOO_LARGE, _OVERLAPS = 10054, 10065  # JetStream's numbers for its errors
_LAST_CALL = 1.0  # seconds


class Message(NamedTuple):
    """Hold what is published."""

    subject: str
    body: bytes
    headers: Mapping[str, str]

    def size(self) -> int:
        """Return how many bytes the server counts."""
        lines = sum(len(f"{name}: {value}\r\n".encode()) for name, value in self.headers.items())
        return len(b"NATS/1.0\r\n\r\n") + lines + len(self.body)


class _Login(NamedTuple):
    """Hold what a URL says about who connects; never shown."""

    user: str | None = None
    password: str | None = None
    token: str | None = None

    def __repr__(self) -> str:
        return "_Login()"


class Servers(NamedTuple):
    """Hold the servers of a cluster, as `tls://` or `nats://` URLs without credentials."""

    urls: tuple[str, ...]
    login: _Login

    @classmethod
    def of(cls, servers: object) -> Servers:
        """Read URLs; raise InvalidArgument for what is none, without a word of it."""
        given = (servers,) if isinstance(servers, str) else servers
        if not isinstance(given, Sequence) or not given:
            raise InvalidArgument("servers", "must be a URL or a list of URLs", hint=_EXAMPLE)
        read = [_read_url(url) for url in given]
        logins = {login for _, login in read if login != _Login()}
        if len(logins) > 1:
            raise InvalidArgument("servers", "must have the same user and password in every URL")
        return cls(tuple(url for url, _ in read), logins.pop() if logins else _Login())

    @property
    def are_tls(self) -> bool:
        """Whether nothing may be sent in the clear."""
        return any(url.startswith("tls:") for url in self.urls)

    def __str__(self) -> str:
        return ", ".join(url.partition("//")[2] for url in self.urls)


def _read_url(url: object) -> tuple[str, _Login]:
    try:
        parts = urlsplit(url if isinstance(url, str) and is_uri(url) else "")
        host, port = host_of(parts), 4222 if parts.port is None else parts.port
    except ValueError:
        raise _no_url() from None
    if not host or not port or parts.scheme not in _SCHEMES or parts.path.strip("/") or parts.query:
        raise _no_url()
    user, password = (None if each is None else unquote(each) for each in (parts.username, parts.password))
    login = _Login(token=user) if password is None else _Login(user or "", password)
    return f"{parts.scheme}://{bracketed(host)}:{port}", login


def _no_url() -> InvalidArgument:
    return InvalidArgument("servers", "must be nats:// or tls:// URLs with a host", hint=_EXAMPLE)


class Link:
    """Publish on one connection to a cluster; all but `forget` runs on one event loop."""

    def __init__(self, servers: object, *, subject: str, stream: object, tls: ssl.SSLContext | None) -> None:
        self._servers = Servers.of(servers)
        self._subject = subject
        if stream is not None and not (isinstance(stream, str) and _STREAM.fullmatch(stream)):
            raise InvalidArgument("create_stream", "must be None, or 1 to 255 letters, digits, - and _")
        self._stream = stream
        self._tls = None if tls is None else check_context(tls, argument="tls")
        self._client: _Client | None = None
        self._closing: set[asyncio.Task[None]] = set()

    @property
    def where(self) -> str:
        """The servers, without credentials."""
        return str(self._servers)

    async def publish(self, message: Message, *, patience: float) -> None:
        """Publish a message, and return when a stream has it.

        Raises ReceiverUnavailable or EventRefused, after `patience` seconds at the latest.
        """
        try:
            async with asyncio.timeout(patience):
                client = await self._connected(patience)
                if not is_integer(client.max_payload, least=1):
                    raise errors.ProtocolError
                if message.size() > client.max_payload:
                    raise errors.MaxPayloadError
                await client.until_lost(client.send(message, patience, stream=self._stream))
                return
        except Exception as error:
            failure = self._failure(error)
        if not isinstance(failure, EventRefused):
            self._drop()
        raise failure

    async def close(self) -> None:
        """Close the connection, and those that are being closed."""
        self._drop()
        if self._closing:
            await asyncio.wait(self._closing)

    def forget(self) -> None:
        """Leave the connection to the parent of a forked child."""
        self._client = None
        self._closing = set()

    async def _connected(self, patience: float) -> _Client:
        client = self._client
        if client is None or not client.is_connected:
            self._drop()
            client = self._client = _Client(is_tls=self._servers.are_tls or self._tls is not None)
            await client.open(self._servers, tls=self._tls, patience=patience)
            if self._stream is not None:
                await client.until_lost(client.make_stream(self._stream, subjects=f"{self._subject}.>"))
        return client

    def _drop(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            task = asyncio.get_running_loop().create_task(client.end())
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)

    def _failure(self, error: Exception) -> ClawguardError:
        """Return what to raise; of the client's own words, which may quote a URL, it holds none."""
        where = f"NATS at {self.where}"
        if isinstance(error, js_errors.APIError):
            return self._refusal(where, error.err_code)
        if isinstance(error, errors.MaxPayloadError):
            return EventRefused(f"{where} takes no message as large as this event")
        if isinstance(error, js_errors.NoStreamResponseError | errors.NoRespondersError):
            return ReceiverUnavailable(
                f"{where} has no stream for {self._subject}.>",
                hint="make one, or name one in create_stream=; soon after the server's start it may yet come",
            )
        if isinstance(error, _AnotherStreamError):
            return ReceiverUnavailable(
                f"{where} has somebody else than the stream {self._stream} answer for {self._subject}.>",
                hint="name the stream that has these subjects; let nobody else subscribe to them",
            )
        if self._client is not None and self._client.is_denied:
            return ReceiverUnavailable(f"{where} does not let its user publish below {self._subject}")
        return ReceiverUnavailable(f"{where} {_complaint(error)}")

    def _refusal(self, where: str, number: int | None) -> ClawguardError:
        if number == _TOO_LARGE:
            return EventRefused(f"{where} has a stream that takes no message as large as this event")
        if number == _OVERLAPS:
            return ReceiverUnavailable(
                f"{where} has another stream with subjects of {self._subject}.>",
                hint="name that stream in create_stream=, or none",
            )
        return ReceiverUnavailable(f"{where} does not take events now: JetStream error {number}")


class _AnotherStreamError(Exception):
    """The answer is not of the stream that was to have the message."""


class _Client(Client):
    """Connect once, and know when the connection is lost.

    nats-py itself leaves it to the server's word whether there is TLS, also for a `tls://` URL, and would
    send the password in the clear.
    """

    def __init__(self, *, is_tls: bool) -> None:
        super().__init__()
        self.is_denied = False
        self._is_tls = is_tls
        self._is_checked = False
        self._lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def open(self, servers: Servers, *, tls: ssl.SSLContext | None, patience: float) -> None:
        """Connect to one of the servers."""
        await self.connect(
            servers=list(servers.urls),
            name="clawguard",
            tls=tls,
            **servers.login._asdict(),
            allow_reconnect=False,
            max_reconnect_attempts=1,
            reconnect_time_wait=0,
            connect_timeout=patience / 2,  # type: ignore[arg-type]
            error_cb=self._note,
            closed_cb=self._note_loss,
        )
        if not self._is_checked:
            raise errors.SecureConnWantedError

    async def send(self, message: Message, patience: float, *, stream: str | None) -> None:
        """Publish, and wait for the word of the stream, or of any where none is named, that it has it."""
        answer = await self.jetstream().publish(
            message.subject, message.body, timeout=patience, headers=dict(message.headers)
        )
        if stream not in (None, answer.stream):
            raise _AnotherStreamError

    async def make_stream(self, name: str, *, subjects: str) -> None:
        """Make a stream where there is none of that name; one that is there stays as it is."""
        manager = self.jetstream()
        try:
            await manager.stream_info(name)
        except js_errors.NotFoundError:
            await manager.add_stream(name=name, subjects=[subjects], storage=StorageType.FILE)

    async def end(self) -> None:
        """Close the connection, whatever state it is in."""
        with suppress(Exception):
            async with asyncio.timeout(_LAST_CALL):
                await self.close()

    async def until_lost(self, work: Coroutine[Any, Any, None]) -> None:
        """Do some work; raise at once when the connection is lost meanwhile: no answer would come."""
        task = asyncio.ensure_future(work)
        try:
            await asyncio.wait((task, self._lost), return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                raise errors.ConnectionClosedError
            task.result()
        finally:
            task.cancel()

    async def _note(self, error: Exception) -> None:
        if "permissions violation" in str(error).lower():
            self.is_denied = True
            await self._note_loss()

    async def _note_loss(self) -> None:
        if not self._lost.done():
            self._lost.set_result(None)

    def _connect_command(self) -> bytes:
        if self._is_tls and not self._server_info.get("tls_required"):
            raise errors.SecureConnWantedError
        self._is_checked = True
        return super()._connect_command()


def _complaint(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "did not answer in time"
    if isinstance(error, errors.AuthorizationError) or "authorization violation" in str(error).lower():
        return "refuses the user, password or token of the URL"
    if isinstance(error, errors.ProtocolError):
        return "does not speak NATS as it must"
    if isinstance(error, errors.SecureConnWantedError):
        return "offers no TLS"
    if isinstance(error, ssl.SSLCertVerificationError):
        return "shows no certificate that holds"
    return "cannot be reached"
