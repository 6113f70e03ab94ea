"""Kill switches: ends of many sessions by one act, which all share its cause id."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, NamedTuple, TypedDict

from clawguard.checks import check_flag, check_text, is_integer
from clawguard.clock import to_datetime, to_microseconds
from clawguard.errors import InvalidArgument
from clawguard.models import Ended, Page, Session
from clawguard.sessions.current import who_acts
from clawguard.sessions.drafts import DEFAULT_WORKSPACE, check_agent, optional_text
from clawguard.sessions.pages import AGENT, cursor_of, digest_of, position_of
from clawguard.sessions.parts import Parts
from clawguard.store import Row

__all__ = ["Agents", "DisabledAgent", "Filters", "KnownAgent", "Switches"]

_BATCH = 500
_MAX_LIMIT = 1_000


class Filters(TypedDict, total=False):
    """Name what a mass end picks sessions by; all that are given must hold."""

    subject: str
    workspace_id: str
    agent_id: str | uuid.UUID
    issued_before: datetime
    key_id: str
    role: str


class Switches:
    """End all that filters pick; each act is one cause id."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._endings = parts.endings

    def revoke_where(
        self,
        *,
        everything: bool,
        dry_run: bool,
        reason: str | None,
        actor: str,
        filters: Mapping[str, Any],
    ) -> Ended:
        """End in batches: see `SessionManager.revoke_where`."""
        why = optional_text(reason, argument="reason")
        picked = _picked(filters, everything=everything)
        check_flag(dry_run, argument="dry_run")
        if dry_run:
            return self.count(picked)
        cause_id = self.new_cause()
        given = {"cause": "revoked", "reason": why, "actor": actor, "cause_id": cause_id}
        return Ended(sum(self.batches(picked, **given)), cause_id)

    def end_agent(
        self,
        agent_id: str | uuid.UUID,
        *,
        workspace_id: str,
        dry_run: bool,
        reason: str | None,
        actor: str,
        disables: bool = False,
    ) -> Ended:
        """End all of an agent, and forbid it new ones where that is asked, in one transaction."""
        picked = _agent(agent_id, workspace_id)
        why = optional_text(reason, argument="reason")
        check_flag(dry_run, argument="dry_run")
        if dry_run:
            return self.count(picked)
        cause_id = self.new_cause()
        told: dict[str, Any] = {"reason": why, "actor": actor, "cause_id": cause_id}
        with self._parts.change(durable=True) as change:
            if disables and change.tx.run("agent.disable", now=change.now, reason=why, actor=actor, **picked):
                change.writer.append("agent.disabled", **told, **picked)
            count, _ = self._endings.end_matching(change, picked, cause="agent", **told)
        return Ended(count, cause_id)

    def enable(self, agent_id: str | uuid.UUID, *, workspace_id: str, dry_run: bool, actor: str) -> Ended:
        """Allow an agent sessions again: see `Agents.enable`."""
        picked = _agent(agent_id, workspace_id)
        check_flag(dry_run, argument="dry_run")
        if dry_run:
            return Ended(0, None)
        cause_id = self.new_cause()
        with self._parts.change(durable=True) as change:
            if change.tx.run("agent.enable", **picked):
                change.writer.append("agent.enabled", actor=actor, cause_id=cause_id, **picked)
        return Ended(0, cause_id)

    def batches(self, filters: Mapping[str, Any], **given: Any) -> Iterator[int]:
        """End in batches, so that others may write in between; yield how many ended in each."""
        after: str | None = ""
        while after is not None:
            with self._parts.change(durable=True) as change:
                count, after = self._endings.end_matching(change, filters, after=after, limit=_BATCH, **given)
            yield count

    def count(self, filters: Mapping[str, Any]) -> Ended:
        """Count what would end, and end nothing."""
        now = self._parts.clock.now()
        rows = self._parts.store.read("session.count_hit", tuple(filters), now=now, **filters)
        return Ended(rows[0][0], None)

    def new_cause(self) -> str:
        """Return an id for one act."""
        return self._parts.new_id(self._parts.clock.now())


def _picked(filters: Mapping[str, Any], *, everything: bool) -> dict[str, Any]:
    """Return the columns to compare; InvalidArgument for no filter at all, or one that is None."""
    unknown = filters.keys() - Filters.__annotations__.keys()
    if unknown:
        raise TypeError(f"unexpected keyword argument {min(unknown)!r}")
    check_flag(everything, argument="everything")
    if everything and filters:
        raise InvalidArgument("everything", "stands alone", hint="leave it out, or the filters")
    if not everything and not filters:
        raise InvalidArgument(
            "filters", "at least one is needed", hint="everything=True ends every session of every workspace"
        )
    picked = {name: _value(name, value) for name, value in filters.items()}
    return picked if everything else {"workspace_id": DEFAULT_WORKSPACE} | picked


def _value(name: str, value: Any) -> Any:
    if name == "issued_before":
        return to_microseconds(value, argument=name)
    return check_agent(value) if name == "agent_id" else check_text(value, argument=name)


def _agent(agent_id: str | uuid.UUID, workspace_id: str) -> dict[str, Any]:
    return {
        "workspace_id": check_text(workspace_id, argument="workspace_id"),
        "agent_id": check_agent(agent_id),
    }


class DisabledAgent(NamedTuple):
    """Tell of an agent that may have no sessions: since when, why and by whom."""

    agent_id: str
    disabled_at: datetime
    reason: str | None
    disabled_by: str


class KnownAgent(NamedTuple):
    """Tell how many live sessions an agent has, the newest of them, and whether it is disabled."""

    agent_id: str
    live: int
    newest: Session | None
    disabled: DisabledAgent | None


class Agents:
    """`manager.agents`: forbid an agent of a workspace its sessions, and allow them again."""

    def __init__(self, parts: Parts, switches: Switches) -> None:
        self._parts = parts
        self._switches = switches

    def disable(
        self,
        agent_id: str | uuid.UUID,
        *,
        workspace_id: str = DEFAULT_WORKSPACE,
        dry_run: bool = False,
        reason: str | None = None,
        actor: str | None = None,
    ) -> Ended:
        """End an agent's sessions, with all below them, and refuse it new ones: at once and everywhere.

        With `dry_run` nothing changes, and `count` says how many would end.
        """
        return self._switches.end_agent(
            agent_id,
            workspace_id=workspace_id,
            dry_run=dry_run,
            reason=reason,
            actor=who_acts(actor),
            disables=True,
        )

    def enable(
        self,
        agent_id: str | uuid.UUID,
        *,
        workspace_id: str = DEFAULT_WORKSPACE,
        dry_run: bool = False,
        actor: str | None = None,
    ) -> Ended:
        """Allow an agent new sessions again; what ended stays ended, so `count` is 0."""
        return self._switches.enable(
            agent_id, workspace_id=workspace_id, dry_run=dry_run, actor=who_acts(actor)
        )

    def disabled(self, *, workspace_id: str = DEFAULT_WORKSPACE) -> list[DisabledAgent]:
        """Return the agents of a workspace that are disabled."""
        workspace = check_text(workspace_id, argument="workspace_id")
        rows = self._parts.store.read("agent.disabled", workspace_id=workspace)
        return [DisabledAgent(agent, to_datetime(at), why, who) for agent, at, why, who in rows]

    def page(
        self, *, workspace_id: str = DEFAULT_WORKSPACE, limit: int = 50, cursor: str | None = None
    ) -> Page[KnownAgent]:
        """Return a page of the agents that have live sessions or are disabled, by name.

        Raises InvalidArgument for a limit outside 1 to 1,000, and a cursor that is malformed or of another
        listing.
        """
        if not is_integer(limit, least=1, most=_MAX_LIMIT):
            raise InvalidArgument("limit", f"must be 1 to {_MAX_LIMIT}")
        workspace = check_text(workspace_id, argument="workspace_id")
        digest = digest_of("agents", workspace)
        (after,) = ("",) if cursor is None else position_of(cursor, digest, AGENT)
        rows = self._parts.store.read(
            "agent.page",
            workspace_id=workspace,
            after=after,
            now=self._parts.clock.now(),
            limit=limit + 1,
        )
        items = tuple(map(_known, rows[:limit]))
        return Page(items, cursor_of(items[-1].agent_id, digest) if len(rows) > limit else None)


def _known(row: Row) -> KnownAgent:
    (agent, live, since, why, who), newest = row[:5], row[5:]
    return KnownAgent(
        agent,
        live,
        None if newest[0] is None else Session.from_tuple(newest),
        None if since is None else DisabledAgent(agent, to_datetime(since), why, who),
    )
