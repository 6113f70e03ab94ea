"""Public keys as JWKs (RFC 7517): what is published, and what is refused on the way in."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Literal, get_args

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    EllipticCurvePublicKey,
    EllipticCurvePublicNumbers,
)
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey, RSAPublicNumbers

from clawguard.errors import ConfigError
from clawguard.guard.encoding import b64decode, b64encode, compact_json

__all__ = ["ALGORITHMS", "Algorithm", "PublicKey", "algorithm_of", "load_jwk", "public_members", "thumbprint"]

Algorithm = Literal["ES256", "EdDSA", "RS256"]
PublicKey = EllipticCurvePublicKey | Ed25519PublicKey | RSAPublicKey

ALGORITHMS: tuple[Algorithm, ...] = get_args(Algorithm)

_FAMILIES: Mapping[Algorithm, tuple[str, str | None]] = {
    "ES256": ("EC", "P-256"),
    "EdDSA": ("OKP", "Ed25519"),
    "RS256": ("RSA", None),
}
_PRIVATE_MEMBERS = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})
_MIN_RSA_BITS = 2_048
_MAX_RSA_BITS = 8_192  # beyond it one verification costs milliseconds
_MAX_EXPONENT_BITS = 64

_P = 2**255 - 19
_ORDER_8 = 0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826
_SMALL_ORDER = frozenset({0, 1, _P - 1, _ORDER_8, _P - _ORDER_8})


def public_members(key: PublicKey) -> dict[str, str]:
    """Return the members that RFC 7638, 3.2 requires for the key's type, in lexical order."""
    if isinstance(key, EllipticCurvePublicKey):
        point = key.public_numbers()
        return {"crv": "P-256", "kty": "EC", "x": _number(point.x, 32), "y": _number(point.y, 32)}
    if isinstance(key, Ed25519PublicKey):
        return {"crv": "Ed25519", "kty": "OKP", "x": b64encode(key.public_bytes_raw()).decode()}
    numbers = key.public_numbers()
    return {"e": _number(numbers.e), "kty": "RSA", "n": _number(numbers.n)}


def thumbprint(members: Mapping[str, str]) -> str:
    """Return the SHA-256 thumbprint of the required members (RFC 7638): 43 characters of base64url."""
    return b64encode(hashlib.sha256(compact_json(dict(sorted(members.items())))).digest()).decode()


def algorithm_of(key: object) -> Algorithm:
    """Return the one algorithm of a key; raise ConfigError for one of another type, curve or size."""
    if isinstance(key, EllipticCurvePublicKey) and isinstance(key.curve, SECP256R1):
        return "ES256"
    if isinstance(key, Ed25519PublicKey):
        _check_ed25519(key)
        return "EdDSA"
    if isinstance(key, RSAPublicKey):
        _check_rsa(key.public_numbers())
        return "RS256"
    raise _refusal("is not of P-256, Ed25519 or RSA")


def load_jwk(jwk: Mapping[str, object]) -> PublicKey:
    """Return the verification key of a JWK; raise ConfigError with the reason, never with key material."""
    if not isinstance(jwk, Mapping):
        raise _refusal("is not a JSON object")
    if _PRIVATE_MEMBERS & jwk.keys():
        raise _refusal("holds private or symmetric members", hint="hand over public keys only")
    alg, kty = jwk.get("alg"), jwk.get("kty")
    family = next((_FAMILIES[each] for each in ALGORITHMS if each == alg), None)
    if family is None:
        raise _refusal(f"needs an alg out of {', '.join(ALGORITHMS)}")
    if (kty, jwk.get("crv")) != family:
        raise _refusal("has a kty or crv that does not fit its alg")
    _check_purpose(jwk)
    key = _build(jwk, kty)
    if key is None:
        raise _refusal("is not a point of its curve, or not a modulus")
    algorithm_of(key)
    kid = thumbprint(public_members(key))
    if jwk.get("kid", kid) != kid:
        raise _refusal("has a kid that is not its RFC 7638 thumbprint")
    return key


def _check_purpose(jwk: Mapping[str, object]) -> None:
    if jwk.get("use", "sig") != "sig":
        raise _refusal("is not for signatures: its use is not sig")
    operations = jwk.get("key_ops", ["verify"])
    if not isinstance(operations, list) or "verify" not in operations:
        raise _refusal("is not for verifying: its key_ops lack verify")


def _build(jwk: Mapping[str, object], kty: object) -> PublicKey | None:
    try:
        if kty == "EC":
            return EllipticCurvePublicNumbers(
                _integer(jwk, "x", 32), _integer(jwk, "y", 32), SECP256R1()
            ).public_key()
        if kty == "OKP":
            return Ed25519PublicKey.from_public_bytes(_octets(jwk, "x", 32))
        numbers = RSAPublicNumbers(_integer(jwk, "e"), _integer(jwk, "n"))
        _check_rsa(numbers)
        return numbers.public_key()
    except (ValueError, UnsupportedAlgorithm):
        return None


def _check_rsa(numbers: RSAPublicNumbers) -> None:
    if not _MIN_RSA_BITS <= numbers.n.bit_length() <= _MAX_RSA_BITS:
        raise _refusal(f"has an RSA modulus outside {_MIN_RSA_BITS} to {_MAX_RSA_BITS} bits")
    if numbers.e < 3 or not numbers.e & 1 or numbers.e.bit_length() > _MAX_EXPONENT_BITS:
        raise _refusal("has an RSA exponent that is even, below 3 or too large")
    if not numbers.n & 1:
        raise _refusal("has an even RSA modulus")


def _check_ed25519(key: Ed25519PublicKey) -> None:
    """Refuse the points for which anyone can sign: one of order 1 verifies R=1, S=0 over every message."""
    y = int.from_bytes(key.public_bytes_raw(), "little") & (2**255 - 1)
    if y >= _P or y in _SMALL_ORDER:
        raise _refusal("is an Ed25519 point of small order or in non-canonical form")


def _octets(jwk: Mapping[str, object], name: str, length: int | None = None) -> bytes:
    text = jwk.get(name)
    data = b64decode(text.encode()) if isinstance(text, str) and text.isascii() else None
    if not data or (length is not None and len(data) != length):
        raise _refusal(f"has a malformed member {name}")
    return data


def _integer(jwk: Mapping[str, object], name: str, length: int | None = None) -> int:
    data = _octets(jwk, name, length)
    if length is None and data[0] == 0:
        raise _refusal(f"has a leading zero in its member {name}")
    return int.from_bytes(data)


def _number(value: int, length: int | None = None) -> str:
    return b64encode(value.to_bytes(length or (value.bit_length() + 7) // 8)).decode()


def _refusal(reason: str, *, hint: str | None = None) -> ConfigError:
    return ConfigError(f"the verification key {reason}", hint=hint)
