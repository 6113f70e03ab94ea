"""The records of history: an entry, what is known of a conversation, a hit of a search, a summary."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from clawguard.clock import to_datetime
from clawguard.models import State, json_ready

if TYPE_CHECKING:
    from clawguard.history.messages import Kind, Message, Role

__all__ = ["TAKEN", "EncryptionStatus", "Entry", "Hit", "Imported", "IndexCheck", "Row", "SessionMetadata"]

TAKEN = frozenset({"seq", "at"})  # what an entry has beside its message's fields


class Row(NamedTuple):
    """Hold the columns that a message is stored in; `at` is in microseconds.

    A sealed row says nothing in `content` and `data`, and names the content key that `sealed` is under.
    """

    at: int
    kind: str
    role: str | None
    content: str
    data: str | None
    auto_injected: int
    tools_indexed: int = 0
    content_key: int = 0
    sealed: bytes | None = None


class Entry:
    """Hold one entry of a conversation, as it was read: number `seq` from 1, when, what kind, the message.

    The message is made when it is asked for, so that reading many costs little.
    """

    __slots__ = ("_row", "seq")

    def __init__(self, row: tuple[Any, ...]) -> None:
        self.seq: int = row[0]
        self._row = row

    @property
    def at(self) -> datetime:
        """When it was appended."""
        return to_datetime(self._row[1])

    @property
    def kind(self) -> Kind:
        """What it is: `message`, `prompt`, `system`, `command`, `warn`, `alert` or `mode_change`."""
        kind: Kind = self._row[2]
        return kind

    @property
    def role(self) -> Role | None:
        """Who speaks: `user`, `assistant`, `tool` or `system`; None for what nobody said."""
        role: Role | None = self._row[3]
        return role

    @property
    def text(self) -> str:
        """The content as plain text."""
        text: str = self._row[4]
        return text

    @property
    def size(self) -> int:
        """How many characters it is stored in."""
        return len(self._row[4]) + len(self._row[5] or "")

    @property
    def auto_injected(self) -> bool:
        """Whether the host put it in by itself: then it is left out of exports."""
        return bool(self._row[6])

    @property
    def row(self) -> Row:
        """The columns that it is stored in, in plaintext."""
        return Row(*self._row[1:])

    @property
    def message(self) -> Message:
        """The message as it was appended."""
        from clawguard.history.messages import decode

        return decode(self.row)

    def to_dict(self) -> dict[str, Any]:
        """Return number, time and what was set of the message as JSON-ready values."""
        return {"seq": self.seq, "at": self.at.isoformat(), **self.message.to_dict()}

    def __eq__(self, other: object) -> bool:
        return self._row == other._row if isinstance(other, Entry) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._row)

    def __repr__(self) -> str:
        return f"Entry(seq={self.seq}, kind={self.kind!r}, role={self.role!r}, {len(self.text)} characters)"


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionMetadata:
    """Say whose conversation it is, where it goes on, and how long it has become.

    `message_count` counts its entries, of every kind.
    """

    session_id: str
    key: str | None
    name: str | None
    agent_id: str
    agent_alias: str | None
    workspace_id: str
    subject: str
    channel_id: str | None
    room_id: str | None
    sender_id: str | None
    state: State
    turn_id: str | None
    turn_started_at: datetime | None
    created_at: datetime
    last_activity: datetime
    ended_at: datetime | None
    message_count: int

    @classmethod
    def of(cls, row: tuple[Any, ...]) -> SessionMetadata:
        """Return the record of a row's columns, in this class's order."""
        values = dict(zip(cls.__slots__, row, strict=True))
        for name in ("turn_started_at", "created_at", "last_activity", "ended_at"):
            values[name] = None if values[name] is None else to_datetime(values[name])
        return cls(**values)

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON-ready values; instants in ISO 8601."""
        return json_ready(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """Say where a search found something; `snippet` has each word that was found in brackets.

    The lower the `rank`, the better; it tells of no entry but those that were looked through.
    """

    session_id: str
    seq: int
    at: datetime
    kind: str
    role: str | None
    agent_id: str
    agent_alias: str | None
    channel_id: str | None
    snippet: str = field(repr=False)
    rank: float

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON-ready values; the instant in ISO 8601."""
        return json_ready(self)


@dataclass(frozen=True, slots=True)
class Imported:
    """Tell what an import did: how many entries; `header` is the file's meta line, if it had one.

    `repeated` says that this very file had been imported into the session: then nothing was done.
    """

    count: int
    repeated: bool
    header: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class IndexCheck:
    """Tell how the search's index stands: whether SQLite finds it whole, and what it does not fit.

    `missing` counts entries that it should find and does not, `stray` what it finds of no entry.
    """

    is_whole: bool
    missing: int
    stray: int

    @property
    def is_fine(self) -> bool:
        """Whether nothing is wrong with it; otherwise `compact` makes it anew."""
        return self.is_whole and not (self.missing or self.stray)


@dataclass(frozen=True, slots=True)
class EncryptionStatus:
    """Tell what conversations are stored under: `key` is the content key's number, None where it is none.

    `remaining` counts the entries that are not under it yet, in plaintext or under the key before.
    """

    key: int | None
    remaining: int
    is_finished: bool
