"""Durable subscribers: each has a name, a cursor of its own, and a thread that serves it.

Of many processes that subscribe a name one serves it at a time; another takes over when that one dies, stops
or hangs. A receiver that fails is tried again, later and later; what it cannot take at all is parked, with an
alarm, and the next event has its turn.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from clawguard.checks import check_text, is_integer
from clawguard.clock import SECOND, Duration, IdFactory, microseconds, to_datetime
from clawguard.errors import EventsArchived, InvalidArgument, StoreUnavailable
from clawguard.events.coroutines import running_loop
from clawguard.events.cursors import Bench, Cursor
from clawguard.events.serving import Server
from clawguard.events.signals import Receiver, check_receiver
from clawguard.forks import call_around_fork

__all__ = ["Parked", "Servers", "Subscriber", "Subscribers"]

_LEASE = 15.0  # seconds that a server may be silent before another takes over
_SHORTEST_LEASE = SECOND // 10
_TRIES = 8
_PATIENCE = 2.0  # seconds


class Subscriber(NamedTuple):
    """Tell of a durable subscriber: its place in the log, how much is parked, whether anyone is at work."""

    name: str
    pattern: str
    position: int
    parked: int
    is_at_work: bool


class Parked(NamedTuple):
    """Tell of an event that a subscriber could not take: its number, the last error, how many tries."""

    seq: int
    error: str
    tries: int
    parked_at: datetime


class Servers:
    """Hold the subscribers that this process serves, or stands by to serve."""

    def __init__(self, bench: Bench, *, new_id: IdFactory) -> None:
        self.bench = bench
        self._new_id = new_id
        self._servers: dict[str, Server | None] = {}
        self._lock = threading.Lock()
        self._closed = False
        call_around_fork(self)

    def serve(
        self,
        name: str,
        pattern: str,
        receiver: Receiver,
        *,
        after: int | None,
        tries: int | None,
        lease: Duration | None,
    ) -> None:
        """Serve a subscriber from a thread of its own: see `SessionManager.on`."""
        check_receiver(receiver)
        check_text(name, argument="durable")
        most = _TRIES if tries is None else tries
        if not is_integer(most, least=1, most=2**31 - 1):
            raise InvalidArgument("tries", "must be an integer of at least 1")
        self._reserve(name)
        try:
            cursor = self.cursor(name, pattern, after=after, lease=lease, argument="pattern")
            server = Server(cursor, receiver, tries=most, bench=self.bench)
            server.start()
        except BaseException:
            with self._lock:
                del self._servers[name]
            raise
        with self._lock:
            self._servers[name] = server
            if self._closed:
                server.stop()

    def _reserve(self, name: str) -> None:
        """Take a name before anything is written: receivers that are called meanwhile may come here too."""
        with self._lock:
            if self._closed:
                raise StoreUnavailable("the manager is closed")
            server = self._servers.get(name)
            if name in self._servers and not (server is not None and server.is_over):
                raise InvalidArgument("durable", f"{name!r} is served here already", hint="off() ends that")
            self._servers[name] = None

    def off(self, receiver: Receiver) -> None:
        """Stop serving a receiver here; its subscriber keeps its place."""
        with self._lock:
            ended = [name for name, each in self._servers.items() if each and each.receiver == receiver]
            servers = [self._servers.pop(name) for name in ended]
        _end(servers)

    def close(self) -> None:
        """Stop serving, waiting a moment for the calls under way."""
        with self._lock:
            self._closed = True
            servers = list(self._servers.values())
        _end(servers)

    def after_fork(self) -> None:
        """Serve on in a forked child, which has no threads, as somebody else than the parent."""
        self._lock = threading.Lock()
        for name, before in list(self._servers.items()):
            if before is not None and not self._closed:
                before.stop()  # a receiver may have forked, and its call may return in the child too
                cursor = before.cursor.anew()
                server = Server(cursor, before.receiver, tries=before.tries, bench=self.bench)
                self._servers[name] = server
                server.start()

    def cursor(
        self, name: str, pattern: str | None, *, after: int | None, lease: Duration | None, argument: str
    ) -> Cursor:
        """Return the cursor of a name, made if there is none: then behind `after`, or at the log's end."""
        length = microseconds(_LEASE if lease is None else lease, argument="lease")
        if length < _SHORTEST_LEASE:
            raise InvalidArgument("lease", "must be at least a tenth of a second")
        if pattern is not None:
            self.bench.bus.types.check_pattern(pattern, argument=argument)
        last = self.bench.log.last()[0]
        if after is not None and not is_integer(after, least=0, most=last):
            raise InvalidArgument("after", f"must be None, or 0 to {last}, the log's last event")
        incarnation, kept = self._make(name, pattern, position=last if after is None else after)
        return Cursor(
            name,
            kept,
            incarnation=incarnation,
            owner=self._new_id(self.bench.clock.now()),
            lease=length,
            bench=self.bench,
        )

    def _make(self, name: str, pattern: str | None, *, position: int) -> tuple[str, str]:
        """Make a cursor's row if there is none, and return its incarnation and its pattern."""
        log = self.bench.log
        known = self.bench.store.read("cursor.get", name=name)
        if known and pattern in (None, known[0][1]):
            return known[0][0], known[0][1]
        if not known and position < log.archived:
            raise EventsArchived(log.archived)
        with self.bench.change(durable=False) as change:
            given = {"name": name, "incarnation": self._new_id(change.now), "pattern": pattern or "*"}
            change.tx.run("cursor.insert", position=position, now=change.now, **given)
            incarnation, kept, *_ = change.tx.run("cursor.get", name=name)[0]
        return incarnation, kept


class Subscribers:
    """`manager.subscribers`: who hears the log durably, what is parked, and cursors to poll by hand."""

    def __init__(self, servers: Servers) -> None:
        self._servers = servers
        self._store = servers.bench.store
        self._change = servers.bench.change
        self._clock = servers.bench.clock

    def list(self) -> tuple[Subscriber, ...]:
        """Return every durable subscriber, of whichever process."""
        now = self._clock.now()
        return tuple(
            Subscriber(name, pattern, position, parked, owner is not None and until > now)
            for name, pattern, position, owner, until, parked in self._store.read("cursor.all")
        )

    def parked(self, name: str) -> tuple[Parked, ...]:
        """Return the events that a subscriber could not take, the oldest first."""
        rows = self._store.read("parked.list", name=check_text(name, argument="name"))
        return tuple(Parked(seq, error, tries, to_datetime(at)) for seq, error, tries, at in rows)

    def replay(self, name: str, seq: int | None = None) -> int:
        """Have parked events tried once more, one or all, by whoever serves the name; return how many."""
        if seq is not None and not is_integer(seq, least=1, most=2**63 - 1):
            raise InvalidArgument("seq", "must be the number of a parked event")
        check_text(name, argument="name")
        with self._change(durable=False) as change:
            return len(change.tx.run("parked.replay", name=name, seq=seq or 0))

    def remove(self, name: str) -> bool:
        """Forget a subscriber, its position and what is parked; False for an unknown one."""
        check_text(name, argument="name")
        with self._change(durable=False) as change:
            change.tx.run("parked.delete_all", name=name)
            return bool(change.tx.run("cursor.delete", name=name))

    def cursor(
        self,
        name: str,
        types: str | None = None,
        *,
        after: int | None = None,
        lease: Duration | None = None,
    ) -> Cursor:
        """Return the cursor of a name, to be polled by hand.

        A new one begins behind the event `after` (None: now) and is for `types` (None: all); one that is
        there goes on where it stands.
        """
        check_text(name, argument="name")
        return self._servers.cursor(name, types, after=after, lease=lease, argument="types")


def _end(servers: Sequence[Server | None]) -> None:
    """Stop servers, waiting a moment for them all; not on an event loop, which a receiver may need."""
    running = [each for each in servers if each is not None]
    for server in running:
        server.stop()
    deadline = time.monotonic() + (_PATIENCE if running_loop() is None else 0.0)
    for server in running:
        server.join(max(0.0, deadline - time.monotonic()))
