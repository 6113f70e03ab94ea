"""`manager.sessions`: find, list and walk sessions; purge tombstones."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

from clawguard.checks import check_progress, check_text, is_integer
from clawguard.clock import Clock, microseconds, to_microseconds
from clawguard.errors import InvalidArgument, SessionNotFound
from clawguard.history import transcript
from clawguard.models import Page, Session
from clawguard.sessions.change import Change
from clawguard.sessions.current import who_acts
from clawguard.sessions.drafts import DEFAULT_WORKSPACE
from clawguard.sessions.pages import ID, check_filters, cursor_of, digest_of, position_of
from clawguard.sessions.references import SessionRef, find_id
from clawguard.store import Row, Store

__all__ = ["Directory"]

_MAX_LIMIT = 1_000
_BATCH = 500
_ENTRIES = 10_000  # of their conversations that one batch removes, or a single session's
_AFTER_ALL = "g"  # sorts behind every id
_FILTERS = ("agent_id", "subject", "role", "state", "channel_id", "room_id", "sender_id", "parent_id")


class Directory:
    """Read sessions. Every listing is of one workspace and newest first.

    What takes an id may be held to a workspace: then a session of another is as unknown as none.
    """

    def __init__(self, store: Store, change: Callable[..., Change], *, clock: Clock) -> None:
        self._store = store
        self._change = change
        self._clock = clock

    def get(self, session: SessionRef, *, workspace_id: str | None = None) -> Session:
        """Return the session as it is now, ended or not; SessionNotFound for an unknown id."""
        return self._line("session.get", session, workspace_id)[0]

    def find(self, *, key: str, workspace_id: str = DEFAULT_WORKSPACE) -> Session | None:
        """Return the live session that holds a key, or None."""
        check_text(key, argument="key")
        rows = self._store.read("session.by_key", workspace_id=_workspace(workspace_id), key=key)
        session = Session.from_tuple(rows[0]) if rows else None
        is_live = session is not None and to_microseconds(session.due_at) > self._clock.now()
        return session if is_live else None

    def count_live(self, *, workspace_id: str = DEFAULT_WORKSPACE) -> int:
        """Return how many sessions of one workspace are live."""
        params = {"now": self._clock.now(), "workspace_id": _workspace(workspace_id)}
        return int(self._store.read("session.count_live", **params)[0][0])

    def count_line(self, session: SessionRef, *, workspace_id: str | None = None) -> int:
        """Return how many live sessions an end of one would reach: itself, and those below it."""
        top = self.get(session, workspace_id=workspace_id).id
        rows = self._store.read("session.count_hit", ("line_of",), line_of=top, now=self._clock.now())
        return int(rows[0][0])

    def count_overdue(self, by: float | timedelta = 60) -> int:
        """Return how many sessions, of all workspaces, ended `by` seconds ago without its being recorded.

        More than none for long means that no sweeper runs.
        """
        before = self._clock.now() - microseconds(by, argument="by", least=0)
        return int(self._store.read("session.overdue", before=before)[0][0])

    def page(
        self,
        /,
        *,
        workspace_id: str = DEFAULT_WORKSPACE,
        live: bool | None = None,
        limit: int = 50,
        cursor: str | None = None,
        **filters: str,
    ) -> Page[Session]:
        """Return one page; the cursor goes on even when the row it stands on was purged.

        `filters` are `agent_id`, `subject`, `role`, `state`, `channel_id`, `room_id`, `sender_id` and
        `parent_id`. Raises InvalidArgument for a limit outside 1 to 1,000, a filter that is None, and a
        cursor that is malformed or of other filters.
        """
        if not is_integer(limit, least=1, most=_MAX_LIMIT):
            raise InvalidArgument("limit", f"must be 1 to {_MAX_LIMIT}")
        params = {"workspace_id": _workspace(workspace_id), **check_filters(filters, _FILTERS)}
        if live is not None and not isinstance(live, bool):
            raise InvalidArgument("live", "must be True, False or None")
        digest = digest_of(params, live)
        names = tuple(filters)
        if live is not None:
            names += ("live" if live else "not_live",)
        if cursor is not None:
            (params["cursor_id"],) = position_of(cursor, digest, ID)
            names += ("below_cursor",)
        rows = self._store.read("session.page", names, limit=limit + 1, now=self._clock.now(), **params)
        items = tuple(Session.from_tuple(row) for row in rows[:limit])
        more = len(rows) > limit
        return Page(items, cursor_of(items[-1].id, digest) if more else None)

    def iter(self, /, **filters: Any) -> Iterator[Session]:
        """Walk all sessions that a page would list, page by page."""
        cursor = None
        while True:
            page = self.page(cursor=cursor, **{"limit": _BATCH, **filters})
            yield from page.items
            cursor = page.next_cursor
            if cursor is None:
                return

    def last(self, /, **filters: Any) -> Session | None:
        """Return the newest session that a page would list, or None."""
        return next(iter(self.page(**filters, limit=1).items), None)

    def children(
        self, /, session: SessionRef, *, workspace_id: str | None = None, **filters: Any
    ) -> Page[Session]:
        """Return a page of a session's own children."""
        parent = self.get(session, workspace_id=workspace_id)
        return self.page(workspace_id=parent.workspace_id, parent_id=parent.id, **filters)

    def tree(self, session: SessionRef, *, workspace_id: str | None = None) -> tuple[Session, ...]:
        """Return a session and everything below it, parents before children."""
        return self._line("session.tree", session, workspace_id)

    def tree_page(
        self,
        session: SessionRef,
        *,
        limit: int = 50,
        cursor: str | None = None,
        workspace_id: str | None = None,
    ) -> Page[Session]:
        """Return a page of a tree, 1 to 1,000 sessions of it, parents before children."""
        if not is_integer(limit, least=1, most=_MAX_LIMIT):
            raise InvalidArgument("limit", f"must be 1 to {_MAX_LIMIT}")
        top = self.get(session, workspace_id=workspace_id)
        digest = digest_of("tree", top.id)
        (after,) = ("",) if cursor is None else position_of(cursor, digest, ID)
        rows = self._store.read("session.tree_page", id=top.id, after=after, limit=limit + 1)
        items = tuple(Session.from_tuple(row) for row in rows[:limit])
        return Page(items, cursor_of(items[-1].id, digest) if len(rows) > limit else None)

    def lineage(self, session: SessionRef, *, workspace_id: str | None = None) -> tuple[Session, ...]:
        """Return a session's ancestors and itself, the root first."""
        return self._line("session.lineage", session, workspace_id)

    def purge(
        self,
        older_than: float | timedelta,
        *,
        workspace_id: str = DEFAULT_WORKSPACE,
        dry_run: bool = False,
        actor: str | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> int:
        """Remove the tombstones of trees whose root ended more than `older_than` seconds ago.

        In bounded batches, children before their parents, each batch an event; `progress` is told the number
        so far. With `dry_run` nothing is removed. Returns the number of sessions.
        """
        check_progress(progress)
        who = who_acts(actor)
        before = self._clock.now() - microseconds(older_than, argument="older_than", least=0)
        workspace = _workspace(workspace_id)
        total, below = 0, _AFTER_ALL
        while True:
            params = {"below": below, "workspace_id": workspace, "before": before, "limit": _BATCH}
            rows = self._store.read("session.purgeable", **params)
            for ids in _batches(rows):
                total += len(ids) if dry_run else self._delete(ids, workspace, who)
            if progress is not None:
                progress(total)
            if len(rows) < _BATCH:
                return total
            below = rows[-1][0]

    def _delete(self, ids: list[str], workspace_id: str, actor: str) -> int:
        with self._change(durable=True) as change:
            count = len(change.tx.run("session.delete", ids=json.dumps(ids)))
            change.tx.run("refresh.delete", ids=json.dumps(ids))
            transcript.purge(change.tx, json.dumps(ids))
            change.tx.run("turn.delete", ids=json.dumps(ids))
            if count:
                whose = {"workspace_id": workspace_id, "actor": actor}
                change.writer.append("session.purged", **whose, data={"count": count})
        return count

    def _line(self, statement: str, session: SessionRef, workspace_id: str | None) -> tuple[Session, ...]:
        session_id = find_id(self._store, session, workspace_id=workspace_id)
        rows = self._store.read(statement, id=session_id)
        if not rows:
            raise SessionNotFound(session_id)
        return tuple(Session.from_tuple(row) for row in rows)


def _batches(rows: list[Row]) -> Iterator[list[str]]:
    """Share ids out so that no batch has too many entries to remove in one transaction."""
    batch: list[str] = []
    held = 0
    for session_id, entries in rows:
        if batch and held + entries > _ENTRIES:
            yield batch
            batch, held = [], 0
        batch.append(session_id)
        held += entries
    if batch:
        yield batch


def _workspace(workspace_id: str) -> str:
    return check_text(workspace_id, argument="workspace_id")
