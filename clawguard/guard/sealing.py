"""Sealing: AES-256-GCM, and the key-encryption key that stands outside the database."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NoReturn

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from clawguard.errors import ConfigError, InvalidArgument
from clawguard.guard.encoding import b64decode
from clawguard.guard.keyfile import KEY_BYTES, create_key_file, read_key_file

__all__ = ["KEK_VARIABLE", "KekSource", "KeyEncryptionKey", "SealingKey", "load_kek"]

KekSource = bytes | str | os.PathLike[str] | Callable[[], bytes] | None

KEK_VARIABLE = "CLAWGUARD_KEK"

_VERSION = b"\x01"
_NONCE_BYTES = 12
_MIN_PASSPHRASE = 12
_MIN_SALT = 16
_SCRYPT_N, _SCRYPT_R, _SCRYPT_P = 2**15, 8, 1  # 32 MiB
_SCRYPT_MEMORY = 64 * 2**20
_MAKE_ONE = "make one with: openssl rand -base64 32 | tr '+/' '-_' | tr -d '='"


class SealingKey:
    """Seal and open with AES-256-GCM; the key is in no repr and refuses pickling.

    A sealed text is a version byte, a random nonce of 96 bits, and the ciphertext with its tag. As the nonces
    are random, one key is for at most 2**32 texts (NIST SP 800-38D, 8.3).
    """

    __slots__ = ("_aead",)

    def __init__(self, key: bytes) -> None:
        self._aead = AESGCM(key)

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"

    def __reduce__(self) -> NoReturn:
        raise TypeError(f"a {type(self).__name__} cannot be copied or pickled")

    def seal(self, plaintext: bytes, *, purpose: str) -> bytes:
        """Return the sealed text; only the same purpose opens it."""
        nonce = os.urandom(_NONCE_BYTES)
        return _VERSION + nonce + self._aead.encrypt(nonce, plaintext, _bound_to(purpose))

    def open(self, sealed: bytes, *, purpose: str) -> bytes | None:
        """Return what was sealed; None for another key, another purpose or an altered text."""
        if sealed[:1] != _VERSION:
            return None
        nonce, ciphertext = sealed[1 : 1 + _NONCE_BYTES], sealed[1 + _NONCE_BYTES :]
        try:
            return self._aead.decrypt(nonce, ciphertext, _bound_to(purpose))
        except (InvalidTag, ValueError):  # ValueError: a nonce or a tag cut short
            return None


class KeyEncryptionKey(SealingKey):
    """Seal the keys that stand in the database; it stands outside of it itself."""

    __slots__ = ()

    def __init__(self, key: bytes) -> None:
        if not isinstance(key, bytes) or len(key) != KEY_BYTES:
            raise ConfigError(f"the key-encryption key must be {KEY_BYTES} bytes")
        super().__init__(key)

    def unseal(self, sealed: bytes, *, purpose: str) -> bytes:
        """Return what was sealed; raise ConfigError for another key, another purpose or an altered text."""
        plaintext = self.open(sealed, purpose=purpose)
        if plaintext is None:
            raise ConfigError(
                "the key-encryption key does not open the sealed keys",
                hint=f"use the one that this store was made with: its key file, {KEK_VARIABLE} or kek=",
            )
        return plaintext


def _bound_to(purpose: str) -> bytes:
    return b"clawguard" + _VERSION + purpose.encode()


def load_kek(
    source: KekSource, *, default_path: Path | None, salt: bytes, create: bool, environ: Mapping[str, str]
) -> KeyEncryptionKey:
    """Return the key-encryption key from where `source` says.

    32 bytes are the key; a str is a passphrase (scrypt with `salt`); a path names a key file; a callable
    returns 32 bytes. None means CLAWGUARD_KEK, or else the file at `default_path`, if there is such a place.
    A missing file is made only with `create`. Raises ConfigError for anything that is not as it must be,
    never with the key in it.
    """
    if source is None and KEK_VARIABLE in environ:
        return KeyEncryptionKey(_from_text(environ[KEK_VARIABLE]))
    path = default_path if source is None else source
    if path is None:
        raise ConfigError(
            "there is no key-encryption key", hint=f"give kek=, or set {KEK_VARIABLE}; {_MAKE_ONE}"
        )
    if isinstance(path, os.PathLike):
        return KeyEncryptionKey(_from_file(Path(path), create=create))
    if isinstance(source, str):
        _refuse_path(source)
        return KeyEncryptionKey(_from_passphrase(source, salt))
    if isinstance(source, bytes):
        return KeyEncryptionKey(source)
    if callable(source):
        return KeyEncryptionKey(_from_callable(source))
    raise InvalidArgument("kek", "must be 32 bytes, a passphrase (str), a pathlib.Path, a callable or None")


def _refuse_path(passphrase: str) -> None:
    """Refuse a path given as a str: taken for a passphrase, its own text would seal the keys."""
    if passphrase.startswith(("/", "./", "../", "~/")) or _is_file(passphrase):
        raise InvalidArgument(
            "kek", "is a passphrase where it is a str, and this is a path", hint="give a pathlib.Path"
        )


def _is_file(name: str) -> bool:
    try:
        return Path(name).is_file()
    except (OSError, ValueError):
        return False


def _from_text(text: str) -> bytes:
    key = b64decode(text.encode()) if text.isascii() else None
    if key is None or len(key) != KEY_BYTES:
        raise ConfigError(f"{KEK_VARIABLE} must be {KEY_BYTES} bytes in unpadded base64url", hint=_MAKE_ONE)
    return key


def _from_file(path: Path, *, create: bool) -> bytes:
    key = read_key_file(path)
    if key is None and create:
        create_key_file(path)
        key = read_key_file(path)
    if key is None:
        raise ConfigError(
            f"the key file {path} is missing",
            hint="put it back from your backup: without it the stored signing keys cannot be opened",
        )
    return key


def _from_passphrase(passphrase: str, salt: bytes) -> bytes:
    if len(passphrase) < _MIN_PASSPHRASE:
        raise ConfigError(f"the passphrase must have at least {_MIN_PASSPHRASE} characters")
    if not passphrase.isprintable():
        raise ConfigError("the passphrase must be of printable characters")
    if len(salt) < _MIN_SALT:
        raise ConfigError(f"the salt must have at least {_MIN_SALT} bytes")
    return hashlib.scrypt(
        passphrase.encode(),
        salt=salt,
        n=_SCRYPT_N,
        r=_SCRYPT_R,
        p=_SCRYPT_P,
        maxmem=_SCRYPT_MEMORY,
        dklen=KEY_BYTES,
    )


def _from_callable(source: Callable[[], bytes]) -> bytes:
    try:
        return source()
    except Exception as error:
        raise ConfigError(f"the key-encryption callable failed: {type(error).__name__}") from error
