"""Move a database into another, of any engine, while it is in use.

Every table is copied in pages, and meanwhile triggers note in the old database what changes there; then that
is copied, and again, until little is left. For the last of it nobody may write: the rest is copied, both are
compared, the new one's commit made power-safe, and in the transaction of that last read the old one is marked
moved and its tables hidden. Only then the new one, whose tables were hidden until now, is opened. So at no
moment two databases take writes, and whatever breaks off is gone on with: how far the copy is, it notes in
each of its own transactions.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from typing import NamedTuple, Self

from clawguard.clock import SECOND, Clock, SystemClock, microseconds, new_id
from clawguard.errors import ConfigError, InvalidArgument, StoreBusy, StoreUnavailable
from clawguard.events.chain import Place, link
from clawguard.guard import KekSource
from clawguard.sessions.ends import (
    Copied,
    Ends,
    Survey,
    TableCount,
    check_kek,
    check_pair,
    checked_url,
    count_rows,
    in_use,
    issuer_of,
    last_noted,
    move_state,
)
from clawguard.store import Row, Transaction, place_of
from clawguard.store.shut import MoveState
from clawguard.store.tables import TABLES, Key, Table

__all__ = ["Progress", "abandon_copy", "copy_database"]

_PAGE = 1_000
_PAGE_OF_ENTRIES = 200  # which may be long
_CHANGES = 500  # noted changes that are copied in one transaction
_LITTLE = 200  # so many may be left for the last transaction
_ROUNDS = 50  # after so many the writers are faster: they wait for the rest
_TRIES = 5
_EVENTS = "events"
_WATCHES = ("insert", "update", "delete")

Progress = Callable[[int, int], None]
Read = Callable[..., list[Row]]


class _Step(NamedTuple):
    """Hold how far a copy is: in which table behind which key, and up to which noted change."""

    table: int
    after: Key | None
    changes: int

    @classmethod
    def of(cls, text: str) -> Self:
        table, after, changes = json.loads(text)
        return cls(table, None if after is None else tuple(after), changes)

    def text(self) -> str:
        return json.dumps(self)


def copy_database(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    *,
    kek: KekSource = None,
    dry_run: bool = False,
    lock_timeout: float = 5.0,
    progress: Progress | None = None,
    clock: Clock | None = None,
) -> Copied:
    """Move the database at one URL to another, which is empty, and mark the first moved.

    Both may be a path, a `sqlite:///` or a `postgresql://` URL. What was broken off goes on with the same
    call. From the mark on every process that has the first one open gets StoreMoved. The key-encryption key
    is in neither: `kek` is the one that the new database will be opened with, and must open the keys that are
    there. With `dry_run` nothing is copied, and `refusals` hold what would be raised. `progress` is told how
    many rows there are by now, and of how many.

    Raises InvalidArgument for URLs that will not do, ConfigError for a new database that is in use or the
    copy of another, for a key-encryption key that is not the right one, and a log that does not hold,
    StoreMoved where the first was moved to somewhere else.
    """
    old_url, new_url = checked_url(source, argument="source"), checked_url(target, argument="target")
    if old_url == new_url or place_of(old_url) == place_of(new_url):
        raise InvalidArgument("target", "is the database itself", hint="name an empty one")
    patience = microseconds(lock_timeout, argument="lock_timeout") / SECOND
    ends = Ends(old_url, new_url, clock or SystemClock(), patience)
    if dry_run:
        return Survey(ends, kek).report()
    return _Copy(ends, kek, progress or (lambda _done, _of: None)).run()


def abandon_copy(
    source: str | os.PathLike[str], *, lock_timeout: float = 5.0, clock: Clock | None = None
) -> bool:
    """Give up a copy of a database that was not moved: its changes are noted no more; False where none are.

    The new database stays as it is, a part that nobody can open. Raises StoreMoved where it is too late.
    """
    url = checked_url(source, argument="source")
    patience = microseconds(lock_timeout, argument="lock_timeout") / SECOND
    with closing(Ends(url, url, clock or SystemClock(), patience).open_old()) as old:
        state = move_state(old)
        if state is None:
            return False
        if state.is_shut:
            raise state.refusal() or in_use()
        with old.transaction(durable=True) as tx:
            if tx.run("move.known"):
                _unwatch(tx)
                tx.run("move.forget")
    return True


def _unwatch(tx: Transaction) -> None:
    for table in TABLES:
        for watch in _WATCHES:
            tx.run(f"move.unwatch_{watch}.{table.name}")
    tx.run("move.forget_changes")


class _Copy:
    """Make one copy, or go on with it."""

    def __init__(self, ends: Ends, kek: KekSource, progress: Progress) -> None:
        self._ends = ends
        self._kek = kek
        self._progress = progress
        self._last: Place | None = None  # the last event that was copied
        self._step = _Step(0, None, 0)
        self._done = self._of = 0

    def run(self) -> Copied:
        """Go the whole way from wherever the copy stands."""
        ends = self._ends
        with ExitStack() as stack:
            self._old = ends.open_old()
            stack.callback(self._old.close)
            state, issuer = move_state(self._old), issuer_of(self._old)
            is_left = state is not None and state.is_shut
            if not is_left:
                check_kek(self._old, self._kek)
                ends.verify(ends.old)
            ends.is_new_there(state)
            self._new = ends.open_new(create=not is_left)
            stack.callback(self._close_new)
            partial, founded = move_state(self._new), issuer_of(self._new)
            check_pair(state, partial, issuer=issuer, founded=founded, place=place_of(ends.new))
            if not is_left:
                partial = self._begin(state, partial)
                self._copy(partial)
                self._leave(partial)
            tables = self._arrive()
        return Copied(issuer, place_of(ends.new), True, tables, ends.verify(ends.new))

    def _begin(self, state: MoveState | None, partial: MoveState | None) -> MoveState:
        """Have the old database note what changes, and make the new one a copy that is not whole."""
        if state is None:
            state = self._watch()
        if partial is None:
            partial = self._receive(state.capture)
        return partial

    def _watch(self) -> MoveState:
        state = MoveState("watched", self._new_id(), "", place_of(self._ends.new), "")
        with self._old.transaction(durable=True) as tx:
            if tx.run("move.known"):  # another process came first
                return MoveState(*tx.run("move.state")[0])
            tx.run("move.make")
            tx.run("move.make_changes")
            tx.run("move.begin", **state._asdict())
            for table in TABLES:
                for watch in _WATCHES:
                    tx.run(f"move.watch_{watch}.{table.name}")
        return state

    def _receive(self, capture: str) -> MoveState:
        step = _Step(0, None, self._noted(capture)).text()
        state = MoveState("receiving", capture, self._new_id(), place_of(self._ends.old), step)
        with self._new.transaction(durable=True) as tx:
            if tx.run("meta.get") or tx.run("move.known"):
                raise in_use()
            tx.run("move.make")
            tx.run("move.begin", **state._asdict())
            for table in TABLES:
                tx.run(f"move.hide.{table.name}")
        self._new.close()
        self._new = self._ends.open_new(create=False)
        return state

    def _copy(self, partial: MoveState) -> None:
        self._step = _Step.of(partial.progress)
        self._of = sum(count_rows(self._old).values())
        self._done = sum(count_rows(self._new).values())
        self._last = self._last_place()
        while self._step.table < len(TABLES):
            self._copy_table(TABLES[self._step.table])
            with self._stepping(self._step._replace(table=self._step.table + 1, after=None)):
                pass
        for _ in range(_ROUNDS):
            until = self._noted(partial.capture)
            left = until - self._step.changes
            while self._catch_up(self._old.read, until=until):
                pass
            if left <= _LITTLE:
                break

    def _noted(self, capture: str) -> int:
        """Return up to which number no change is to come any more.

        Who writes beside others has its number before its commit: a greater one may be seen first. So nobody
        may be writing for a moment.
        """
        with self._old.transaction(durable=False) as tx:
            return last_noted(tx, capture=capture)

    def _copy_table(self, table: Table) -> None:
        limit = _PAGE_OF_ENTRIES if table.name == "entries" else _PAGE
        while True:
            after = self._step.after
            place = table.start() if after is None else table.place(after)
            rows = self._old.read(f"move.page.{table.name}", **place, limit=limit)
            if not rows:
                return
            if table.name == _EVENTS:
                self._follow_chain(rows, self._old.read)
            with self._stepping(self._step._replace(after=table.key_of(rows[-1]))) as tx:
                tx.run_many(f"move.put.{table.name}", rows)
            if table.name == _EVENTS and self._new.read("move.kept.events", **place, limit=limit) != rows:
                raise _differs(_EVENTS)
            self._done += len(rows)
            self._progress(min(self._done, self._of), self._of)

    def _catch_up(self, read: Read, *, until: int) -> bool:
        """Copy the rows that the next noted changes concern, as they are now; False where there are none."""
        changes = read("move.changes", after=self._step.changes, until=until, limit=_CHANGES)
        if not changes:
            return False
        changed: dict[str, set[Key]] = {}
        for _, name, *key in changes:
            changed.setdefault(name, set()).add(tuple(key))
        with self._stepping(self._step._replace(changes=changes[-1][0])) as tx:
            for table in TABLES:
                keys = changed.get(table.name)
                if keys:
                    self._bring(tx, table, keys, read)
        return True

    def _bring(self, tx: Transaction, table: Table, keys: set[Key], read: Read) -> None:
        rows = [row for key in keys for row in read(f"move.row.{table.name}", **table.place(key))]
        if table.name == _EVENTS:
            rows.sort()
            self._follow_chain(rows, read)
        tx.run_many(f"move.drop.{table.name}", [table.values(key) for key in keys])
        tx.run_many(f"move.put.{table.name}", rows)

    def _leave(self, partial: MoveState) -> None:
        """Copy the rest while nobody writes, and mark the old database moved with that."""
        for _ in range(_TRIES - 1):
            with suppress(StoreBusy):  # who reads holds a table for a moment
                self._leave_once(partial)
                return
        self._leave_once(partial)

    def _leave_once(self, partial: MoveState) -> None:
        with self._old.transaction(durable=True) as leaving:
            until = last_noted(leaving, capture=partial.capture)
            while self._catch_up(leaving.run, until=until):
                pass
            with self._stepping(self._step, durable=True) as arriving:
                self._number(leaving, arriving)
                self._compare(leaving, arriving)
            _unwatch(leaving)
            for table in TABLES:
                leaving.run(f"move.hide.{table.name}")
            leaving.run("move.leave", copy=partial.copy, told=place_of(self._ends.new))

    def _number(self, leaving: Transaction, arriving: Transaction) -> None:
        for table in TABLES:
            if table.numbered is not None:
                [(number,)] = leaving.run(f"move.numbers.{table.name}")
                arriving.run(f"move.forget_numbers.{table.name}")
                arriving.run(f"move.go_on_behind.{table.name}", number=number)

    def _compare(self, leaving: Transaction, arriving: Transaction) -> None:
        for table in TABLES:
            if leaving.run(f"move.count.{table.name}") != arriving.run(f"move.there.{table.name}"):
                raise _differs(table.name)
        head = leaving.run("event.head")
        if head and (self._last is None or (head[0][0], head[0][1]) != tuple(self._last)):
            raise _differs(_EVENTS)

    def _arrive(self) -> tuple[TableCount, ...]:
        """Open the new database to everybody, unless that was done; return how much there is."""
        with self._new.transaction(durable=True) as tx:
            is_shut = bool(tx.run("move.known"))
            if is_shut:
                for table in TABLES:
                    tx.run(f"move.show.{table.name}")
                tx.run("move.forget")
        # The store itself was opened while the tables were hidden: its statements are those for hidden ones.
        with closing(self._ends.open_new(create=False)) as opened:
            counts = count_rows(opened)
        return tuple(TableCount(name, count, count) for name, count in counts.items())

    def _last_place(self) -> Place | None:
        """Return the last event that the copy has."""
        rows = self._new.read("move.last_kept")
        return Place(rows[0][0], bytes(rows[0][1])) if rows else None

    def _follow_chain(self, rows: Sequence[Row], read: Read) -> None:
        """Hold each event's hash against its text and the hash before."""
        for seq, digest, *_, body in rows:
            if self._last is not None and seq <= self._last.seq:
                continue
            follows = self._last is not None and seq == self._last.seq + 1
            if not follows and self._last is not None and read("event.first")[0][0] < seq:
                raise ConfigError(f"the log does not hold: an entry before {seq} is missing")
            if follows and self._last is not None and link(self._last.head, body.encode()) != digest:
                raise ConfigError(f"the log does not hold at entry {seq}", hint="clawguard events verify")
            self._last = Place(seq, bytes(digest))

    @contextmanager
    def _stepping(self, step: _Step, *, durable: bool = False) -> Iterator[Transaction]:
        """Write into the new database, and note there with it how far the copy is then."""
        with self._new.transaction(durable=durable) as tx:
            if not tx.run("move.step", progress=step.text(), before=self._step.text()):
                raise StoreUnavailable("another process copies into this database", hint="let it go on")
            yield tx
        self._step = step

    def _new_id(self) -> str:
        return new_id(self._ends.clock.now())

    def _close_new(self) -> None:
        self._new.close()


def _differs(table: str) -> StoreUnavailable:
    return StoreUnavailable(
        f"the copy of {table} is not what it was made from", hint="begin anew with an empty database"
    )
