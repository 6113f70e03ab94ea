"""Proofs: what shows that a token's caller holds the key, or the certificate, that the token is bound to.

A bound token names it in `cnf`: `jkt`, the thumbprint of a key (RFC 9449, 6.1), or `x5t#S256`, that of a
certificate (RFC 8705, 3.1). Without its proof it is refused: it is never a bearer token.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NamedTuple, NoReturn

from clawguard.checks import is_text
from clawguard.clock import SECOND
from clawguard.errors import ConfigError, InvalidArgument
from clawguard.guard.encoding import b64encode, compact_json, parse_object
from clawguard.guard.faults import ProofFault, TokenFault
from clawguard.guard.jws import octets, read_payload, split
from clawguard.guard.keys import VerifyingKey
from clawguard.guard.uri import normal_uri

__all__ = [
    "HTTP_METHOD",
    "CertificateProof",
    "DPoPProof",
    "Proof",
    "ProofId",
    "ProvenKey",
    "check_cnf",
    "check_proof",
]

_METHODS = ("jkt", "x5t#S256")
_WINDOW = 60 * SECOND  # how old a proof may be
_THUMBPRINT = re.compile(r"[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]", re.ASCII)
HTTP_METHOD = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,32}", re.ASCII)
_TYPES = frozenset({"dpop+jwt", "application/dpop+jwt"})  # RFC 9449, 4.2; RFC 7515, 4.1.9


class DPoPProof:
    """Hold the proof of a request (RFC 9449), not yet checked: the text of its one `DPoP` header field.

    `method` and `url` are those of the request as the server knows them; query and fragment do not count.
    Raises InvalidArgument for what is no HTTP method or no http or https URL.
    """

    __slots__ = ("_method", "_text", "_url")

    def __init__(self, text: str, /, *, method: str, url: str) -> None:
        if not isinstance(text, str):
            raise InvalidArgument("proof", "must be the text of the DPoP header field")
        if not isinstance(method, str) or not HTTP_METHOD.fullmatch(method):
            raise InvalidArgument("method", "must be the HTTP method of the request")
        normal = normal_uri(url)
        if normal is None:
            raise InvalidArgument("url", "must be the http or https URL of the request, without dot segments")
        self._text = text
        self._method = method
        self._url = normal

    @property
    def text(self) -> str:
        """The text of the header field: good once, for whoever has it."""
        return self._text

    @property
    def method(self) -> str:
        """The method of the request."""
        return self._method

    @property
    def url(self) -> str:
        """The URL of the request, in its normal form."""
        return self._url

    def __repr__(self) -> str:
        return f"DPoPProof(method={self._method!r}, url={self._url!r})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a proof cannot be copied or pickled")

    def check(self, jkt: str, *, token: str | None, now: int, leeway: int) -> ProofId:
        """Hold the proof against the key, the request, the time and the token; return what it is known by.

        Without a token (a refresh token is redeemed) `ath` does not count. Raises ProofFault (RFC 9449, 4.3).
        """
        try:
            segments = split(self._text)
            key = _key_of(segments.header)
            if not hmac.compare_digest(key.kid, jkt):
                raise ProofFault("proof_binding")
            claims = read_payload(segments, key)
        except TokenFault as fault:
            reason = fault.reason if isinstance(fault, ProofFault) else "proof_form"
        else:
            return self._check_claims(claims, key.kid, token=token, now=now, leeway=leeway)
        raise ProofFault(reason)

    def _check_claims(
        self, claims: dict[str, Any], kid: str, *, token: str | None, now: int, leeway: int
    ) -> ProofId:
        issued_at = claims.get("iat")
        if type(issued_at) is not int or not is_text(claims.get("jti")):
            raise ProofFault("proof_claims")
        if claims.get("htm") != self._method or normal_uri(claims.get("htu")) != self._url:
            raise ProofFault("proof_request")
        issued, last = issued_at * SECOND - leeway, issued_at * SECOND + _WINDOW
        if not issued <= now <= last:
            raise ProofFault("proof_time")
        if token is not None and not _is_of(token, claims.get("ath")):
            raise ProofFault("proof_token")
        return ProofId(hashlib.sha256(f"{kid}.{claims['jti']}".encode()).digest(), last)


class CertificateProof:
    """Hold the certificate that a TLS terminator reports for a request's connection, as DER or PEM.

    It must come from the terminator itself: a header that any client can send proves nothing.
    """

    __slots__ = ("_thumbprint",)

    def __init__(self, certificate: bytes | str, /) -> None:
        self._thumbprint = b64encode(hashlib.sha256(_der(certificate)).digest()).decode()

    @classmethod
    def of_thumbprint(cls, thumbprint: str, /) -> CertificateProof:
        """Return the proof for the SHA-256 thumbprint that another process has reckoned (RFC 8705, 3.1)."""
        if not isinstance(thumbprint, str) or not _THUMBPRINT.fullmatch(thumbprint):
            raise InvalidArgument("thumbprint", "must be 43 characters of base64url")
        made = cls.__new__(cls)
        made._thumbprint = thumbprint
        return made

    def __repr__(self) -> str:
        return f"CertificateProof(thumbprint={self._thumbprint!r})"

    @property
    def thumbprint(self) -> str:
        """The `x5t#S256` to bind a token to this certificate: SHA-256 of its DER, in base64url."""
        return self._thumbprint

    def check(self, thumbprint: str) -> None:
        """Raise ProofFault for another certificate than the one that is meant."""
        if not hmac.compare_digest(self._thumbprint, thumbprint):
            raise ProofFault("proof_binding")


class ProvenKey:
    """Hold the key that the caller of a request has proven already, beside another token of that request.

    A request has one proof (RFC 9449, 4.3), which is good once: for what else the same request shows, this
    stands in its place. Only for whoever has had `validate` check that proof.
    """

    __slots__ = ("_jkt",)

    def __init__(self, jkt: str, /) -> None:
        if not isinstance(jkt, str) or not _THUMBPRINT.fullmatch(jkt):
            raise InvalidArgument("jkt", "must be 43 characters of base64url")
        self._jkt = jkt

    def __repr__(self) -> str:
        return f"ProvenKey({self._jkt!r})"

    def check(self, jkt: str) -> None:
        """Raise ProofFault for another key than the one that is meant."""
        if not hmac.compare_digest(self._jkt, jkt):
            raise ProofFault("proof_binding")


Proof = DPoPProof | CertificateProof | ProvenKey


class ProofId(NamedTuple):
    """Say what a proof is remembered by, and until when (microseconds UTC) it could be shown again."""

    digest: bytes
    until: int


def check_proof(
    proof: Proof | None, cnf: Mapping[str, str] | None, *, token: str | None, now: int, leeway: int
) -> ProofId | None:
    """Hold a proof against what a token is bound to; return what must not come a second time.

    A certificate is known for every request of its connection, a key that is proven for the rest of its one;
    both are nothing beside an unbound token, where a DPoP proof is refused. Raises ProofFault,
    InvalidArgument.
    """
    if proof is not None and not isinstance(proof, Proof):
        raise InvalidArgument("proof", "must be a DPoPProof or a CertificateProof")
    if cnf is None:
        if isinstance(proof, DPoPProof):
            raise ProofFault("proof_unbound")
        return None
    ((method, thumbprint),) = cnf.items()
    if isinstance(proof, DPoPProof) and method == "jkt":
        return proof.check(thumbprint, token=token, now=now, leeway=leeway)
    known_by = CertificateProof if method == "x5t#S256" else ProvenKey
    if isinstance(proof, known_by):
        proof.check(thumbprint)
        return None
    raise ProofFault("proof_missing")


def check_cnf(value: object) -> str | None:
    """Return a confirmation as a row's JSON text; raise InvalidArgument for any but one thumbprint."""
    if value is None:
        return None
    members = list(value.items()) if isinstance(value, Mapping) else []
    if len(members) != 1 or members[0][0] not in _METHODS:
        raise InvalidArgument("cnf", f"must hold one of {' and '.join(_METHODS)}", hint="{'jkt': thumbprint}")
    ((method, thumbprint),) = members
    if not isinstance(thumbprint, str) or not _THUMBPRINT.fullmatch(thumbprint):
        raise InvalidArgument("cnf", "must hold a SHA-256 thumbprint: 43 characters of base64url")
    return compact_json({method: thumbprint}).decode()


@lru_cache(maxsize=256)
def _key_of(header: bytes) -> VerifyingKey:
    """Return the public key of a proof's header: a client shows the same header with every proof."""
    members = parse_object(octets(header))
    if members is None or members.keys() != {"alg", "jwk", "typ"}:
        raise ProofFault("proof_header")
    alg, jwk, typ = members["alg"], members["jwk"], members["typ"]
    if not isinstance(typ, str) or not typ.isascii() or typ.lower() not in _TYPES:
        raise ProofFault("proof_header")
    if not isinstance(jwk, dict) or jwk.get("alg", alg) != alg:
        raise ProofFault("proof_key")
    try:
        return VerifyingKey.from_jwk({**jwk, "alg": alg})
    except ConfigError:
        pass
    raise ProofFault("proof_key")


def _is_of(token: str, ath: object) -> bool:
    """Tell whether `ath` is the token's own (RFC 9449, 4.2)."""
    own = b64encode(hashlib.sha256(token.encode()).digest()).decode()
    return isinstance(ath, str) and ath.isascii() and hmac.compare_digest(ath, own)


def _der(certificate: object) -> bytes:
    from cryptography import x509  # who has certificates pays for the import
    from cryptography.hazmat.primitives.serialization import Encoding

    try:
        if isinstance(certificate, bytes):
            x509.load_der_x509_certificate(certificate)
            return certificate
        if isinstance(certificate, str) and certificate.count("-----BEGIN") == 1:
            return x509.load_pem_x509_certificate(certificate.encode()).public_bytes(Encoding.DER)
    except (ValueError, x509.InvalidVersion):
        pass
    raise InvalidArgument("certificate", "must be one X.509 certificate in DER (bytes) or PEM (str)")
