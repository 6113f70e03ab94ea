"""Proofs that were shown: each is good once, in every process, until it is too old (RFC 9449, 11.1)."""

from __future__ import annotations

from clawguard.events.log import CLOCK_TOLERANCE
from clawguard.guard import ProofFault, ProofId
from clawguard.sessions.change import Change
from clawguard.sessions.parts import Parts

__all__ = ["forget_proofs", "remember_proof"]

_BATCH = 5_000


def remember_proof(change: Change, shown: ProofId) -> None:
    """Note a proof in a power-safe change; raise ProofFault where it was shown before."""
    if change.one("proof.remember", digest=shown.digest, until=shown.until) is None:
        raise ProofFault("proof_replayed")


def forget_proofs(parts: Parts) -> None:
    """Forget the proofs that no clock within the tolerance would accept any more, in bounded batches."""
    before = parts.clock.now() - CLOCK_TOLERANCE
    while parts.store.read("proof.any_stale", before=before):
        with parts.change(durable=False) as change:
            change.tx.run("proof.forget", before=before, limit=_BATCH)
