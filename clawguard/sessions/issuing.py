"""What brings tokens into being: create, delegate, refresh. The token is signed before the lock is taken."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from clawguard.clock import SECOND, microseconds, to_datetime, to_microseconds
from clawguard.errors import (
    InvalidArgument,
    KeyInUse,
    PolicyDenied,
    SessionEnded,
    SessionNotFound,
    TokenSuperseded,
)
from clawguard.guard import Member, Policy
from clawguard.models import IssuedSession, Session
from clawguard.scopes import Scopes, parse_scopes
from clawguard.sessions.cache import CacheEntry, digest_of
from clawguard.sessions.change import Change, RevisionMoved, SessionDue
from clawguard.sessions.drafts import (
    DEFAULT_WORKSPACE,
    Authority,
    Draft,
    Ends,
    Parent,
    check_agent,
    check_ceiling,
    check_delegation,
    check_given,
    check_role_and_task,
    check_subject,
    child_of,
    created_fields,
    granted_fields,
    new_row,
    optional_duration,
    optional_text,
    role_and_task,
    widened_by,
)
from clawguard.sessions.ending import Endings
from clawguard.sessions.parts import Parts
from clawguard.sessions.standing import touch_every

__all__ = ["Issuing"]

_DAY = 86_400 * SECOND


class Issuing:
    """Create, delegate and refresh sessions."""

    def __init__(self, parts: Parts, endings: Endings) -> None:
        self._parts = parts
        self._endings = endings

    def create(
        self,
        agent_id: str | uuid.UUID,
        *,
        scopes: Scopes,
        ttl: Any,
        idle_timeout: Any,
        max_lifetime: Any,
        subject: str | None,
        workspace_id: str | None,
        audience: str | None,
        request_id: str | None,
        **given: Any,
    ) -> IssuedSession:
        """Create a root session: see `SessionManager.create`."""
        agent = check_agent(agent_id)
        life = microseconds(ttl, argument="ttl")
        longest = optional_duration(max_lifetime, argument="max_lifetime") or max(_DAY, life)
        fixed: dict[str, Any] = {
            "agent_id": agent,
            "subject": check_subject(subject, agent),
            "workspace_id": optional_text(workspace_id, argument="workspace_id") or DEFAULT_WORKSPACE,
            "audience": self._parts.guard.check_audience(audience),
            "scopes": str(parse_scopes(scopes)),
            "actors": "[]",
            "parent_id": None,
            "depth": 0,
            "grant_name": None,
            "granted": 0,
            "ttl": life,
            "idle_timeout": optional_duration(idle_timeout, argument="idle_timeout"),
            "request_id": optional_text(request_id, argument="request_id"),
            **check_given(**given),
        }

        asked = Member(agent, fixed["role"], fixed["task_type"], parse_scopes(fixed["scopes"]), None)

        def draft(policy: Policy) -> Draft:
            check_role_and_task(policy, asked.role, asked.task_type)
            check_ceiling(policy, asked)
            now = self._parts.clock.now()
            session_id = self._parts.new_id(now)
            end = now + min(life, longest)
            own = {"id": session_id, "root_id": session_id, "created_at": now}
            own |= {"expires_at": end, "absolute_expires_at": now + longest}
            return Draft(fixed | own)

        return self._bring_into_being(draft, None)

    def delegate(
        self,
        authority: Authority,
        agent_id: str | uuid.UUID,
        *,
        scopes: Scopes,
        ttl: Any,
        idle_timeout: Any,
        audience: str | None,
        grant: str | None,
        request_id: str | None,
        **given: Any,
    ) -> IssuedSession:
        """Create a child session: see `SessionManager.delegate`."""
        agent = check_agent(agent_id)
        wanted = parse_scopes(scopes)
        life = optional_duration(ttl, argument="ttl")
        idle = optional_duration(idle_timeout, argument="idle_timeout")
        asked = {"request_id": optional_text(request_id, argument="request_id"), **check_given(**given)}
        grant_name = optional_text(grant, argument="grant")
        if audience is not None:
            self._parts.guard.check_audience(audience)

        def draft(policy: Policy) -> Draft:
            parent = self._read_parent(authority.session_id)
            check_delegation(parent, authority)
            named = role_and_task(asked, parent, policy)
            check_role_and_task(policy, **named)
            child = Member(agent, named["role"], named["task_type"], wanted, grant_name)
            line = self._parts.lines.line(
                parent.id, own=parent.member(), depth=parent.depth, is_whole=bool(parent.granted)
            )
            widened = widened_by(policy, line, authority, child)
            now = max(self._parts.clock.now(), parent.created_at + 1)
            inherited = child_of(parent, now=now, new_id=self._parts.new_id, life=life, idle=idle)
            own: dict[str, Any] = {
                "agent_id": agent,
                "audience": audience or parent.audience,
                "scopes": str(wanted),
            }
            own |= {"grant_name": grant_name if widened else None}
            own |= {"granted": int(parent.granted or bool(widened))}
            return Draft(inherited | asked | named | own, widened)

        return self._bring_into_being(draft, authority)

    def refresh(self, session_id: str, *, ttl: Any, expected_generation: int | None) -> IssuedSession:
        """Issue the next token of a session: see `SessionManager.refresh`."""
        asked = optional_duration(ttl, argument="ttl")
        if expected_generation is not None and type(expected_generation) is not int:
            raise InvalidArgument("expected_generation", "must be an integer")
        while True:
            session = self._read_live(session_id)
            if expected_generation is not None and session.generation > expected_generation:
                raise TokenSuperseded
            if expected_generation is not None and session.generation < expected_generation:
                raise InvalidArgument("expected_generation", f"is above the session's, {session.generation}")
            issued = self._advance(session, asked)
            if issued is not None:
                return issued

    def _advance(self, session: Session, asked: int | None) -> IssuedSession | None:
        """Sign the next generation, then compare and set; None when another came first or the keys moved."""
        ring = self._parts.guard.ring
        signer = ring.require_signer()
        now = self._parts.clock.now()
        end = self._next_end(session, now + (asked or round(session.ttl * SECOND)))
        ahead = replace(
            session,
            generation=session.generation + 1,
            jti=self._parts.new_id(now),
            kid=signer.kid,
            issued_at=to_datetime(now),
            token_expires_at=to_datetime(end),
            expires_at=to_datetime(end),
        )
        token = self._parts.guard.issue(ahead, signer)
        try:
            with self._parts.change(durable=True) as change:
                change.expect_revision(ring.revision)
                row = _set_generation(change, ahead, now=now, end=end)
        except RevisionMoved:
            self._parts.keychain.reload()
            return None
        except SessionDue as due:
            raise self._endings.settle(due.session_id) from None
        return None if row is None else self._hand_out(Session.from_tuple(row), token, revision=ring.revision)

    def _next_end(self, session: Session, wanted: int) -> int:
        """Return the wanted end within the own and the parent's limits, never before the present one."""
        limit = to_microseconds(session.absolute_expires_at)
        if session.parent_id is not None:
            rows = self._parts.store.read("session.ends", id=session.parent_id)
            limit = min(limit, Ends(*rows[0]).expires_at) if rows else 0
        return max(to_microseconds(session.expires_at), min(wanted, limit))

    def _bring_into_being(
        self, draft: Callable[[Policy], Draft], authority: Authority | None
    ) -> IssuedSession:
        while True:
            ring = self._parts.guard.ring
            policy = self._parts.guard.policy  # after the ring: then it is none older
            signer = ring.require_signer()
            columns, widened = draft(policy)
            row = new_row(columns, kid=signer.kid, new_id=self._parts.new_id)
            session = Session.from_row(row)
            token = self._parts.guard.issue(session, signer)
            try:
                with self._parts.change(durable=False) as change:
                    change.expect_revision(ring.revision)
                    made = _made_before(change, row)
                    if made is None:
                        _check_agent(change, row)
                        _check_key(change, row)
                        if authority is not None:
                            _hold_against_parent(change, row, authority)
                        change.tx.run("session.insert", **row)
                        change.writer.append("session.created", **created_fields(row, policy))
                        if widened:
                            change.writer.append("guard.granted", **granted_fields(row, policy, widened))
            except RevisionMoved:
                self._parts.keychain.reload()
            except SessionDue as due:
                refusal = self._endings.settle(due.session_id)
                if due.session_id == row["parent_id"]:
                    raise refusal from None
            else:
                if made is not None:
                    return self._issue_again(made)
                return self._hand_out(session, token, revision=ring.revision, is_new=True)

    def _issue_again(self, session: Session) -> IssuedSession:
        """Answer a repeated request with the session it made; its token is as good as the first one."""
        if session.ended_at is not None:
            raise SessionEnded(session.cause or "ttl", session.reason)
        if to_microseconds(session.due_at) <= self._parts.clock.now():
            raise self._endings.settle(session.id)
        ring = self._parts.guard.ring
        signer = ring.require_signer()
        if session.kid == signer.kid:
            token = self._parts.guard.issue(session, signer)
            return self._hand_out(session, token, revision=ring.revision)
        return self.refresh(session.id, ttl=None, expected_generation=None)

    def _hand_out(
        self, session: Session, token: str, *, revision: int, is_new: bool = False
    ) -> IssuedSession:
        """Remember what the token means, so that it need not be parsed here, and give it out.

        A new session has all that its row says; an older one perhaps no longer: that is left to validate.
        """
        issued = IssuedSession(session, token=token)
        if not is_new and (self._parts.guard.policy.narrows or session.granted):
            return issued
        idle = None if session.idle_timeout is None else round(session.idle_timeout * SECOND)
        entry = CacheEntry(
            issued.as_context(),
            version=session.version,
            revision=revision,
            ends_at=to_microseconds(session.token_expires_at),
            touch_every=touch_every(idle),
            source=session.last_source,
        )
        self._parts.cache.put(digest_of(token), entry)
        return issued

    def _read_live(self, session_id: str) -> Session:
        rows = self._parts.store.read("session.get", id=session_id)
        if not rows:
            raise SessionNotFound(session_id)
        session = Session.from_tuple(rows[0])
        due_at = to_microseconds(session.due_at)
        self._require_live(session_id, session.cause, session.reason, due_at=due_at, kid=session.kid)
        return session

    def _read_parent(self, session_id: str) -> Parent:
        rows = self._parts.store.read("validate.parent", id=session_id)
        if not rows:
            raise SessionNotFound(session_id)
        parent = Parent(*rows[0])
        self._require_live(session_id, parent.cause, parent.reason, due_at=parent.due_at, kid=parent.kid)
        return parent

    def _require_live(
        self, session_id: str, cause: str | None, reason: str | None, *, due_at: int, kid: str
    ) -> None:
        if cause is not None:
            raise SessionEnded(cause, reason)
        if due_at <= self._parts.clock.now():
            raise self._endings.settle(session_id)
        if self._parts.guard.ring.state_of(kid) == "compromised":
            raise SessionEnded("key")


def _hold_against_parent(change: Change, row: dict[str, Any], authority: Authority) -> None:
    """Look at the parent again under the lock; a delegation is also activity of its whole line."""
    parent = _ends_of(change, row["parent_id"])
    if parent is None:
        raise SessionNotFound(row["parent_id"])
    if parent.cause is not None:
        raise SessionEnded(parent.cause, parent.reason)
    if parent.due_at <= change.now:
        raise SessionDue(row["parent_id"])
    if authority.generation is not None and parent.generation != authority.generation:
        raise TokenSuperseded
    if row["expires_at"] > parent.expires_at or row["expires_at"] <= change.now:
        raise SessionEnded("ttl")
    if row["idle_timeout"] is not None:
        at = max(change.now, row["created_at"])  # the clock may have stepped back since the draft
        change.tx.run("session.touch", id=row["parent_id"], at=at, now=change.now)


def _set_generation(change: Change, ahead: Session, *, now: int, end: int) -> Any:
    """Move the row to its next generation, which is activity of its whole line; None when it moved already.

    The row alone decides: it ended with its parent, and its end is never later than the parent's.
    """
    row = change.one(
        "session.advance",
        id=ahead.id,
        generation=ahead.generation - 1,
        jti=ahead.jti,
        kid=ahead.kid,
        issued_at=now,
        expires_at=end,
        now=change.now,
    )
    if row is None:
        current = _ends_of(change, ahead.id)
        if current is not None and current.cause is None and current.due_at <= change.now:
            raise SessionDue(ahead.id)
        return None
    if ahead.parent_id is not None and ahead.idle_timeout is not None:
        change.tx.run("session.touch", id=ahead.parent_id, at=change.now, now=change.now)
    change.writer.append(
        "session.refreshed",
        session_id=ahead.id,
        version=row[1],
        agent_id=ahead.agent_id,
        subject=ahead.subject,
        workspace_id=ahead.workspace_id,
        data={"generation": ahead.generation, "expires_at": end},
    )
    return row


def _ends_of(change: Change, session_id: str) -> Ends | None:
    row = change.one("session.ends", id=session_id)
    return None if row is None else Ends(*row)


def _made_before(change: Change, row: dict[str, Any]) -> Session | None:
    """Return the session that the same request made; InvalidArgument when it asked for something else."""
    if row["request_id"] is None:
        return None
    found = change.one("session.by_request", workspace_id=row["workspace_id"], request_id=row["request_id"])
    if found is None:
        return None
    made = Session.from_tuple(found)
    if _asked_for(Session.from_row(row)) != _asked_for(made):
        raise InvalidArgument("request_id", "was used for a different request", hint="use a new one")
    return made


def _asked_for(session: Session) -> tuple[object, ...]:
    """Return what a request settled for good; names, labels and metadata may have changed since."""
    longest = session.absolute_expires_at - session.created_at if session.parent_id is None else None
    who = (session.agent_id, session.subject, session.parent_id, session.audience, session.key, session.role)
    what = (session.scopes, session.task_type, session.delegable, session.ttl, session.idle_timeout, longest)
    return who + what


def _check_agent(change: Change, row: dict[str, Any]) -> None:
    agent = {"workspace_id": row["workspace_id"], "agent_id": row["agent_id"]}
    if change.one("agent.is_disabled", **agent) is not None:
        raise PolicyDenied("a session", f"the agent {row['agent_id']} is disabled")


def _check_key(change: Change, row: dict[str, Any]) -> None:
    if row["key"] is None:
        return
    found = change.one("session.by_key", workspace_id=row["workspace_id"], key=row["key"])
    if found is not None:
        holder = Session.from_tuple(found)
        if to_microseconds(holder.due_at) <= change.now:
            raise SessionDue(holder.id)
        raise KeyInUse(row["key"], holder.id)
