"""A session's line, the session and its ancestors, and what it may do under the policy of the moment."""

from __future__ import annotations

from clawguard.errors import SessionEnded, StoreUnavailable
from clawguard.guard import Guard, Member, authority_of, decide
from clawguard.models import Decision, SessionContext
from clawguard.scopes import ScopeSet, parse_scopes
from clawguard.sessions.standing import Standing
from clawguard.store import Row, Store

__all__ = ["Lines"]


class Lines:
    """Read lines where the policy or a grant has a say, and reckon the authority along them."""

    def __init__(self, store: Store, guard: Guard) -> None:
        self._store = store
        self._guard = guard

    def line(self, own: Member, *, actors: str, depth: int, is_whole: bool) -> tuple[Member, ...]:
        """Return a session's line, the root first; without `is_whole` the session alone may stand for it.

        That will do where neither policy nor grant has a say: no row has scopes that its parent's has not.
        """
        if depth == 0 or not (is_whole or self._guard.policy.narrows):
            return (own,)
        rows = self._store.read("validate.line", actors=actors)
        if len(rows) != depth:
            raise StoreUnavailable("an ancestor of the session cannot be read", hint="restore a backup")
        return (*map(_member, rows), own)

    def check_keys(self, standing: Standing) -> None:
        """Raise SessionEnded below a session of a compromised key whose end is not recorded yet."""
        ring = self._guard.ring
        if standing.depth == 0 or not ring.ends_pending:
            return
        rows = self._store.read("validate.line_kids", actors=standing.actors)
        if any(ring.state_of(kid) == "compromised" for (kid,) in rows):
            raise SessionEnded("parent")

    def held(self, standing: Standing) -> ScopeSet:
        """Return the scopes that are left of the row's under its line, its roles and its tasks."""
        policy = self._guard.policy
        if not (policy.narrows or standing.granted):
            return parse_scopes(standing.scopes)
        return authority_of(policy, self._line_of(standing, is_whole=bool(standing.granted)))[-1]

    def decide(
        self,
        standing: Standing,
        context: SessionContext,
        *,
        action: str,
        resource: str | None,
        risk: float,
    ) -> Decision:
        """Decide whether the session may do an action: see `Verifier.authorize`."""
        policy = self._guard.policy
        is_whole = bool(policy.rules) or bool(standing.granted)
        return decide(
            policy,
            self._line_of(standing, is_whole=is_whole),
            workspace_id=context.workspace_id,
            scopes=context.scopes,
            action=action,
            resource=resource,
            risk=risk,
        )

    def _line_of(self, standing: Standing, *, is_whole: bool) -> tuple[Member, ...]:
        names = standing.agent_id, standing.role, standing.task_type, standing.scopes, standing.grant_name
        return self.line(_member(names), actors=standing.actors, depth=standing.depth, is_whole=is_whole)


def _member(row: Row) -> Member:
    agent_id, role, task_type, scopes, grant_name = row
    return Member(agent_id, role, task_type, parse_scopes(scopes), grant_name)
