"""Attacks on the header, the key and the signature, by their numbers in the attack list."""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from clawguard.clock import SECOND
from clawguard.errors import ConfigError
from clawguard.guard import KeyRing, RingKey, SigningKey, VerifyingKey
from clawguard.guard.jwk import public_members, thumbprint
from clawguard.guard.keys import KeyState
from tests.guard.forge import NOW, b64, claims, fault, forge, header, read, ring_of, signer

P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
ED25519_P = 2**255 - 19
ED25519_L = 2**252 + 27742317777372353535851937790883648493


def resigned(token: str, signature: bytes) -> str:
    return f"{token.rpartition('.')[0]}.{b64(signature)}"


def signature_of(token: str) -> bytes:
    import base64

    return base64.urlsafe_b64decode(token.rpartition(".")[2] + "==")


@pytest.mark.parametrize("alg", ["none", "None", "NONE", "nOnE"])
def test_attack_01_alg_none(alg: str) -> None:
    token = forge(claims(), header(alg=alg))
    assert fault(token) == "alg"
    assert fault(token.rpartition(".")[0] + ".") == "segments"
    with pytest.raises(ValueError, match="algorithm"):
        SigningKey.generate(alg)  # type: ignore[arg-type]


@pytest.mark.parametrize("alg", ["es256", "eddsa", "ES256 ", "", "RS256", "EdDSA", "ES512"])
def test_attack_02_another_alg(alg: str) -> None:
    assert fault(forge(claims(), header(alg=alg))) == "alg"


@pytest.mark.parametrize("literal", ["null", '["ES256"]', "1", "true", '{"a":1}'])
def test_attack_02_alg_of_another_type(literal: str) -> None:
    text = json.dumps(header(alg="@")).replace('"@"', literal).encode()
    assert fault(forge(claims(), text)) == "header_names"


def test_attack_02_alg_missing() -> None:
    assert fault(forge(claims(), header(alg=None))) == "header_names"


@pytest.mark.parametrize("alg", ["HS256", "ES256"])
def test_attack_03_hmac_over_the_public_key(alg: str) -> None:
    private = ec.generate_private_key(ec.SECP256R1())
    der = private.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    key = SigningKey.from_private_bytes("ES256", der)
    public = private.public_key()
    secrets = [
        public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        public.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint),
        json.dumps(key.verifying.jwk()).encode(),
    ]
    token = forge(claims(), header(alg=alg, kid=key.kid), key=key)
    for secret in secrets:
        mac = hmac.digest(secret, token.rpartition(".")[0].encode(), "sha256")
        assert fault(resigned(token, mac), ring_of(key)) in {"alg", "signature"}


def test_attack_04_ed448_under_ed25519() -> None:
    stranger = ed448.Ed448PrivateKey.generate()
    token = forge(claims(), key=signer("EdDSA"))
    signed = stranger.sign(token.rpartition(".")[0].encode())
    assert fault(resigned(token, signed), ring_of(signer("EdDSA"))) == "signature"
    x = b64(stranger.public_key().public_bytes_raw())
    for crv in ("Ed448", "Ed25519"):
        with pytest.raises(ConfigError):
            VerifyingKey.from_jwk({"kty": "OKP", "crv": crv, "x": x, "alg": "EdDSA"})


def test_attack_04_ed448_private_key_is_refused() -> None:
    der = ed448.Ed448PrivateKey.generate().private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    with pytest.raises(ConfigError):
        SigningKey.from_private_bytes("EdDSA", der)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("jwk", {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"}),  # 5
        ("jku", "http://169.254.169.254/latest"),  # 6
        ("x5u", "file:///etc/passwd"),
        ("x5c", ["MIIB"]),
        ("x5t", "AAAA"),
        ("crit", ["exp"]),  # 10
        ("crit", []),
        ("crit", ["alg", "alg"]),
        ("b64", True),  # 11
        ("b64", False),
        ("zip", "DEF"),  # 12
        ("cty", "JWT"),
        ("enc", "A256GCM"),
        ("x", 1),  # 14
        ("ALG", "ES256"),
        ("", "ES256"),
    ],
)
def test_attack_05_06_10_11_12_14_header_names(name: str, value: Any) -> None:
    assert fault(forge(claims(), {**header(), name: value})) == "header_names"


def test_attack_05_embedded_key_of_the_attacker() -> None:
    attacker = SigningKey.generate()
    assert (
        fault(forge(claims(), {**header(), "jwk": attacker.verifying.jwk()}, key=attacker)) == "header_names"
    )
    assert fault(forge(claims(), key=attacker)) == "unknown_key"


@pytest.mark.parametrize(
    "kid",
    ["../../../dev/null", "a\x00b", "' OR 1=1--", "|id", "", "A" * 42, "A" * 44, "é" * 43, "A" * 42 + "\n"],
)
def test_attack_07_kid_is_no_path_and_no_query(kid: str) -> None:
    assert fault(forge(claims(), header(kid=kid))) == "kid"


def test_attack_07_unknown_kid() -> None:
    assert fault(forge(claims(), header(kid="A" * 43))) == "unknown_key"


def test_attack_08_kid_of_a_megabyte_or_another_type() -> None:
    assert fault(forge(claims(), header(kid="A" * 2**20))) == "too_long"
    for literal in ("7", "null", '["a"]'):
        text = json.dumps(header(kid="@")).replace('"@"', literal).encode()
        assert fault(forge(claims(), text)) == "header_names"


def test_attack_08_kid_twice_in_the_ring() -> None:
    key = signer().verifying
    with pytest.raises(ConfigError, match="twice"):
        KeyRing(1, [RingKey(key, "active"), RingKey(key, "retired")], None)


@pytest.mark.parametrize(
    ("state", "until", "accepted"),
    [
        ("active", None, True),
        ("next", None, False),
        ("retired", NOW + 900, False),
        ("compromised", NOW + 900, False),
        ("retiring", NOW, True),
        ("retiring", NOW - 60, True),
        ("retiring", NOW - 61, False),
    ],
)
def test_attack_09_states_of_a_key(state: KeyState, until: int | None, *, accepted: bool) -> None:
    ring = KeyRing(1, [RingKey(signer().verifying, state, until and until * SECOND)], None)
    if accepted:
        assert read(forge(claims()), ring).kid == signer().kid
    else:
        assert fault(forge(claims()), ring) == "unknown_key"


@pytest.mark.parametrize("name", ["alg", "kid", "typ"])
def test_attack_13_duplicate_header_name(name: str) -> None:
    text = json.dumps(header())
    twice = text[:-1] + f', "{name}": {json.dumps(header()[name])}}}'
    assert fault(forge(claims(), twice.encode())) == "header_json"
    escaped = twice.replace(f'"{name}"', f'"\\u{ord(name[0]):04x}{name[1:]}"', 1)
    assert fault(forge(claims(), escaped.encode())) == "header_json"


@pytest.mark.parametrize(
    "typ", ["JWT", "jwt", "", "dpop+jwt", "at+jwt ", "text/at+jwt", "a\u0167+jwt", "at+jw\u1e6d"]
)
def test_attack_15_wrong_typ(typ: str) -> None:
    assert fault(forge(claims(), header(typ=typ))) == "typ"


def test_attack_15_typ_missing_or_of_another_type() -> None:
    assert fault(forge(claims(), header(typ=None))) == "header_names"
    assert fault(forge(claims(), header(typ=1))) == "header_names"


@pytest.mark.parametrize("typ", ["at+jwt", "AT+JWT", "At+Jwt", "application/at+jwt", "Application/AT+JWT"])
def test_attack_15_typ_in_other_letters_is_the_same(typ: str) -> None:
    assert read(forge(claims(), header(typ=typ))).subject == "user:ana"


def test_attack_16_zero_and_out_of_range_ecdsa_signatures() -> None:
    token = forge(claims())
    numbers = (0, 1, P256_ORDER - 1, P256_ORDER, P256_ORDER + 1, 2**256 - 1)
    for r in numbers:
        for s in numbers:
            assert fault(resigned(token, r.to_bytes(32) + s.to_bytes(32))) == "signature"


def test_attack_17_the_ecdsa_twin_says_the_same() -> None:
    """`n - s` verifies too: two token texts, one `jti`. The text is therefore no one's identity."""
    token = forge(claims())
    raw = signature_of(token)
    twin = resigned(token, raw[:32] + (P256_ORDER - int.from_bytes(raw[32:])).to_bytes(32))
    assert twin != token
    assert read(twin) == read(token)


def test_attack_18_der_instead_of_raw() -> None:
    token = forge(claims())
    raw = signature_of(token)
    der = encode_dss_signature(int.from_bytes(raw[:32]), int.from_bytes(raw[32:]))
    assert fault(resigned(token, der)) == "signature"


def test_attack_19_malleable_ed25519_signatures() -> None:
    key = signer("EdDSA")
    token = forge(claims(), key=key)
    raw = signature_of(token)
    s = int.from_bytes(raw[32:], "little")
    bad = [raw[:32] + (s + ED25519_L).to_bytes(32, "little"), bytes(64), raw[:-1], raw + b"\0", b"\1"]
    for signature in bad:
        assert fault(resigned(token, signature), ring_of(key)) == "signature"


def small_order_encodings() -> list[bytes]:
    order_8 = 0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826
    p = ED25519_P
    points = (0, 1, order_8, p - order_8, p - 1, p, p + 1)
    return [(y | sign << 255).to_bytes(32, "little") for y in points for sign in (0, 1)]


def times_eight_is_neutral(y: int) -> bool:
    """Double three times on -x² + y² = 1 + dx²y², by y² alone: x² follows from it."""
    p = ED25519_P
    d = -121665 * pow(121666, -1, p) % p
    for _ in range(3):
        xx = (y * y - 1) * pow(d * y * y + 1, -1, p) % p
        y = (y * y + xx) * pow(1 - d * xx * y * y, -1, p) % p
    return y == 1


@pytest.mark.parametrize("point", small_order_encodings(), ids=bytes.hex)
def test_attack_20_small_order_points(point: bytes) -> None:
    with pytest.raises(ConfigError, match=r"small order|non-canonical"):
        VerifyingKey.from_jwk({"kty": "OKP", "crv": "Ed25519", "x": b64(point), "alg": "EdDSA"})
    assert times_eight_is_neutral(int.from_bytes(point, "little") & (2**255 - 1))


def test_attack_20_non_canonical_y() -> None:
    for y in range(ED25519_P, 2**255):
        with pytest.raises(ConfigError):
            VerifyingKey.from_jwk(
                {"kty": "OKP", "crv": "Ed25519", "x": b64(y.to_bytes(32, "little")), "alg": "EdDSA"}
            )


def rsa_jwk(n: int, e: int) -> dict[str, str]:
    def octets(value: int) -> bytes:
        return value.to_bytes((value.bit_length() + 7) // 8 or 1)

    return {"kty": "RSA", "n": b64(octets(n)), "e": b64(octets(e)), "alg": "RS256"}


def test_attack_21_short_rsa() -> None:
    private = rsa.generate_private_key(public_exponent=65_537, key_size=1_024)
    numbers = private.public_key().public_numbers()
    with pytest.raises(ConfigError, match="2048"):
        VerifyingKey.from_jwk(rsa_jwk(numbers.n, numbers.e))
    der = private.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    with pytest.raises(ConfigError, match="2048"):
        SigningKey.from_private_bytes("RS256", der)


@pytest.mark.parametrize("exponent", [0, 1, 2, 4, 65_536, 2**64 + 1])
def test_attack_21_weak_exponent(exponent: int) -> None:
    with pytest.raises(ConfigError):
        VerifyingKey.from_jwk(rsa_jwk(2**2047 + 1, exponent))


@pytest.mark.parametrize("modulus", [2**2047, 2**8192 + 1, 1, 0])
def test_attack_21_weak_modulus(modulus: int) -> None:
    with pytest.raises(ConfigError):
        VerifyingKey.from_jwk(rsa_jwk(modulus, 65_537))


@pytest.mark.parametrize(
    "member",
    [{"use": "enc"}, {"use": None}, {"key_ops": ["encrypt"]}, {"key_ops": []}, {"key_ops": "verify"}],
)
def test_attack_22_key_for_another_use(member: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        VerifyingKey.from_jwk({**signer().verifying.jwk(), **member})


@pytest.mark.parametrize("k", ["", "c2VjcmV0", "A" * 86])
def test_attack_23_symmetric_keys_are_no_keys_here(k: str) -> None:
    for alg in ("HS256", "ES256"):
        with pytest.raises(ConfigError) as caught:
            VerifyingKey.from_jwk({"kty": "oct", "k": k, "alg": alg})
        assert not k or k not in str(caught.value)


def test_attack_24_signature_stripped_truncated_or_borrowed() -> None:
    token, other = forge(claims()), forge(claims(gen=2))
    head = token.rpartition(".")[0]
    assert fault(head) == "segments"
    assert fault(f"{head}.") == "segments"
    assert fault(resigned(token, signature_of(token)[:-1])) == "signature"
    assert fault(resigned(token, signature_of(other))) == "signature"
    assert fault(forge(claims(), header(), key=SigningKey.generate())) == "signature"


def test_attack_24_signature_by_another_key_of_the_ring() -> None:
    first, second = SigningKey.generate(), SigningKey.generate()
    token = forge(claims(), header(kid=second.kid), key=first)
    assert fault(token, ring_of(first, second)) == "signature"


def test_attack_25_nothing_turns_verification_off() -> None:
    with pytest.raises(TypeError):
        read(forge(claims()), verify_signature=False)


def test_kid_is_the_thumbprint_of_the_rfc_example() -> None:
    """RFC 8037, appendix A.3 and RFC 7638, 3.1."""
    okp = {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}
    assert VerifyingKey.from_jwk({**okp, "alg": "EdDSA"}).kid == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"
    private = ed25519.Ed25519PrivateKey.generate().public_key()
    members = public_members(private)
    canonical = json.dumps(members, sort_keys=True, separators=(",", ":")).encode()
    assert thumbprint(members) == b64(hashlib.sha256(canonical).digest())
