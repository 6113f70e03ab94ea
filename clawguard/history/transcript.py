"""A session's entries in the store: read, and written in a transaction of the caller's."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from clawguard.errors import StoreBusy
from clawguard.history.content_keys import PLAINTEXT, ContentKeys, Contents
from clawguard.history.records import Entry, Row
from clawguard.store import Store, Transaction

__all__ = [
    "Batch",
    "Grown",
    "add",
    "copy",
    "erase",
    "grow",
    "last",
    "prepare",
    "purge",
    "read",
    "read_all",
    "remove",
    "replace",
    "walk",
]

_BATCH = 500


class Grown(NamedTuple):
    """Hold what `conversation.grow` says of a live session, in its order."""

    length: int
    parent_id: str | None
    agent_id: str
    subject: str
    workspace_id: str


class Batch(NamedTuple):
    """Hold entries for a session as they are to be stored, made before the write lock is taken.

    They are for the numbers from `first` on and under the content key `key`, and were made of `rows`.
    """

    session_id: str
    rows: tuple[Row, ...]
    key: int
    first: int
    stored: list[Row]

    def fits(self, keys: ContentKeys, *, first: int) -> bool:
        """Tell whether it may be stored under these numbers; what is plaintext may be under any."""
        return self.key == keys.active and (self.key == PLAINTEXT or self.first == first)


def grow(tx: Transaction, session_id: str, *, by: int, now: int) -> Grown | None:
    """Give a live session's conversation so many entries more, and note its activity and its ancestors'.

    None where the session is not live. The numbers it gives are the caller's to fill, in this transaction.
    """
    rows = tx.run("conversation.grow", id=session_id, count=by, now=now)
    if not rows:
        return None
    grown = Grown(*rows[0])
    if grown.parent_id is not None:
        tx.run("session.touch", id=grown.parent_id, at=now, now=now)
    return grown


def prepare(keys: ContentKeys, session_id: str, rows: Iterable[Row], *, first: int) -> Batch:
    """Return entries as they are stored under the numbers from `first` on."""
    given = tuple(rows)
    return Batch(session_id, given, keys.active, first, keys.seal(session_id, given, first=first))


def add(tx: Transaction, keys: ContentKeys, batch: Batch, *, first: int) -> None:
    """Add entries under the numbers from `first` on; `keys` are those under the lock.

    The index goes over them later.
    """
    if not batch.fits(keys, first=first):  # others appended, or a key was changed, since it was made
        batch = prepare(keys, batch.session_id, batch.rows, first=first)
    numbered = enumerate(batch.stored, first)
    tx.run_many("entry.insert", [(batch.session_id, seq, *row) for seq, row in numbered])


def replace(tx: Transaction, keys: ContentKeys, session_id: str, row: Row, *, seq: int) -> None:
    """Put another message in an entry's place."""
    tx.run("words.delete", session_id=session_id, seq=seq)
    [(at,)] = tx.run("entry.at", session_id=session_id, seq=seq)
    [stored] = keys.seal(session_id, [row._replace(at=at)], first=seq)
    tx.run("entry.replace", session_id=session_id, seq=seq, **stored._asdict())


def remove(tx: Transaction, session_id: str, *, seq: int) -> None:
    """Remove one entry."""
    tx.run("words.delete", session_id=session_id, seq=seq)
    tx.run("entry.delete", session_id=session_id, seq=seq)


def last(tx: Transaction, keys: ContentKeys, session_id: str) -> Entry | None:
    """Return a session's newest entry, as the transaction sees it; `keys` are those under the lock."""
    rows = tx.run("entry.tail", session_id=session_id, limit=1)
    return keys.open(session_id, [rows[0][1:]])[0] if rows else None


def erase(tx: Transaction, session_id: str) -> None:
    """Remove all of a session's entries, and the receipts of what was imported into it."""
    tx.run("words.delete_all", session_id=session_id)
    tx.run("entry.delete_all", session_id=session_id)
    tx.run("receipt.delete", session_id=session_id)
    tx.run("conversation.empty", id=session_id)


def purge(tx: Transaction, ids: str) -> None:
    """Remove what sessions that are no more have left; `ids` is a JSON array of theirs."""
    for statement in ("words.purge", "entry.purge", "receipt.purge"):
        tx.run(statement, ids=ids)


def copy(tx: Transaction, keys: ContentKeys, *, source: str, into: str, up_to: int) -> None:
    """Give a session without entries the first ones of another."""
    if keys.active == PLAINTEXT:
        keys.open(source, tx.run("entry.sealed", session_id=source, until=up_to))  # raises for what there is
        tx.run("entry.copy", source=source, into=into, up_to=up_to)
        return
    for after in range(0, up_to, _BATCH):
        until = min(after + _BATCH, up_to)
        found = tx.run("entry.page", session_id=source, after=after, until=until, limit=_BATCH)
        rows = [entry.row for entry in keys.open(source, found)]
        add(tx, keys, prepare(keys, into, rows, first=after + 1), first=after + 1)


def read(
    store: Store, contents: Contents, statement: str, session_id: str, **params: Any
) -> tuple[ContentKeys, list[tuple[Any, ...]]]:
    """Run a query of a session's entries that ends in `entry_columns`; return their keys, and the rows."""
    keys = contents.current()
    rows = store.read(statement, session_id=session_id, **params)
    if not keys.know(rows):  # another key came into use since, or theirs was retired
        keys = contents.renewed()
        rows = store.read(statement, session_id=session_id, **params)
    return keys, rows


def read_all(store: Store, contents: Contents, session_id: str) -> tuple[Entry, ...]:
    """Return a session's entries in order."""
    keys, rows = read(store, contents, "entry.all", session_id)
    return keys.open(session_id, rows)


def walk(store: Store, contents: Contents, session_id: str, *, until: int) -> Iterator[Entry]:
    """Yield a session's entries up to a number, some at a time; no query is open meanwhile.

    Raises StoreBusy where entries were removed meanwhile: what was yielded was never one conversation.
    """
    before = _last_but_one(store, session_id, until)
    seq = 0
    while seq < until:
        keys, rows = read(store, contents, "entry.page", session_id, after=seq, until=until, limit=_BATCH)
        if not rows or rows[0][0] != seq + 1:
            raise _changed()
        yield from keys.open(session_id, rows)
        seq = rows[-1][0]
    if _last_but_one(store, session_id, until) != before:
        raise _changed()


def _last_but_one(store: Store, session_id: str, until: int) -> list[tuple[int]]:
    """Return the id of the entry before the last, which tells all up to it: below an entry nothing changes.

    The last one may be another by then, as an answer streams in: the conversation is one all the same.
    """
    return [(row[0],) for row in store.read("entry.id", session_id=session_id, seq=until - 1)]


def _changed() -> StoreBusy:
    return StoreBusy("entries of the conversation were removed meanwhile", hint="repeat the call")
