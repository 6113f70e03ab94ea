"""Validation: a token or context held against its row, its line, the keys and the policy of the moment."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Literal

from clawguard.checks import check_text
from clawguard.clock import SECOND
from clawguard.errors import (
    AccessDenied,
    ClockError,
    InsufficientScope,
    InvalidArgument,
    InvalidToken,
    SessionEnded,
    StoreUpgraded,
    TokenSuperseded,
)
from clawguard.events.log import CLOCK_TOLERANCE, SCHEMA_VERSION
from clawguard.guard import (
    Claims,
    Proof,
    TokenFault,
    check_question,
    is_refresh_token,
)
from clawguard.guard.jws import MAX_TOKEN
from clawguard.models import Decision, Inspection, Session, SessionContext
from clawguard.scopes import Scopes, ScopeSet
from clawguard.sessions.cache import CacheEntry, digest_of
from clawguard.sessions.change import RevisionMoved
from clawguard.sessions.current import Use
from clawguard.sessions.memory import Consistency, Memory
from clawguard.sessions.opened import Opened
from clawguard.sessions.parts import Parts
from clawguard.sessions.proofs import check_shown, take
from clawguard.sessions.standing import (
    Standing,
    check_alive,
    check_bound,
    check_scopes,
    context_of,
    reason_of,
    touch_every,
)

__all__ = ["Validation"]

Verdict = Literal["active", "ended", "superseded", "invalid"]


class Validation(Opened):
    """Say who is calling and what they may do; what is gathered is written every `every` seconds."""

    def __init__(self, parts: Parts, chores: Sequence[Callable[[], object]], *, every: float | None) -> None:
        super().__init__(parts, chores, every=every)
        self._store = parts.store
        self._cache = parts.cache
        self._recorder = parts.recorder
        self._guard = parts.guard
        self._lines = parts.lines
        self._now = parts.clock.now
        self._log = parts.log
        self._memory = Memory(parts.store, parts.cache, parts.feed)
        self._flush_every = math.inf if every is None else every * SECOND

    def validate(
        self,
        token_or_context: str | SessionContext,
        /,
        *,
        require: Scopes = (),
        any_of: Scopes = (),
        audience: str | None = None,
        source: str | None = None,
        proof: Proof | None = None,
        consistency: Consistency = "bounded",
    ) -> SessionContext:
        """Return who is calling and what they may do, as their row says at this moment.

        A token is checked whole; a context is checked against its row again. `require` names scopes that
        must all be held, `any_of` scopes of which one must be; `source` is where the caller comes from,
        such as an address; `proof` what a bound token needs beside it (a `DPoPProof` or `CertificateProof`
        of `clawguard.guard`). A token of a session whose uses are counted spends one, last of all; the one
        that takes the last ends the session, and is answered all the same. With a `max_staleness` the row is
        read all the same where `consistency` is "linearizable". Raises InvalidToken, InvalidProof,
        TokenSuperseded, SessionEnded, InsufficientScope; StoreUnavailable or ClockError when it cannot know.
        """
        now = self._time()
        if not isinstance(token_or_context, str):
            if proof is not None:
                raise InvalidArgument("proof", "goes with a token", hint="a context needs none")
            standing, context = self._renew(token_or_context, audience=audience, now=now)
            self._note_context(context, standing, source=source, now=now)
            self._check_scopes(context, require=require, any_of=any_of)
            return context
        entry = self._check_token(
            token_or_context, audience=audience, source=source, now=now, consistency=consistency
        )
        context = entry.context
        is_bound = entry.cnf is not None or proof is not None
        shown = check_shown(self._parts, entry, proof, token=token_or_context, now=now) if is_bound else None
        if require or any_of:
            self._check_scopes(context, require=require, any_of=any_of)
        if shown is not None or entry.is_counted:
            if source is not None:
                check_text(source, argument="source")  # whatever refuses, refuses before anything is taken
            try:
                take(self._parts, entry, shown)
            except RevisionMoved:  # the row, the keys or the policy, while this waited for the lock
                return Validation.validate(  # still the one call, for whoever counts them
                    self,
                    token_or_context,
                    require=require,
                    any_of=any_of,
                    audience=audience,
                    source=source,
                    proof=proof,
                    consistency=consistency,
                )
        if is_bound:  # who has the token alone leaves no trace of activity
            self._touch(entry, source=source, now=now)
        return context

    def _identify(self, token: str) -> SessionContext:
        """Return who shows a token, as `validate` does, but spend no use: what is asked may be refused."""
        now = self._time()
        entry = self._check_token(token, audience=None, source=None, now=now, consistency="linearizable")
        if entry.cnf is not None:
            check_shown(self._parts, entry, None, token=token, now=now)
        return entry.context

    def authorize(
        self, context: SessionContext, action: str, /, *, resource: str | None = None, risk: float = 0
    ) -> Decision:
        """Decide by the policy whether a session may do an action, as its row and its line now say.

        `action` is a scope without a wildcard, `resource` what it is done to, `risk` a number that rules may
        compare. A denial is a `guard.denied` event and no error: `require()` makes one of it. Raises what
        `validate` raises for a context.
        """
        if not isinstance(context, SessionContext):
            raise InvalidArgument("context", "must be a SessionContext", hint="`validate` gives it")
        check_question(action, resource=resource, risk=risk)
        now = self._time()
        standing, context = self._renew(context, audience=None, now=now)
        self._note_context(context, standing, source=None, now=now)
        decision = self._lines.decide(standing, context, action=action, resource=resource, risk=risk)
        if not decision:
            self._recorder.denied(context, action=action, reason=decision.reason, decision=decision)
        return decision

    def recheck(self, context: SessionContext, /, *, require: Scopes = (), any_of: Scopes = ()) -> None:
        """Hold a context against its row as `validate` does, without counting it as activity."""
        now = self._time()
        if require or any_of:
            _, context = self._renew(context, audience=None, now=now)
            self._check_scopes(context, require=require, any_of=any_of)
        else:
            self._standing_of(context, audience=None, now=now)

    def _may_write(self, token: object) -> bool:
        """Tell whether `validate` may write for a token: its uses are counted, or it was never seen."""
        if not isinstance(token, str) or not token.isascii():
            return False
        entry = self._cache.get(digest_of(token))
        return entry is None or entry.is_counted

    def use(self, token: str | SessionContext, /, *, require: Scopes = (), proof: Proof | None = None) -> Use:
        """Bind the session for a `with` or `async with` block: see `current_session` and `requires`."""
        return Use(self, token, require=require, proof=proof)

    def inspect(self, token: str, /, *, audience: str | None = None) -> Inspection:
        """Tell what a token is without raising for a bad or ended one, and without recording anything."""
        if not isinstance(token, str):
            raise InvalidArgument("token", "must be a token", hint="pass `session.token`")
        now = self._time()
        try:
            claims = self._verify(token, audience=audience, now=now)
            rows = self._store.read("session.get", id=claims.session_id)
            if not rows:
                return Inspection(verdict="invalid", session=None, claims=None)
            session = Session.from_tuple(rows[0])
        except TokenFault:
            return Inspection(verdict="invalid", session=None, claims=None)
        verdict, context = self._verdict(claims, now)
        return Inspection(verdict=verdict, session=session, claims=claims.to_dict(), context=context)

    def _verdict(self, claims: Claims, now: int) -> tuple[Verdict, SessionContext | None]:
        try:
            standing = self._judge(claims, now=now)
        except SessionEnded:
            return "ended", None
        except TokenSuperseded:
            return "superseded", None
        except TokenFault:
            return "invalid", None
        return "active", self._context(standing, session_id=claims.session_id, scopes=claims.scopes)

    def _check_token(
        self, token: str, *, audience: str | None, source: str | None, now: int, consistency: Consistency
    ) -> CacheEntry:
        if len(token) > MAX_TOKEN or not token.isascii():
            self._recorder.rejected(source=source, reason="too_long" if token.isascii() else "characters")
            raise InvalidToken
        if is_refresh_token(token):
            self._recorder.rejected(source=source, reason="refresh_token")
            raise InvalidToken(hint="a refresh token goes to redeem(), and nowhere else")
        digest = digest_of(token)
        wanted = self._guard.audience if audience is None else audience
        entry = self._memory.find(digest, audience=wanted, now=now, consistency=consistency)
        if entry is not None:
            if entry.cnf is None:
                self._touch(entry, source=source, now=now)
            return entry
        try:
            claims = self._verify(token, audience=audience, now=now)
            return self._admit(claims, digest, source=source, now=now)
        except TokenFault as fault:
            self._cache.drop(digest)
            self._recorder.rejected(source=source, reason=fault.reason)
        raise InvalidToken

    def _verify(self, token: str, *, audience: str | None, now: int) -> Claims:
        """Check form and signature; a key not known here may be one that another process just made."""
        guard = self._guard
        try:
            return guard.verify(token, audience=audience, now=now)
        except TokenFault as fault:
            if fault.reason != "unknown_key" or not self._parts.keychain.catch_up():
                raise
        return guard.verify(token, audience=audience, now=now)

    def _admit(self, claims: Claims, digest: bytes, *, source: str | None, now: int) -> CacheEntry:
        position = self._memory.position
        try:
            standing = self._judge(claims, now=now)
        except AccessDenied as refusal:
            self._cache.drop(digest)
            self._record_refusal(claims, refusal)
            raise
        context = self._context(standing, session_id=claims.session_id, scopes=claims.scopes)
        entry = _entry_of(context, standing, claims, position=position)
        if entry.cnf is None:
            self._touch(entry, source=source, now=now)
        self._cache.put(digest, entry)
        return entry

    def _judge(self, claims: Claims, *, now: int) -> Standing:
        """Hold genuine claims against their row and the keys as they now are."""
        standing = self._standing(claims.session_id)
        if standing is None:
            raise TokenFault("unknown_session")
        check_alive(standing, generation=claims.generation, now=now)
        if now >= claims.expires_at * SECOND:
            raise SessionEnded("ttl")
        if self._guard.ring.find(claims.kid, now=now) is None:
            raise TokenFault("unknown_key")
        self._lines.check_keys(standing)
        check_bound(standing, claims)
        return standing

    def _context(self, standing: Standing, *, session_id: str, scopes: ScopeSet) -> SessionContext:
        """Return what remains of the scopes under the row, its line and the policy as they now stand."""
        held = self._lines.held(standing)
        return context_of(standing, session_id=session_id, scopes=held.intersect(scopes))

    def _renew(
        self, context: SessionContext, *, audience: str | None, now: int
    ) -> tuple[Standing, SessionContext]:
        standing = self._standing_of(context, audience=audience, now=now)
        return standing, self._context(standing, session_id=context.session_id, scopes=context.scopes)

    def _standing_of(self, context: SessionContext, *, audience: str | None, now: int) -> Standing:
        """Return how a context's session stands; raise where it is no longer what the context says."""
        if not isinstance(context, SessionContext):
            raise InvalidArgument(
                "token_or_context", "must be a token or a SessionContext", hint="pass `session.token`"
            )
        standing = self._standing(context.session_id)
        if standing is None:
            raise InvalidToken
        try:
            check_alive(standing, generation=context.generation, now=now)
        except TokenFault:
            raise InvalidToken from None
        if self._guard.ring.state_of(standing.kid) == "compromised":
            raise SessionEnded("key")
        self._lines.check_keys(standing)
        if not self._guard.takes(standing.audience, meant=audience):
            raise InvalidToken
        return standing

    def _standing(self, session_id: str) -> Standing | None:
        rows = self._store.read("validate.standing", id=session_id)
        if not rows or rows[0][0] is None:
            return None
        standing = Standing(*rows[0])
        if standing.schema_version != SCHEMA_VERSION:
            raise StoreUpgraded("a newer clawguard migrated the store", hint="restart with that version")
        if standing.revision != self._guard.ring.revision:
            self._parts.keychain.reload()
        return standing

    def _check_scopes(self, context: SessionContext, *, require: Scopes, any_of: Scopes) -> None:
        try:
            check_scopes(context, require=require, any_of=any_of)
        except InsufficientScope as refusal:
            asked = ("any of " if refusal.any_of else "") + " ".join(refusal.required)
            self._recorder.denied(context, action=asked, reason=refusal.code)
            raise

    def _touch(self, entry: CacheEntry, *, source: str | None, now: int) -> None:
        if now < entry.next_touch and source in (None, entry.source):
            return
        self._note_use(entry.context, every=entry.touch_every, source=source, now=now)
        entry.next_touch = now + entry.touch_every
        entry.source = source or entry.source

    def _note_context(
        self, context: SessionContext, standing: Standing, *, source: str | None, now: int
    ) -> None:
        if standing.idle_timeout is not None or source not in (None, standing.last_source):
            every = touch_every(standing.idle_timeout)
            self._note_use(context, every=every, source=source, now=now)

    def _note_use(self, context: SessionContext, *, every: int, source: str | None, now: int) -> None:
        if source is not None:
            check_text(source, argument="source")
        self._recorder.touch(context.session_id, at=now, source=source, soon=every < self._flush_every)

    def _record_refusal(self, claims: Claims, refusal: AccessDenied) -> None:
        standing = self._standing(claims.session_id)
        if standing is not None:
            context = context_of(standing, session_id=claims.session_id, scopes=claims.scopes)
            self._recorder.denied(context, action="validate", reason=reason_of(refusal))

    def _time(self) -> int:
        """Return the time (microseconds); raise ClockError when it was set back beyond the tolerance."""
        now, latest = self._now(), self._log.latest
        if now >= latest:
            self._log.latest = now
        elif now < latest - CLOCK_TOLERANCE:
            raise ClockError("the clock was set back", hint="set the clock right")
        return now


def _entry_of(context: SessionContext, standing: Standing, claims: Claims, *, position: int) -> CacheEntry:
    """Return what is remembered of a token that was checked whole."""
    return CacheEntry(
        context,
        version=standing.version,
        revision=standing.revision,
        position=position,
        due_at=standing.due_at,
        ends_at=claims.expires_at * SECOND,
        touch_every=touch_every(standing.idle_timeout),
        source=standing.last_source,
        is_counted=standing.uses_left is not None,
        cnf=claims.cnf,
    )
