"""Proofs of possession: what RFC 9449, 4.3 asks for, fault by fault; certificates; the agent's own key."""

from __future__ import annotations

import base64
import copy
import hashlib
import json
import pickle
import ssl
from typing import Any

import pytest

from clawguard.clock import SECOND
from clawguard.errors import InvalidArgument
from clawguard.guard import (
    Algorithm,
    CertificateProof,
    DPoPProof,
    ProofFault,
    ProofId,
    ProofKey,
    SigningKey,
    check_cnf,
)
from clawguard.guard.faults import FAULTS
from clawguard.guard.proofs import ProvenKey, check_proof
from tests.certificates import certificate, pem
from tests.clocks import START, FakeClock
from tests.guard.forge import b64, claims, forge, signer

URL = "https://api.example.com/tools/mail"
TOKEN = "a.b.c"
ATH = "hF4wRIgJ4ryJWOsCW_x5UjXROwd6U9DDq70jhRcNybg"
AT = START // SECOND
LEEWAY = 5 * SECOND
WINDOW = 60


def members(key: SigningKey, **changes: Any) -> dict[str, Any]:
    jwk = {name: value for name, value in key.verifying.jwk().items() if name not in ("kid", "use", "alg")}
    return {"typ": "dpop+jwt", "alg": key.algorithm, "jwk": jwk | changes}


def said(**changes: Any) -> dict[str, Any]:
    lawful = {"jti": "one", "htm": "POST", "htu": URL, "iat": AT, "ath": ATH} | changes
    return {name: value for name, value in lawful.items() if value is not None}


def made(
    claims: dict[str, Any] | bytes | None = None,
    header: dict[str, Any] | bytes | None = None,
    *,
    key: SigningKey | None = None,
) -> str:
    key = key or signer()
    return forge(said() if claims is None else claims, members(key) if header is None else header, key=key)


def check(text: str, *, token: str | None = TOKEN, now: int = START, **request: str) -> ProofId | None:
    proof = DPoPProof(text, **{"method": "POST", "url": URL, **request})  # type: ignore[arg-type]
    return check_proof(proof, {"jkt": signer().kid}, token=token, now=now, leeway=LEEWAY)


def fault(text: str, **options: Any) -> str:
    """Return why the proof is refused: a ProofFault that holds nothing of it."""
    with pytest.raises(ProofFault) as caught:
        check(text, **options)
    assert caught.value.args == (caught.value.reason,)
    assert caught.value.__cause__ is caught.value.__context__ is None
    assert caught.value.reason in FAULTS
    return caught.value.reason


def test_a_lawful_proof_is_known_by_its_key_and_id_until_it_is_too_old() -> None:
    known = check(made())
    assert known is not None
    assert known.until == START + WINDOW * SECOND
    again = check(made(said(htu=URL + "?x=1#y", extra=[1], nonce="n")))
    other = check(made(said(jti="two")))
    assert again is not None
    assert other is not None
    assert known.digest == again.digest != other.digest


@pytest.mark.parametrize("algorithm", ["ES256", "EdDSA", "RS256"])
def test_every_algorithm_of_tokens_serves_for_proofs(algorithm: Algorithm) -> None:
    key = ProofKey(SigningKey.generate(algorithm), clock=FakeClock())
    text = key.headers(TOKEN, method="POST", url=URL)["DPoP"]
    proof = DPoPProof(text, method="POST", url=URL)
    assert check_proof(proof, key.cnf, token=TOKEN, now=START, leeway=0) is not None


@pytest.mark.parametrize("typ", ["DPoP+JWT", "application/dpop+jwt"])
def test_the_type_is_read_in_any_case(typ: str) -> None:
    assert check(made(header=members(signer()) | {"typ": typ}))


def test_attack_59_another_method() -> None:
    assert fault(made(said(htm="GET"))) == "proof_request"
    assert fault(made(said(htm="post"))) == "proof_request"
    assert fault(made(), method="PUT") == "proof_request"


@pytest.mark.parametrize(
    "htu", [None, "", 7, [URL], "/tools/mail", URL + "/", URL.replace("https", "http"), URL + "\n", f" {URL}"]
)
def test_attack_59_another_uri(htu: object) -> None:
    assert fault(made(said(htu=htu))) == "proof_request"


def test_attack_59_stale_or_future_iat() -> None:
    for now, verdict in [(WINDOW, None), (WINDOW + 1, "proof_time"), (-5, None), (-6, "proof_time")]:
        at = START + now * SECOND
        if verdict is None:
            assert check(made(), now=at)
        else:
            assert fault(made(), now=at) == verdict


@pytest.mark.parametrize("iat", [None, str(AT), float(AT), True, -AT, AT * 10**6, {}])
def test_attack_59_iat_that_is_no_time(iat: object) -> None:
    assert fault(made(said(iat=iat))) in ("proof_claims", "proof_form", "proof_time")


@pytest.mark.parametrize("ath", [None, "", ATH[:-1], ATH + "=", "é", 7, b64(b"x" * 32)])
def test_attack_59_ath_missing_or_of_another_token(ath: object) -> None:
    assert fault(made(said(ath=ath))) == "proof_token"
    assert check(made(said(ath=ath)), token=None)  # a refresh token has none


@pytest.mark.parametrize("jti", [None, "", "x" * 256, "a\nb", "\ud800", 7, ["one"]])
def test_attack_59_jti_that_is_no_id(jti: object) -> None:
    assert fault(made(said(jti=jti))) == "proof_claims"


def test_attack_59_private_key_in_the_jwk() -> None:
    for name in ("d", "k", "p"):
        assert fault(made(header=members(signer(), **{name: "AAAA"}))) == "proof_key"


def test_attack_59_symmetric_and_unknown_algorithms() -> None:
    for alg in ("none", "HS256", "ES384", "PS256", "es256", "", None, 7, ["ES256"]):
        assert fault(made(header=members(signer()) | {"alg": alg})) == "proof_key"
    secret = {"typ": "dpop+jwt", "alg": "HS256", "jwk": {"kty": "oct", "k": "AAAA"}}
    assert fault(made(header=secret)) == "proof_key"
    assert fault(made(header=members(signer(), alg="EdDSA"))) == "proof_key"


@pytest.mark.parametrize(
    "changes",
    [
        {"typ": "at+jwt"},
        {"typ": None},
        {"typ": 7},
        {"kid": signer().kid},
        {"jku": "https://evil.example"},
        {"crit": ["b64"], "b64": False},
    ],
)
def test_attack_59_another_header(changes: dict[str, Any]) -> None:
    assert fault(made(header=members(signer()) | changes)) == "proof_header"


@pytest.mark.parametrize("left_out", ["typ", "alg", "jwk"])
def test_attack_59_a_header_name_is_missing(left_out: str) -> None:
    header = members(signer())
    del header[left_out]
    assert fault(made(header=header)) == "proof_header"


@pytest.mark.parametrize("jwk", [None, "key", [], {}, {"kty": "EC"}, {"kty": "EC", "crv": "P-384"}])
def test_attack_59_a_jwk_that_is_no_key(jwk: object) -> None:
    assert fault(made(header=members(signer()) | {"jwk": jwk})) in ("proof_key", "proof_header")


def test_attack_20_59_a_key_of_small_order() -> None:
    jwk = {"kty": "OKP", "crv": "Ed25519", "x": b64(b"\x01" + bytes(31))}
    assert fault(made(header={"typ": "dpop+jwt", "alg": "EdDSA", "jwk": jwk})) == "proof_key"


def test_attack_59_another_key() -> None:
    assert fault(made(key=SigningKey.generate())) == "proof_binding"


def test_attack_59_the_right_key_shown_and_another_used() -> None:
    header = members(signer())
    assert fault(forge(said(), header, key=SigningKey.generate())) == "proof_form"


@pytest.mark.parametrize("text", ["", "a", "a.b", "a.b.c", "a.b.c.d", "é.b.c", "x" * 9_000, ".", "=.=.="])
def test_attack_59_text_that_is_no_jws(text: str) -> None:
    assert fault(text) in ("proof_form", "proof_header")


def test_attack_54_59_an_access_token_is_no_proof() -> None:
    assert fault(forge(claims())) == "proof_header"


def test_attack_59_two_names_alike() -> None:
    doubled = b'{"jti":"a","jti":"b","htm":"POST","htu":"%s","iat":%d,"ath":"%s"}'
    assert fault(made(doubled % (URL.encode(), AT, ATH.encode()))) == "proof_form"


def test_attack_58_a_bound_token_without_its_proof() -> None:
    cnf = {"jkt": signer().kid}
    reported = CertificateProof(certificate("a"))
    for proof in (None, reported):
        with pytest.raises(ProofFault, match="proof_missing"):
            check_proof(proof, cnf, token=TOKEN, now=START, leeway=0)
    shown = DPoPProof(made(), method="POST", url=URL)
    with pytest.raises(ProofFault, match="proof_missing"):
        check_proof(shown, {"x5t#S256": reported.thumbprint}, token=TOKEN, now=START, leeway=0)


def test_a_proof_beside_an_unbound_token_is_refused_and_a_certificate_is_not() -> None:
    with pytest.raises(ProofFault, match="proof_unbound"):
        check_proof(DPoPProof(made(), method="POST", url=URL), None, token=TOKEN, now=START, leeway=0)
    assert check_proof(CertificateProof(certificate("a")), None, token=TOKEN, now=START, leeway=0) is None
    assert check_proof(None, None, token=TOKEN, now=START, leeway=0) is None


def test_a_certificate_is_known_in_either_form() -> None:
    one, other = CertificateProof(pem("a")), CertificateProof(certificate("a"))
    assert one.thumbprint == other.thumbprint == b64(hashlib.sha256(certificate("a")).digest())
    cnf = {"x5t#S256": one.thumbprint}
    assert check_proof(other, cnf, token=TOKEN, now=START, leeway=0) is None
    with pytest.raises(ProofFault, match="proof_binding"):
        check_proof(CertificateProof(certificate("b")), cnf, token=TOKEN, now=START, leeway=0)


@pytest.mark.parametrize(
    "junk",
    ["", "x", b"", b"\x30", pem("a").encode(), certificate("a") + b"x", pem("a")[:-40], None, 7],
)
def test_what_is_no_certificate_is_refused(junk: Any) -> None:
    with pytest.raises(InvalidArgument, match="certificate"):
        CertificateProof(junk)


def test_a_certificate_of_a_version_that_there_is_not_is_refused() -> None:
    version_4 = certificate("a").replace(b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x02\x01\x03", 1)
    for given in (version_4, ssl.DER_cert_to_PEM_cert(version_4)):
        with pytest.raises(InvalidArgument, match="certificate") as caught:
            CertificateProof(given)
        assert caught.value.__context__ is None


def test_a_chain_of_certificates_is_not_one() -> None:
    for chain in (pem("a") * 2, pem("a") + pem("b")):
        with pytest.raises(InvalidArgument, match="certificate"):
            CertificateProof(chain)


@pytest.mark.parametrize(
    ("text", "method", "url"),
    [
        (7, "GET", URL),
        ("x", "", URL),
        ("x", "G T", URL),
        ("x", None, URL),
        ("x", "GET", "/a"),
        ("x", "GET", 7),
    ],
)
def test_a_proof_needs_its_request(text: Any, method: Any, url: Any) -> None:
    with pytest.raises(InvalidArgument):
        DPoPProof(text, method=method, url=url)


def test_what_tokens_are_bound_to_is_one_thumbprint() -> None:
    assert check_cnf(None) is None
    assert check_cnf({"jkt": signer().kid}) == f'{{"jkt":"{signer().kid}"}}'
    kid = signer().kid
    bad: list[Any] = [
        {},
        {"jkt": kid, "x5t#S256": kid},
        {"jwk": {}},
        {"jkt": kid[:-1]},
        {"jkt": kid[:-1] + "B"},
    ]
    for cnf in [*bad, {"jkt": None}, {"jkt": kid + "="}, kid, [kid], {"JKT": kid}, {7: kid}]:
        with pytest.raises(InvalidArgument, match="cnf"):
            check_cnf(cnf)


def test_neither_key_nor_proof_shows_or_travels() -> None:
    key = ProofKey.generate(clock=FakeClock())
    text = key.proof(method="GET", url=URL)
    proof = DPoPProof(text, method="GET", url=URL + "?secret=1")
    assert text not in repr(proof)
    assert "secret" not in repr(proof)
    assert repr(key) == f"ProofKey(jkt={key.cnf['jkt']!r})"
    for held in (proof, key):
        for carry in (copy.copy, pickle.dumps):
            with pytest.raises(TypeError):
                carry(held)


def test_a_key_makes_each_proof_once() -> None:
    key = ProofKey.generate(clock=FakeClock())
    proofs = {key.proof(method="GET", url=URL) for _ in range(100)}
    assert len(proofs) == 100


def test_a_key_says_which_argument_is_wrong() -> None:
    key = ProofKey.generate()
    asked: list[tuple[str, dict[str, Any]]] = [
        ("url", {"url": "/tools/mail"}),
        ("url", {"url": URL + "/../a"}),
        ("method", {"method": "G T"}),
        ("method", {"method": "\ud800"}),
        ("method", {"method": 7}),
        ("token", {"token": 7}),
        ("token", {"token": "\ud800"}),
    ]
    for argument, changes in asked:
        with pytest.raises(InvalidArgument, match=argument):
            key.proof(**{"method": "GET", "url": URL, **changes})
    with pytest.raises(InvalidArgument, match="token"):
        key.headers(None, method="GET", url=URL)  # type: ignore[arg-type]
    with pytest.raises(InvalidArgument, match="key"):
        ProofKey("secret")  # type: ignore[arg-type]


@pytest.mark.parametrize("proof", ["a.b.c", b"x", {}, 0, SigningKey])
def test_what_is_no_proof_is_a_mistake_of_the_callers(proof: Any) -> None:
    for cnf in (None, {"jkt": signer().kid}):
        with pytest.raises(InvalidArgument, match="proof"):
            check_proof(proof, cnf, token=TOKEN, now=START, leeway=0)


def test_a_key_says_what_the_rfc_asks_and_by_its_clock() -> None:
    clock = FakeClock()
    key = ProofKey.generate(clock=clock)
    sent = key.headers(TOKEN, method="POST", url=URL)
    assert sent.keys() == {"Authorization", "DPoP"}
    assert sent["Authorization"] == f"DPoP {TOKEN}"
    header, payload = (
        json.loads(base64.urlsafe_b64decode(f"{part}==")) for part in sent["DPoP"].split(".")[:2]
    )
    assert (header["typ"], header["alg"]) == ("dpop+jwt", "ES256")
    assert header["jwk"].keys() == {"crv", "kty", "x", "y"}
    assert (payload["htm"], payload["htu"], payload["iat"], payload["ath"]) == ("POST", URL, AT, ATH)


def test_a_key_that_was_proven_stands_for_itself_alone() -> None:
    proven = ProvenKey(signer().kid)
    assert check_proof(proven, {"jkt": signer().kid}, token=TOKEN, now=START, leeway=0) is None
    assert check_proof(proven, None, token=TOKEN, now=START, leeway=0) is None
    for cnf, reason in (
        ({"jkt": signer("EdDSA").kid}, "proof_binding"),
        ({"x5t#S256": signer().kid}, "proof_missing"),
    ):
        with pytest.raises(ProofFault, match=reason):
            check_proof(proven, cnf, token=TOKEN, now=START, leeway=0)
