"""The mark of a database: the last entry of its log that a power-safe commit wrote.

It is kept outside the database, in the lock file, so that an older copy put in the database's place shows:
the entry is missing there, or is another one. A mark is written after its commit and never synced: what a
power cut leaves of it is never ahead of the database. It may be lost, and then it tells nothing.
"""

from __future__ import annotations

import hashlib
import sqlite3
import struct
import zlib

from clawguard.errors import ConfigError, StoreUnavailable
from clawguard.store.catalog import Catalog
from clawguard.store.writer_queue import WriterQueue

__all__ = ["Marker"]

_FIELDS = struct.Struct(">8sq8s")  # the database's identity, the entry's number, the beginning of its hash
_CHECK_BYTES = 4  # CRC-32 of these: a mark that was cut short or is none of ours says nothing
_SIZE = _FIELDS.size + _CHECK_BYTES
_PLACE = 32  # bytes; the first place is the commit counter's
_PLACES = 4_096 // _PLACE - 1  # one page of memory: a mark within it is written whole


class Marker:
    """Note and check the mark of the database that one connection has open; the write lock must be held."""

    def __init__(
        self, connection: sqlite3.Connection, *, name: str, queue: WriterQueue, catalog: Catalog
    ) -> None:
        self._connection = connection
        self._name = name
        self._queue = queue
        self._catalog = catalog
        self._known = b""

    def check(self) -> None:
        """Raise ConfigError where the log lacks the marked entry, or has another one in its place."""
        if not self._is_met():
            raise ConfigError(
                f"{self._name} is an older copy of the database that was in use here, or one that went on "
                "elsewhere: sessions that have ended may live again in it",
                hint="put the newest file back; where somebody may have changed it, verify a copy of the "
                "file, elsewhere, against a checkpoint; or, to go on with this one, stop all processes, "
                f"remove {self._name}-lock and end every session: revoke_where(everything=True) in each "
                "workspace",
            )

    def outlast(self) -> None:
        """Look, before a transaction commits that removed entries, whether the marked one stays.

        The mark must be on the disk first: else power loss could leave one that names a removed entry. Raises
        StoreUnavailable, and then the transaction must not commit.
        """
        if not self._is_met():
            raise StoreUnavailable("the entry that the lock file names would be removed")
        self._queue.sync_notes()

    def _is_met(self) -> bool:
        """Tell whether the log has the marked entry; it has where there is no mark of this database."""
        identity = self._identity()
        marked = _read(self._queue.noted(at=_place(identity), size=_SIZE)) if identity else None
        if marked is None or marked[0] != identity:
            return True  # no mark, or that of another database which was here
        _, seq, digest = marked
        entry = self._connection.execute(self._catalog["event.hash"].sql, (seq,)).fetchone()
        return entry is not None and entry[0][:8] == digest

    def note(self, seq: int, digest: bytes) -> None:
        """Mark an entry, given with its hash: the last one of a power-safe transaction that has committed."""
        fields = _FIELDS.pack(self._known or self._identity(), seq, digest)  # of the hash, what fits
        self._queue.note(fields + zlib.crc32(fields).to_bytes(_CHECK_BYTES), at=_place(fields))

    def _identity(self) -> bytes:
        """Return what tells this database from any other that was or will be in its place."""
        founded = self._connection.execute(self._catalog["meta.identity"].sql).fetchone()
        if founded is not None:
            self._known = hashlib.sha256("{} {}".format(*founded).encode()).digest()[:8]
        return self._known


def _place(identity: bytes) -> int:
    """Return where a database's mark stands: one founded after it in the same place seldom writes over it."""
    return _PLACE * (1 + identity[0] % _PLACES)


def _read(mark: bytes) -> tuple[bytes, int, bytes] | None:
    fields = mark[: _FIELDS.size]
    if len(mark) < _SIZE or int.from_bytes(mark[_FIELDS.size :]) != zlib.crc32(fields):
        return None
    identity, seq, digest = _FIELDS.unpack(fields)
    return identity, seq, digest
