"""What issuing and refreshing share: a live session is read, its token signed, remembered and handed out."""

from __future__ import annotations

from dataclasses import replace

from clawguard.clock import SECOND, to_microseconds
from clawguard.errors import SessionEnded, SessionNotFound
from clawguard.guard import ProofId, RefreshToken
from clawguard.models import IssuedSession, Session
from clawguard.sessions.cache import CacheEntry, digest_of
from clawguard.sessions.change import Change, RevisionMoved, SessionDue, about
from clawguard.sessions.parts import Parts
from clawguard.sessions.proofs import remember_proof
from clawguard.sessions.standing import touch_every
from clawguard.store import Reach, Row

__all__ = ["hand_out", "live_of", "read_live", "require_live", "sign_again"]


def hand_out(
    parts: Parts,
    session: Session,
    token: str,
    *,
    revision: int,
    is_new: bool = False,
    refresh_token: RefreshToken | None = None,
) -> IssuedSession:
    """Remember what the token means, so that it need not be parsed here, and give it out.

    A new session has all that its row says; an older one perhaps no longer: that is left to validate.
    """
    text = None if refresh_token is None else refresh_token.text()
    issued = IssuedSession(session, token=token, refresh_token=text)
    if not is_new and (parts.guard.policy.narrows or session.granted):
        return issued
    idle = None if session.idle_timeout is None else round(session.idle_timeout * SECOND)
    entry = CacheEntry(
        issued.as_context(),
        version=session.version,
        revision=revision,
        ends_at=to_microseconds(session.token_expires_at),
        touch_every=touch_every(idle),
        source=session.last_source,
        is_counted=session.uses_left is not None,
        cnf=session.cnf and dict(session.cnf),  # a copy: the record's is its holder's to change
    )
    parts.cache.put(digest_of(token), entry)
    return issued


def sign_again(
    parts: Parts,
    session_id: str,
    *,
    refresh_token: RefreshToken | None = None,
    proof_id: ProofId | None = None,
) -> IssuedSession:
    """Return a live session with a token of its present generation: as good as the one before, and beside it.

    Where the keys were rotated since, the row then names the key that signs now. A proof is noted with that.
    """
    while True:
        ring = parts.guard.ring
        signer = ring.require_signer()
        session = read_live(parts, session_id)
        token = parts.guard.issue(replace(session, kid=signer.kid), signer)
        if session.kid == signer.kid:
            if proof_id is not None:
                with parts.change(durable=True, reach=Reach(session_id)) as change:
                    remember_proof(change, proof_id)
            return hand_out(parts, session, token, revision=ring.revision, refresh_token=refresh_token)
        try:
            with parts.change(durable=True, reach=Reach(session_id)) as change:
                change.expect_revision(ring.revision)
                resigned = _resign(change, session, kid=signer.kid)
                if proof_id is not None and resigned is not None:
                    remember_proof(change, proof_id)
        except RevisionMoved:
            parts.keychain.reload()
        except SessionDue as due:
            raise parts.endings.settle(due.session_id) from None
        else:
            if resigned is not None:
                return hand_out(parts, resigned, token, revision=ring.revision, refresh_token=refresh_token)


def _resign(change: Change, session: Session, *, kid: str) -> Session | None:
    """Name another key on the row; None when it has another token by now, or has ended.

    Raises SessionDue where it is past its end by the log's time, be this clock behind it or not.
    """
    row = change.one("session.resign", id=session.id, generation=session.generation, kid=kid, now=change.now)
    if row is None:
        ends = change.ends_of(session.id)
        if ends is not None and ends.cause is None and ends.due_at <= change.now:
            raise SessionDue(session.id)
        return None
    change.writer.append(
        "session.updated",
        **about(session, version=row[1]),
        data={"fields": ["kid"]},
    )
    return Session.from_tuple(row)


def read_live(parts: Parts, session_id: str) -> Session:
    rows = parts.store.read("session.get", id=session_id)
    if not rows:
        raise SessionNotFound(session_id)
    return live_of(parts, rows[0])


def live_of(parts: Parts, row: Row) -> Session:
    session = Session.from_tuple(row)
    due_at = to_microseconds(session.due_at)
    require_live(parts, session.id, session.cause, session.reason, due_at=due_at, kid=session.kid)
    if session.uses_left == 0:
        raise SessionEnded("uses")
    return session


def require_live(
    parts: Parts, session_id: str, cause: str | None, reason: str | None, *, due_at: int, kid: str
) -> None:
    if cause is not None:
        raise SessionEnded(cause, reason)
    if due_at <= parts.clock.now():
        raise parts.endings.settle(session_id)
    if parts.guard.ring.state_of(kid) == "compromised":
        raise SessionEnded("key")
