"""Keys and the key ring."""

from __future__ import annotations

import copy
import json
import pickle
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import given
from hypothesis import strategies as st

from clawguard.errors import ConfigError, InvalidArgument
from clawguard.guard import Algorithm, KeyRing, RingKey, SigningKey, VerifyingKey
from clawguard.guard.keys import ALGORITHMS
from tests.guard.forge import b64, signer

PRIVATE = {"d", "p", "q", "dp", "dq", "qi", "oth", "k"}
every_algorithm = pytest.mark.parametrize("algorithm", ALGORITHMS)


@every_algorithm
def test_a_signature_verifies_by_its_own_key_only(algorithm: Algorithm) -> None:
    key, other = signer(algorithm), SigningKey.generate(algorithm)
    signature = key.sign(b"text")
    assert key.verifying.verify(b"text", signature)
    assert not key.verifying.verify(b"texts", signature)
    assert not other.verifying.verify(b"text", signature)


@every_algorithm
def test_private_bytes_bring_the_key_back(algorithm: Algorithm) -> None:
    key = signer(algorithm)
    again = SigningKey.from_private_bytes(algorithm, key.private_bytes())
    assert (again.kid, again.algorithm, again.header) == (key.kid, algorithm, key.header)
    assert key.verifying.verify(b"text", again.sign(b"text"))


@every_algorithm
def test_a_jwk_brings_the_public_key_back(algorithm: Algorithm) -> None:
    key = signer(algorithm).verifying
    published = key.jwk()
    assert published["use"] == "sig"
    assert (published["alg"], published["kid"]) == (algorithm, key.kid)
    assert not PRIVATE & published.keys()
    again = VerifyingKey.from_jwk(json.loads(json.dumps(published)))
    assert again.jwk() == key.jwk()
    assert again.verify(b"text", signer(algorithm).sign(b"text"))


@given(st.binary(max_size=300), st.binary(max_size=100), st.sampled_from(ALGORITHMS))
def test_no_signature_raises(signature: bytes, text: bytes, algorithm: Algorithm) -> None:
    assert signer(algorithm).verifying.verify(text, signature) is False


def test_the_private_half_shows_nowhere() -> None:
    key = signer()
    private = key._private
    assert isinstance(private, ec.EllipticCurvePrivateKey)
    secret = private.private_numbers().private_value
    for text in (repr(key), str(key), repr(RingKey(key.verifying, "active")), repr(KeyRing(1, [], None))):
        assert "private" not in text.lower()
        assert str(secret) not in text
    assert key.kid in repr(key)


@pytest.mark.parametrize("duplicate", [pickle.dumps, copy.copy, copy.deepcopy])
def test_a_signing_key_refuses_pickling_and_copying(duplicate: Any) -> None:
    with pytest.raises(TypeError, match="cannot be copied or pickled"):
        duplicate(signer())


def test_keys_are_frozen() -> None:
    with pytest.raises(AttributeError):
        signer().header = b""  # type: ignore[misc]
    with pytest.raises(AttributeError):
        signer().verifying.kid = "x"  # type: ignore[misc]


@pytest.mark.parametrize("algorithm", ["HS256", "none", "es256", None, "Ed25519", ["ES256"]])
def test_no_other_algorithm_is_generated(algorithm: Any) -> None:
    with pytest.raises(InvalidArgument, match="algorithm"):
        SigningKey.generate(algorithm)


def test_private_bytes_of_another_algorithm_or_curve() -> None:
    with pytest.raises(ConfigError, match="not one for EdDSA"):
        SigningKey.from_private_bytes("EdDSA", signer().private_bytes())
    curve = ec.generate_private_key(ec.SECP384R1())
    der = curve.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    with pytest.raises(ConfigError, match="P-256"):
        SigningKey.from_private_bytes("ES256", der)


@given(st.binary(max_size=200))
def test_private_bytes_that_are_none(data: bytes) -> None:
    with pytest.raises(ConfigError) as caught:
        SigningKey.from_private_bytes("ES256", data)
    assert caught.value.__context__ is None


def jwk(**changes: Any) -> dict[str, Any]:
    members = {**signer().verifying.jwk(), **changes}
    return {name: value for name, value in members.items() if value != "absent"}


@pytest.mark.parametrize("name", sorted(PRIVATE))
def test_a_jwk_with_private_members(name: str) -> None:
    with pytest.raises(ConfigError, match="private") as caught:
        VerifyingKey.from_jwk(jwk(**{name: "c2VjcmV0LXZhbHVl"}))
    assert "c2VjcmV0" not in str(caught.value)


@pytest.mark.parametrize(
    "changes",
    [
        {"kty": "RSA"},
        {"kty": "OKP"},
        {"kty": "oct"},
        {"kty": None},
        {"crv": "P-384"},
        {"crv": "Ed25519"},
        {"crv": "absent"},
        {"alg": "ES384"},
        {"alg": "EdDSA"},
        {"alg": "absent"},
        {"alg": ["ES256"]},
        {"kid": "A" * 43},
        {"kid": ""},
        {"kid": 7},
        {"x": "absent"},
        {"x": 7},
        {"x": "é" * 43},
        {"x": b64(b"\1" * 31)},
        {"x": b64(b"\1" * 33)},
        {"x": b64(b"\1" * 32)},  # not on the curve
        {"x": b64(b"\xff" * 32)},
        {"x": "A" * 42 + "B"},  # spare bits set
        {"y": b64(bytes(32))},
    ],
)
def test_a_jwk_that_does_not_fit(changes: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="verification key"):
        VerifyingKey.from_jwk(jwk(**changes))


@pytest.mark.parametrize("value", [None, "{}", [], 7])
def test_a_jwk_that_is_no_object(value: Any) -> None:
    with pytest.raises(ConfigError, match="object"):
        VerifyingKey.from_jwk(value)


def test_a_jwk_without_the_optional_members() -> None:
    plain = jwk(use="absent", kid="absent")
    assert VerifyingKey.from_jwk(plain).kid == signer().kid
    assert VerifyingKey.from_jwk({**plain, "key_ops": ["verify"], "x5t": "ignored"}).kid == signer().kid


def test_an_rsa_jwk_with_leading_zeros() -> None:
    published = signer("RS256").verifying.jwk()
    import base64

    n = base64.urlsafe_b64decode(published["n"] + "==")
    with pytest.raises(ConfigError, match="leading zero"):
        VerifyingKey.from_jwk({**published, "n": b64(b"\0" + n)})


def test_a_ring_publishes_public_members_of_three_states() -> None:
    keys = [SigningKey.generate() for _ in range(5)]
    ring = KeyRing(
        7,
        [
            RingKey(keys[0].verifying, "next"),
            RingKey(keys[1].verifying, "active"),
            RingKey(keys[2].verifying, "retiring", 10),
            RingKey(keys[3].verifying, "retired"),
            RingKey(keys[4].verifying, "compromised"),
        ],
        keys[1],
    )
    published = ring.jwks()["keys"]
    assert [each["kid"] for each in published] == [key.kid for key in keys[:3]]
    assert all(
        not PRIVATE & each.keys() and each["use"] == "sig" and each["alg"] == "ES256" for each in published
    )
    assert [ring.state_of(key.kid) for key in keys] == [
        "next",
        "active",
        "retiring",
        "retired",
        "compromised",
    ]
    assert ring.state_of("unknown") is None
    assert ring.revision == 7
    assert ring.require_signer() is ring.signer is keys[1]


def test_a_ring_of_public_keys_signs_nothing() -> None:
    ring = KeyRing(1, [RingKey(signer().verifying, "active")], None)
    assert ring.signer is None
    with pytest.raises(ConfigError, match="no signing key"):
        ring.require_signer()


def test_a_ring_has_one_active_key_and_it_signs() -> None:
    first, second = SigningKey.generate(), SigningKey.generate()
    with pytest.raises(ConfigError, match="two active"):
        KeyRing(1, [RingKey(first.verifying, "active"), RingKey(second.verifying, "active")], None)
    with pytest.raises(ConfigError, match="not the active key"):
        KeyRing(1, [RingKey(first.verifying, "active")], second)
    with pytest.raises(ConfigError, match="not the active key"):
        KeyRing(1, [RingKey(first.verifying, "compromised")], first)


def test_ring_keys_are_checked() -> None:
    with pytest.raises(ConfigError, match="verify_until"):
        KeyRing(1, [RingKey(signer().verifying, "retiring")], None)
    with pytest.raises(ConfigError, match="no known state"):
        KeyRing(1, [RingKey(signer().verifying, "live")], None)  # type: ignore[arg-type]


def numbered(value: int) -> str:
    return b64(value.to_bytes((value.bit_length() + 7) // 8))


@pytest.mark.parametrize("changes", [{"e": 3}, {"e": 2**64 - 1}, {"n": 2**8192 - 1}, {"n": 2**2047 + 1}])
def test_rsa_keys_at_the_limits_are_taken(changes: dict[str, int]) -> None:
    rsa = {name: value for name, value in signer("RS256").verifying.jwk().items() if name != "kid"}
    members = {name: numbered(value) for name, value in changes.items()}
    key = VerifyingKey.from_jwk({**rsa, **members})
    assert key.algorithm == "RS256"


def test_an_ec_member_has_the_length_of_its_field() -> None:
    for name in ("x", "y"):
        for length in (31, 33):
            with pytest.raises(ConfigError, match=f"malformed member {name}"):
                VerifyingKey.from_jwk(jwk(**{name: b64(b"\x01" * length)}))


@pytest.mark.parametrize("name", ["x", "y"])
def test_a_coordinate_that_begins_with_zeros_keeps_its_length(name: str) -> None:
    points = (ec.derive_private_key(number, ec.SECP256R1()).public_key() for number in range(1, 2_000))
    short = next(each for each in points if getattr(each.public_numbers(), name) < 2**248)
    published = VerifyingKey(short).jwk()
    assert len(published["x"]) == len(published["y"]) == 43
    assert VerifyingKey.from_jwk(published).jwk() == published


def test_a_key_of_another_kind_is_named_for_it() -> None:
    key = ec.generate_private_key(ec.SECP384R1())
    data = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    with pytest.raises(ConfigError) as refused:
        SigningKey.from_private_bytes("ES256", data)
    assert str(refused.value) == "the verification key is not of P-256, Ed25519 or RSA"
