"""The keys in the store: loaded with the policy when the revision moves, rotated for all processes."""

from __future__ import annotations

import json
import logging
from datetime import datetime
from typing import NamedTuple

from clawguard.errors import ConfigError, StoreUnavailable
from clawguard.guard import (
    Algorithm,
    Guard,
    KeyEncryptionKey,
    KeyRing,
    KeyState,
    Policy,
    RingKey,
    SigningKey,
    VerifyingKey,
    load_policy,
)
from clawguard.store import Store, Transaction

__all__ = ["KeyInfo", "Keychain", "insert_key", "load_rules"]

_logger = logging.getLogger("clawguard.sessions")


class KeyInfo(NamedTuple):
    """Describe a key: never its private part."""

    kid: str
    algorithm: Algorithm
    state: KeyState
    verify_until: datetime | None
    created_at: datetime
    activated_at: datetime | None


def insert_key(tx: Transaction, key: SigningKey, *, kek: KeyEncryptionKey, state: KeyState, now: int) -> None:
    """Store a new key: its public part in the clear, its private part sealed."""
    tx.run(
        "keys.insert",
        kid=key.kid,
        algorithm=key.algorithm,
        state=state,
        public_jwk=json.dumps(key.verifying.jwk(), sort_keys=True),
        sealed=kek.seal(key.private_bytes(), purpose=_purpose(key.kid, key.algorithm)),
        now=now,
        activated_at=now if state == "active" else None,
    )


def load_rules(
    store: Store, kek: KeyEncryptionKey | None, known: tuple[KeyRing, Policy] | None = None
) -> tuple[KeyRing, Policy]:
    """Read the key ring and the policy; without a key-encryption key the ring can verify but not sign.

    Raises ConfigError when the key-encryption key is not the one that sealed the keys.
    """
    # The revision first: a change in between is then seen again, never missed.
    _, _, _, revision, digest = store.read("meta.get")[0]
    keys, signer = [], None
    for kid, algorithm, state, jwk, sealed, verify_until, pending, *_ in store.read("keys.all"):
        keys.append(RingKey(VerifyingKey.from_jwk(json.loads(jwk)), state, verify_until, bool(pending)))
        if state == "active" and kek is not None:
            signer = _signer(kid, algorithm, sealed, kek=kek, known=known and known[0])
    return KeyRing(revision, keys, signer), _load_policy(store, digest, known=known and known[1])


def _load_policy(store: Store, digest: str | None, *, known: Policy | None) -> Policy:
    if digest is None:
        return Policy.empty()
    if known is not None and known.digest == digest:
        return known
    rows = store.read("policy.get", digest=digest)
    policy = load_policy(json.loads(rows[0][0])) if rows else None
    if policy is None or policy.digest != digest:
        raise StoreUnavailable("the policy in force cannot be read", hint="restore a backup")
    return policy


def _signer(
    kid: str, algorithm: Algorithm, sealed: bytes, *, kek: KeyEncryptionKey, known: KeyRing | None
) -> SigningKey:
    if known is not None and known.signer is not None and known.signer.kid == kid:
        return known.signer
    key = SigningKey.from_private_bytes(algorithm, kek.unseal(sealed, purpose=_purpose(kid, algorithm)))
    if key.kid != kid:
        raise ConfigError("a stored signing key is not the one it is named for")
    return key


def _purpose(kid: str, algorithm: str) -> str:
    return f"signing-key:{kid}:{algorithm}"


class Keychain:
    """Keep the guard's key ring and policy in step with the store."""

    def __init__(self, store: Store, guard: Guard, *, kek: KeyEncryptionKey | None) -> None:
        self._store = store
        self._guard = guard
        self._kek = kek

    def reload(self) -> None:
        """Load both anew."""
        guard = self._guard
        guard.replace(*load_rules(self._store, self._kek, (guard.ring, guard.policy)))

    def catch_up(self) -> bool:
        """Load both anew if the store's have moved, and tell whether they had."""
        if self._store.read("meta.get")[0][3] == self._guard.ring.revision:
            return False
        self.reload()
        return True

    @property
    def kek(self) -> KeyEncryptionKey:
        """The key-encryption key; ConfigError for a holder of public keys only."""
        if self._kek is None:
            raise ConfigError("this process holds public keys only", hint="use a SessionManager")
        return self._kek
