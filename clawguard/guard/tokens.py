"""Tokens: the strict codec. PyJWT's algorithm objects sign and verify; everything else is checked here.

A token is a compact JWS (RFC 7515) with the header `alg kid typ` and the claims of RFC 9068.
"""

from __future__ import annotations

import re
from functools import lru_cache

from clawguard.clock import SECOND
from clawguard.errors import ConfigError, InvalidArgument
from clawguard.guard.claims import Claims, check_claims, read_claims
from clawguard.guard.encoding import b64encode, compact_json, parse_object
from clawguard.guard.faults import TokenFault
from clawguard.guard.jws import MAX_TOKEN, octets, read_payload, split
from clawguard.guard.keys import KeyRing, SigningKey, VerifyingKey

__all__ = ["Claims", "TokenFault", "decode", "encode", "read_unverified"]

_KID = re.compile(r"[A-Za-z0-9_-]{43}", re.ASCII)
_TYPES = frozenset({"at+jwt", "application/at+jwt"})  # RFC 9068, 4; RFC 7515, 4.1.9
_ARGUMENTS = {"lifetime": "ttl", "scope": "scopes", "actors": "actors"}


def encode(claims: Claims, signer: SigningKey) -> str:
    """Return the signed token.

    Raises InvalidArgument for claims that `decode` would refuse and for a token over 8 KiB, ConfigError for a
    signer other than the one the claims name.
    """
    if claims.kid != signer.kid:
        raise ConfigError("the claims name another key than the one that signs")
    named = claims.to_dict()
    _check_lawful(named)
    signing_input = signer.header + b"." + b64encode(compact_json(named))
    token = signing_input + b"." + b64encode(signer.sign(signing_input))
    if len(token) > MAX_TOKEN:
        raise InvalidArgument("scopes", f"would make a token of {len(token)} bytes, over {MAX_TOKEN}")
    return token.decode()


def _check_lawful(named: dict[str, object]) -> None:
    try:
        check_claims(named)
    except TokenFault as fault:
        argument = _ARGUMENTS.get(fault.reason, "claims")
        raise InvalidArgument(argument, "would make a token that no reader accepts") from None


def decode(token: str, ring: KeyRing, *, issuer: str, audience: str, now: int, leeway: int) -> Claims:
    """Return the claims of a genuine token for this issuer and audience.

    `now` and `leeway` are in microseconds; the leeway serves `nbf` and `iat` alone. A past `exp` is no fault:
    the caller answers for ended sessions. Raises TokenFault, and nothing else for any text.
    """
    segments = split(token)
    key = _find_key(segments.header, ring, now=now)
    claims = read_claims(read_payload(segments, key), kid=key.kid)
    _check_reader(claims, issuer, audience)
    _check_begun(claims, now + leeway)
    return claims


def _find_key(header: bytes, ring: KeyRing, *, now: int) -> VerifyingKey:
    alg, kid = _parse_header(header)
    key = ring.find(kid, now=now)
    if key is None:
        raise TokenFault("unknown_key")
    if key.algorithm != alg:
        raise TokenFault("alg")
    return key


@lru_cache(maxsize=64)
def _parse_header(segment: bytes) -> tuple[str, str]:
    """Return `alg` and `kid`, parsed once for all tokens of a key; the key itself is not kept here."""
    header = parse_object(octets(segment))
    if header is None:
        raise TokenFault("header_json")
    if header.keys() != {"alg", "kid", "typ"} or not all(isinstance(value, str) for value in header.values()):
        raise TokenFault("header_names")
    alg, kid, typ = header["alg"], header["kid"], header["typ"]
    if not typ.isascii() or typ.lower() not in _TYPES:
        raise TokenFault("typ")
    if not _KID.fullmatch(kid):
        raise TokenFault("kid")
    return alg, kid


def _check_reader(claims: Claims, issuer: str, audience: str) -> None:
    if claims.issuer != issuer:
        raise TokenFault("issuer")
    if claims.audience != audience:
        raise TokenFault("audience")


def _check_begun(claims: Claims, latest: int) -> None:
    if claims.not_before * SECOND > latest:
        raise TokenFault("not_yet_valid")
    if claims.issued_at * SECOND > latest:
        raise TokenFault("issued_in_future")


def read_unverified(token: str) -> Claims:
    """Return what a token says of itself, to ask others about it; raise TokenFault where it says nothing.

    Nothing may be allowed by it: anybody can write such a text.
    """
    return read_claims(parse_object(octets(split(token).payload)) or {}, kid="")
