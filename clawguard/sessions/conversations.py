"""A conversation: what is appended to a live session, and what is read of any."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from clawguard.checks import check_flag, check_text, is_integer
from clawguard.errors import InvalidArgument, SessionNotFound
from clawguard.history import transcript
from clawguard.history.content_keys import ContentKeys
from clawguard.history.recent import Recent
from clawguard.history.records import Entry, Row, SessionMetadata
from clawguard.history.transcript import Grown
from clawguard.sessions.change import Change, SessionDue
from clawguard.sessions.current import who_acts
from clawguard.sessions.parts import Parts
from clawguard.sessions.references import SessionRef, find_id, session_id_of

if TYPE_CHECKING:
    from clawguard.history.messages import Message

__all__ = ["MOST", "Conversations", "grow", "tell"]

MOST = 2**53

T = TypeVar("T")


class Conversations:
    """Append to a live session's conversation, change its end, read it, remove it: see `History`."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._store = parts.store
        self._contents = parts.contents
        self._recent = Recent(parts.store, parts.contents)

    def append(
        self,
        session: SessionRef,
        message: Message | Mapping[str, Any],
        *,
        index_tools: bool = False,
        workspace_id: str | None = None,
    ) -> int:
        """Append a message, a dict or a `Message`, and return its number; that counts as activity.

        What tools were given and gave is not found by `search`, unless `index_tools` asks for it: it may
        carry secrets.
        """
        row = self._encoded(message, index_tools)

        def add(change: Change, session_id: str) -> int:
            seq, keys = grow(change, session_id, by=1).length, self._keys_under(change)
            batch = transcript.prepare(keys, session_id, [row._replace(at=change.now)], first=seq)
            transcript.add(change.tx, keys, batch, first=seq)
            return seq

        return self._write(session, workspace_id, add)

    def extend(
        self,
        session: SessionRef,
        messages: Iterable[Message | Mapping[str, Any]],
        *,
        index_tools: bool = False,
        workspace_id: str | None = None,
    ) -> tuple[int, int]:
        """Append messages, all of them or none, and return the first one's number and the last one's.

        Raises InvalidArgument, which names the first at fault, and where there are none.
        """
        if isinstance(messages, str | Mapping) or not isinstance(messages, Iterable):
            raise InvalidArgument(
                "messages", "must be a list of messages", hint="append() takes a single one"
            )
        now = self._parts.clock.now()
        rows = [
            self._encoded(each, index_tools, argument=f"messages[{place}]")._replace(at=now)
            for place, each in enumerate(messages)
        ]
        if not rows:
            raise InvalidArgument("messages", "must be at least one")
        batch = self._prepared(find_id(self._store, session, workspace_id=workspace_id), rows)

        def add(change: Change, session_id: str) -> tuple[int, int]:
            last = grow(change, session_id, by=len(rows)).length
            first = last - len(rows) + 1
            transcript.add(change.tx, self._keys_under(change), batch, first=first)
            return first, last

        return self._write(batch.session_id, None, add)

    def update_last(
        self,
        session: SessionRef,
        message: Message | Mapping[str, Any],
        *,
        index_tools: bool = False,
        workspace_id: str | None = None,
    ) -> bool:
        """Put a message in the last one's place, as an answer streams in; False where there is none."""
        row = self._encoded(message, index_tools)

        def put(change: Change, session_id: str) -> bool:
            grown = grow(change, session_id, by=0)
            if grown.length:
                transcript.replace(change.tx, self._keys_under(change), session_id, row, seq=grown.length)
            return grown.length > 0

        return self._write(session, workspace_id, put)

    def remove_last(
        self, session: SessionRef, *, expected: Entry | None = None, workspace_id: str | None = None
    ) -> bool:
        """Remove the last entry; False where there is none. Its number is given out again.

        With `expected`, an entry that was read before, only if it still is the last one and as it was.
        """

        def take(change: Change, session_id: str) -> bool:
            grown = grow(change, session_id, by=0)
            if not grown.length:
                return False
            if expected is not None:
                keys = self._keys_under(change)
                if transcript.last(change.tx, keys, session_id) != expected:
                    return False
            transcript.remove(change.tx, session_id, seq=grown.length)
            grow(change, session_id, by=-1)
            return True

        return self._write(session, workspace_id, take)

    def clear(self, session: SessionRef, *, actor: str | None = None, workspace_id: str | None = None) -> int:
        """Remove all entries of a live session, which lives on, and return how many those were."""
        who = who_acts(actor)

        def empty(change: Change, session_id: str) -> int:
            grown = grow(change, session_id, by=0)
            transcript.erase(change.tx, session_id)  # of an empty one too: imports may have left receipts
            if grown.length:
                tell(change, "history.cleared", session_id, grown, actor=who)
            return grown.length

        return self._write(session, workspace_id, empty, durable=True)

    def delete(
        self, session: SessionRef, *, actor: str | None = None, workspace_id: str | None = None
    ) -> bool:
        """Remove a conversation and end its session (cause `invalidated`); False where both had been."""
        who, session_id = who_acts(actor), find_id(self._store, session, workspace_id=workspace_id)
        with self._parts.change(durable=True) as change:
            return self._delete(change, session_id, who, self._parts.new_id(change.now))

    def load(self, session: SessionRef, *, workspace_id: str | None = None) -> tuple[Message, ...]:
        """Return all messages in order."""
        return tuple(entry.message for entry in self.load_with_timestamps(session, workspace_id=workspace_id))

    def load_with_timestamps(
        self, session: SessionRef, *, workspace_id: str | None = None
    ) -> tuple[Entry, ...]:
        """Return all entries in order: each a message, with its number and when it was appended."""
        session_id = self._known(session, workspace_id).session_id
        return transcript.read_all(self._store, self._contents, session_id)

    def tail(
        self, session: SessionRef, limit: int = 100, *, workspace_id: str | None = None
    ) -> tuple[Entry, ...]:
        """Return the newest `limit` entries, the oldest of them first."""
        if not is_integer(limit, least=0, most=MOST):
            raise InvalidArgument("limit", "must be a number of entries, 0 or more")
        session_id = find_id(self._store, session, workspace_id=workspace_id)
        found = self._recent.tail(session_id, limit=limit)
        if not found:
            self._known(session_id, None)
        return found

    def count(self, session: SessionRef, *, workspace_id: str | None = None) -> int:
        """Return how many entries a session has."""
        return self._known(session, workspace_id).message_count

    def exists(self, session: SessionRef, *, workspace_id: str | None = None) -> bool:
        """Tell whether there is a conversation: of a live session, or with entries in it."""
        try:
            session_id = find_id(self._store, session, workspace_id=workspace_id)
        except SessionNotFound:
            return False
        rows = self._store.read("conversation.pulse", id=session_id, now=self._parts.clock.now())
        return any(rows[0]) if rows else False

    def metadata(self, session: SessionRef, *, workspace_id: str | None = None) -> SessionMetadata:
        """Return what is known of a conversation: whose, where, since when, how long, what goes on in it."""
        return self._known(session, workspace_id)

    def _delete(self, change: Change, session_id: str, actor: str, cause_id: str) -> bool:
        row = change.one("conversation.get", id=session_id)
        if row is None:
            raise SessionNotFound(session_id)
        endings, held = self._parts.endings, SessionMetadata.of(row)
        why = {"reason": None, "actor": actor, "cause_id": cause_id}
        ended = endings.end_in(change, session_id, cause="invalidated", **why)
        if not ended:
            endings.end_due_in(change, session_id)
        transcript.erase(change.tx, session_id)
        if held.message_count:
            whose = Grown(held.message_count, None, held.agent_id, held.subject, held.workspace_id)
            tell(change, "history.deleted", session_id, whose, actor=actor, cause_id=cause_id)
        return ended or held.message_count > 0

    def _known(self, session: SessionRef, workspace_id: str | None) -> SessionMetadata:
        session_id = session_id_of(session)
        rows = self._store.read("conversation.get", id=session_id)
        found = SessionMetadata.of(rows[0]) if rows else None
        if workspace_id is not None:
            check_text(workspace_id, argument="workspace_id")
        if found is None or workspace_id not in (None, found.workspace_id):
            raise SessionNotFound(session_id)
        return found

    def _encoded(
        self, message: Message | Mapping[str, Any], index_tools: bool, *, argument: str = "message"
    ) -> Row:
        from clawguard.history.messages import encode, read_message

        check_flag(index_tools, argument="index_tools")
        read = read_message(message, argument=argument)
        return encode(read, at=0, index_tools=index_tools, argument=argument)

    def _prepared(self, session_id: str, rows: Iterable[Row]) -> transcript.Batch:
        """Return what is to be appended as it will be stored, if nobody else appends before."""
        pulse = self._store.read("conversation.pulse", id=session_id, now=self._parts.clock.now())
        first = pulse[0][0] + 1 if pulse else 1
        return transcript.prepare(self._contents.current(), session_id, rows, first=first)

    def _keys_under(self, change: Change) -> ContentKeys:
        """Return the content keys as they are in a change."""
        return self._contents.under(change.tx, change.writer.revision)

    def _write(
        self,
        session: SessionRef,
        workspace_id: str | None,
        work: Callable[[Change, str], T],
        *,
        durable: bool = False,
    ) -> T:
        """Do what changes a live session's conversation, in one transaction."""
        session_id = find_id(self._store, session, workspace_id=workspace_id)
        try:
            with self._parts.change(durable=durable) as change:
                return work(change, session_id)
        except SessionDue:
            raise self._parts.endings.settle(session_id) from None


def grow(change: Change, session_id: str, *, by: int) -> Grown:
    grown = transcript.grow(change.tx, session_id, by=by, now=change.now)
    if grown is None:
        raise change.why_not_live(session_id)
    return grown


def tell(
    change: Change,
    event_type: str,
    session_id: str,
    whose: Grown,
    *,
    actor: str,
    cause_id: str | None = None,
    count: int | None = None,
) -> None:
    """Append an event that says whose conversation it was and of how many entries: nothing that was said."""
    change.writer.append(
        event_type,
        session_id=session_id,
        agent_id=whose.agent_id,
        subject=whose.subject,
        workspace_id=whose.workspace_id,
        actor=actor,
        cause_id=cause_id,
        data={"count": whose.length if count is None else count},
    )
