"""Refresh families: a session's refresh tokens, each redeemed once (RFC 9700, 4.14).

For a moment, the grace, the token just spent is answered with the same successor again, as long as that one
has not been redeemed: a lost answer and a race of honest holders end nothing. Any other spent token that
comes back shows that two hold the family, and ends it.
"""

from __future__ import annotations

from typing import Any

from clawguard.errors import InvalidArgument, InvalidProof, InvalidToken, SessionEnded
from clawguard.guard import Proof, ProofFault, ProofId, RefreshToken, TokenFault
from clawguard.models import IssuedSession, Session
from clawguard.sessions.change import Change, RevisionMoved, SessionDue, about
from clawguard.sessions.handing import hand_out, live_of, sign_again
from clawguard.sessions.parts import Parts
from clawguard.sessions.proofs import remember_proof
from clawguard.sessions.refreshing import next_of, set_generation
from clawguard.store import Reach

__all__ = ["Families", "begin_family"]


class _Beaten(Exception):
    """Another change of the family or the session came first: look again."""


def begin_family(change: Change, first: RefreshToken) -> None:
    """Store a family's next token to be redeemed."""
    change.tx.run("refresh.insert", session_id=first.session_id, digest=first.digest(), now=change.now)


class Families:
    """Redeem refresh tokens; `grace` is in microseconds."""

    def __init__(self, parts: Parts, *, grace: int) -> None:
        self._parts = parts
        self._grace = grace

    def redeem(self, text: str, proof: Proof | None, *, now: int) -> IssuedSession:
        """Redeem: see `SessionManager.redeem`; `now` (microseconds) is what a proof is held against."""
        if not isinstance(text, str):
            raise InvalidArgument("refresh_token", "must be a refresh token", hint="`session.refresh_token`")
        is_proof = False
        try:
            return self._redeem(RefreshToken.parse(text), proof, now=now)
        except TokenFault as fault:
            self._parts.recorder.rejected(source=None, reason=fault.reason)
            is_proof = isinstance(fault, ProofFault)
        if is_proof:
            raise InvalidProof
        raise InvalidToken(hint="redeem() takes the text in `IssuedSession.refresh_token`")

    def end(self, text: str, *, actor: str | None = None, workspace_id: str | None = None) -> bool:
        """End the session of a refresh token, in one transaction; False where there is none to end.

        Whoever has one may end what it is for, also without the proof that redeeming needs. A spent one is a
        reuse, as it is when redeemed. With a `workspace_id` a session of another is as unknown as none.
        """
        try:
            shown = RefreshToken.parse(text)
            mark = {"session_id": shown.session_id, "digest": shown.digest()}
            # Before the lock, which is nobody's to take with any text.
            if not self._parts.store.read("refresh.get", **mark):
                raise TokenFault("refresh_unknown")
        except TokenFault as fault:
            self._parts.recorder.rejected(source=None, reason=fault.reason)
            return False
        who = actor or f"session:{shown.session_id}"
        with self._parts.change(durable=True) as change:
            return self._end_in(change, mark, actor=who, workspace_id=workspace_id)

    def wipe(self) -> None:
        """Forget the sealed successors whose grace is over."""
        if self._parts.store.read("refresh.any_stale", now=self._parts.clock.now()):
            with self._parts.change(durable=True) as change:
                change.tx.run("refresh.wipe_stale", now=change.now)

    def again(self, session_id: str) -> IssuedSession:
        """Return a session that a repeated request names, with a new refresh token instead of the last."""
        while True:
            fresh = RefreshToken.new(session_id)
            issued = sign_again(self._parts, session_id)
            if issued.refresh_idle is None:
                return issued
            with self._parts.change(durable=True, reach=Reach(session_id)) as change:
                ends = change.ends_of(session_id)
                if ends is not None and ends.cause is None and ends.generation == issued.generation:
                    change.tx.run("refresh.wipe", session_id=session_id)
                    change.tx.run("refresh.drop_unspent", session_id=session_id)
                    begin_family(change, fresh)
                    return IssuedSession(issued, token=issued.token, refresh_token=fresh.text())

    def _redeem(self, shown: RefreshToken, proof: Proof | None, *, now: int) -> IssuedSession:
        while True:
            mark = {"session_id": shown.session_id, "digest": shown.digest()}
            rows = self._parts.store.read("refresh.get_with_session", **mark)
            if not rows:
                raise TokenFault("refresh_unknown")
            spent_at, grace_until, sealed, *row = rows[0]
            session = live_of(self._parts, tuple(row))
            if spent_at is None:
                issued = self._rotate(session, shown, self._check(session, proof, now=now))
                if issued is not None:
                    return issued
            elif sealed is not None and self._parts.clock.now() < grace_until:
                proof_id = self._check(session, proof, now=now)
                successor = shown.unseal(sealed)
                issued = sign_again(self._parts, session.id, refresh_token=successor, proof_id=proof_id)
                if self._parts.store.read("refresh.get", **mark) == [(spent_at, grace_until, sealed)]:
                    return issued  # else the successor was redeemed meanwhile: look again
            else:
                raise self._end_family(session)

    def _check(self, session: Session, proof: Proof | None, *, now: int) -> ProofId | None:
        """Hold a proof against what the session is bound to: only its holder may go on."""
        return self._parts.guard.check_proof(proof, session.cnf, token=None, now=now)

    def _rotate(
        self, session: Session, shown: RefreshToken, proof_id: ProofId | None
    ) -> IssuedSession | None:
        """Spend the token and advance the session in one transaction; None when another came first."""
        parts = self._parts
        ring = parts.guard.ring
        signer = ring.require_signer()
        ahead = next_of(parts, session, kid=signer.kid, is_redeemed=True)
        token = parts.guard.issue(ahead, signer)
        successor = RefreshToken.new(session.id)
        sealed = shown.seal(successor) if self._grace else None
        try:
            with parts.change(durable=True, reach=Reach(session.id)) as change:
                change.expect_revision(ring.revision)
                row = self._spend(change, shown, ahead, sealed=sealed)
                begin_family(change, successor)
                if proof_id is not None:
                    remember_proof(change, proof_id)
        except RevisionMoved:
            parts.keychain.reload()
            return None
        except _Beaten:
            return None
        except SessionDue as due:
            raise parts.endings.settle(due.session_id) from None
        session, revision = Session.from_tuple(row), ring.revision
        return hand_out(parts, session, token, revision=revision, refresh_token=successor)

    def _spend(self, change: Change, shown: RefreshToken, ahead: Session, *, sealed: bytes | None) -> Any:
        """Claim the token and move the row; it is the successor of the one before, whose seal goes now."""
        change.tx.run("refresh.wipe", session_id=ahead.id)
        mark = {"session_id": shown.session_id, "digest": shown.digest()}
        until = change.now + self._grace
        if change.one("refresh.spend", now=change.now, until=until, sealed=sealed, **mark) is None:
            raise _Beaten
        row = set_generation(change, ahead)
        if row is None:
            raise _Beaten
        return row

    def _end_in(self, change: Change, mark: dict[str, Any], *, actor: str, workspace_id: str | None) -> bool:
        found = change.one("refresh.get_with_session", **mark)
        if found is None:
            return False
        spent_at, grace_until, sealed, *row = found
        session = Session.from_tuple(tuple(row))
        if workspace_id not in (None, session.workspace_id):
            return False
        if spent_at is not None and (sealed is None or change.now >= grace_until):
            return self._end_reused(change, session)
        endings = self._parts.endings
        ended = endings.end_in(change, session.id, cause="revoked", reason=None, actor=actor)
        if not ended:
            endings.end_due_in(change, session.id)
        return ended

    def _end_family(self, session: Session) -> SessionEnded:
        """End the session for a spent token that came back; the first end wins."""
        with self._parts.change(durable=True, reach=Reach(session.id)) as change:
            self._end_reused(change, session)
        return SessionEnded("reuse")

    def _end_reused(self, change: Change, session: Session) -> bool:
        parts = self._parts
        ends = change.ends_of(session.id)
        if ends is None or ends.cause is not None or ends.due_at <= change.now:
            return False
        cause_id = parts.new_id(change.now)
        change.writer.append(
            "token.reuse_detected", **about(session, version=ends.version), cause_id=cause_id
        )
        return parts.endings.end_in(
            change, session.id, cause="reuse", reason=None, actor=None, cause_id=cause_id
        )
