"""The log: every change's event, committed with it and linked then or soon after; read and followed."""

from __future__ import annotations

import asyncio
import json
import threading
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from clawguard.checks import check_text, is_integer
from clawguard.clock import SECOND, Duration, IdFactory, microseconds
from clawguard.errors import ClockError, EventsArchived, InvalidArgument, StoreUnavailable, StoreUpgraded
from clawguard.events.alerts import Alerts
from clawguard.events.archives import cut_of
from clawguard.events.chain import Place, canonical, genesis, link
from clawguard.events.entries import Entry
from clawguard.events.event import Event
from clawguard.events.linking import Linker
from clawguard.events.signals import EventBus
from clawguard.forks import call_around_fork
from clawguard.store import Reach, Row, Store, Transaction

if TYPE_CHECKING:
    from pydantic import BaseModel

__all__ = ["CLOCK_TOLERANCE", "SCHEMA_VERSION", "EventLog", "Follower", "LogWriter", "check_page"]

SCHEMA_VERSION = 9
CLOCK_TOLERANCE = 5 * SECOND
_MAX_LIMIT = 1_000


class LogWriter:
    """Append events inside one transaction; opened first of all, it checks what every write depends on.

    Where others write at the same time, events are left unlinked: they get their place in the chain later.

    `now` is the change's time (microseconds): never before the last event's, so that a clock set back step
    by step gains nothing. Raises StoreUpgraded when a newer version migrated the store, ClockError when the
    clock stands more than 5 s below the last event.
    """

    def __init__(self, tx: Transaction, *, now: int, start: bytes, new_id: IdFactory) -> None:
        schema, revision, seq, head, at = tx.run("change.head")[0]
        if schema != SCHEMA_VERSION:
            raise StoreUpgraded("a newer clawguard migrated the store", hint="restart with that version")
        if seq is not None and (head is None or at is None):
            raise StoreUnavailable("the log's last entry cannot be read", hint="restore a backup")
        if at is not None and now < at - CLOCK_TOLERANCE:
            raise ClockError("the clock stands below the log's last event", hint="set the clock right")
        self.revision: int = revision
        self.written: list[Entry] = []
        self.now = now if at is None else max(now, at)
        self._tx = tx
        self._new_id = new_id
        self._seq: int = seq or 0
        self._head: bytes = start if head is None else head

    def append(self, event_type: str, /, **fields: Any) -> None:
        """Store one event; fields that are None are left out of its text."""
        self.append_many(event_type, (fields,))

    def append_many(self, event_type: str, entries: Sequence[dict[str, Any]], /) -> None:
        """Store many events of one type, in order."""
        rows = [self._row(event_type, fields) for fields in entries]
        self._tx.run_many("event.insert" if self._tx.links else "event.insert_unlinked", rows)

    def _row(self, event_type: str, fields: dict[str, Any]) -> tuple[Any, ...]:
        now = self.now
        body = {name: value for name, value in fields.items() if value is not None}
        body |= {"type": event_type, "at": now, "id": self._new_id(now)}
        text = canonical(body)
        columns = (event_type, now, body.get("session_id"), body.get("cause_id"), text)
        if not self._tx.links:
            self.written.append(Entry(0, b"", b"", body))
            return columns
        previous, self._head = self._head, link(self._head, text.encode())
        self._seq += 1
        self.written.append(Entry(self._seq, self._head, previous, body))
        return self._seq, self._head, *columns


class EventLog:
    """Write, read and follow the log of one store."""

    def __init__(self, store: Store, *, bus: EventBus, issuer: str, new_id: IdFactory) -> None:
        self._store = store
        self._bus = bus
        self._new_id = new_id
        self._genesis = genesis(issuer)
        self._safe_seq = 0
        self._linker = Linker(store)
        self._ears: tuple[Callable[[Sequence[Entry]], None], ...] = ()
        self.latest = self._last()[1]
        self._closed = False
        self._begin_anew()
        call_around_fork(self)

    def _begin_anew(self) -> None:
        self._lock = threading.Lock()
        self._news = threading.Condition(self._lock)
        self.alerts = Alerts()

    def after_fork(self) -> None:
        """Make the locks anew in a forked child: a thread of the parent may have held them."""
        self._begin_anew()

    def writer(self, tx: Transaction, *, now: int) -> LogWriter:
        """Return the writer for a transaction that has just begun."""
        writer = LogWriter(tx, now=now, start=self._genesis, new_id=self._new_id)
        self.note_time(writer.now)
        return writer

    def note_time(self, at: int) -> None:
        """Remember the latest time (microseconds) that this process has seen in or beside the log."""
        self.latest = max(self.latest, at)

    def announce(self, written: list[Entry]) -> None:
        """Queue what a committed transaction wrote for the live receivers, in commit order."""
        if written and self._bus.wanted:
            self._bus.queue(written)

    def after_commit(self, written: list[Entry]) -> None:
        """Have what is queued delivered, and tell whoever follows or waits; no lock is held here."""
        for hear in self._ears:
            hear(written)
        self._bus.deliver()
        self.stir()
        self.alerts.sound(written)
        if not written[0].seq:
            self._linker.leave(len(written))

    def listen(self, hear: Callable[[Sequence[Entry]], None]) -> None:
        """Have something of ours hear what each transaction of this process wrote, before anybody else."""
        self._ears += (hear,)

    def stir(self) -> None:
        """Have whoever follows or waits look at once."""
        with self._lock:
            self._news.notify_all()

    def link(self) -> None:
        """Give every event its place in the chain that was acknowledged by now; whoever reads does it."""
        self._linker.link()

    def last(self) -> tuple[int, int]:
        """Return the last entry's number and time (microseconds); zeros for an empty log."""
        self.link()
        return self._last()

    def _last(self) -> tuple[int, int]:
        head = self._head()
        return (0, 0) if head is None else (head[0], head[2])

    def _head(self) -> Row | None:
        """Return the last entry's number, hash and time, if there is one."""
        rows = self._store.read("event.head")
        if rows and None in rows[0]:
            raise StoreUnavailable("the log's last entry cannot be read", hint="restore a backup")
        return rows[0] if rows else None

    def read(
        self,
        *,
        after: int = 0,
        types: str | Sequence[str] | None = None,
        session_id: str | None = None,
        cause_id: str | None = None,
        workspace_id: str | None = None,
        limit: int = 100,
    ) -> list[Event]:
        """Return the events after a number, in order, at most `limit` (1 to 1,000).

        None of them is given out before a power-safe commit stands behind it. What concerns the whole
        database, such as its keys, is of no workspace. Raises EventsArchived where some that come after
        that number were archived.
        """
        check_page(after=after, limit=limit)
        ids = {"session_id": session_id, "cause_id": cause_id, "workspace_id": workspace_id}
        return self.page(self._patterns(types), after=after, limit=limit, **ids)

    def page(
        self, patterns: Sequence[str] | None, *, after: int, limit: int, **ids: str | None
    ) -> list[Event]:
        """Return what `read` does, of types that fit patterns which were checked before.

        They are held against what stands in the log: also types that are not known here are found.
        """
        filters, params = _filters(patterns, ids)
        self.link()
        rows = self._store.read("event.page", filters, after=after, limit=limit, **params)
        if rows:
            self._make_safe(rows[-1][0])
        cut = self._cut()  # after the page: what was removed meanwhile shows
        if after < cut.seq:
            raise EventsArchived(cut.seq)
        return [self._event_of_row(row, cut) for row in rows]

    def follow(
        self,
        *,
        after: int | None = None,
        types: str | Sequence[str] | None = None,
        session_id: str | None = None,
        workspace_id: str | None = None,
        timeout: Duration | None = None,
        poll: Duration = 0.1,
    ) -> Follower:
        """Return an iterator, plain and async, over the events after a number (None: from now on).

        It hears every process. It goes on until the log is closed, or `timeout` seconds brought nothing.
        """
        check_page(after=after or 0, limit=1)
        patience = _seconds(timeout, argument="timeout")
        rest = microseconds(poll, argument="poll", least=0) / SECOND
        patterns, ids = self._patterns(types), {"session_id": session_id, "workspace_id": workspace_id}
        _filters(patterns, ids)
        start = self.last()[0] if after is None else after

        def read(after: int) -> tuple[list[Event], int]:
            head = self.last()[0]  # before the page, so that nothing which comes meanwhile is passed over
            found = self.page(patterns, after=after, limit=_MAX_LIMIT, **ids)
            return found, head

        return Follower(read, self.wait, lambda: self._closed, after=start, timeout=patience, poll=rest)

    def register(self, name: str, payload: type[BaseModel] | None = None) -> None:
        """Make a type of the host's own known here, such as `memory.added`, and give it a signal.

        `payload` is the pydantic model of what its events carry, None any JSON object: see
        `SessionManager.publish`. Every process that publishes or hears such events registers them.
        """
        self._bus.register(name, payload)

    def flush(self, timeout: Duration | None = None) -> bool:
        """Wait until every live receiver has heard all there was; False after `timeout` seconds."""
        return self._bus.flush(_seconds(timeout, argument="timeout"))

    def close(self) -> None:
        """End every follower."""
        self._closed = True
        with self._lock:
            self._news.notify_all()

    def _patterns(self, types: str | Sequence[str] | None) -> list[str] | None:
        """Return the patterns that were asked for, each of which fits something."""
        if types is None:
            return None
        patterns = (types,) if isinstance(types, str) else types
        if not isinstance(patterns, list | tuple | set | frozenset):
            raise InvalidArgument("types", "must be an event type, a pattern, or a list of them")
        return [self._bus.types.check_pattern(each, argument="types") for each in patterns]

    def _cut(self) -> Place:
        """Return where the log begins here: what came before was archived."""
        for seq, body in self._store.read("event.cut"):
            cut = cut_of(body)
            if cut is None:
                raise _unreadable(seq)
            return cut.place
        return Place(0, self._genesis)

    def _event_of_row(self, row: Row, cut: Place) -> Event:
        seq, digest, text, previous = row
        if previous is None and seq == cut.seq + 1:
            previous = cut.head
        try:
            return Entry(seq, digest, bytes(previous), json.loads(text)).event()
        except (ValueError, KeyError, TypeError):
            raise _unreadable(seq) from None

    def _make_safe(self, seq: int) -> None:
        """Let no event out that a power cut could still take back."""
        if seq > self._safe_seq:
            with self._store.transaction(durable=True, reach=Reach()) as tx:
                tx.run("meta.barrier")
            self._safe_seq = seq

    @property
    def is_closed(self) -> bool:
        """Whether the log was closed: nobody follows it any more."""
        return self._closed

    def wait(self, seconds: float) -> None:
        """Wait for a change of this process, at most so many seconds; at once where the log is closed."""
        with self._lock:
            if not self._closed:
                self._news.wait(seconds)


class Follower:
    """Iterate over events as they come, with `for` or `async for`."""

    def __init__(
        self,
        read: Callable[[int], tuple[list[Event], int]],
        wait: Callable[[float], None],
        closed: Callable[[], bool],
        *,
        after: int,
        timeout: float | None,
        poll: float,
    ) -> None:
        self._read = read
        self._wait = wait
        self._is_closed = closed
        self._after = after
        self._timeout = timeout
        self._poll = poll
        self._ready: list[Event] = []
        self._idle_since = time.monotonic()

    def __iter__(self) -> Iterator[Event]:
        return self

    def __next__(self) -> Event:
        while not self._fetch():
            if self._is_over():
                raise StopIteration
            self._wait(self._poll)
        return self._pop()

    def __aiter__(self) -> AsyncIterator[Event]:
        return self

    async def __anext__(self) -> Event:
        # In a thread: before events are given out, a write may have to stand behind them, and that may wait.
        while not self._ready and not await asyncio.to_thread(self._fetch):
            if self._is_over():
                raise StopAsyncIteration
            await asyncio.sleep(self._poll)
        return self._pop()

    def _fetch(self) -> bool:
        try:
            if not self._ready and not self._is_closed():
                found, head = self._read(self._after)
                self._ready = found[::-1]
                if not found:
                    self._after = max(self._after, head)
        except StoreUnavailable:
            if not self._is_closed():
                raise
        return bool(self._ready)

    def _is_over(self) -> bool:
        waited = time.monotonic() - self._idle_since
        return self._is_closed() or (self._timeout is not None and waited >= self._timeout)

    def _pop(self) -> Event:
        event = self._ready.pop()
        self._after = event.seq
        self._idle_since = time.monotonic()
        return event


def _unreadable(seq: int) -> StoreUnavailable:
    hint = "events.verify() tells where the log was changed"
    return StoreUnavailable(f"entry {seq} of the log cannot be read", hint=hint)


def _seconds(duration: Duration | None, *, argument: str) -> float | None:
    return None if duration is None else microseconds(duration, argument=argument, least=0) / SECOND


def check_page(*, after: int, limit: int) -> None:
    """Raise InvalidArgument for a page of events that nobody can ask for."""
    if not is_integer(after, least=0, most=2**63 - 1):
        raise InvalidArgument("after", "must be the number of an event, or 0")
    if not is_integer(limit, least=1, most=_MAX_LIMIT):
        raise InvalidArgument("limit", f"must be 1 to {_MAX_LIMIT}")


def _filters(
    patterns: Sequence[str] | None, ids: Mapping[str, str | None]
) -> tuple[tuple[str, ...], dict[str, Any]]:
    filters: list[str] = []
    params: dict[str, Any] = {}
    if patterns is not None:
        filters.append("of_types")
        params["types"] = json.dumps(sorted(patterns))
    for name, value in ids.items():
        if value is not None:
            filters.append(f"of_{name.removesuffix('_id')}")
            params[name] = check_text(str(value) if isinstance(value, uuid.UUID) else value, argument=name)
    return tuple(filters), params
