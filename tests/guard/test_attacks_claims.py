"""Attacks on the claims and the kind of token, by their numbers in the attack list."""

from __future__ import annotations

import json
from typing import Any

import pytest

from clawguard.clock import SECOND, new_id
from clawguard.errors import ConfigError, InvalidArgument
from clawguard.guard import Guard
from clawguard.guard.claims import MAX_ACTORS, MAX_LIFETIME
from clawguard.models import Actor
from tests.guard.forge import (
    AUDIENCE,
    ISSUER,
    JTI,
    NOW,
    PARENT,
    ROOT,
    SESSION,
    act,
    claims,
    fault,
    forge,
    header,
    read,
    ring_of,
    signer,
    with_raw,
)

NOT_TIMES = [
    "true",
    "false",
    "null",
    "[]",
    "{}",
    '"1790000900"',
    '" 1790000900"',
    '"١٧٩٠٠٠٠٩٠٠"',
    '"1_790_000_900"',
    "1790000900.0",
    "1790000900.5",
    "1.79e9",
    "1e308",
    "1E9",
    "9223372036854775808",
    "9007199254740992",
    "1" + "0" * 400,
    "NaN",
    "Infinity",
    "-Infinity",
    "-1",
    "-0",
    "01790000900",
    "+1790000900",
    "0x6ab1",
]


@pytest.mark.parametrize("literal", [*NOT_TIMES, "0"])
def test_attack_40_exp_that_is_no_time(literal: str) -> None:
    assert fault(forge(with_raw("exp", literal))) in {"claims_json", "claims", "lifetime"}


@pytest.mark.parametrize("name", ["iat", "nbf", "gen"])
@pytest.mark.parametrize("literal", NOT_TIMES)
def test_attack_41_iat_nbf_gen_that_are_no_integers(name: str, literal: str) -> None:
    assert fault(forge(with_raw(name, literal))) in {"claims_json", "claims"}


def test_attack_41_spans() -> None:
    assert fault(forge(claims(exp=NOW))) == "lifetime"
    assert fault(forge(claims(exp=NOW - 1))) == "lifetime"
    assert fault(forge(claims(nbf=NOW + 900))) == "lifetime"
    assert fault(forge(claims(exp=NOW + MAX_LIFETIME + 1))) == "lifetime"
    assert read(forge(claims(exp=NOW + MAX_LIFETIME))).expires_at == NOW + MAX_LIFETIME
    assert fault(forge(claims(exp=2**53 - 1))) == "lifetime"


@pytest.mark.parametrize("gen", [0, 2**53])
def test_attack_41_generation_out_of_range(gen: int) -> None:
    assert fault(forge(claims(gen=gen))) == "claims"


@pytest.mark.parametrize(("name", "reason"), [("nbf", "not_yet_valid"), ("iat", "issued_in_future")])
@pytest.mark.parametrize("leeway", [0, 5, 60])
def test_attack_42_the_edges_of_leeway(name: str, reason: str, leeway: int) -> None:
    earlier, latest = {"iat": NOW - 100, "nbf": NOW - 100}, NOW + leeway
    at_the_edge = forge(claims(**{**earlier, name: latest}))
    past_it = forge(claims(**{**earlier, name: latest + 1}))
    assert read(at_the_edge, leeway=leeway * SECOND).session_id == SESSION
    assert fault(past_it, leeway=leeway * SECOND) == reason
    assert fault(at_the_edge, now=NOW * SECOND - 1, leeway=leeway * SECOND) == reason


@pytest.mark.parametrize("now", [NOW + 899, NOW + 900, NOW + 10**6])
def test_attack_42_a_past_end_is_no_fault_of_the_token(now: int) -> None:
    assert read(forge(claims()), now=now * SECOND).expires_at == NOW + 900


@pytest.mark.parametrize("leeway", [-1, 60 * SECOND + 1, 10**12, True, 1.5, None, "5"])
def test_attack_43_leeway_out_of_range(leeway: Any) -> None:
    with pytest.raises(ConfigError, match="leeway"):
        Guard(issuer=ISSUER, audience="a", audiences={"a"}, ring=ring_of(signer()), leeway=leeway)


@pytest.mark.parametrize(
    "issuer", ["", ISSUER + "/", ISSUER[:-1], ISSUER + "x", "x" + ISSUER, ISSUER.upper(), ISSUER + " "]
)
def test_attack_45_issuer_twins(issuer: str) -> None:
    assert fault(forge(claims(iss=issuer))) == "issuer"


@pytest.mark.parametrize("literal", [f'["{ISSUER}"]', "1", "null", "{}"])
def test_attack_45_issuer_of_another_type(literal: str) -> None:
    assert fault(forge(with_raw("iss", literal))) == "claims"


@pytest.mark.parametrize("issuer", ["", None, 1])
def test_attack_46_a_guard_without_issuer(issuer: Any) -> None:
    with pytest.raises(InvalidArgument, match="issuer"):
        Guard(issuer=issuer, audience="a", audiences={"a"}, ring=ring_of(signer()))


@pytest.mark.parametrize("audiences", [(), {"b"}, "aaa", {"a", ""}, {"a", None}])
def test_attack_46_a_guard_without_audience(audiences: Any) -> None:
    with pytest.raises((ConfigError, InvalidArgument), match="audiences"):
        Guard(issuer=ISSUER, audience="a", audiences=audiences, ring=ring_of(signer()))


@pytest.mark.parametrize("audience", ["", "clawguar", "lawguard", "Clawguard", "clawguard ", "clawguard,b"])
def test_attack_47_audience_twins(audience: str) -> None:
    assert fault(forge(claims(aud=audience))) == "audience"
    assert fault(forge(claims(aud=audience)), audience=["b", AUDIENCE]) == "audience"


@pytest.mark.parametrize(
    "literal", ["[]", '["clawguard"]', '["clawguard","b"]', "null", "1", '[["clawguard"]]']
)
def test_attack_47_audience_is_one_string(literal: str) -> None:
    assert fault(forge(with_raw("aud", literal))) == "claims"


@pytest.mark.parametrize("name", list(claims()))
def test_attack_47_every_claim_is_required(name: str) -> None:
    assert fault(forge(claims(**{name: None}))) == "claims"
    assert fault(forge(with_raw(name, "null"))) == "claims"


@pytest.mark.parametrize("name", ["sub", "client_id"])
@pytest.mark.parametrize("literal", ['""', "7", '["a"]', '"' + "u" * 256 + '"', "true", "{}"])
def test_attack_48_subject_and_client(name: str, literal: str) -> None:
    assert fault(forge(with_raw(name, literal))) == "claims"


@pytest.mark.parametrize("name", ["jti", "sid"])
@pytest.mark.parametrize(
    "value",
    [
        "",
        7,
        "x",
        JTI.upper(),
        JTI + "\n",
        " " + JTI,
        JTI.replace("-", ""),
        f"{{{JTI}}}",
        [JTI],
        JTI[:-1] + "é",
    ],
)
def test_attack_49_50_ids_in_the_form_of_a_uuid(name: str, value: Any) -> None:
    assert fault(forge(claims(**{name: value}))) == "claims"


THUMB = "A" * 43


def test_attack_51_what_a_token_is_bound_to_is_read_back() -> None:
    for cnf in ({"jkt": THUMB}, {"x5t#S256": THUMB}):
        assert read(forge(claims(cnf=cnf))).cnf == cnf
    assert read(forge(claims())).cnf is None


@pytest.mark.parametrize(
    "cnf",
    [
        {},
        {"jkt": THUMB, "x5t#S256": THUMB},
        {"jkt": THUMB, "jwk": {}},
        {"jwk": {"kty": "EC"}},
        {"kid": "x"},
        {"x5t": THUMB},
        {"jkt": THUMB[:-1]},
        {"jkt": THUMB[:-1] + "B"},
        {"jkt": THUMB + "\n"},
        {"jkt": None},
        {"jkt": 7},
        THUMB,
        [THUMB],
        True,
        7,
    ],
)
def test_attack_51_bound_to_two_things_none_or_an_unknown_one(cnf: Any) -> None:
    assert fault(forge(claims(cnf=cnf))) == "claims"


def test_attack_51_bound_to_null() -> None:
    assert fault(forge(with_raw("cnf", "null"))) == "claims"


@pytest.mark.parametrize("name", ["role", "metadata", "__proto__", "scp", "Exp", "exp ", "may_act"])
def test_attack_51_103_claims_not_in_the_model(name: str) -> None:
    assert fault(forge({**claims(), name: {"jkt": "A"}})) == "claims"


OUTER = ("agent:planner", SESSION)
ABOVE = ("agent:lead", PARENT)
TOP = ("agent:host", ROOT)


def test_attack_52_a_lawful_chain_is_read_root_first() -> None:
    read_back = read(forge(claims(act=act(OUTER, ABOVE, TOP))))
    assert read_back.actors == (Actor("host", ROOT), Actor("lead", PARENT))


@pytest.mark.parametrize(
    "chain",
    [
        act(OUTER),  # a chain of one is no delegation
        act(ABOVE, TOP),  # the outermost is not this agent
        act(("agent:planner", PARENT), TOP),
        act(("agent:Planner", SESSION), TOP),
        act(OUTER, ABOVE, ("agent:host", PARENT)),  # a session twice
        act(OUTER, ("agent:lead", SESSION)),
        act(OUTER, ("user:ana", PARENT)),
        act(OUTER, ("lead", PARENT)),
        act(OUTER, ("agent:", PARENT)),
        act(OUTER, ("agent:a\nb", PARENT)),
        act(OUTER, ("agent:" + "a" * 256, PARENT)),
    ],
)
def test_attack_52_unlawful_chains(chain: dict[str, Any]) -> None:
    assert fault(forge(claims(act=chain))) == "actors"


@pytest.mark.parametrize(
    "literal",
    [
        "null",
        "{}",
        "[]",
        "1",
        '"agent:planner"',
        json.dumps({"sub": OUTER[0]}),
        json.dumps({"sid": OUTER[1]}),
        json.dumps(act(OUTER, ("agent:lead", "x"))),
        json.dumps(act(OUTER, ABOVE, role="admin")),
        json.dumps({**act(OUTER), "act": None}),
        json.dumps({**act(OUTER), "act": []}),
        json.dumps({**act(OUTER), "act": {}}),
        json.dumps({"sub": 1, "sid": SESSION}),
    ],
)
def test_attack_52_chains_of_another_shape(literal: str) -> None:
    assert fault(forge(with_raw("act", literal))) == "claims"


def test_attack_52_the_bound_of_depth() -> None:
    steps = [(f"agent:a{n}", new_id(NOW * SECOND + n)) for n in range(MAX_ACTORS + 2)]
    assert len(read(forge(claims(act=act(OUTER, *steps[:MAX_ACTORS])))).actors) == MAX_ACTORS
    assert fault(forge(claims(act=act(OUTER, *steps[: MAX_ACTORS + 1])))) in {"claims_json", "actors"}


@pytest.mark.parametrize("prefix", ["cgr1_AAAA_", "cgr1.AAAA."])
def test_attack_53_a_refresh_token_is_no_access_token(prefix: str) -> None:
    assert fault(prefix + "A" * 43) in {"segments", "header_json", "base64"}


@pytest.mark.parametrize(
    "typ", ["txntoken+jwt", "dpop+jwt", "secevent+jwt", "token-introspection+jwt", "id+jwt"]
)
def test_attack_54_another_kind_of_token(typ: str) -> None:
    assert fault(forge(claims(), header(typ=typ))) == "typ"


def test_attack_55_a_token_for_another_service() -> None:
    guard = Guard(issuer=ISSUER, audience="a", audiences={"a", "b"}, ring=ring_of(signer()))
    assert guard.verify(forge(claims(aud="b")), audience="b", now=NOW * SECOND).audience == "b"
    with pytest.raises(Exception, match="audience"):
        guard.verify(forge(claims(aud="b")), audience=None, now=NOW * SECOND)


def test_attack_56_a_token_of_another_issuer_with_the_same_key() -> None:
    assert fault(forge(claims(iss="urn:clawguard:staging"))) == "issuer"


@pytest.mark.parametrize(
    "scope",
    [
        " ",
        " docs:read",
        "docs:read ",
        "docs:read  mail:send",
        "mail:send docs:read",
        "docs:read docs:read",
        "docs:read\tmail:send",
        "docs:read\u00a0mail:send",
        "Docs:Read",
        "docs:*:read",
        "d\u043ecs:read",
        "docs:",
        "**",
    ],
)
def test_attack_79_80_scopes_in_another_form(scope: str) -> None:
    assert fault(forge(claims(scope=scope))) == "scope"


def test_attack_79_the_empty_scope_holds_nothing() -> None:
    assert len(read(forge(claims(scope=""))).scopes) == 0


@pytest.mark.parametrize("literal", ["[]", '["docs:read"]', "7", "null"])
def test_attack_79_scope_of_another_type(literal: str) -> None:
    assert fault(forge(with_raw("scope", literal))) == "claims"


def test_attack_104_105_a_fault_tells_nothing() -> None:
    token = forge(claims(sub="secret-subject", gen=0))
    with pytest.raises(Exception, match=r"^claims$") as caught:
        read(token)
    assert "secret-subject" not in repr(caught.value)
