"""`manager.history`: conversations, each of which belongs to a session and lives no longer without it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

from clawguard.checks import check_flag, check_progress, check_text, is_integer
from clawguard.clock import SECOND, microseconds, to_datetime, to_microseconds
from clawguard.errors import InvalidArgument, SessionNotFound
from clawguard.history import transcript
from clawguard.history.records import Entry, Hit, Imported, IndexCheck, SessionMetadata
from clawguard.history.snippets import SEEN, Finder
from clawguard.history.words import matching, ranked, readable
from clawguard.models import Page, Session
from clawguard.sessions.change import Change, about
from clawguard.sessions.conversations import MOST, Conversations, grow, tell
from clawguard.sessions.current import who_acts
from clawguard.sessions.drafts import DEFAULT_WORKSPACE
from clawguard.sessions.encryption import Encryption
from clawguard.sessions.indexing import Indexing
from clawguard.sessions.milestones import Milestones
from clawguard.sessions.pages import ID, check_filters, cursor_of, digest_of, position_of
from clawguard.sessions.parts import Parts
from clawguard.sessions.references import SessionRef, session_id_of

if TYPE_CHECKING:
    from clawguard.history.messages import SessionQuery
    from clawguard.history.wrap_up import WrapUp

__all__ = ["History", "Searched"]

_MAX_LIMIT = 1_000
_POSITION = rf"([0-9]{{1,18}}) {ID}"
_BATCH = 500
_HOLD = SECOND // 50  # what one batch of conversations removed may take of the write lock, before its commit
_WHERE = ("session", "workspace_id")
_FILTERS = ("agent_id", "subject", "channel_id", "room_id", "sender_id", "state")


class Searched(TypedDict, total=False):
    """Name what a search is narrowed by, see `clawguard.history.messages.SessionQuery`."""

    session: SessionRef
    workspace_id: str | None
    limit: int
    agent_id: str
    channel_id: str
    since: datetime
    until: datetime


class History(Conversations):
    """Keep the conversations of sessions: append to one that is live, read any, find, carry out and in.

    With a `workspace_id` a session of another workspace is as unknown as none. What adds or changes raises
    SessionNotFound or SessionEnded: nothing but `create` brings a session into being. Numbers of entries go
    from 1 to `count` without a gap.
    """

    def __init__(self, parts: Parts) -> None:
        super().__init__(parts)
        self.milestones = Milestones(parts)
        self.indexing = Indexing(parts)
        self.encryption = Encryption(parts, self.indexing)

    def cleanup_stale(
        self,
        idle_for: float | timedelta,
        *,
        dry_run: bool = False,
        workspace_id: str = DEFAULT_WORKSPACE,
        actor: str | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> int:
        """Delete the conversations without activity for `idle_for` seconds, and return how many those were.

        As `delete` does, in batches; none of a session with a turn under way, its own or one below it, which
        would end with it. Nothing calls this by itself. `progress` is told the number so far. With `dry_run`
        nothing is deleted.
        """
        check_flag(dry_run, argument="dry_run")
        check_progress(progress)
        who, clock = who_acts(actor), self._parts.clock
        idle = microseconds(idle_for, argument="idle_for", least=0)
        workspace = check_text(workspace_id, argument="workspace_id")
        self._parts.recorder.flush()
        stale = {"workspace_id": workspace, "before": clock.now() - idle}
        if dry_run:
            return int(self._store.read("conversation.count_stale", now=clock.now(), **stale)[0][0])
        total, cause_id = 0, self._parts.new_id(clock.now())
        while self._store.read("conversation.stale", now=clock.now(), limit=1, **stale):
            with self._parts.change(durable=True) as change:
                until = clock.elapsed() + _HOLD
                for (each,) in change.tx.run("conversation.stale", now=change.now, limit=_BATCH, **stale):
                    self._delete(change, each, who, cause_id)
                    total += 1
                    if clock.elapsed() >= until:
                        break
            if progress is not None:
                progress(total)
        return total

    def page(
        self,
        /,
        *,
        workspace_id: str = DEFAULT_WORKSPACE,
        limit: int = 50,
        cursor: str | None = None,
        **filters: str,
    ) -> Page[SessionMetadata]:
        """Return a page of the conversations that have entries, by last activity, the latest first.

        `filters` are `agent_id`, `subject`, `channel_id`, `room_id`, `sender_id` and `state`. What becomes
        active while the pages are walked moves to the front, before them.
        """
        if not is_integer(limit, least=1, most=_MAX_LIMIT):
            raise InvalidArgument("limit", f"must be 1 to {_MAX_LIMIT}")
        params: dict[str, Any] = {"workspace_id": check_text(workspace_id, argument="workspace_id")}
        params |= check_filters(filters, _FILTERS)
        digest, names = digest_of("history", params), tuple(filters)
        if cursor is not None:
            activity, session_id = position_of(cursor, digest, _POSITION)
            params |= {"cursor_activity": int(activity), "cursor_id": session_id}
            names += ("below_activity",)
        rows = self._store.read("conversation.page", names, limit=limit + 1, **params)
        items = tuple(map(SessionMetadata.of, rows[:limit]))
        if len(rows) <= limit:
            return Page(items, None)
        last = items[-1]
        return Page(items, cursor_of(f"{to_microseconds(last.last_activity)} {last.session_id}", digest))

    def search(self, keyword: str | SessionQuery, **narrowed: Unpack[Searched]) -> tuple[Hit, ...]:
        """Return the entries of a session, or of a workspace, that hold any word of a text, the best first.

        A word that ends in `*` stands for all that begin so; accents and case make no difference, and any
        other character is just a character. `narrowed` are `session`, `workspace_id` (without a session:
        `default`), `limit` (50; 1 to 1,000), `agent_id`, `channel_id`, `since` and `until`; of these a
        `SessionQuery` holds the last five. None narrows nothing down, so it is refused. Raises
        SearchUnavailable where conversations are encrypted, and where SQLite was built without FTS5.
        """
        from clawguard.history.messages import read_query

        where = {name: value for name, value in narrowed.items() if name in _WHERE}
        query = read_query(keyword, {name: value for name, value in narrowed.items() if name not in where})
        names, params = _narrowing(query)
        if "session" in narrowed:
            known = self._known(narrowed["session"], narrowed.get("workspace_id"))
            params |= {"workspace_id": known.workspace_id, "session_id": known.session_id}
            names.append("entry_of_session")
        else:
            workspace: Any = narrowed.get("workspace_id", DEFAULT_WORKSPACE)
            params["workspace_id"] = check_text(workspace, argument="workspace_id")
        self.indexing.check_searchable()
        wanted = matching(query.keyword)
        if wanted is None:
            return ()
        self.indexing.catch_up()
        params |= {"query": wanted, "terms": json.dumps(ranked(query.keyword))}
        params |= {"limit": query.limit, "seen": SEEN}
        rows, finder = self._store.read("words.search", tuple(names), **params), Finder(query.keyword)
        return tuple(_hit(row, finder) for row in rows)

    def fork(
        self,
        session: SessionRef,
        into: SessionRef,
        *,
        up_to: int | None = None,
        workspace_id: str | None = None,
    ) -> int:
        """Copy a conversation, or its entries up to a number, into a live session without entries.

        That session's `forked_from` is set, never its parent: it has no more authority than before. Both are
        of one workspace. Returns how many entries were copied.
        """
        source = self._known(session, workspace_id)
        last = source.message_count if up_to is None else up_to
        if not is_integer(last, least=0, most=MOST):
            raise InvalidArgument("up_to", "must be the number of an entry")
        if session_id_of(into, argument="into") == source.session_id:
            raise InvalidArgument("into", "is the session itself", hint="fork into a new session")

        def graft(change: Change, session_id: str) -> int:
            held = change.one("conversation.pulse", id=source.session_id, now=change.now)
            if held is None:
                raise SessionNotFound(source.session_id)
            count = min(last, int(held[0]))
            if grow(change, session_id, by=count).length != count:
                raise InvalidArgument("into", "has entries already", hint="fork into a new session")
            keys = self._keys_under(change)
            transcript.copy(change.tx, keys, source=source.session_id, into=session_id, up_to=count)
            row = change.one(
                "session.set_forked_from", id=session_id, source=source.session_id, now=change.now
            )
            forked = Session.from_tuple(row or ())
            fields = about(forked, version=forked.version)
            change.writer.append("session.updated", **fields, data={"fields": ["forked_from"]})
            return count

        return self._write(into, source.workspace_id, graft)

    def wrap_up(self, session: SessionRef, *, workspace_id: str | None = None) -> WrapUp:
        """Sum a conversation up: how long, how many entries of each kind, first question, tools."""
        from clawguard.history.wrap_up import summarize

        metadata = self._known(session, workspace_id)
        return summarize(metadata, self._walk(metadata))

    def export_jsonl(
        self,
        session: SessionRef,
        path: str | os.PathLike[str],
        *,
        progress: Callable[[int], None] | None = None,
        workspace_id: str | None = None,
    ) -> int:
        """Write a conversation into a file, one message a line, and return how many messages those are.

        The file takes the place of one that is there, whole or not at all, and is 0600. What was put in
        automatically is left out. `progress` is told the number so far. Raises ConfigError where it cannot
        be written, StoreBusy where entries were removed meanwhile.
        """
        from clawguard.history.jsonl import path_of, write_file

        check_progress(progress)
        to, metadata = path_of(path), self._known(session, workspace_id)
        return write_file(to, metadata, self._walk(metadata), progress=progress)

    def import_jsonl(
        self,
        session: SessionRef,
        path: str | os.PathLike[str],
        *,
        index_tools: bool = False,
        progress: Callable[[int], None] | None = None,
        actor: str | None = None,
        workspace_id: str | None = None,
    ) -> Imported:
        """Append the messages of a file to a live session, all of them or none.

        The file has one message a line, each a JSON object; a first line that says whose conversation it was
        is returned. `at` in a message is when it was. A file that was imported into this session before, and
        not cleared since, is left alone. `progress` is told the number of lines checked. Raises
        InvalidArgument, which names the first line at fault.
        """
        from clawguard.history.jsonl import Read, opened, path_of

        check_progress(progress)
        check_flag(index_tools, argument="index_tools")
        who, source = who_acts(actor), path_of(path)
        session_id = self._known(session, workspace_id).session_id

        with opened(source) as file:
            read = Read(file, now=self._parts.clock.now(), progress=progress)
            rows = [row._replace(tools_indexed=int(index_tools)) for row in read.rows()]
            read.check_unchanged()
        batch = self._prepared(session_id, rows)

        def take(change: Change, session_id: str) -> Imported:
            keys = self._keys_under(change)
            digest = keys.digest(read.digest)
            seen = change.one("receipt.get", session_id=session_id, digest=digest)
            if seen is not None:
                return Imported(seen[0], repeated=True, header=read.header)
            grown = grow(change, session_id, by=read.count)
            transcript.add(change.tx, keys, batch, first=grown.length - read.count + 1)
            change.tx.run(
                "receipt.insert", session_id=session_id, digest=digest, count=read.count, now=change.now
            )
            tell(change, "history.imported", session_id, grown, actor=who, count=read.count)
            return Imported(read.count, repeated=False, header=read.header)

        return self._write(session_id, None, take)

    def compact(self, *, progress: Callable[[int], None] | None = None) -> int:
        """Make the search's index anew from the entries, in batches, and return how many it went through.

        Searches go on meanwhile. It takes out of the index what a removed entry's words have left in it.
        """
        check_progress(progress)
        return self.indexing.compact(progress=progress)

    def check_index(self) -> IndexCheck:
        """Compare the search's index with the entries, and have SQLite check it in itself.

        Writers wait meanwhile. Raises SearchUnavailable where SQLite was built without FTS5.
        """
        return self.indexing.check()

    def _walk(self, metadata: SessionMetadata) -> Iterator[Entry]:
        until = metadata.message_count
        return transcript.walk(self._store, self._contents, metadata.session_id, until=until)


def _narrowing(query: SessionQuery) -> tuple[list[str], dict[str, Any]]:
    """Return the filters that a query asks for, and what they compare with."""
    names, params = [], {}
    for name, value in query.model_dump(exclude={"keyword", "limit"}, exclude_none=True).items():
        is_time = isinstance(value, datetime)
        names.append(f"entry_{name}" if is_time else f"entry_of_{name.removesuffix('_id')}")
        params[name] = to_microseconds(value) if is_time else check_text(value, argument=name)
    return names, params


def _hit(row: tuple[Any, ...], finder: Finder) -> Hit:
    session_id, seq, at, kind, role, agent_id, agent_alias, channel_id, words, tools, rank = row
    return Hit(
        session_id=session_id,
        seq=seq,
        at=to_datetime(at),
        kind=kind,
        role=role,
        agent_id=agent_id,
        agent_alias=agent_alias,
        channel_id=channel_id,
        snippet=finder.snippet(readable(words), readable(tools)),
        rank=rank,
    )
