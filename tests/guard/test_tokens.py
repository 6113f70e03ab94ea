"""The codec: what it writes, what it reads back, and that nothing else gets through."""

from __future__ import annotations

import json
import string
from typing import Any
from uuid import UUID

import jwt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clawguard.errors import ConfigError, InvalidArgument
from clawguard.guard import Algorithm, Claims, SigningKey, TokenFault
from clawguard.guard.claims import MAX_ACTORS, MAX_LIFETIME
from clawguard.guard.jws import MAX_TOKEN
from clawguard.guard.keys import ALGORITHMS
from clawguard.guard.tokens import encode, read_unverified
from clawguard.models import Actor
from clawguard.scopes import ScopeSet
from tests.guard.forge import (
    AUDIENCE,
    ISSUER,
    JTI,
    NOW,
    PARENT,
    ROOT,
    SESSION,
    b64,
    claims,
    forge,
    header,
    read,
    ring_of,
    signer,
)


def lawful(key: SigningKey | None = None, **changes: Any) -> Claims:
    fields: dict[str, Any] = {
        "issuer": ISSUER,
        "audience": AUDIENCE,
        "subject": "user:ana",
        "client_id": "planner",
        "session_id": SESSION,
        "jti": JTI,
        "issued_at": NOW,
        "not_before": NOW,
        "expires_at": NOW + 900,
        "scopes": ScopeSet.of("docs:read mail:send"),
        "generation": 1,
        "actors": (),
        "kid": (key or signer()).kid,
        **changes,
    }
    return Claims(**fields)


printable = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), min_size=1, max_size=40)
uuids = st.uuids().map(str)
segment = st.text(string.ascii_lowercase + string.digits + "._-", min_size=1, max_size=8)
scopes = st.lists(st.lists(segment, min_size=1, max_size=4).map(":".join), max_size=8).map(ScopeSet)


@st.composite
def all_claims(draw: st.DrawFn) -> Claims:
    ids = draw(st.lists(uuids, min_size=2, max_size=MAX_ACTORS + 2, unique=True))
    issued_at = draw(st.integers(0, NOW))
    return lawful(
        subject=draw(printable),
        client_id=draw(printable),
        session_id=ids[0],
        jti=ids[1],
        issued_at=issued_at,
        not_before=issued_at,
        expires_at=issued_at + draw(st.integers(1, MAX_LIFETIME)),
        scopes=draw(scopes),
        generation=draw(st.integers(1, 2**53 - 1)),
        actors=tuple(Actor(draw(printable), each) for each in ids[2:]),
    )


@given(all_claims())
def test_what_is_written_is_read_back(written: Claims) -> None:
    assert read(encode(written, signer())) == written


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_every_algorithm_and_an_independent_reader(algorithm: Algorithm) -> None:
    key = signer(algorithm)
    written = lawful(key, actors=(Actor("host", ROOT), Actor("lead", PARENT)))
    token = encode(written, key)
    assert read(token, ring_of(key)) == written
    public = jwt.PyJWK(key.verifying.jwk()).key
    options: Any = {"verify_exp": False, "verify_nbf": False, "verify_iat": False}
    told = jwt.decode(
        token, public, algorithms=[algorithm], audience=AUDIENCE, issuer=ISSUER, options=options
    )
    assert told == written.to_dict()
    assert jwt.get_unverified_header(token) == {"alg": algorithm, "kid": key.kid, "typ": "at+jwt"}


def test_the_claims_and_their_order() -> None:
    names = ["iss", "aud", "sub", "client_id", "sid", "jti", "iat", "nbf", "exp", "scope", "gen"]
    assert list(lawful().to_dict()) == names
    delegated = lawful(actors=(Actor("host", ROOT), Actor("lead", PARENT))).to_dict()
    assert list(delegated) == [*names, "act"]
    assert delegated["act"] == {
        "sub": "agent:planner",
        "sid": SESSION,
        "act": {"sub": "agent:lead", "sid": PARENT, "act": {"sub": "agent:host", "sid": ROOT}},
    }


def test_the_id_of_a_token_is_in_no_repr() -> None:
    assert JTI not in repr(lawful())


def test_a_token_is_as_compact_as_json_gets() -> None:
    payload = encode(lawful(subject="Zoë"), signer()).split(".")[1]
    expected = json.dumps(lawful(subject="Zoë").to_dict(), ensure_ascii=False, separators=(",", ":"))
    assert payload == b64(expected.encode())


@pytest.mark.parametrize(
    ("changes", "argument"),
    [
        ({"subject": ""}, "claims"),
        ({"subject": "a" * 256}, "claims"),
        ({"subject": "a\ud800"}, "claims"),
        ({"client_id": "a\nb"}, "claims"),
        ({"session_id": "planner"}, "claims"),
        ({"generation": 0}, "claims"),
        ({"issued_at": 1.5}, "claims"),
        ({"expires_at": NOW}, "ttl"),
        ({"expires_at": NOW + MAX_LIFETIME + 1}, "ttl"),
        ({"actors": (Actor("a", SESSION),)}, "actors"),
        ({"actors": tuple(Actor("a", str(UUID(int=n))) for n in range(9))}, "actors"),
    ],
)
def test_what_no_reader_would_accept_is_not_minted(changes: dict[str, Any], argument: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        encode(lawful(**changes), signer())
    assert caught.value.argument == argument


def test_minting_over_8_kib_is_refused() -> None:
    fits = ScopeSet(f"{n:03d}{'a' * 40}" for n in range(100))
    assert read(encode(lawful(scopes=fits), signer())).scopes == fits
    with pytest.raises(InvalidArgument, match=str(MAX_TOKEN)) as caught:
        encode(lawful(scopes=ScopeSet(f"{n:03d}{'a' * 25}" for n in range(256))), signer())
    assert caught.value.argument == "scopes"


def test_a_token_of_8_kib_is_minted_and_read() -> None:
    padding = "a" * 200
    others = [f"{n}:{padding}" for n in range(27)]
    made = (lawful(scopes=ScopeSet([*others, "b" * length])) for length in range(1, 255))
    longest = next(each for each in made if len(minted(each)) == MAX_TOKEN)
    assert read(minted(longest)) == longest


def minted(told: Claims) -> str:
    try:
        return encode(told, signer())
    except InvalidArgument:
        return ""


def test_a_signer_signs_in_its_own_name_only() -> None:
    with pytest.raises(ConfigError, match="another key"):
        encode(lawful(), SigningKey.generate())


@given(st.data())
def test_every_changed_character_is_refused(data: st.DataObject) -> None:
    token = forge(claims())
    at = data.draw(st.integers(0, len(token) - 1))
    other = data.draw(st.characters(max_codepoint=0x2FF).filter(lambda character: character != token[at]))
    with pytest.raises(TokenFault):
        read(token[:at] + other + token[at + 1 :])


@given(st.data())
def test_every_cut_and_insertion_is_refused(data: st.DataObject) -> None:
    token = forge(claims())
    start = data.draw(st.integers(0, len(token)))
    end = data.draw(st.integers(start, len(token)))
    insertion = data.draw(
        st.text(string.ascii_letters + "._-=", min_size=0 if end > start else 1, max_size=4)
    )
    altered = token[:start] + insertion + token[end:]
    if altered != token:
        with pytest.raises(TokenFault):
            read(altered)


@given(st.text(max_size=400) | st.binary(max_size=400) | st.text("ABab01-_.=", max_size=400))
def test_random_text_raises_nothing_else(text: str | bytes) -> None:
    with pytest.raises(TokenFault):
        read(text)


@given(st.binary(max_size=200), st.binary(max_size=200))
def test_random_octets_under_a_genuine_signature_raise_nothing_else(head: bytes, payload: bytes) -> None:
    for token in (forge(payload), forge(claims(), head)):
        with pytest.raises(TokenFault):
            read(token)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)


@given(
    st.dictionaries(
        st.sampled_from(list(claims())) | st.text(max_size=5), json_values, min_size=1, max_size=4
    )
)
def test_random_claims_are_accepted_only_where_they_are_lawful(changes: dict[str, Any]) -> None:
    named = {**claims(), **changes}
    try:
        told = read(forge(named))
    except TokenFault:
        return
    assert told.to_dict() == named


@given(
    st.dictionaries(
        st.sampled_from(["alg", "kid", "typ", "crit"]) | st.text(max_size=4), json_values, min_size=1
    )
)
@settings(max_examples=60)
def test_random_headers_are_refused(changes: dict[str, Any]) -> None:
    named = {**header(), **changes}
    if named != header():
        with pytest.raises(TokenFault):
            read(forge(claims(), named))


def test_importing_the_guard_does_not_import_pydantic() -> None:
    import subprocess
    import sys

    code = "import sys, clawguard.guard; print('pydantic' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_what_a_token_says_of_itself_can_be_read_without_any_key() -> None:
    told = lawful()
    assert read_unverified(encode(told, signer())) == told._replace(kid="")
    for text in ("", "a.b.c", "e30.e30.e30"):
        with pytest.raises(TokenFault):
            read_unverified(text)
