"""`manager.history.encryption`: content at rest, under a key of the store's that is changed in its place."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from clawguard.checks import check_progress
from clawguard.errors import ConfigError, EntryUnreadable, SearchUnavailable
from clawguard.history.content_keys import PLAINTEXT, ContentKeys
from clawguard.history.records import EncryptionStatus, Row
from clawguard.sessions.change import Change
from clawguard.sessions.current import who_acts
from clawguard.sessions.indexing import Indexing
from clawguard.sessions.parts import Parts

__all__ = ["Encryption"]

_BATCH = 500
_BATCH_BYTES = 1_048_576  # of entries that one hold of the write lock seals anew; a longer one is alone

Progress = Callable[[int], None]
Stretch = tuple[int, int]


class Encryption:
    """Encrypt what entries say, with AES-256-GCM, and change the key; see `docs/reference/history.md`.

    Both seal the entries that are there in batches, while everything else goes on. What is cut short leaves
    each entry readable, and the same call takes it up again. Nothing takes encryption back.
    """

    def __init__(self, parts: Parts, indexing: Indexing) -> None:
        self._parts = parts
        self._indexing = indexing
        self._store = parts.store
        self._contents = parts.contents

    def status(self) -> EncryptionStatus:
        """Tell whether conversations are encrypted, and how far that has come."""
        keys = self._contents.current()
        if keys.is_settled:
            return EncryptionStatus(keys.active or None, 0, is_finished=True)
        remaining = self._store.read("entry.count_to_seal", active=keys.active)[0][0]
        return EncryptionStatus(keys.active, remaining, is_finished=False)

    def enable(self, *, progress: Progress | None = None, actor: str | None = None) -> int:
        """Encrypt all conversations from now on, and those that are there; return how many entries it sealed.

        At once no process stores plaintext any more, and none searches. When this returns, neither the
        database's file nor its log holds any. Where all is encrypted already it does nothing. `progress` is
        told the number so far. Raises EntryUnreadable for the first entry that is not as it was stored, when
        all others are sealed.
        """
        check_progress(progress)
        self._begin(anew=False, only_if_empty=False, actor=who_acts(actor))
        return self._seal_all(progress)

    def rotate(self, *, progress: Progress | None = None, actor: str | None = None) -> int:
        """Put a new content key in the place of the one in use; return how many entries it sealed anew.

        The one before is destroyed when no entry is under it. A call that was cut short is taken up by the
        next, with the key it began. Raises ConfigError where nothing is encrypted, and as `enable` does.
        """
        check_progress(progress)
        self._begin(anew=True, only_if_empty=False, actor=who_acts(actor))
        return self._seal_all(progress)

    def require(self) -> None:
        """Encrypt a store that has no entry yet; raise ConfigError for one that has some in plaintext."""
        if self._contents.current().active == PLAINTEXT:
            self._begin(anew=False, only_if_empty=True, actor=who_acts(None))
            self._seal_all(None)

    def _begin(self, *, anew: bool, only_if_empty: bool, actor: str) -> None:
        """Have the next key seal from now on, unless one is being changed; or unless there is one."""
        with self._parts.change(durable=True) as change:
            keys = self._keys_under(change)
            if anew and keys.active == PLAINTEXT:
                raise ConfigError("conversations are not encrypted here", hint="call enable() first")
            if keys.active != PLAINTEXT and not (anew and keys.is_settled):
                return
            if change.tx.run("words.left"):
                raise SearchUnavailable(
                    "this SQLite was built without FTS5, and cannot empty the index that is here",
                    hint="encrypt with one that has it",
                )
            if only_if_empty and change.tx.run("entry.any"):
                raise ConfigError(
                    "the conversations of this database are not encrypted",
                    hint="open it without encrypt_history=, and call history.encryption.enable()",
                )
            number = self._insert_key(change, keys)
            data = {"key": number, "previous": keys.active}
            change.writer.append("history.key_rotated", actor=actor, data=data)

    def _insert_key(self, change: Change, keys: ContentKeys) -> int:
        tx, now = change.tx, change.now
        number, key = keys.successor()
        sealed = key.seal(number, min(keys.numbers), self._parts.keychain.kek)
        tx.run("content_keys.insert", number=number, sealed=sealed, now=now)
        if keys.active == PLAINTEXT:
            tx.run("content_keys.insert", number=PLAINTEXT, sealed=None, now=now)
            for session_id, digest in tx.run("receipt.all"):
                kept = key.digest(digest)
                tx.run("receipt.set_digest", session_id=session_id, before=digest, digest=kept)
        tx.run("meta.bump")
        return number

    def _seal_all(self, progress: Progress | None) -> int:
        """Go through all entries until none is left to be sealed, then retire what they were under."""
        total = 0
        while not (keys := self._contents.current()).is_settled:
            before, faults = total, list[EntryUnreadable]()
            for stretch in self._stretches(keys.active):
                total += self._seal(keys, stretch, faults)
                if progress is not None:
                    progress(total)
            if faults:
                raise faults[0]
            if total == before:  # a whole walk found none: only then is a key let go that cannot be had again
                self._retire(keys)
        return total

    def _stretches(self, active: int) -> Iterator[Stretch]:
        """Yield the first and the last id of entries that one batch takes; no query is open meanwhile."""
        after = 0
        while rows := self._store.read("entry.to_seal", after=after, active=active, limit=_BATCH):
            first = after = rows[0][0]
            size = 0
            for entry_id, length in rows:
                if size and size + length > _BATCH_BYTES:
                    yield first, after
                    first, size = entry_id, 0
                after, size = entry_id, size + length + 1
            yield first, after

    def _seal(self, keys: ContentKeys, stretch: Stretch, faults: list[EntryUnreadable]) -> int:
        """Seal a stretch anew and return how many entries that were; all of it is reckoned before the lock.

        What somebody wrote meanwhile is under the active key already, and is left as it is.
        """
        first, last = stretch
        sealed = []
        for entry_id, session_id, seq, *columns in self._store.read(
            "entry.sealable", first=first, last=last, active=keys.active
        ):
            before = Row(*columns)
            try:
                [row] = keys.seal(session_id, [keys.open_row(session_id, seq, before)], first=seq)
            except EntryUnreadable as fault:
                faults.append(fault)
            else:
                sealed.append((row.content_key, row.sealed, entry_id, before.content_key, before.sealed))
        with self._parts.change(durable=False) as change:
            change.tx.run_many("entry.seal", sealed)
            if PLAINTEXT in keys.numbers:
                change.tx.run("words.delete_stretch", after=first - 1, until=last)
        return len(sealed)

    def _retire(self, keys: ContentKeys) -> None:
        """Destroy the keys before, under which no entry is, and what the index has left of plaintext."""
        if PLAINTEXT in keys.numbers:
            self._indexing.empty()
        with self._parts.change(durable=True) as change:
            if self._keys_under(change).active == keys.active:
                sealed = keys.sealed_as_last(self._parts.keychain.kek)
                change.tx.run("content_keys.retire", active=keys.active)
                change.tx.run("content_keys.seal", number=keys.active, sealed=sealed)
                change.tx.run("meta.bump")
                change.writer.append("history.encrypted", data={"key": keys.active})

    def _keys_under(self, change: Change) -> ContentKeys:
        return self._contents.under(change.tx, change.writer.revision)
