"""The log's own key in the store: made once, sealed as the signing keys are, never retired."""

from __future__ import annotations

import json

from clawguard.errors import ConfigError
from clawguard.events.checkpoints import origin_of
from clawguard.events.proven import LogKey
from clawguard.guard import KeyEncryptionKey, NoteKey, NoteSigner, SigningKey, VerifyingKey
from clawguard.store import Store, Transaction

__all__ = ["ensure_log_key", "insert_log_key", "load_log_key"]


def insert_log_key(tx: Transaction, *, kek: KeyEncryptionKey, now: int) -> None:
    """Make the log's key, unless there is one."""
    key = SigningKey.generate("EdDSA")
    tx.run(
        "log_key.insert",
        kid=key.kid,
        public_jwk=json.dumps(key.verifying.jwk(), sort_keys=True),
        sealed=kek.seal(key.private_bytes(), purpose=_purpose(key.kid)),
        now=now,
    )


def ensure_log_key(store: Store, *, kek: KeyEncryptionKey, now: int) -> None:
    """Make the key of a log that was begun before logs had one."""
    if not store.read("log_key.get"):
        with store.transaction(durable=True) as tx:
            insert_log_key(tx, kek=kek, now=now)


def load_log_key(store: Store, kek: KeyEncryptionKey | None, *, issuer: str) -> LogKey:
    """Return the log's key, its private half only with the key-encryption key; None where there is none yet.

    Who has that goes by what was sealed: a public half that was exchanged in the database is a ConfigError.
    """
    name = origin_of(issuer)
    for kid, jwk, sealed in store.read("log_key.get"):
        public = NoteKey(name, VerifyingKey.from_jwk(json.loads(jwk)))
        if kek is None:
            return public
        private = kek.unseal(sealed, purpose=_purpose(kid))
        signer = NoteSigner(name, SigningKey.from_private_bytes("EdDSA", private))
        if not public.kid == kid == signer.public.kid:
            raise ConfigError("the stored log key is not the one it is named for")
        return signer
    return None


def _purpose(kid: str) -> str:
    return f"log-key:{kid}"
