"""The log as `manager.events` gives it: proven, and what is old moved into archives."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from functools import partial
from pathlib import Path

from clawguard.checks import check_flag, check_progress
from clawguard.clock import to_microseconds
from clawguard.errors import ConfigError, InvalidArgument, OutcomeUnknown, StoreBusy, StoreUnavailable
from clawguard.events.archives import Archive, cut_of, take_in_place, verify_archive, write_aside
from clawguard.events.chain import Fault, Place
from clawguard.events.checkpoints import Cut, sign_checkpoint
from clawguard.events.log import check_page
from clawguard.events.proven import ProvenLog
from clawguard.guard import NoteSigner
from clawguard.store import Transaction

__all__ = ["AuditLog"]

_logger = logging.getLogger("clawguard.events")

_BATCH = 1_000


class AuditLog(ProvenLog):
    """Read, follow, verify, sign and archive the log: `manager.events`."""

    @property
    def archived(self) -> int:
        """The number of the last event that was archived; 0 where none was."""
        return self._cut().seq

    def before_last(self, count: int, *, session_id: str) -> int:
        """Return a number behind which `read` finds a session's last events: `count` (1 to 1,000), or all."""
        check_page(after=0, limit=count)
        self.link()
        (first,) = self._store.read("event.last_of", session_id=session_id, limit=count)[0]
        return max(self.archived, (first or 0) - 1)

    def archive(
        self,
        before: datetime,
        to: str | os.PathLike[str],
        *,
        dry_run: bool = False,
        progress: Callable[[int], None] | None = None,
    ) -> Archive:
        """Move the events before a moment out of the database into a file, and tell which they were.

        The file is written, synced and verified before a `log.archived` event and a signed note take the
        entries' place; then they are removed, in batches. The last entry always stays. `progress` is told
        the number of the last entry written. With `dry_run` nothing is done. Raises InvalidArgument where a
        subscriber has not dealt with them yet, and for a log that does not hold.
        """
        since = to_microseconds(before, argument="before")
        check_flag(dry_run, argument="dry_run")
        check_progress(progress)
        signer, path = self._signer(), _new_file(to)
        start = self._start(signer.public)
        if isinstance(start, Fault):
            raise InvalidArgument("before", f"nothing is archived of a log that does not hold: {start}")
        end = self._end_of_archive(start, since)
        if end.seq == start.seq or dry_run:
            return Archive(start.seq + 1, end.seq, end.seq - start.seq, None)
        digest = self._write_archive(path, signer, start=start, end=end, progress=progress)
        self._take_cut(path, signer, start=start, end=end, sha256=digest)
        self._remove(end.seq)
        return Archive(start.seq + 1, end.seq, end.seq - start.seq, digest)

    def tidy(self) -> None:
        """Remove what an archive that was cut short has left; its event stands already."""
        for seq, body in self._store.read("event.cut"):
            cut, first = cut_of(body), self._store.read("event.first")
            if cut is None or not first or first[0][0] > cut.place.seq:
                return
            if not cut.holds(self._trusted(None)):  # nothing is removed for a forged event
                _logger.error("the event %d says without a proof that the log was archived", seq)
                return
            self._remove(cut.place.seq)

    def upkeep(self) -> None:
        """Do what is due: link what waits, hand over a checkpoint, finish an archive that was cut short."""
        self.link()
        self.export()
        self.tidy()

    def _end_of_archive(self, start: Place, since: int) -> Place:
        """Return the last place before a moment that may be archived: the last entry stays."""
        last, _ = self.last()
        rows = self._store.read("event.first_since", after=start.seq, at=since)
        seq = max(start.seq, min(rows[0][0] if rows else last, last) - 1)
        if seq == start.seq:
            return start
        _check_dealt_with(self._store.read("event.slowest_cursor"), seq)
        return Place(seq, self._store.read("event.hash", seq=seq)[0][0])

    def _write_archive(
        self,
        path: Path,
        signer: NoteSigner,
        *,
        start: Place,
        end: Place,
        progress: Callable[[int], None] | None,
    ) -> str:
        """Write the file, read it back, give it its name; return its SHA-256."""
        self._make_safe(end.seq)
        cut = Cut(start.seq, start.head, None)
        signed = sign_checkpoint(signer, size=end.seq, head=end.head, at=self._now(), cut=cut)
        links = self._links(start.seq, progress, until=end.seq)
        aside = write_aside(path, issuer=self._issuer, start=start, signed=signed, links=links)
        try:
            found = verify_archive(aside, key=signer.public)
            with aside.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
        except BaseException:
            aside.unlink()
            raise
        if not found or found.count != end.seq:
            aside.unlink()
            raise ConfigError(f"the archive {path} does not hold what was written")
        take_in_place(aside, path)
        return digest

    def _take_cut(self, path: Path, signer: NoteSigner, *, start: Place, end: Place, sha256: str) -> None:
        """Append the event that stands for what is archived; without it the file goes again."""
        signed = sign_checkpoint(
            signer, size=end.seq, head=end.head, at=self._now(), cut=Cut(start.seq, start.head, sha256)
        )
        data = {"seq": end.seq, "hash": end.head.hex(), "sha256": sha256, "note": signed.text}
        try:
            with self._store.transaction(durable=True) as tx:
                writer = self.writer(tx, now=self._clock.now())
                _check_unmoved(tx, start=start, end=end)
                writer.append("log.archived", data=data | {"file": path.name})
                tx.on_commit(partial(self.announce, writer.written))
        except OutcomeUnknown:
            raise  # the event may stand, and then the file is all there is
        except BaseException:
            with suppress(OSError):
                path.unlink()
            raise
        self.after_commit(writer.written)

    def _remove(self, until: int) -> None:
        """Remove the entries up to a cut whose event stands, in batches.

        First the mark in the lock file is moved to an entry that stays, by a power-safe commit.
        """
        with self._store.transaction(durable=True) as tx:
            self.writer(tx, now=self._now())  # a newer version may have migrated the store
            tx.run("meta.barrier")
            tx.run("event.mark")
        removed = _BATCH
        while removed == _BATCH:
            with self._store.transaction(durable=False) as tx:
                removed = len(tx.run("event.remove", until=until, limit=_BATCH))


def _new_file(to: object) -> Path:
    if not isinstance(to, str | os.PathLike) or not os.fspath(to) or b"\0" in os.fsencode(to):
        raise InvalidArgument("to", "must be the path of a file")
    path = Path(os.fsdecode(to)).absolute()
    if not path.parent.is_dir():
        raise InvalidArgument("to", "names a folder that does not exist")
    if path.is_symlink() or path.exists():
        raise InvalidArgument("to", "exists already", hint="give each archive a file of its own")
    return path


def _check_unmoved(tx: Transaction, *, start: Place, end: Place) -> None:
    """Look again under the write lock: another archive, a subscriber that fell behind, an edited entry."""
    cuts = [cut_of(body) for _, body in tx.run("event.cut")]
    if [cut.place if cut else None for cut in cuts] != ([start] if start.seq else []):
        raise StoreBusy("another process archived meanwhile", hint="repeat the call")
    _check_dealt_with(tx.run("event.slowest_cursor"), end.seq)
    if tx.run("event.hash", seq=end.seq) != [(end.head,)]:
        raise StoreUnavailable("the log was changed meanwhile", hint="events.verify() tells where")


def _check_dealt_with(cursors: list[tuple[str, int]], end: int) -> None:
    for name, seq in cursors:
        if seq < end:
            raise InvalidArgument(
                "before",
                f"would archive events up to {end}, and the subscriber {name!r} has dealt with {seq} only",
                hint="archive less, or see to that subscriber",
            )
