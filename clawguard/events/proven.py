"""The log with its proof: signed checkpoints, and verification against them."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator

from clawguard.checks import check_progress
from clawguard.clock import Clock, Duration, IdFactory
from clawguard.errors import ConfigError, InvalidArgument, StoreUnavailable
from clawguard.events.archives import cut_of
from clawguard.events.chain import Fault, Link, Place, Verification, walk
from clawguard.events.checkpoints import Checkpoint, origin_of, read_checkpoint, sign_checkpoint
from clawguard.events.exports import Export, Target, last_exported
from clawguard.events.linking import Lag
from clawguard.events.log import EventLog
from clawguard.events.signals import EventBus
from clawguard.guard import NoteKey, NoteSigner
from clawguard.store import Store

__all__ = ["LogKey", "ProvenLog"]

_logger = logging.getLogger("clawguard.events")

_STRETCH = 1_000
_BEFORE_ALL = -(2**63)  # an entry slipped in below the first shows too

LogKey = NoteKey | NoteSigner | None


class ProvenLog(EventLog):
    """Sign and verify the log of one store."""

    def __init__(
        self,
        store: Store,
        *,
        bus: EventBus,
        issuer: str,
        new_id: IdFactory,
        clock: Clock,
        load_key: Callable[[], LogKey],
    ) -> None:
        self._issuer = issuer
        self._clock = clock
        self._load_key = load_key
        self._known_key: LogKey = None
        super().__init__(store, bus=bus, issuer=issuer, new_id=new_id)

    def _begin_anew(self) -> None:
        super()._begin_anew()
        self._signing = threading.Lock()
        self._signed: Place | None = None
        self._export: Export | None = None  # a forked child leaves it to its parent

    @property
    def key(self) -> str:
        """The public half of the log's key, as a vkey: what an auditor holds checkpoints against."""
        return str(self._trusted(None))

    def checkpoint(self) -> Checkpoint:
        """Return a signed checkpoint of the log as it is now: keep its text where nobody here can write.

        A power-safe commit stands behind all that it covers. The log must go on from the last one that was
        signed here, else StoreUnavailable, and nothing is signed. Raises ConfigError without the private key.
        """
        signer = self._signer()
        self.link()
        with self._signing:
            place = self._end()
            self._make_safe(place.seq)
            self._check_goes_on_to(place)
            self._signed = place
            return sign_checkpoint(signer, size=place.seq, head=place.head, at=self._now())

    def checkpoints(self, to: Target, *, every: int = 1_000, seconds: Duration = 60) -> None:
        """Hand a checkpoint to `to` from now on: after `every` events, or after `seconds` if any came.

        `to` is called with the `Checkpoint`, or is the path of a file that always holds the newest one; one
        process writes it, and a forked child leaves it to its parent. Looked at with every sweep, on its
        thread, and once more at close; a failure is logged, and tried again. The log must go on from the
        checkpoint that the file holds from before.
        """
        signer = self._signer()
        export = Export.of(to, every=every, seconds=seconds, at=self._clock.elapsed())
        before = last_exported(to, signer.public)
        with self._signing:
            self._export = export
            if before is not None and (self._signed is None or self._signed.seq < before.size):
                self._signed = Place(before.size, bytes.fromhex(before.head))

    def export(self, *, last: bool = False) -> None:
        """Hand over a checkpoint if one is due, or with `last` if anything came since the one before."""
        export, at = self._export, self._clock.elapsed()
        if export is None:
            return
        try:
            size = self.last()[0]
            if not (export.size != size if last else export.is_due(size, at=at)):
                return
            made = self.checkpoint()
            export.hand_over(made)
        except Exception as error:  # of the receiver too: the next turn tries again
            _logger.error("no checkpoint was handed over: %s", error)
        else:
            self._export = export._replace(size=made.size, at=at)

    def lag(self) -> Lag:
        """Return how far the log's chain is behind what was committed; never at all on SQLite."""
        return self._linker.lag(now=self._now())

    def verify(
        self,
        checkpoint: str | Checkpoint | None = None,
        *,
        key: str | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> Verification:
        """Walk the whole log and report the first fault; `progress` is told the number of entries so far.

        By itself the chain shows a gap, a wrong genesis, a broken link or column. With a checkpoint that was
        kept elsewhere (its text) it also shows what is missing at the end and what was rewritten with all
        later hashes. `key` is the vkey to go by instead of the one in the database. A checkpoint that is
        forged, altered or of another log is InvalidArgument. What was archived is verified in its archive.
        """
        check_progress(progress)
        trusted = None if key is None and checkpoint is None else self._trusted(key)
        goals: dict[int, bytes] = {}
        if checkpoint is not None and trusted is not None:
            wanted = read_checkpoint(checkpoint, trusted)
            goals[wanted.size] = bytes.fromhex(wanted.head)
        self.link()
        return self._walk(goals, trusted, progress=progress)

    # keys and places

    def _now(self) -> int:
        return max(self._clock.now(), self.latest)

    def _log_key(self) -> NoteKey | NoteSigner:
        if self._known_key is None:
            self._known_key = self._load_key()
        if self._known_key is None:
            raise ConfigError("the log has no key yet", hint="open it once with SessionManager.open()")
        return self._known_key

    def _signer(self) -> NoteSigner:
        key = self._log_key()
        if not isinstance(key, NoteSigner):
            raise ConfigError("this process holds public keys only", hint="use a SessionManager")
        return key

    def _trusted(self, key: str | None) -> NoteKey:
        if key is None:
            known = self._log_key()
            return known.public if isinstance(known, NoteSigner) else known
        given = NoteKey.from_text(key)
        if given.name != origin_of(self._issuer):
            raise InvalidArgument("key", f"is of another log, {given.name[:255]!r}")
        return given

    def _end(self) -> Place:
        head = self._head()
        return Place(0, self._genesis) if head is None else Place(head[0], head[1])

    def _start(self, trusted: NoteKey | None) -> Place | Fault:
        """Return where the log begins here, as it is proven."""
        for seq, body in self._store.read("event.cut"):
            cut = cut_of(body)
            if cut is None or not cut.holds(trusted or self._trusted(None)):
                return Fault(seq, "cut")
            return cut.place
        return Place(0, self._genesis)

    # walking

    def _walk(
        self,
        goals: dict[int, bytes],
        trusted: NoteKey | None,
        *,
        base: Place | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> Verification:
        while True:
            start = self._start(trusted)
            if isinstance(start, Fault):
                return Verification(0, self._genesis.hex(), start)
            if goals and min(goals) < start.seq:
                raise InvalidArgument(
                    "checkpoint",
                    f"is of the log at {min(goals)}, and the events up to {start.seq} were archived",
                    hint="hold it against the archive: clawguard.events.archives.verify_archive",
                )
            begin = max(start, base or start)
            found = walk(self._links(begin.seq, progress), start=begin, goals=goals)
            if found or self._cut().seq == start.seq:  # else they were archived under way
                return found

    def _links(
        self, after: int, progress: Callable[[int], None] | None, *, until: int = 2**63 - 1
    ) -> Iterator[Link]:
        after = after or _BEFORE_ALL
        while rows := self._store.read("event.links", after=after, until=until, limit=_STRETCH):
            yield from rows
            after = rows[-1][0]
            if progress is not None:
                progress(after)

    def _check_goes_on_to(self, place: Place) -> None:
        """Raise StoreUnavailable unless the log leads from the last place that was signed to this one."""
        base = self._signed
        if base is None:
            return
        found = self._walk({place.seq: place.head}, None, base=base)
        if place.seq < base.seq or not found:
            raise StoreUnavailable(
                f"the log does not go on from its last checkpoint, at {base.seq}: nothing was signed",
                hint="events.verify(checkpoint) tells what was changed",
            )
