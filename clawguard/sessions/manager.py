"""The session manager: the verbs of a session's life. Each is one transaction, told in its own module."""

from __future__ import annotations

import os
import uuid
from collections.abc import Collection, Mapping
from functools import partial
from typing import TypeVar, Unpack

from clawguard.checks import check_flag
from clawguard.clock import SECOND, Clock, Duration, microseconds
from clawguard.events.event import Event
from clawguard.events.signals import Dispatch, Receiver
from clawguard.guard import KekSource, Policy, PolicySource, Proof
from clawguard.models import Cause, Ended, IssuedSession, JSONObject, Session, SessionContext
from clawguard.scopes import Scopes
from clawguard.sessions.activity import Activity
from clawguard.sessions.current import Use, who_acts
from clawguard.sessions.directory import Directory
from clawguard.sessions.drafts import DEFAULT_WORKSPACE, Labels, optional_text
from clawguard.sessions.families import Families
from clawguard.sessions.history import History
from clawguard.sessions.issuing import AtLimit, Issuing, Limits
from clawguard.sessions.keys import Keys
from clawguard.sessions.parts import Parts, open_parts
from clawguard.sessions.policies import Given, Policies
from clawguard.sessions.proofs import forget_proofs
from clawguard.sessions.publishing import Payload, Publishing
from clawguard.sessions.references import SessionRef, authority_by, find_id
from clawguard.sessions.refreshing import Refreshing
from clawguard.sessions.switches import Agents, Filters, Switches
from clawguard.sessions.validating import Validation

__all__ = ["SessionManager"]

R = TypeVar("R", bound=Receiver)


class SessionManager(Validation):
    """Issue, check, refresh, delegate and revoke sessions: open it with `SessionManager.open()`.

    A string given to `validate`, `use`, `inspect` and `delegate` is a token, never an id; every other verb
    takes an id or a record. Durations are seconds or timedeltas.
    """

    def __init__(self, parts: Parts, *, sweep_every: float | None, limits: Limits) -> None:
        self._switches = Switches(parts)
        self._families = Families(parts, grace=limits.refresh_grace)
        self._issuing = Issuing(parts, limits, self._families)
        self._refreshing = Refreshing(parts)
        self._endings = parts.endings
        self.sessions = Directory(parts.store, parts.change, clock=parts.clock)
        self.activity = Activity(parts)
        self.history = History(parts)
        self.keys = Keys(parts, self._switches)
        self.agents = Agents(parts, self._switches)
        self._publishing = Publishing(parts)
        self._policies = Policies(parts.change, parts.keychain, parts.guard)
        forget, tidy = partial(forget_proofs, parts), self.keys.prune
        index = self.history.indexing.catch_up
        self._upkeep = (parts.recorder.flush, tidy, self._families.wipe, forget, index, parts.log.upkeep)
        super().__init__(parts, (*self._upkeep, self._endings.sweep), every=sweep_every)

    @classmethod
    def open(
        cls,
        url: str | os.PathLike[str] | None = None,
        *,
        issuer: str | None = None,
        audience: str | None = None,
        audiences: Collection[str] = (),
        policy: PolicySource | None = None,
        kek: KekSource = None,
        max_sessions_per_agent: int | None = None,
        at_limit: AtLimit = "deny",
        refresh_idle: Duration = 3_600,
        refresh_grace: Duration = 10,
        sweep_every: float | None = 1.0,
        max_staleness: Duration = 0,
        lock_timeout: float = 5.0,
        dispatch: Dispatch = "thread",
        encrypt_history: bool = False,
        create: bool = True,
        clock: Clock | None = None,
    ) -> SessionManager:
        """Open the store at a path or URL, making it on first use unless `create` is False.

        `url` is by default `CLAWGUARD_URL`, else `.clawguard/clawguard.db`; `:memory:` leaves nothing
        behind. `issuer` and `audience` are the database's own unless it is new; `audiences` are further
        ones that its tokens may be for. `policy` is put in force, see `reload_policy`; without it the one in
        force stays. `kek` is the key-encryption key: 32 bytes, a passphrase (str), a key file (pathlib.Path)
        or a callable; by default `CLAWGUARD_KEK`, else a file beside the database. An agent has at most
        `max_sessions_per_agent` live sessions in a workspace: one more is denied, or with
        `at_limit="evict_oldest"` ends the oldest. A refreshable session ends `refresh_idle` seconds after
        its last redeem; `refresh_grace` (0 to 60) see `redeem`. Every `sweep_every` seconds natural ends are
        recorded; None leaves that to `prune_expired`. A write waits at most `lock_timeout` seconds. With a
        `max_staleness` (from 0.25 seconds) validate answers from memory where no event up to then said
        otherwise. Live receivers run on a `thread` of their own or `inline`, after each call. With
        `encrypt_history` conversations are encrypted at rest, and plain ones refused. Raises ConfigError.
        """
        first = None if policy is None else Given.of(policy)  # a fault shows before anything is made
        check_flag(encrypt_history, argument="encrypt_history")
        limits = Limits.of(max_sessions_per_agent, at_limit, refresh_idle, refresh_grace)
        every = None if sweep_every is None else microseconds(sweep_every, argument="sweep_every") / SECOND
        parts = open_parts(
            url,
            issuer=issuer,
            audience=audience,
            audiences=audiences,
            kek=kek,
            signs=True,
            max_staleness=max_staleness,
            create=create,
            lock_timeout=lock_timeout,
            dispatch=dispatch,
            clock=clock,
        )
        try:
            manager = cls(parts, sweep_every=every, limits=limits)
            if encrypt_history:
                manager.history.encryption.require()
        except BaseException:
            parts.close()
            raise
        if first is not None:
            manager._policies.put_first(first, on_failure=manager.close)
        manager._start()
        return manager

    @property
    def policy(self) -> Policy:
        """The policy in force; the empty one says nothing, and scopes alone decide."""
        return self._policies.in_force

    def reload_policy(self, policy: PolicySource | None = None, *, actor: str | None = None) -> Policy:
        """Put a policy in force in every process, from its next validate on, and return it.

        A TOML file by its path, a dict, or a `Policy`; by default the file that was given last. Raises
        ConfigError for its first fault, with line and key: then the policy before stays in force.
        """
        return self._policies.reload(policy, actor=who_acts(actor))

    def create(
        self,
        /,
        agent_id: str | uuid.UUID,
        *,
        scopes: Scopes,
        role: str | None = None,
        task_type: str | None = None,
        subject: str | None = None,
        workspace_id: str | None = None,
        audience: str | None = None,
        key: str | None = None,
        name: str | None = None,
        ttl: Duration = 3_600,
        idle_timeout: Duration | None = None,
        max_lifetime: Duration | None = None,
        max_uses: int | None = None,
        delegable: bool = True,
        refreshable: bool = False,
        cnf: Mapping[str, str] | None = None,
        metadata: JSONObject | None = None,
        request_id: str | None = None,
        **labels: Unpack[Labels],
    ) -> IssuedSession:
        """Create a session and return it with its token.

        `subject` is on whose behalf (default the agent itself), `key` the host's own unique handle,
        `max_lifetime` what no refresh passes (default a day or `ttl`, the longer), `max_uses` how often its
        tokens may be validated: the last use ends it. `cnf` binds its tokens to a key or a certificate:
        `{"jkt": thumbprint}` or `{"x5t#S256": thumbprint}`. The same `request_id` gives the same session
        again. Labels decide nothing. Raises InvalidArgument, KeyInUse, LimitReached, PolicyDenied.
        """
        return self._issuing.create(
            agent_id,
            scopes=scopes,
            role=role,
            task_type=task_type,
            subject=subject,
            workspace_id=workspace_id,
            audience=audience,
            key=key,
            name=name,
            ttl=ttl,
            idle_timeout=idle_timeout,
            max_lifetime=max_lifetime,
            max_uses=max_uses,
            refreshable=refreshable,
            delegable=delegable,
            cnf=cnf,
            metadata=metadata,
            request_id=request_id,
            **labels,
        )

    def create_session(
        self, agent_id: str | uuid.UUID, role: str | None, scopes: Scopes, task_type: str | None = None
    ) -> IssuedSession:
        """Create a session with the arguments in this order: see `create`."""
        return self.create(agent_id, scopes=scopes, role=role, task_type=task_type)

    def delegate(
        self,
        /,
        parent: str | Session | SessionContext,
        agent_id: str | uuid.UUID,
        *,
        scopes: Scopes,
        ttl: Duration | None = None,
        idle_timeout: Duration | None = None,
        role: str | None = None,
        task_type: str | None = None,
        audience: str | None = None,
        grant: str | None = None,
        max_uses: int | None = None,
        refreshable: bool = False,
        key: str | None = None,
        name: str | None = None,
        delegable: bool = True,
        cnf: Mapping[str, str] | None = None,
        metadata: JSONObject | None = None,
        request_id: str | None = None,
        **labels: Unpack[Labels],
    ) -> IssuedSession:
        """Create a child that never has what its parent lacks: scopes, lifetime, idle limit or depth.

        `parent` is a token or a record. `ttl` means at most: the child ends at the earlier of it and its
        parent. `grant` names what the policy lets this parent hand on without having it. `max_uses` are taken
        from the parent's, where those are counted. Below one that is bound to a key the child needs a `cnf`
        of its own. Raises DelegationRefused (scopes are never trimmed) and what `validate` raises.
        """
        return self._issuing.delegate(
            authority_by(parent, self._identify),
            agent_id,
            scopes=scopes,
            ttl=ttl,
            idle_timeout=idle_timeout,
            role=role,
            task_type=task_type,
            audience=audience,
            grant=grant,
            max_uses=max_uses,
            refreshable=refreshable,
            key=key,
            name=name,
            delegable=delegable,
            cnf=cnf,
            metadata=metadata,
            request_id=request_id,
            **labels,
        )

    def use(
        self,
        token: str | SessionContext,
        /,
        *,
        require: Scopes = (),
        proof: Proof | None = None,
        end: bool = False,
    ) -> Use:
        """Bind the session for a `with` or `async with` block; `end=True` ends it on the way out, always."""
        finish = self.end if end else None
        return Use(self, token, require=require, proof=proof, finish=finish)

    def refresh(
        self,
        session: SessionRef,
        *,
        ttl: Duration | None = None,
        expected_generation: int | None = None,
        workspace_id: str | None = None,
    ) -> IssuedSession:
        """Return the session with its next token; the token before is dead at once, the children live on.

        Its original `ttl` counts again, within the absolute end and the parent's; an end never moves
        backwards. With `expected_generation` it is a compare-and-set (TokenSuperseded).
        """
        session_id = find_id(self._store, session, workspace_id=workspace_id)
        return self._refreshing.refresh(session_id, ttl=ttl, expected_generation=expected_generation)

    def redeem(self, refresh_token: str, /, *, proof: Proof | None = None) -> IssuedSession:
        """Return a refreshable session with its next token and its next refresh token; this one is spent.

        For `refresh_grace` seconds the token just spent gives the same again, as long as its successor has
        not been redeemed. A spent one that comes back in any other way ends the session (cause `reuse`).
        Where the session is bound, its holder's `proof` is needed. Raises InvalidToken, InvalidProof,
        SessionEnded.
        """
        return self._families.redeem(refresh_token, proof, now=self._time())

    def revoke(
        self,
        session: SessionRef,
        *,
        reason: str | None = None,
        actor: str | None = None,
        workspace_id: str | None = None,
    ) -> bool:
        """End a session and all below it, at once and everywhere; False when it had ended already.

        `actor` is by default the bound session, else `host`. Raises SessionNotFound, also for a session of
        another workspace than `workspace_id`; any other error than OutcomeUnknown means that nothing changed.
        """
        return self._end(session, "revoked", reason=reason, actor=actor, workspace_id=workspace_id)

    def end(self, session: SessionRef, *, workspace_id: str | None = None) -> bool:
        """End a session the good way, with the cause `finished`; False when it had ended already."""
        return self._end(session, "finished", workspace_id=workspace_id)

    def invalidate(self, session: SessionRef, *, workspace_id: str | None = None) -> bool:
        """End a session with the cause `invalidated`: its token dies and its event is recorded."""
        return self._end(session, "invalidated", workspace_id=workspace_id)

    def revoke_all_for_agent(
        self,
        agent_id: str | uuid.UUID,
        *,
        workspace_id: str = DEFAULT_WORKSPACE,
        dry_run: bool = False,
        reason: str | None = None,
        actor: str | None = None,
    ) -> Ended:
        """End an agent's sessions in one workspace, and all below them, in one transaction.

        It may be given new ones: `agents.disable` forbids that too.
        """
        return self._switches.end_agent(
            agent_id, workspace_id=workspace_id, dry_run=dry_run, reason=reason, actor=who_acts(actor)
        )

    def revoke_where(
        self,
        *,
        everything: bool = False,
        dry_run: bool = False,
        reason: str | None = None,
        actor: str | None = None,
        **filters: Unpack[Filters],
    ) -> Ended:
        """End every session that all the filters pick, and all below them, and tell how many that were.

        `filters` are `subject`, `agent_id`, `role`, `key_id`, `issued_before` (of the token) and
        `workspace_id` (`default` if not given). No filter, or one that is None, is InvalidArgument;
        `everything=True` ends every session of every workspace. In batches: when one fails, those before
        it stand, and the call may be repeated. With `dry_run` nothing ends.
        """
        return self._switches.revoke_where(
            everything=everything, dry_run=dry_run, reason=reason, actor=who_acts(actor), filters=filters
        )

    def publish(
        self,
        event_type: str,
        payload: Payload,
        *,
        session: SessionRef | None = None,
        workspace_id: str | None = None,
        actor: str | None = None,
        cause_id: str | uuid.UUID | None = None,
    ) -> Event:
        """Append an event of the host's own to the log, and send it to whoever hears its type.

        `events.register` makes the type known; `payload` (16 KiB as JSON, no floats) is its `data`. It
        concerns `session`, by default the bound one; `cause_id` ties it to others. Raises SessionNotFound.
        """
        return self._publishing.publish(
            event_type, payload, session=session, workspace_id=workspace_id, actor=actor, cause_id=cause_id
        )

    def get_session(self, session: SessionRef, *, workspace_id: str | None = None) -> Session:
        """Return a session as it is now: see `sessions.get`."""
        return self.sessions.get(session, workspace_id=workspace_id)

    def active_count(self, *, workspace_id: str = DEFAULT_WORKSPACE) -> int:
        """Return how many sessions of one workspace are live."""
        return self.sessions.count_live(workspace_id=workspace_id)

    def prune_expired(self) -> int:
        """Do what the sweeper does, now: record natural ends; return how many sessions ended."""
        for chore in self._upkeep:
            chore()
        return self._endings.sweep()

    def _end(
        self,
        session: SessionRef,
        cause: Cause,
        *,
        reason: str | None = None,
        actor: str | None = None,
        workspace_id: str | None,
    ) -> bool:
        why = optional_text(reason, argument="reason")
        session_id = find_id(self._store, session, workspace_id=workspace_id)
        return self._endings.end(session_id, cause=cause, reason=why, actor=who_acts(actor))
