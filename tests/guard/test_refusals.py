"""What the guard refuses, and in which words: what is wrong, and how to mend it."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from clawguard.clock import SECOND
from clawguard.errors import ClawguardError
from clawguard.guard import (
    CertificateProof,
    DPoPProof,
    Guard,
    KeyEncryptionKey,
    KeyRing,
    NoteKey,
    NoteSigner,
    ProofKey,
    RingKey,
    SigningKey,
    check_cnf,
    load_kek,
)
from clawguard.guard.claims import read_claims
from clawguard.guard.encoding import b64encode
from clawguard.guard.faults import TokenFault
from clawguard.guard.jwk import load_jwk
from clawguard.guard.notes import encode_base64
from clawguard.guard.proofs import ProvenKey, check_proof
from clawguard.guard.refresh_tokens import RefreshToken
from clawguard.guard.sealing import KEK_VARIABLE, SealingKey
from clawguard.guard.tokens import encode
from clawguard.scopes import ScopeSet
from tests.guard.forge import SESSION, claims, signer

WRONG: Any = 7
URL = "https://api.example.com/mail"
ES256, EDDSA, RS256 = signer("ES256"), signer("EdDSA"), signer("RS256")
RING = KeyRing(1, [RingKey(ES256.verifying, "active")], ES256)
GUARD = Guard(issuer="urn:i", audience="a", audiences=["a"], ring=RING)
NOTES = NoteSigner("urn:log", EDDSA)
PROOF_KEY = ProofKey(ES256)
CLAIMS = read_claims(claims(), kid=ES256.kid)
SMALL_ORDER = f"urn:log+00000000+{encode_base64(bytes([1, *bytes(32)]))}"


def b64(data: bytes) -> str:
    return b64encode(data).decode()


def number(value: int) -> str:
    return b64(value.to_bytes((value.bit_length() + 7) // 8))


def jwk(key: SigningKey = ES256, **changes: Any) -> dict[str, Any]:
    """Return a lawful key's members with some changed, and without its name unless one is given."""
    members = {name: value for name, value in key.verifying.jwk().items() if name != "kid"}
    return {**members, **changes}


def kek(source: Any, *, environ: dict[str, str] | None = None, **options: Any) -> KeyEncryptionKey:
    settings = {"default_path": None, "salt": bytes(16), "create": False, **options}
    return load_kek(source, environ=environ or {}, **settings)


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (
            lambda: Guard(issuer="urn:i", audience="a", audiences="a", ring=RING),
            "ConfigError: audiences must be a collection that holds the audience itself",
        ),
        (
            lambda: Guard(issuer="urn:i", audience="a", audiences=["b"], ring=RING),
            "ConfigError: audiences must be a collection that holds the audience itself",
        ),
        (
            lambda: Guard(issuer="urn:i", audience="a", audiences=["a"], ring=RING, leeway=-1),
            "ConfigError: the leeway must be 0 to 60 seconds",
        ),
        (
            lambda: Guard(issuer="urn:i", audience="a", audiences=["a"], ring=RING, leeway=60 * SECOND + 1),
            "ConfigError: the leeway must be 0 to 60 seconds",
        ),
        (
            lambda: Guard(issuer="", audience="a", audiences=["a"], ring=RING),
            "InvalidArgument: issuer: must be 1 to 255 printable characters",
        ),
        (
            lambda: Guard(issuer="urn:i", audience="a", audiences=["a", ""], ring=RING),
            "InvalidArgument: audiences: must be 1 to 255 printable characters",
        ),
        (
            lambda: GUARD.check_audience("b"),
            (
                "InvalidArgument: audience: is not one of this manager's; name it in audiences= when you "
                "open the manager"
            ),
        ),
        (lambda: load_jwk(WRONG), "ConfigError: the verification key is not a JSON object"),
        (
            lambda: load_jwk(jwk(d="AA")),
            (
                "ConfigError: the verification key holds private or symmetric members; hand over public "
                "keys only"
            ),
        ),
        (
            lambda: load_jwk(jwk(alg="HS256")),
            "ConfigError: the verification key needs an alg out of ES256, EdDSA, RS256",
        ),
        (
            lambda: load_jwk(jwk(crv="P-384")),
            "ConfigError: the verification key has a kty or crv that does not fit its alg",
        ),
        (
            lambda: load_jwk(jwk(x=b64(bytes(31)))),
            "ConfigError: the verification key has a malformed member x",
        ),
        (
            lambda: load_jwk(jwk(x=b64(bytes(32)))),
            "ConfigError: the verification key is not a point of its curve, or not a modulus",
        ),
        (
            lambda: load_jwk(jwk(use="enc")),
            "ConfigError: the verification key is not for signatures: its use is not sig",
        ),
        (
            lambda: load_jwk(jwk(key_ops=["sign"])),
            "ConfigError: the verification key is not for verifying: its key_ops lack verify",
        ),
        (
            lambda: load_jwk(jwk(kid="other")),
            "ConfigError: the verification key has a kid that is not its RFC 7638 thumbprint",
        ),
        (
            lambda: load_jwk(jwk(RS256, n=number(1 << 2046 | 1))),
            "ConfigError: the verification key has an RSA modulus outside 2048 to 8192 bits",
        ),
        (
            lambda: load_jwk(jwk(RS256, n=number(1 << 8192 | 1))),
            "ConfigError: the verification key has an RSA modulus outside 2048 to 8192 bits",
        ),
        (
            lambda: load_jwk(jwk(RS256, n=number(1 << 2047))),
            "ConfigError: the verification key has an even RSA modulus",
        ),
        (
            lambda: load_jwk(jwk(RS256, e=number(1))),
            "ConfigError: the verification key has an RSA exponent that is even, below 3 or too large",
        ),
        (
            lambda: load_jwk(jwk(RS256, e=number(65_536))),
            "ConfigError: the verification key has an RSA exponent that is even, below 3 or too large",
        ),
        (
            lambda: load_jwk(jwk(RS256, e=number(1 << 64 | 1))),
            "ConfigError: the verification key has an RSA exponent that is even, below 3 or too large",
        ),
        (
            lambda: load_jwk(jwk(RS256, e="AAEAAQ")),
            "ConfigError: the verification key has a leading zero in its member e",
        ),
        (
            lambda: load_jwk(jwk(EDDSA, x=b64(bytes(32)))),
            ("ConfigError: the verification key is an Ed25519 point of small order or in non-canonical form"),
        ),
        (
            lambda: SigningKey.generate(WRONG),
            "InvalidArgument: algorithm: must be one of ES256, EdDSA, RS256",
        ),
        (
            lambda: SigningKey.from_private_bytes("ES256", b"no key"),
            "ConfigError: the stored signing key cannot be read",
        ),
        (
            lambda: SigningKey.from_private_bytes("EdDSA", ES256.private_bytes()),
            "ConfigError: the stored signing key is not one for EdDSA",
        ),
        (
            lambda: KeyRing(1, [RingKey(ES256.verifying, WRONG)], None),
            "ConfigError: the key ... is in no known state",
        ),
        (
            lambda: KeyRing(1, [RingKey(ES256.verifying, "retiring")], None),
            ("ConfigError: the retiring key ... has no verify_until"),
        ),
        (
            lambda: KeyRing(1, [RingKey(ES256.verifying, "next"), RingKey(ES256.verifying, "next")], None),
            "ConfigError: the key ring holds a kid twice",
        ),
        (
            lambda: KeyRing(
                1, [RingKey(ES256.verifying, "active"), RingKey(EDDSA.verifying, "active")], None
            ),
            "ConfigError: the key ring holds two active keys",
        ),
        (
            lambda: KeyRing(1, [RingKey(ES256.verifying, "next")], ES256),
            "ConfigError: the signing key is not the active key of the ring",
        ),
        (
            lambda: KeyRing(1, [RingKey(ES256.verifying, "active")], None).require_signer(),
            "ConfigError: there is no signing key here; this key ring holds public keys only",
        ),
        (lambda: pickle.dumps(ES256), "TypeError: a SigningKey cannot be copied or pickled"),
        (lambda: pickle.dumps(NOTES), "TypeError: a NoteSigner cannot be copied or pickled"),
        (lambda: pickle.dumps(PROOF_KEY), "TypeError: a ProofKey cannot be copied or pickled"),
        (
            lambda: pickle.dumps(DPoPProof("a.b.c", method="GET", url=URL)),
            "TypeError: a proof cannot be copied or pickled",
        ),
        (
            lambda: pickle.dumps(RefreshToken.new(SESSION)),
            "TypeError: a RefreshToken cannot be copied or pickled",
        ),
        (lambda: pickle.dumps(SealingKey(bytes(32))), "TypeError: a SealingKey cannot be copied or pickled"),
        (lambda: NoteKey("urn:log", ES256.verifying), "ConfigError: a key for notes must be an Ed25519 key"),
        (
            lambda: NoteKey.from_text("urn:log"),
            "InvalidArgument: key: must be a verifier's key: name+hash+base64, of Ed25519",
        ),
        (
            lambda: NoteKey.from_text(SMALL_ORDER),
            (
                "InvalidArgument: key: holds a key that is refused: the verification key is an Ed25519 "
                "point of small order or in non-canonical form"
            ),
        ),
        (
            lambda: NoteKey.from_text(str(NOTES.public).replace("+", "+00", 1)),
            "InvalidArgument: key: has a hash that is not that of its name and key",
        ),
        (
            lambda: NOTES.public.open(WRONG, argument="note"),
            "InvalidArgument: note: must be the text of a note, not int",
        ),
        (lambda: NOTES.public.open("text", argument="note"), "InvalidArgument: note: is no signed note"),
        (
            lambda: NOTES.public.open("text\n\nline\n", argument="note"),
            "InvalidArgument: note: has a line that is no signature",
        ),
        (
            lambda: NOTES.public.open(NoteSigner("urn:other", EDDSA).sign("text\n"), argument="note"),
            "InvalidArgument: note: is not signed with the key of this log",
        ),
        (
            lambda: NOTES.public.open("other" + NOTES.sign("text\n"), argument="note"),
            "InvalidArgument: note: was changed after it was signed, or its signature is forged",
        ),
        (lambda: NOTES.sign("text"), "ValueError: a note's text is whole lines without control characters"),
        (
            lambda: ProofKey(WRONG),
            "InvalidArgument: key: must be a SigningKey; ProofKey.generate() makes a new one",
        ),
        (
            lambda: PROOF_KEY.proof(method="GET", url="mailto:ana"),
            "InvalidArgument: url: must be an absolute http or https URL without dot segments",
        ),
        (
            lambda: PROOF_KEY.proof(method="GET MAIL", url=URL),
            "InvalidArgument: method: must be the HTTP method of the request",
        ),
        (
            lambda: PROOF_KEY.proof(method="GET", url=URL, token="\xe9"),
            "InvalidArgument: token: must be a token",
        ),
        (lambda: PROOF_KEY.headers(WRONG, method="GET", url=URL), "InvalidArgument: token: must be a token"),
        (
            lambda: DPoPProof(WRONG, method="GET", url=URL),
            "InvalidArgument: proof: must be the text of the DPoP header field",
        ),
        (
            lambda: DPoPProof("a.b.c", method="GET MAIL", url=URL),
            "InvalidArgument: method: must be the HTTP method of the request",
        ),
        (
            lambda: DPoPProof("a.b.c", method="GET", url="mailto:ana"),
            "InvalidArgument: url: must be the http or https URL of the request, without dot segments",
        ),
        (
            lambda: CertificateProof(b"none"),
            "InvalidArgument: certificate: must be one X.509 certificate in DER (bytes) or PEM (str)",
        ),
        (
            lambda: CertificateProof.of_thumbprint("short"),
            "InvalidArgument: thumbprint: must be 43 characters of base64url",
        ),
        (lambda: ProvenKey("short"), "InvalidArgument: jkt: must be 43 characters of base64url"),
        (
            lambda: check_proof(WRONG, None, token=None, now=0, leeway=0),
            "InvalidArgument: proof: must be a DPoPProof or a CertificateProof",
        ),
        (
            lambda: check_cnf({"jwk": "a"}),
            "InvalidArgument: cnf: must hold one of jkt and x5t#S256; {'jkt': thumbprint}",
        ),
        (
            lambda: check_cnf({"jkt": "short"}),
            "InvalidArgument: cnf: must hold a SHA-256 thumbprint: 43 characters of base64url",
        ),
        (lambda: KeyEncryptionKey(bytes(31)), "ConfigError: the key-encryption key must be 32 bytes"),
        (
            lambda: KeyEncryptionKey(bytes(32)).unseal(b"", purpose="a"),
            (
                "ConfigError: the key-encryption key does not open the sealed keys; use the one that "
                "this store was made with: its key file, CLAWGUARD_KEK or kek="
            ),
        ),
        (
            lambda: kek(None, environ={KEK_VARIABLE: "short"}),
            (
                "ConfigError: CLAWGUARD_KEK must be 32 bytes in unpadded base64url; make one with: "
                "openssl rand -base64 32 | tr '+/' '-_' | tr -d '='"
            ),
        ),
        (
            lambda: kek(None),
            (
                "ConfigError: there is no key-encryption key; give kek=, or set CLAWGUARD_KEK; make one "
                "with: openssl rand -base64 32 | tr '+/' '-_' | tr -d '='"
            ),
        ),
        (
            lambda: kek("./clawguard.key"),
            (
                "InvalidArgument: kek: is a passphrase where it is a str, and this is a path; give a "
                "pathlib.Path"
            ),
        ),
        (lambda: kek("too short"), "ConfigError: the passphrase must have at least 12 characters"),
        (lambda: kek("with a \x00 in it"), "ConfigError: the passphrase must be of printable characters"),
        (
            lambda: kek("long enough a passphrase", salt=bytes(15)),
            "ConfigError: the salt must have at least 16 bytes",
        ),
        (lambda: kek(lambda: 1 // 0), "ConfigError: the key-encryption callable failed: ZeroDivisionError"),
        (
            lambda: kek(WRONG),
            (
                "InvalidArgument: kek: must be 32 bytes, a passphrase (str), a pathlib.Path, a callable "
                "or None"
            ),
        ),
        (
            lambda: kek(Path("/nonexistent/kek")),
            (
                "ConfigError: the key file /nonexistent/kek is missing; put it back from your backup: "
                "without it the stored signing keys cannot be opened"
            ),
        ),
        (
            lambda: kek(Path("/dev/null/kek"), create=True),
            (
                "ConfigError: the key file /dev/null/kek cannot be opened: Not a directory; it must be a "
                "regular file, no symlink, that you may read"
            ),
        ),
        (
            lambda: encode(CLAIMS._replace(kid="other"), ES256),
            "ConfigError: the claims name another key than the one that signs",
        ),
        (
            lambda: encode(CLAIMS._replace(expires_at=0), ES256),
            "InvalidArgument: ttl: would make a token that no reader accepts",
        ),
        (
            lambda: encode(CLAIMS._replace(scopes=ScopeSet(f"{n}:{'a' * 200}" for n in range(36))), ES256),
            "InvalidArgument: scopes: would make a token of 10345 bytes, over 8192",
        ),
        (lambda: kek(Path("/dev/null")), "ConfigError: the key file /dev/null is not a regular file"),
        (lambda: RefreshToken.parse("cgr1_"), "TokenFault: refresh_form"),
        (lambda: load_jwk(jwk(x="\xe9")), "ConfigError: the verification key has a malformed member x"),
        (
            lambda: load_jwk(jwk(EDDSA, x=b64(bytes(31)))),
            "ConfigError: the verification key has a malformed member x",
        ),
    ],
)
def test_a_refusal_says_what_is_wrong_and_how_to_mend_it(asked: Callable[[], object], told: str) -> None:
    with pytest.raises((ClawguardError, TokenFault, TypeError, ValueError)) as refused:
        asked()
    assert f"{type(refused.value).__name__}: {refused.value}".replace(ES256.kid, "...") == told
