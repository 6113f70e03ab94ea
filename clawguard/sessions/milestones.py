"""`manager.history.milestones`: marks of a workspace, such as that a welcome was shown, and since when."""

from __future__ import annotations

from clawguard.checks import check_text
from clawguard.errors import InvalidArgument
from clawguard.sessions.drafts import DEFAULT_WORKSPACE
from clawguard.sessions.parts import Parts

__all__ = ["Milestones"]

_LONGEST = 4_096


class Milestones:
    """Set and get marks; each workspace has its own."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def set(self, key: str, value: str, *, workspace_id: str = DEFAULT_WORKSPACE) -> None:
        """Set a milestone, in the place of what it was; `value` is a text of at most 4,096 characters."""
        self._run("milestone.set", key, value, workspace_id)

    def set_once(self, key: str, value: str, *, workspace_id: str = DEFAULT_WORKSPACE) -> bool:
        """Set a milestone unless it is set; False where it was, and of many at once one gets True."""
        return self._run("milestone.set_once", key, value, workspace_id)

    def get(self, key: str, *, workspace_id: str = DEFAULT_WORKSPACE) -> str | None:
        """Return a milestone's value, or None where it was never set."""
        rows = self._parts.store.read("milestone.get", **_names(key, workspace_id))
        return rows[0][0] if rows else None

    def _run(self, statement: str, key: str, value: str, workspace_id: str) -> bool:
        names = _names(key, workspace_id)
        if not isinstance(value, str) or len(value) > _LONGEST:
            raise InvalidArgument("value", f"must be a text of at most {_LONGEST} characters")
        try:
            value.encode()
        except UnicodeEncodeError:
            raise InvalidArgument("value", "holds a lone surrogate, which no UTF-8 text has") from None
        with self._parts.change(durable=False) as change:
            return bool(change.tx.run(statement, value=value, now=change.now, **names))


def _names(key: str, workspace_id: str) -> dict[str, str]:
    return {
        "key": check_text(key, argument="key"),
        "workspace_id": check_text(workspace_id, argument="workspace_id"),
    }
