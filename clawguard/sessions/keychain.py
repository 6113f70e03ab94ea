"""The keys in the store: loaded with the policy when the revision moves, rotated for all processes."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from datetime import datetime
from typing import Any, NamedTuple

from clawguard.clock import Clock, to_datetime
from clawguard.errors import ClawguardError, ConfigError, StoreUnavailable
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
from clawguard.sessions.change import Change
from clawguard.store import Store, Transaction

__all__ = ["KeyInfo", "Keychain", "Keys", "insert_key", "load_rules"]

_logger = logging.getLogger("clawguard.sessions")


class KeyInfo(NamedTuple):
    """Describe a key: never its private part."""

    kid: str
    algorithm: Algorithm
    state: KeyState
    verify_until: datetime | None


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
    for kid, algorithm, state, jwk, sealed, verify_until, _ in store.read("keys.all"):
        keys.append(RingKey(VerifyingKey.from_jwk(json.loads(jwk)), state, verify_until))
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


class Keys:
    """`manager.keys`: list, publish and rotate the signing keys of all processes."""

    def __init__(
        self,
        store: Store,
        keychain: Keychain,
        guard: Guard,
        *,
        clock: Clock,
        change: Callable[..., Change],
        end_signed: Callable[[str], int],
    ) -> None:
        self._store = store
        self._keychain = keychain
        self._guard = guard
        self._clock = clock
        self._change = change
        self._end_signed = end_signed

    def list(self) -> list[KeyInfo]:
        """Return every key and its state, the oldest first."""
        rows = self._store.read("keys.all")
        return [
            KeyInfo(kid, algorithm, state, None if until is None else to_datetime(until))
            for kid, algorithm, state, _, _, until, _ in rows
        ]

    def jwks(self) -> dict[str, Any]:
        """Return the JWK set (RFC 7517) that others verify with: public members only."""
        self._keychain.catch_up()
        return self._guard.ring.jwks()

    def rotate(self, *, emergency: bool = False, algorithm: Algorithm | None = None) -> KeyInfo:
        """Let the next key sign, in every process at once, and return it.

        The key before goes on verifying until the last token it may have signed has ended. With
        `emergency` it stops at once, the published next key is not trusted either, and every session whose
        token it signed ends with the cause `key`; where the store fails meanwhile, a later sweep records
        the rest. `algorithm` changes what the new keys sign with.
        """
        wanted = algorithm or self._guard.ring.require_signer().algorithm
        fresh = [SigningKey.generate(wanted), SigningKey.generate(wanted)]
        with self._change(durable=True) as change:
            old, active = _rotate(
                change, fresh, kek=self._keychain.kek, emergency=emergency, algorithm=wanted
            )
            change.tx.run("meta.bump")
            change.writer.append(
                "key.rotated", cause="key" if emergency else None, data={"kid": active, "previous": old}
            )
        self._follow_up(old if emergency else None)
        return KeyInfo(active, wanted, "active", None)

    def _follow_up(self, compromised: str | None) -> None:
        """Take up the new keys, and end what a compromised one signed; the rotation stands whatever fails.

        The next validate takes them up as well, and accepts none of what is left to end for `prune`.
        """
        try:
            self._keychain.reload()
            if compromised is not None:
                self._end_signed(compromised)
        except ClawguardError as error:
            _logger.error("the keys were rotated, but what follows is not finished yet: %s", error)

    def prune(self) -> None:
        """Stop verifying with keys whose last token has ended, and finish an emergency cut short."""
        rows = self._store.read("keys.all")
        for kid, _, _, _, _, _, pending in rows:
            if pending:
                self._end_signed(kid)
        now = self._clock.now()
        if any(state == "retiring" and until <= now for _, _, state, _, _, until, _ in rows):
            with self._change(durable=True) as change:
                if change.tx.run("keys.prune", now=change.now):
                    change.tx.run("meta.bump")


def _rotate(
    change: Change, fresh: list[SigningKey], *, kek: KeyEncryptionKey, emergency: bool, algorithm: Algorithm
) -> tuple[str, str]:
    """Move the states of the keys; return the ids of the one before and of the new active one."""
    keys = {state: (kid, kind) for kid, kind, state, *_ in change.tx.run("keys.all")}
    old, _ = keys["active"]
    if emergency:
        change.tx.run("keys.compromise", kid=old, ends_pending=1)
    else:
        last = change.tx.run("keys.last_token", kid=old)[0][0]
        change.tx.run("keys.retire", kid=old, verify_until=max(last or 0, change.now))
    following, kind = keys.get("next", ("", ""))
    if following and not emergency and kind == algorithm:
        change.tx.run("keys.activate", kid=following, now=change.now)
        active = following
    else:
        if following:
            change.tx.run("keys.compromise", kid=following, ends_pending=0)
        insert_key(change.tx, fresh[0], kek=kek, state="active", now=change.now)
        active = fresh[0].kid
    insert_key(change.tx, fresh[1], kek=kek, state="next", now=change.now + 1)
    return old, active
