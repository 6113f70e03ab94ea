"""Keys: one that signs, those that verify, and the ring that knows which of them may, and until when."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, Literal, NamedTuple, NoReturn, get_args

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_private_key,
)
from jwt import algorithms as primitives

from clawguard.clock import SECOND
from clawguard.errors import ConfigError, InvalidArgument
from clawguard.guard.encoding import b64encode, compact_json
from clawguard.guard.jwk import (
    ALGORITHMS,
    Algorithm,
    PublicKey,
    algorithm_of,
    load_jwk,
    public_members,
    thumbprint,
)

__all__ = [
    "ALGORITHMS",
    "KEY_STATES",
    "TOKEN_TYPE",
    "Algorithm",
    "KeyRing",
    "KeyState",
    "RingKey",
    "SigningKey",
    "VerifyingKey",
]

KeyState = Literal["next", "active", "retiring", "retired", "compromised"]
PrivateKey = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey

KEY_STATES: tuple[str, ...] = get_args(KeyState)
TOKEN_TYPE = "at+jwt"  # RFC 9068, 2.1

_RSA_BITS = 2_048  # what RFC 7518, 3.3 asks; 3,072 bits make each token three times as dear to sign
_VERIFY_ALLOWANCE = 60 * SECOND  # the greatest leeway a guard may have
_PRIMITIVES: Mapping[str, primitives.Algorithm] = MappingProxyType(
    {
        "ES256": primitives.ECAlgorithm(primitives.ECAlgorithm.SHA256, ec.SECP256R1),
        "EdDSA": primitives.OKPAlgorithm(),
        "RS256": primitives.RSAAlgorithm(primitives.RSAAlgorithm.SHA256),
    }
)


class VerifyingKey:
    """Hold a public key with its one algorithm; `kid` is its RFC 7638 thumbprint. Make it with `from_jwk`."""

    __slots__ = ("_algorithm", "_kid", "_public")

    def __init__(self, public: PublicKey) -> None:
        self._algorithm = algorithm_of(public)
        self._kid = thumbprint(public_members(public))
        self._public = public

    @classmethod
    def from_jwk(cls, jwk: Mapping[str, object], /) -> VerifyingKey:
        """Return the key of a public JWK.

        Raises ConfigError for private or symmetric members, another type, curve or algorithm, RSA below 2,048
        bits, weak exponents, Ed25519 points of small order, a use other than signatures, a foreign kid.
        """
        return cls(load_jwk(jwk))

    @property
    def kid(self) -> str:
        """The RFC 7638 thumbprint."""
        return self._kid

    @property
    def algorithm(self) -> Algorithm:
        """The one algorithm this key verifies."""
        return self._algorithm

    def __repr__(self) -> str:
        return f"VerifyingKey(kid={self._kid!r}, algorithm={self._algorithm!r})"

    def verify(self, signing_input: bytes, signature: bytes) -> bool:
        """Tell whether the JWS signature (for ES256: r and s, 64 bytes) is this key's over the input."""
        return _PRIMITIVES[self._algorithm].verify(signing_input, self._public, signature)

    def jwk(self) -> dict[str, str]:
        """Return the public members, `kid`, `use` and `alg`."""
        return {**public_members(self._public), "kid": self._kid, "use": "sig", "alg": self._algorithm}


class SigningKey:
    """Hold a private key with its one algorithm; it is left out of the repr and refuses pickling.

    Make it with `generate` or `from_private_bytes`.
    """

    __slots__ = ("_header", "_private", "_verifying")

    def __init__(self, private: PrivateKey) -> None:
        self._private = private
        self._verifying = VerifyingKey(private.public_key())
        header = {"alg": self.algorithm, "kid": self.kid, "typ": TOKEN_TYPE}
        self._header = b64encode(compact_json(header))

    @classmethod
    def generate(cls, algorithm: Algorithm = "ES256") -> SigningKey:
        """Return a new key: P-256, Ed25519, or RSA of 2,048 bits with the exponent 65537."""
        if algorithm == "ES256":
            return cls(ec.generate_private_key(ec.SECP256R1()))
        if algorithm == "EdDSA":
            return cls(ed25519.Ed25519PrivateKey.generate())
        if algorithm == "RS256":
            return cls(rsa.generate_private_key(public_exponent=65_537, key_size=_RSA_BITS))
        raise InvalidArgument("algorithm", f"must be one of {', '.join(ALGORITHMS)}")

    @classmethod
    def from_private_bytes(cls, algorithm: Algorithm, data: bytes, /) -> SigningKey:
        """Return the key in unencrypted PKCS#8 DER; raise ConfigError unless it is one of the algorithm."""
        private = _load_private(data)
        if private is None:
            raise ConfigError("the stored signing key cannot be read")
        key = cls(private)
        if key.algorithm != algorithm:
            raise ConfigError(f"the stored signing key is not one for {algorithm}")
        return key

    @property
    def verifying(self) -> VerifyingKey:
        """The public half."""
        return self._verifying

    @property
    def header(self) -> bytes:
        """The first segment of every token that this key signs."""
        return self._header

    @property
    def kid(self) -> str:
        """The RFC 7638 thumbprint of the public key."""
        return self._verifying.kid

    @property
    def algorithm(self) -> Algorithm:
        """The one algorithm this key signs with."""
        return self._verifying.algorithm

    def sign(self, signing_input: bytes) -> bytes:
        """Return the JWS signature over the input (RFC 7515, 5.1)."""
        return _PRIMITIVES[self.algorithm].sign(signing_input, self._private)

    def private_bytes(self) -> bytes:
        """Return the private key as PKCS#8 DER, unencrypted: seal it before it is stored."""
        return self._private.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())

    def __repr__(self) -> str:
        return f"SigningKey(kid={self.kid!r}, algorithm={self.algorithm!r})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a SigningKey cannot be copied or pickled")


def _load_private(data: bytes) -> PrivateKey | None:
    try:
        key: Any = load_der_private_key(data, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return None
    return key if isinstance(key, PrivateKey) else None


class RingKey(NamedTuple):
    """Hold a key and its state; a retiring one verifies until `verify_until`, in microseconds UTC.

    `ends_pending` says of a compromised one that not all it signed has ended yet.
    """

    key: VerifyingKey
    state: KeyState
    verify_until: int | None = None
    ends_pending: bool = False

    def verifies_at(self, now: int) -> bool:
        """Tell whether tokens of this key are taken at an instant (microseconds UTC)."""
        if self.state != "retiring" or self.verify_until is None:
            return self.state == "active"
        return now <= self.verify_until + _VERIFY_ALLOWANCE


class KeyRing:
    """Hold all keys of one revision, immutable: which signs, which verify, which are published.

    `signer` is None for a holder of public keys, else the active key. Raises ConfigError for a signer that is
    not active, a kid that comes twice, two active keys, and a state that is not whole.
    """

    __slots__ = ("_ends_pending", "_keys", "_revision", "_signer")

    def __init__(self, revision: int, keys: Iterable[RingKey], signer: SigningKey | None) -> None:
        listed = tuple(keys)
        self._revision = revision
        self._keys = {each.key.kid: each for each in listed}
        self._signer = signer
        self._ends_pending = any(each.ends_pending for each in listed)
        for key, state, verify_until, _ in listed:
            if state not in KEY_STATES:
                raise ConfigError(f"the key {key.kid} is in no known state")
            if state == "retiring" and verify_until is None:
                raise ConfigError(f"the retiring key {key.kid} has no verify_until")
        if len(self._keys) != len(listed):
            raise ConfigError("the key ring holds a kid twice")
        if sum(each.state == "active" for each in listed) > 1:
            raise ConfigError("the key ring holds two active keys")
        if signer is not None and self.state_of(signer.kid) != "active":
            raise ConfigError("the signing key is not the active key of the ring")

    def __repr__(self) -> str:
        return f"KeyRing(revision={self._revision}, keys={len(self._keys)})"

    @property
    def revision(self) -> int:
        """The revision of the key table that this ring was read at."""
        return self._revision

    @property
    def signer(self) -> SigningKey | None:
        """The active key's private half, or None for a holder of public keys."""
        return self._signer

    @property
    def ends_pending(self) -> bool:
        """Whether sessions may still stand whose token a compromised key signed."""
        return self._ends_pending

    def require_signer(self) -> SigningKey:
        """Return the signer; raise ConfigError where there is none."""
        if self._signer is None:
            raise ConfigError("there is no signing key here", hint="this key ring holds public keys only")
        return self._signer

    def find(self, kid: str, *, now: int) -> VerifyingKey | None:
        """Return the key if its tokens are taken at `now` (microseconds): active, or retiring and not over.

        A `next` key has signed nothing at this revision: who meets a newer revision reloads the ring.
        """
        found = self._keys.get(kid)
        return found.key if found is not None and found.verifies_at(now) else None

    def state_of(self, kid: str) -> KeyState | None:
        """Return a key's state, or None for an unknown kid."""
        found = self._keys.get(kid)
        return found.state if found is not None else None

    def jwks(self) -> dict[str, list[dict[str, str]]]:
        """Return the JWK set (RFC 7517, 5): next, active and retiring keys, public members only."""
        published = ("next", "active", "retiring")
        return {"keys": [each.key.jwk() for each in self._keys.values() if each.state in published]}
