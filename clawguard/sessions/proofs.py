"""Proofs: held against the token they are shown beside, and each good once (RFC 9449, 11.1)."""

from __future__ import annotations

from clawguard.errors import InvalidProof
from clawguard.events.log import CLOCK_TOLERANCE
from clawguard.guard import Proof, ProofFault, ProofId
from clawguard.sessions.cache import CacheEntry
from clawguard.sessions.change import Change, RevisionMoved
from clawguard.sessions.parts import Parts
from clawguard.store import Reach

__all__ = ["check_shown", "forget_proofs", "remember_proof", "take"]

_BATCH = 5_000


def check_shown(
    parts: Parts, entry: CacheEntry, proof: Proof | None, *, token: str, now: int
) -> ProofId | None:
    """Hold a proof against a genuine token; return what must not come a second time. Raises InvalidProof."""
    try:
        return parts.guard.check_proof(proof, entry.cnf, token=token, now=now)
    except ProofFault as fault:
        parts.recorder.denied(entry.context, action="validate", reason=fault.reason)
    raise InvalidProof


def take(parts: Parts, entry: CacheEntry, shown: ProofId | None) -> None:
    """Take what may be had but once, last of all and power-safe: the proof, and a use that is counted.

    Raises InvalidProof for a proof that was shown before, RevisionMoved where the token must be checked anew,
    and what `Endings.spend_in` raises.
    """
    try:
        with parts.change(durable=True, reach=Reach(entry.context.session_id)) as change:
            if shown is not None:
                _expect_unmoved(change, entry)
                remember_proof(change, shown)
            if entry.is_counted:
                parts.endings.spend_in(change, entry.context)
    except ProofFault as fault:
        parts.recorder.denied(entry.context, action="validate", reason=fault.reason)
    else:
        return
    raise InvalidProof


def remember_proof(change: Change, shown: ProofId) -> None:
    """Note a proof in a power-safe change; raise ProofFault where it was shown before, or is too old now."""
    if change.now > shown.until:
        raise ProofFault("proof_time")
    if change.one("proof.remember", digest=shown.digest, until=shown.until) is None:
        raise ProofFault("proof_replayed")


def forget_proofs(parts: Parts) -> None:
    """Forget the proofs that no clock within the tolerance would accept any more, in bounded batches."""
    before = parts.clock.now() - CLOCK_TOLERANCE
    while parts.store.read("proof.any_stale", before=before):
        with parts.change(durable=True) as change:
            change.tx.run("proof.forgotten", before=before)
            change.tx.run("proof.forget", before=before, limit=_BATCH)


def _expect_unmoved(change: Change, entry: CacheEntry) -> None:
    """Look again, now that the lock is held, at what a hit looks at; raise RevisionMoved where it moved."""
    row = change.one("validate.pulse", id=entry.context.session_id)
    if row is None or (row[0], row[2]) != (entry.version, entry.revision):
        raise RevisionMoved
    if change.now >= min(row[1], entry.ends_at):
        raise RevisionMoved
