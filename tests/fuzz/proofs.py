"""Proofs as they are read: the text of a `DPoP` header, the request it is of, a terminator's certificate."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from functools import cache
from hashlib import sha256
from urllib.parse import unquote, urlsplit

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from clawguard import InvalidArgument
from clawguard.clock import SECOND
from clawguard.guard import CertificateProof, DPoPProof
from clawguard.guard.encoding import b64encode
from clawguard.guard.faults import FAULTS, ProofFault
from clawguard.guard.keys import SigningKey
from clawguard.guard.proofs import ProofId, check_proof
from tests.fuzz.base import Target, compact, keys, mutated, sign, text_of, ways, with_secret
from tests.guard.forge import LEEWAY, NOW

__all__ = ["PROOFS"]

_METHOD, _URL = "POST", "https://api.example.com/docs/a%20b"
_TOKEN = "the.access.token"
_ATH = b64encode(sha256(_TOKEN.encode()).digest()).decode()
_SECRET = "hunter2-correct-horse"
_OLDEST, _NEWEST = NOW - 60, NOW + LEEWAY // SECOND


@cache
def _header(key: SigningKey) -> bytes:
    return compact({"typ": "dpop+jwt", "alg": key.algorithm, "jwk": _public(key)})


def _public(key: SigningKey) -> dict[str, object]:
    """Return the members that make the key."""
    jwk = key.verifying.jwk()
    return {name: jwk[name] for name in ("kty", "crv", "x", "y") if name in jwk}


def _claims(**changes: object) -> dict[str, object]:
    return {"jti": "one", "htm": _METHOD, "htu": _URL, "iat": NOW, "ath": _ATH, **changes}


@cache
def _genuine() -> dict[bytes, str]:
    """Return a proof of each key."""
    return {name: sign(key, compact(_claims()), _header(key)) for name, key in keys().items()}


def _known_by(key: SigningKey, jti: str, issued_at: int) -> ProofId:
    return ProofId(sha256(f"{key.kid}.{jti}".encode()).digest(), (issued_at + 60) * SECOND)


def _checked(text: str, key: SigningKey, token: str | None = _TOKEN) -> ProofId | None:
    """Return what a proof is known by, or None where it is refused, in a word that holds nothing of it."""
    proof = DPoPProof(text, method=_METHOD, url=_URL)
    assert repr(proof) == f"DPoPProof(method={_METHOD!r}, url={_URL!r})"
    try:
        return check_proof(proof, {"jkt": key.kid}, token=token, now=NOW * SECOND, leeway=LEEWAY)
    except ProofFault as fault:
        _check_error(fault)
        return None


def _check_error(error: ProofFault | InvalidArgument) -> None:
    if isinstance(error, ProofFault):
        assert error.reason in FAULTS
        assert error.args == (error.reason,)
    assert error.__cause__ is error.__context__ is None, "an error that holds what a parser saw"
    assert _SECRET not in f"{error!r} {error}"


def _any_proof(data: bytes) -> None:
    key = keys()[b"1"]
    for token in (_TOKEN, None):
        known = _checked(text_of(with_secret(data, _SECRET.encode())), key, token)
        assert known in (None, _known_by(key, "one", NOW)), "accepted a forged proof"


def _changed_proof(data: bytes) -> None:
    name = data[:1] if data[:1] in keys() else b"0"
    known = _checked(mutated(_genuine()[name], data[1:]), keys()[name])
    assert known in (None, _known_by(keys()[name], "one", NOW)), "accepted a changed proof of something else"


def _any_claims(data: bytes) -> None:
    """Sign any claims: what is accepted is of this request, this minute and this token."""
    key = keys()[b"1"]
    known = _checked(sign(key, data, _header(key)), key)
    if known is not None:
        said = json.loads(data)
        assert said["htm"] == _METHOD, "accepted a proof of another method"
        assert _place(said["htu"]) == _place(_URL), "accepted a proof of another place"
        assert said["ath"] == _ATH, "accepted a proof of another token"
        assert type(said["iat"]) is int
        assert _OLDEST <= said["iat"] <= _NEWEST, "accepted a proof of another time"
        assert known == _known_by(key, said["jti"], said["iat"])


def _place(url: str) -> tuple[object, ...]:
    """Return what a URL names, read by another hand."""
    parts = urlsplit(url)
    assert "@" not in parts.netloc, "a user in the URL"
    port = 443 if parts.port is None else parts.port
    return parts.scheme, parts.hostname, port, [unquote(each) for each in parts.path.split("/")]


def _any_header(data: bytes) -> None:
    """Sign under any header: only those that show the key, and that key alone, are accepted."""
    key = keys()[b"1"]
    if _checked(sign(key, compact(_claims()), data), key) is not None:
        header = json.loads(data)
        assert header.pop("typ").lower() in ("dpop+jwt", "application/dpop+jwt")
        assert header.pop("alg") == key.algorithm
        jwk = header.pop("jwk")
        assert header == {}, "accepted a header that says more"
        assert {name: jwk.get(name) for name in _public(key)} == _public(key), "accepted another key"
        assert not {"d", "k", "p", "q"} & jwk.keys(), "accepted a private key"


def _any_request(data: bytes) -> None:
    """Take any method and URL, a line each: the normal form of one that is taken is its own, and no more."""
    method, _, url = text_of(with_secret(data, b"?" + _SECRET.encode())).partition("\n")
    try:
        proof = DPoPProof("", method=method, url=url)
    except InvalidArgument as error:
        _check_error(error)
        return
    assert DPoPProof("", method=proof.method, url=proof.url).url == proof.url
    assert not {"?", "#"} & set(proof.url)
    assert _place(proof.url)[:2] == _place(url)[:2]


def _any_certificate(data: bytes) -> None:
    """Read a certificate, as it is and as PEM: what is taken is known by its own thumbprint."""
    for given in (data, text_of(data)):
        try:
            proof = CertificateProof(given)
        except InvalidArgument as error:
            _check_error(error)
            continue
        der = data if given is data else x509.load_pem_x509_certificate(data).public_bytes(Encoding.DER)
        assert proof.thumbprint == b64encode(sha256(der).digest()).decode()


@cache
def _certificate() -> x509.Certificate:
    """Return a certificate that is the same in every process."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "fuzz")])
    key = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(32))
    builder = x509.CertificateBuilder(name, name, key.public_key(), serial_number=1)
    begins, ends = datetime(2026, 1, 1, tzinfo=UTC), datetime(2036, 1, 1, tzinfo=UTC)
    return builder.not_valid_before(begins).not_valid_after(ends).sign(key, None)


def _seeds() -> list[bytes]:
    key = keys()[b"1"]
    jwk = {**_public(key), "use": "sig", "key_ops": ["verify"], "kid": key.kid, "alg": key.algorithm}
    rsa = {"kty": "RSA", "e": "AQAB", "n": b64encode(bytes([255]) * 256).decode()}
    return [
        b"text:" + _genuine()[b"1"].encode(),
        b"changed:0\x00\x00a",
        b"changed:1\x00\xf0b\x01\x10c",
        b"claims:" + compact(_claims()),
        b"claims:" + compact(_claims(iat=NOW - 61)),
        b"claims:" + compact(_claims(ath="A" * 43)),
        b"claims:" + compact(_claims(jti="", nonce="x", htu="HTTPS://API.example.com:443/%2e")),
        b"header:" + _header(key),
        b"header:" + _header(keys()[b"0"]),
        b"header:" + compact({"typ": "dpop+jwt", "alg": "RS256", "jwk": rsa}),
        b"header:" + compact({"typ": "application/dpop+jwt", "alg": key.algorithm, "jwk": jwk}),
        b"header:" + compact({"typ": "dpop+jwt", "alg": "none", "jwk": {"kty": "oct", "k": "AA"}}),
        b"request:POST\nhttps://api.example.com:443/a/%7euser\xff#x",
        b"request:GET\nhttp://[::1]:80",
        b"certificate:" + _certificate().public_bytes(Encoding.DER),
        b"certificate:" + _certificate().public_bytes(Encoding.PEM),
    ]


PROOFS = Target(
    ways(
        "text",
        text=_any_proof,
        changed=_changed_proof,
        claims=_any_claims,
        header=_any_header,
        request=_any_request,
        certificate=_any_certificate,
    ),
    _seeds,
)
