"""The tables that make a database what it is, for a copy of all of it: their columns and their keys.

What is not among them each engine makes by itself: the ledger of migrations, and the index that searches use;
or it is empty while one write has the store alone: the events that wait for their place in the log.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["TABLES", "Key", "Table"]

Kind = Literal["text", "integer", "blob"]
Key = tuple[str, ...]  # a row's key as texts: the form in which it is noted that the row has changed
_STARTS: dict[Kind, str | int | bytes] = {"text": "", "integer": -1, "blob": b""}


@dataclass(frozen=True)
class Table:
    """Hold one table: its name, its columns but for those that are reckoned, its key, one or two of them."""

    name: str
    columns: tuple[str, ...]
    key: tuple[str, ...]
    kinds: tuple[Kind, ...]
    numbered: str | None = None  # the column whose numbers the engine gives

    def start(self) -> dict[str, object]:
        """Return the parameters of a place before every row."""
        return self._params([_STARTS[kind] for kind in self.kinds])

    def place(self, key: Key) -> dict[str, object]:
        """Return the parameters of the place that a key given as texts names."""
        return self._params([_read(text, kind) for text, kind in zip(key, self.kinds, strict=False)])

    def values(self, key: Key) -> list[object]:
        """Return the values of a key given as texts."""
        return list(self.place(key).values())

    def key_of(self, row: tuple[object, ...]) -> Key:
        """Return the key of a row, as texts."""
        return tuple(_written(row[self.columns.index(name)]) for name in self.key)

    def fill(self, text: str, *, blob_key: str) -> str:
        """Fill a statement's template in for this table; `blob_key` says how a key of bytes is written."""

        def written(side: str) -> str:
            texts = [
                f"CAST({side}.{name} AS TEXT)" if kind == "integer" else f"{side}.{name}"
                if kind == "text"
                else blob_key.replace("COLUMN", f"{side}.{name}")
                for name, kind in zip(self.key, self.kinds, strict=True)
            ]  # fmt: skip
            return ", ".join([*texts, "''"][:2])

        places = list(zip(self.key, ("first", "second"), strict=False))
        parts = {
            "table": self.name,
            "columns": ", ".join(self.columns),
            "values": ", ".join(f":{name}" for name in self.columns),
            "key": ", ".join(self.key),
            "place": ", ".join(f":{place}" for _, place in places),
            "is_key": " AND ".join(f"{name} = :{place}" for name, place in places),
            "new_key": written("NEW"),
            "old_key": written("OLD"),
            "numbered": self.numbered or "",
        }
        for name, value in parts.items():
            text = text.replace("{" + name + "}", value)
        return text

    def _params(self, values: list[object]) -> dict[str, object]:
        return dict(zip(("first", "second"), values, strict=False))


def _read(text: str, kind: Kind) -> object:
    return int(text) if kind == "integer" else bytes.fromhex(text) if kind == "blob" else text


def _written(value: object) -> str:
    return value.hex() if isinstance(value, bytes) else str(value)


def _table(name: str, columns: str, /, *, numbered: str | None = None, **key: Kind) -> Table:
    return Table(name, tuple(columns.split()), tuple(key), tuple(key.values()), numbered)


TABLES: tuple[Table, ...] = (
    _table(
        "meta",
        "id schema_version issuer audience revision barrier founded_at policy proofs_forgotten",
        id="integer",
    ),
    _table(
        "signing_keys",
        "kid algorithm state public_jwk sealed created_at activated_at verify_until ends_pending",
        kid="text",
    ),
    _table("log_keys", "id kid public_jwk sealed created_at", id="integer"),
    _table("content_keys", "number sealed created_at", number="integer"),
    _table("policies", "digest body first_at", digest="text"),
    _table(
        "disabled_agents",
        "workspace_id agent_id disabled_at reason disabled_by",
        workspace_id="text",
        agent_id="text",
    ),
    _table("milestones", "workspace_id key value at", workspace_id="text", key="text"),
    _table(
        "sessions",
        "id version generation key request_id agent_id agent_alias subject workspace_id audience role scopes "
        "task_type actors parent_id root_id depth delegable forked_from name metadata engine_url "
        "engine_version channel_id room_id sender_id state turn_id turn_started_at kid jti created_at "
        "issued_at token_expires_at ttl expires_at absolute_expires_at idle_timeout last_activity "
        "last_source ended_at cause reason ended_by grant_name granted uses_left refresh_idle cnf "
        "entry_count",
        id="text",
    ),
    _table(
        "refresh_tokens",
        "session_id digest created_at spent_at grace_until sealed",
        session_id="text",
        digest="blob",
    ),
    _table("proof_ids", "digest until", digest="blob"),
    _table(
        "entries",
        "id session_id seq at kind role content data auto_injected tools_indexed content_key sealed",
        numbered="id",
        session_id="text",
        seq="integer",
    ),
    _table("import_receipts", "session_id digest count at", session_id="text", digest="blob"),
    _table(
        "turns",
        "number session_id turn_id began_at lease_until leased_for",
        numbered="number",
        number="integer",
    ),
    _table(
        "event_cursors",
        "name incarnation pattern position owner lease_until leased_for tries lapses next_try_at created_at",
        name="text",
    ),
    _table("parked_events", "name seq error tries parked_at replay", name="text", seq="integer"),
    _table("events", "seq hash type at session_id cause_id body", seq="integer"),
)
