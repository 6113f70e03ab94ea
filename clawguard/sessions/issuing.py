"""What brings tokens into being: create, delegate, refresh. The token is signed before the lock is taken."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any, Literal, NamedTuple, get_args

from clawguard.checks import is_integer
from clawguard.clock import SECOND, microseconds, to_microseconds
from clawguard.errors import (
    DelegationRefused,
    InvalidArgument,
    KeyInUse,
    LimitReached,
    PolicyDenied,
    SessionEnded,
    SessionNotFound,
    TokenSuperseded,
)
from clawguard.guard import Member, Policy, RefreshToken
from clawguard.models import IssuedSession, Session
from clawguard.scopes import Scopes, parse_scopes
from clawguard.sessions.change import Change, RevisionMoved, SessionDue
from clawguard.sessions.drafts import (
    DEFAULT_WORKSPACE,
    Authority,
    Draft,
    Parent,
    check_agent,
    check_ceiling,
    check_delegation,
    check_given,
    check_role_and_task,
    check_subject,
    check_uses,
    child_of,
    first_ends,
    new_row,
    optional_duration,
    optional_text,
    role_and_task,
    widened_by,
    write_created,
)
from clawguard.sessions.families import Families, begin_family
from clawguard.sessions.handing import hand_out, require_live
from clawguard.sessions.makers import maker_here, who_makes
from clawguard.sessions.parts import Parts
from clawguard.store import Reach

__all__ = ["AtLimit", "Issuing", "Limits"]

_DAY = 86_400 * SECOND
_LONGEST_GRACE = 60 * SECOND


AtLimit = Literal["deny", "evict_oldest"]


class Limits(NamedTuple):
    """Hold how many live sessions an agent may have in a workspace, and whether a further one evicts.

    In microseconds, `refresh_idle` is how long a refreshable session lives after each redeem, `refresh_grace`
    how long a spent refresh token gives its successor again.
    """

    sessions_per_agent: int | None
    evicts: bool
    refresh_idle: int
    refresh_grace: int

    @classmethod
    def of(cls, most: object, at_limit: object, refresh_idle: object, refresh_grace: object) -> Limits:
        """Return the limits that `open` was given; raise InvalidArgument for others."""
        if most is not None and not is_integer(most, least=1):
            raise InvalidArgument("max_sessions_per_agent", "must be an integer of at least 1, or None")
        if at_limit not in get_args(AtLimit):
            raise InvalidArgument("at_limit", "must be 'deny' or 'evict_oldest'")
        idle = microseconds(refresh_idle, argument="refresh_idle")
        grace = microseconds(refresh_grace, argument="refresh_grace", least=0)
        if grace > _LONGEST_GRACE:
            raise InvalidArgument("refresh_grace", "must be 0 to 60 seconds")
        return cls(most, most is not None and at_limit == "evict_oldest", idle, grace)


class Issuing:
    """Create and delegate sessions."""

    def __init__(self, parts: Parts, limits: Limits, families: Families) -> None:
        self._parts = parts
        self._families = families
        self._endings = parts.endings
        self._limits = limits

    def create(
        self,
        agent_id: str | uuid.UUID,
        *,
        scopes: Scopes,
        ttl: Any,
        idle_timeout: Any,
        max_lifetime: Any,
        max_uses: int | None,
        refreshable: bool,
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
            "uses_left": check_uses(max_uses),
            "request_id": optional_text(request_id, argument="request_id"),
            **check_given(**given),
        }

        refresh_idle = self._refresh_idle(refreshable)
        asked = Member(agent, fixed["role"], fixed["task_type"], parse_scopes(fixed["scopes"]), None)

        def draft(policy: Policy) -> Draft:
            check_role_and_task(policy, asked.role, asked.task_type)
            check_ceiling(policy, asked)
            now = self._parts.clock.now()
            session_id = self._parts.new_id(now)
            limit = _last_end(now, longest)
            if limit <= now:
                raise SessionEnded("ttl")
            own = {"id": session_id, "root_id": session_id, "created_at": now}
            own |= {"absolute_expires_at": limit}
            own |= first_ends(now, life, refresh_idle, limit=limit)
            return Draft(fixed | own, longest=longest)

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
        max_uses: int | None,
        refreshable: bool,
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
        uses = check_uses(max_uses)
        refresh_idle = self._refresh_idle(refreshable)
        if audience is not None:
            self._parts.guard.check_audience(audience)

        def draft(policy: Policy) -> Draft:
            parent = self._read_parent(authority.session_id)
            check_delegation(parent, authority, uses=uses, refreshable=refreshable, cnf=asked["cnf"])
            named = role_and_task(asked, parent, policy)
            check_role_and_task(policy, **named)
            child = Member(agent, named["role"], named["task_type"], wanted, grant_name)
            line = self._parts.lines.line(
                parent.member(), actors=parent.actors, depth=parent.depth, is_whole=bool(parent.granted)
            )
            widened = widened_by(policy, line, authority, child)
            now = max(self._parts.clock.now(), parent.created_at + 1)
            inherited = child_of(
                parent,
                now=now,
                new_id=self._parts.new_id,
                life=life,
                idle=idle,
                refresh_idle=refresh_idle,
            )
            own: dict[str, Any] = {
                "agent_id": agent,
                "audience": audience or parent.audience,
                "scopes": str(wanted),
                "uses_left": uses,
            }
            own |= {"grant_name": grant_name if widened else None}
            own |= {"granted": int(parent.granted or bool(widened))}
            return Draft(inherited | asked | named | own, widened)

        return self._bring_into_being(draft, authority)

    def _bring_into_being(
        self, draft: Callable[[Policy], Draft], authority: Authority | None
    ) -> IssuedSession:
        while True:
            ring = self._parts.guard.ring
            policy = self._parts.guard.policy  # after the ring: then it is none older
            signer = ring.require_signer()
            drawn = draft(policy)
            row = new_row(drawn.columns, kid=signer.kid, new_id=self._parts.new_id)
            session = Session.from_row(row)
            token = self._parts.guard.issue(session, signer)
            first = None if session.refresh_idle is None else RefreshToken.new(session.id)
            try:
                with self._parts.change(durable=self._limits.evicts, reach=self._reach(row)) as change:
                    change.expect_revision(ring.revision)
                    made = _made_before(change, row, longest=drawn.longest)
                    if made is None:
                        self._insert(change, row, session, authority)
                        write_created(change, row, policy, drawn.widened, actor=_actor(authority))
                        if first is not None:
                            begin_family(change, first)
            except RevisionMoved:
                self._parts.keychain.reload()
            except SessionDue as due:
                refusal = self._endings.settle(due.session_id)
                if due.session_id == row["parent_id"]:
                    raise refusal from None
            else:
                if made is not None:
                    return self._families.again(made.id)
                revision = ring.revision
                return hand_out(
                    self._parts, session, token, revision=revision, is_new=True, refresh_token=first
                )

    def _reach(self, row: dict[str, Any]) -> Reach | None:
        """Return what stands for or against a session: its tree or its maker's, its names, its agent."""
        maker, tree = maker_here(), row["parent_id"]
        if maker is not None and tree is None:
            tree = maker.session_id
        elsewhere = maker is not None and tree != maker.session_id
        if elsewhere or self._limits.sessions_per_agent is not None:
            return None
        given = (("key", row["key"]), ("request", row["request_id"]))
        names = (f"{kind} {row['workspace_id']} {name}" for kind, name in given if name is not None)
        return Reach(tree, tuple(names))

    def _insert(
        self, change: Change, row: dict[str, Any], session: Session, authority: Authority | None
    ) -> None:
        """Look under the lock at what might stand against the session, and bring it into being."""
        _check_key(change, row)
        _hold_against_maker(change)
        self._keep_limit(change, row, session)
        if authority is not None:
            _hold_against_parent(change, row, authority)
        disabled = PolicyDenied("a session", f"the agent {row['agent_id']} is disabled")
        change.tx.run_or_fail(disabled, "session.insert", **row)

    def _refresh_idle(self, refreshable: object) -> int | None:
        if not isinstance(refreshable, bool):
            raise InvalidArgument("refreshable", "must be True or False")
        return self._limits.refresh_idle if refreshable else None

    def _keep_limit(self, change: Change, row: dict[str, Any], session: Session) -> None:
        """Make room for one more session of an agent, or refuse it; its own ancestors are never evicted."""
        most = self._limits.sessions_per_agent
        if most is None:
            return
        agent = {"workspace_id": row["workspace_id"], "agent_id": row["agent_id"]}
        maker = maker_here()
        evicts = self._limits.evicts and (maker is None or maker.evicts)
        spared = {actor.session_id for actor in session.actors}
        while len(live := change.tx.run("agent.live", now=change.now, **agent)) >= most:
            oldest = next((each for (each,) in live if each not in spared), None)
            if oldest is None or not evicts:
                raise LimitReached(row["agent_id"], most)
            self._endings.end_in(change, oldest, cause="limit", reason=None, actor=who_makes() or "host")

    def _read_parent(self, session_id: str) -> Parent:
        rows = self._parts.store.read("validate.parent", id=session_id)
        if not rows:
            raise SessionNotFound(session_id)
        parent = Parent(*rows[0])
        require_live(
            self._parts, session_id, parent.cause, parent.reason, due_at=parent.due_at, kid=parent.kid
        )
        return parent


def _hold_against_parent(change: Change, row: dict[str, Any], authority: Authority) -> None:
    """Look at the parent again under the lock; a delegation is also activity of its whole line."""
    parent = change.ends_of(row["parent_id"])
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
    if row["uses_left"] is not None and parent.uses_left is not None:
        debit = change.one("session.debit", id=row["parent_id"], uses=row["uses_left"])
        if debit is None:
            raise DelegationRefused(f"the parent has {parent.uses_left} uses left")
    if row["idle_timeout"] is not None:
        at = max(change.now, row["created_at"])  # the clock may have stepped back since the draft
        change.tx.run("session.touch", id=row["parent_id"], at=at, now=change.now)


def _hold_against_maker(change: Change) -> None:
    """Look under the lock whether whom a session is made for is still live; it is nobody's child."""
    maker = maker_here()
    own = None if maker is None else change.ends_of(maker.session_id)
    if own is not None and (own.cause is not None or own.due_at <= change.now):
        raise SessionEnded(own.cause or own.due_cause, own.reason)


def _last_end(created_at: int, longest: int) -> int:
    """Return when a root session ends for good: never after whom it is made for."""
    maker = maker_here()
    end = created_at + longest
    return end if maker is None or maker.ends_at is None else min(end, maker.ends_at)


def _actor(authority: Authority | None) -> str | None:
    """Return who makes a session: by a token it is the agent, by a record the host."""
    is_agents_word = authority is not None and authority.generation is not None
    return who_makes(by_token_of=authority.session_id if authority and is_agents_word else None)


def _made_before(change: Change, row: dict[str, Any], *, longest: int | None) -> Session | None:
    """Return the session that the same request made; InvalidArgument when it asked for something else."""
    if row["request_id"] is None:
        return None
    found = change.one("session.by_request", workspace_id=row["workspace_id"], request_id=row["request_id"])
    if found is None:
        return None
    made = Session.from_tuple(found)
    if _asked_for(Session.from_row(row)) != _asked_for(made) or not _lasts(made, longest):
        raise InvalidArgument("request_id", "was used for a different request", hint="use a new one")
    return made


def _lasts(made: Session, longest: int | None) -> bool:
    """Tell whether a session lasts as long as one that is asked for; a child lasts as its parent does."""
    end = longest and _last_end(to_microseconds(made.created_at), longest)
    return end in (None, to_microseconds(made.absolute_expires_at))


def _asked_for(session: Session) -> tuple[object, ...]:
    """Return what a request settled for good; names, labels and metadata may have changed since."""
    who = (session.agent_id, session.subject, session.parent_id, session.audience, session.key, session.role)
    what: tuple[object, ...] = (
        session.scopes,
        session.task_type,
        session.delegable,
        session.ttl,
        session.idle_timeout,
    )
    limits = (session.uses_left is None, session.refresh_idle is None)
    return (*who, *what, session.grant_name, session.cnf, *limits)


def _check_key(change: Change, row: dict[str, Any]) -> None:
    if row["key"] is None:
        return
    found = change.one("session.by_key", workspace_id=row["workspace_id"], key=row["key"])
    if found is not None:
        holder = Session.from_tuple(found)
        if to_microseconds(holder.due_at) <= change.now:
            raise SessionDue(holder.id)
        raise KeyInUse(row["key"], holder.id)
