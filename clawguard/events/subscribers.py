"""Durable subscribers: each has a name, a cursor of its own, and a thread that serves it.

Of many processes that subscribe a name one serves it at a time; another takes over when that one dies, stops
or hangs. A receiver that fails is tried again, later and later; what it cannot take at all is parked, with an
alarm, and the next event has its turn.
"""

from __future__ import annotations

import threading
from datetime import datetime
from typing import NamedTuple

from clawguard.checks import check_text
from clawguard.clock import Duration, IdFactory, microseconds, to_datetime
from clawguard.errors import EventsArchived, InvalidArgument
from clawguard.events.cursors import Bench, Cursor
from clawguard.events.serving import Server
from clawguard.events.signals import Receiver
from clawguard.events.types import matching_types
from clawguard.forks import call_around_fork

__all__ = ["LEASE", "Parked", "Servers", "Subscriber", "Subscribers"]

LEASE = 15.0  # seconds that a server may be silent before another takes over
_PATIENCE = 2.0  # seconds


class Subscriber(NamedTuple):
    """Tell of a durable subscriber: its place in the log, how much is parked, whether it is served."""

    name: str
    pattern: str
    position: int
    parked: int
    is_served: bool


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
        self._servers: dict[str, Server] = {}
        self._lock = threading.Lock()
        call_around_fork(self)

    def serve(
        self,
        name: str,
        pattern: str,
        receiver: Receiver,
        *,
        after: int | None,
        tries: int,
        lease: Duration,
    ) -> None:
        """Serve a subscriber from a thread of its own: see `SessionManager.on`."""
        if not callable(receiver):
            raise InvalidArgument("receiver", "must be callable with one event")
        if isinstance(tries, bool) or not isinstance(tries, int) or tries < 1:
            raise InvalidArgument("tries", "must be an integer of at least 1")
        with self._lock:
            if name in self._servers:
                raise InvalidArgument("durable", f"{name!r} is served here already", hint="off() ends that")
            cursor = self.cursor(name, pattern, after=after, lease=lease)
            server = self._servers[name] = Server(cursor, receiver, tries=tries, bench=self.bench)
        server.start()

    def off(self, receiver: Receiver) -> None:
        """Stop serving a receiver here; its subscriber keeps its place."""
        with self._lock:
            ended = [name for name, each in self._servers.items() if each.receiver == receiver]
            servers = [self._servers.pop(name) for name in ended]
        for server in servers:
            server.stop(_PATIENCE)

    def close(self) -> None:
        """Stop serving, waiting a moment for the calls under way."""
        servers, self._servers = list(self._servers.values()), {}
        for patience in (0.0, _PATIENCE):
            for server in servers:
                server.stop(patience)

    def after_fork(self) -> None:
        """Serve on in a forked child, which has no threads, as somebody else than the parent."""
        self._lock = threading.Lock()
        for name, before in list(self._servers.items()):
            cursor = self._cursor(name, before.cursor.types, lease=before.cursor.lease_length)
            self._servers[name] = Server(cursor, before.receiver, tries=before.tries, bench=self.bench)
            self._servers[name].start()

    def cursor(self, name: str, pattern: str, *, after: int | None, lease: Duration) -> Cursor:
        """Return the cursor of a name, made if there is none: then behind `after`, or at the log's end."""
        check_text(name, argument="durable")
        matching_types(pattern)
        length = microseconds(lease, argument="lease")
        if after is not None and (isinstance(after, bool) or not isinstance(after, int) or after < 0):
            raise InvalidArgument("after", "must be the number of an event, 0 or None")
        cursor = self._cursor(name, pattern, lease=length)
        position = self.bench.log.last()[0] if after is None else after
        if position < self.bench.log.archived and cursor.find() is None:
            raise EventsArchived(self.bench.log.archived)
        with self.bench.change(durable=False) as change:
            change.tx.run("cursor.insert", name=name, pattern=pattern, position=position, now=change.now)
        return cursor

    def _cursor(self, name: str, pattern: str, *, lease: int) -> Cursor:
        owner = self._new_id(self.bench.clock.now())
        return Cursor(name, pattern, owner=owner, lease=lease, bench=self.bench)


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
        if seq is not None and (isinstance(seq, bool) or not isinstance(seq, int) or seq < 1):
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
        self, name: str, types: str = "*", *, after: int | None = None, lease: Duration = LEASE
    ) -> Cursor:
        """Return the cursor of a name, to be polled by hand; a new one begins behind `after` (None: now)."""
        return self._servers.cursor(name, types, after=after, lease=lease)
