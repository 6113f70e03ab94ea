"""The keys that entries are sealed with at rest: loaded from the store, used for rows in and out.

A store's entries are plaintext until it has a content key. Then each is sealed, with all that tells it from
others bound to it: session, number, time, kind, role. The keys themselves stand in the store, sealed.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from clawguard.errors import ConfigError, EntryUnreadable
from clawguard.guard import KeyEncryptionKey, SealingKey
from clawguard.history.records import Entry, Row
from clawguard.store import Store, Transaction

__all__ = ["PLAINTEXT", "ContentKey", "ContentKeys", "Contents"]

PLAINTEXT = 0  # the number that stands for no key

_BYTES = 32
_PLACE_OF_KEY = Row._fields.index("content_key") - len(Row._fields)  # in a row, whatever stands before it


class ContentKey:
    """Hold the secret of one content key, and the secret that makes digests of imported files its own.

    Each session's entries are under a key derived from it (RFC 5869), so that the bound on random nonces is
    each session's and never the store's. The second secret outlives rotations, as receipts do.
    """

    __slots__ = ("_digests", "_secret")

    def __init__(self, secrets: bytes) -> None:
        if len(secrets) != 2 * _BYTES:
            raise ConfigError("a stored content key is not whole", hint="restore a backup")
        self._secret, self._digests = secrets[:_BYTES], secrets[_BYTES:]

    def successor(self) -> ContentKey:
        """Return a new key that keeps the digests."""
        return ContentKey(os.urandom(_BYTES) + self._digests)

    def seal(self, number: int, least: int, kek: KeyEncryptionKey) -> bytes:
        """Return the key as it is stored; `least` is the least number that entries may still be under.

        So nobody without the key-encryption key can have a store take plaintext, or a key before, again.
        """
        return kek.seal(self._secret + self._digests, purpose=_purpose(number, least))

    @classmethod
    def unseal(cls, sealed: bytes, number: int, least: int, kek: KeyEncryptionKey) -> ContentKey:
        """Return the key with a number; raise ConfigError where the key-encryption key does not open it."""
        return cls(kek.unseal(sealed, purpose=_purpose(number, least)))

    @classmethod
    def first(cls) -> ContentKey:
        """Return a store's first key."""
        return cls(os.urandom(2 * _BYTES))

    def of_session(self, session_id: str) -> SealingKey:
        """Return the key of one session's entries."""
        info = b"clawguard entries of " + session_id.encode()
        return SealingKey(HKDFExpand(SHA256(), _BYTES, info).derive(self._secret))

    def digest(self, digest: bytes) -> bytes:
        """Return a digest by which nobody without the key can try what was digested."""
        return hmac.digest(self._digests, digest, hashlib.sha256)


class ContentKeys:
    """Hold the content keys of one revision of the store, immutable.

    `active` is the number of the one that seals, 0 where nothing is sealed. The others are those that
    entries may still be under.
    """

    __slots__ = ("_keys", "active", "revision")

    def __init__(self, revision: int, keys: dict[int, ContentKey | None]) -> None:
        self._keys = keys or {PLAINTEXT: None}
        self.active = max(self._keys)
        self.revision = revision

    def __repr__(self) -> str:
        return f"ContentKeys(active={self.active}, numbers={sorted(self._keys)})"

    @property
    def numbers(self) -> frozenset[int]:
        """The numbers of all of them; `PLAINTEXT` among them where entries may be so."""
        return frozenset(self._keys)

    @property
    def is_settled(self) -> bool:
        """Whether every entry is under the active key, or all are plaintext."""
        return len(self._keys) == 1

    def know(self, rows: Iterable[Sequence[Any]]) -> bool:
        """Tell whether the rows, as they are read, are all under one of these keys."""
        return {row[_PLACE_OF_KEY] for row in rows} <= self._keys.keys()

    def seal(self, session_id: str, rows: Iterable[Row], *, first: int) -> list[Row]:
        """Return rows as they are stored, with the numbers from `first` on."""
        key = self._keys[self.active]
        if key is None:
            return list(rows)
        sealing = key.of_session(session_id)
        return [
            row._replace(
                content="",
                data=None,
                content_key=self.active,
                sealed=sealing.seal(_packed(row), purpose=_bound_to(session_id, seq, row, self.active)),
            )
            for seq, row in enumerate(rows, first)
        ]

    def open(self, session_id: str, rows: Sequence[tuple[Any, ...]]) -> tuple[Entry, ...]:
        """Return entries of rows as they are read; raise EntryUnreadable for the first that is not whole."""
        if self.active == PLAINTEXT and self.know(rows):
            return tuple(map(Entry, rows))
        opened = self._opener(session_id)
        return tuple(Entry((row[0], *opened(row[0], Row(*row[1:])))) for row in rows)

    def open_row(self, session_id: str, seq: int, row: Row) -> Row:
        """Return one row in plaintext; raise EntryUnreadable."""
        return self._opener(session_id)(seq, row)

    def digest(self, digest: bytes) -> bytes:
        """Return a digest of an imported file as it is stored."""
        key = self._keys[self.active]
        return digest if key is None else key.digest(digest)

    def successor(self) -> tuple[int, ContentKey]:
        """Return the next key's number, and a key for it."""
        key = self._keys[self.active]
        return self.active + 1, ContentKey.first() if key is None else key.successor()

    def sealed_as_last(self, kek: KeyEncryptionKey) -> bytes:
        """Return the active key as it is stored once no entry is under any other."""
        key = self._keys[self.active]
        if key is None:
            raise ConfigError("there is no content key")
        return key.seal(self.active, self.active, kek)

    def _opener(self, session_id: str) -> Callable[[int, Row], Row]:
        of_session: dict[int, SealingKey] = {}

        def opened(seq: int, row: Row) -> Row:
            number = row.content_key
            if number not in self._keys:
                raise EntryUnreadable(session_id, seq, self._why_foreign(number))
            key = self._keys[number]
            if key is None:
                return row
            if number not in of_session:
                of_session[number] = key.of_session(session_id)
            plain = of_session[number].open(
                row.sealed or b"", purpose=_bound_to(session_id, seq, row, number)
            )
            if plain is None:
                raise EntryUnreadable(session_id, seq, "it was altered, or is another entry's")
            return _unpacked(row, plain)

        return opened

    def _why_foreign(self, number: int) -> str:
        if number == PLAINTEXT:
            return "it is not encrypted, as every entry here is"
        if self.active == PLAINTEXT:
            return "it is encrypted, and nothing is here"
        return f"it is under the content key {number}, which is not there"


class Contents:
    """Keep the content keys in step with the store."""

    def __init__(self, store: Store, kek: Callable[[], KeyEncryptionKey]) -> None:
        self._store = store
        self._kek = kek
        self._held = ContentKeys(-1, {})

    def current(self) -> ContentKeys:
        """Return the keys as they are; raise ConfigError where the key-encryption key does not open them."""
        # The revision first: a change in between is then seen again, never missed.
        revision = self._store.read("meta.get")[0][3]
        held = self._held
        if held.revision != revision:
            held = self._held = self._loaded(revision, self._store.read("content_keys.all"))
        return held

    def renewed(self) -> ContentKeys:
        """Return the keys, loaded anew."""
        self._held = ContentKeys(-1, {})
        return self.current()

    def under(self, tx: Transaction, revision: int) -> ContentKeys:
        """Return the keys as they are under the write lock, at the revision that was read there."""
        held = self._held
        if held.revision != revision:
            held = self._held = self._loaded(revision, tx.run("content_keys.all"))
        return held

    def _loaded(self, revision: int, rows: Sequence[tuple[int, bytes | None]]) -> ContentKeys:
        least = min((number for number, _ in rows), default=PLAINTEXT)
        return ContentKeys(
            revision,
            {
                number: None if sealed is None else ContentKey.unseal(sealed, number, least, self._kek())
                for number, sealed in rows
            },
        )


def _purpose(number: int, least: int) -> str:
    return f"content-key:{number}:{least}"


def _bound_to(session_id: str, seq: int, row: Row, number: int) -> str:
    """Return what an entry's seal holds it to; of these only the last may be of any form."""
    return f"entry:{number}:{seq}:{row.at}:{row.kind}:{row.role}:{row.auto_injected}:{session_id}"


def _packed(row: Row) -> bytes:
    content = row.content.encode()
    return len(content).to_bytes(4) + content + (row.data or "").encode()


def _unpacked(row: Row, plain: bytes) -> Row:
    end = 4 + int.from_bytes(plain[:4])
    data = plain[end:].decode() or None
    return row._replace(content=plain[4:end].decode(), data=data, content_key=PLAINTEXT, sealed=None)
