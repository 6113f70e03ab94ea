"""NATS JetStream: one message for each event, with its id as the message's."""

from __future__ import annotations

import asyncio
import re
import ssl
import threading
import weakref
from collections.abc import Sequence
from typing import Any

from clawguard.clock import Duration
from clawguard.errors import InvalidArgument, ReceiverUnavailable
from clawguard.events.coroutines import start_loop
from clawguard.events.event import Event
from clawguard.forks import call_around_fork
from clawguard.relays.base import TIMEOUT, Relay, check_timeout
from clawguard.relays.encoding import SOURCE, Format, encoder
from clawguard.relays.jetstream import Link, Message

__all__ = ["NatsRelay"]

_SUBJECT = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")
_LONGEST_SUBJECT = 200
_SLACK = 1.0  # seconds


class NatsRelay(Relay):
    """Publish each event to a JetStream stream: give it to `on` with `durable=`.

    The subject is `subject` with the event's type behind it, `clawguard.events.session.expired`; the message
    id is the event's, by which JetStream drops what comes again within its window. A call returns when the
    stream has acknowledged the event; it connects when it must, and may be made from any thread, also in a
    forked child, one at a time. What speaks with NATS is an event loop on a thread of its own, which the
    first call starts.
    """

    def __init__(
        self,
        servers: str | Sequence[str] = "nats://127.0.0.1:4222",
        *,
        subject: str = "clawguard.events",
        create_stream: str | None = None,
        format: Format = "cloudevents",
        source: str = SOURCE,
        timeout: Duration = TIMEOUT,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """Take where to write, in which `format`, of which log (`source`: give `manager.issuer`).

        `servers` are `nats://` or `tls://` URLs of one cluster; `tls` says which certificates hold, by
        default those that the system trusts. No stream is made unless `create_stream` names one: where that
        is missing it is made, on disk, for all below `subject`. A call gives up after `timeout` seconds (at
        most 10). Raises InvalidArgument; it does not connect.
        """
        self._encoder = encoder(format, source=source)
        self._subject = _checked_subject(subject)
        self._link = Link(servers, subject=subject, stream=create_stream, tls=tls)
        self._timeout = check_timeout(timeout)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._end: weakref.finalize[..., NatsRelay] | None = None
        self._lock = threading.Lock()
        self._closed = False
        call_around_fork(self)

    def __repr__(self) -> str:
        return f"NatsRelay({self._link.where!r}, subject={self._subject!r})"

    def __call__(self, event: Event) -> None:
        """Publish an event, and wait until a stream has it.

        Raises ReceiverUnavailable where no stream can take it now, EventRefused where it is too large ever to
        be taken. After an error a stream may have it all the same.
        """
        headers = {"Nats-Msg-Id": event.id, "Content-Type": self._encoder.content_type}
        message = Message(f"{self._subject}.{event.type}", self._encoder.encode(event), headers)
        if not self._lock.acquire(timeout=self._timeout):
            raise ReceiverUnavailable("the NATS relay is busy with another event")
        try:
            self._publish(message)
        finally:
            self._lock.release()
            if self._closed:
                self.close()  # what was in use

    def close(self) -> None:
        """Close its connection and end its thread, after a call that is under way.

        What is called afterwards raises ReceiverUnavailable.
        """
        self._closed = True
        if self._lock.acquire(blocking=False):  # else that call does it
            try:
                if self._end is not None:
                    self._end()
            finally:
                self._lock.release()

    def after_fork(self) -> None:
        """Begin anew in a forked child: loop, thread and connection are the parent's."""
        if self._loop is not None:
            self._loop.set_exception_handler(_say_nothing)  # about work that nobody will do here
        self._loop = None
        if self._end is not None:
            self._end.detach()
        self._lock = threading.Lock()
        self._link.forget()

    def _publish(self, message: Message) -> None:
        if self._closed:
            raise ReceiverUnavailable("the NATS relay is closed")
        if self._loop is None or self._loop.is_closed():
            self._loop = start_loop("clawguard-nats")
            self._end = weakref.finalize(self, _end, self._loop, self._link)
            self._end.atexit = False  # a process that ends closes its connections anyway
        work = asyncio.run_coroutine_threadsafe(
            self._link.publish(message, patience=self._timeout), self._loop
        )
        try:
            work.result(self._timeout + _SLACK)
        except TimeoutError:
            raise ReceiverUnavailable("the NATS relay's own thread hangs") from None
        finally:
            work.cancel()


def _checked_subject(subject: object) -> str:
    if not isinstance(subject, str) or len(subject) > _LONGEST_SUBJECT or not _SUBJECT.fullmatch(subject):
        raise InvalidArgument(
            "subject",
            "must be words of letters, digits, - and _ with dots between",
            hint="such as 'clawguard.events'",
        )
    return subject


def _end(loop: asyncio.AbstractEventLoop, link: Link) -> None:
    """End a loop when its connection is closed, without waiting: any thread may collect a relay."""
    if not loop.is_closed():
        closing = asyncio.run_coroutine_threadsafe(link.close(), loop)
        closing.add_done_callback(lambda _: loop.call_soon_threadsafe(loop.stop))


def _say_nothing(_loop: asyncio.AbstractEventLoop, _context: dict[str, Any]) -> None:
    """Stand in for the loop's own handler, which logs."""
