"""A session's entries in the store: read, and written in a transaction of the caller's."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from clawguard.errors import StoreBusy
from clawguard.history.records import Entry, Row
from clawguard.store import Store, Transaction

__all__ = [
    "Grown",
    "add",
    "copy",
    "erase",
    "grow",
    "purge",
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


def add(tx: Transaction, session_id: str, rows: Iterable[Row], *, first: int) -> None:
    """Add entries under the numbers from `first` on. The index goes over them later."""
    for seq, row in enumerate(rows, first):
        tx.run("entry.insert", session_id=session_id, seq=seq, **row._asdict())


def replace(tx: Transaction, session_id: str, row: Row, *, seq: int) -> None:
    """Put another message in an entry's place."""
    tx.run("words.delete", session_id=session_id, seq=seq)
    tx.run("entry.replace", session_id=session_id, seq=seq, **row._asdict())


def remove(tx: Transaction, session_id: str, *, seq: int) -> None:
    """Remove one entry."""
    tx.run("words.delete", session_id=session_id, seq=seq)
    tx.run("entry.delete", session_id=session_id, seq=seq)


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


def copy(tx: Transaction, *, source: str, into: str, up_to: int) -> None:
    """Give a session without entries the first ones of another."""
    tx.run("entry.copy", source=source, into=into, up_to=up_to)


def read_all(store: Store, session_id: str) -> tuple[Entry, ...]:
    """Return a session's entries in order."""
    return tuple(map(Entry, store.read("entry.all", session_id=session_id)))


def walk(store: Store, session_id: str, *, until: int) -> Iterator[Entry]:
    """Yield a session's entries up to a number, some at a time; no query is open meanwhile.

    Raises StoreBusy where entries were removed meanwhile: what was yielded was never one conversation.
    """
    before = _last_but_one(store, session_id, until)
    seq = 0
    while seq < until:
        rows = store.read("entry.page", session_id=session_id, after=seq, until=until, limit=_BATCH)
        if not rows or rows[0][0] != seq + 1:
            raise _changed()
        yield from map(Entry, rows)
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
