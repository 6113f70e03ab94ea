"""Attacks on the encoding and the JSON, by their numbers in the attack list."""

from __future__ import annotations

import json
import string
from typing import Any

import pytest

from clawguard.guard.encoding import MAX_NESTING, b64decode, b64encode, parse_object
from clawguard.guard.jws import MAX_TOKEN
from tests.guard.forge import SESSION, claims, fault, forge, header, read, signer, with_raw

ALPHABET = string.ascii_uppercase + string.ascii_lowercase + string.digits + "-_"


@pytest.mark.parametrize("padding", ["=", "=="])
def test_attack_26_padding(padding: str) -> None:
    head, payload, signature = forge(claims()).split(".")
    for parts in ((head + padding, payload, signature), (head, payload, signature + padding)):
        assert fault(".".join(parts)) == "characters"


def spaced(spaces: int) -> list[str]:
    """Return the segments of a lawful token whose JSON texts end in spaces."""
    tail = b" " * spaces
    return forge(json.dumps(claims()).encode() + tail, json.dumps(header()).encode() + tail).split(".")


@pytest.mark.parametrize("place", [0, 1, 2])
def test_attack_27_non_canonical_last_bits(place: int) -> None:
    """A segment of 2 or 3 characters over leaves spare bits: with one set, the octets stay the same."""
    segments = next(each for each in map(spaced, range(3)) if len(each[place]) % 4)
    assert read(".".join(segments)).session_id == SESSION
    last = ALPHABET.index(segments[place][-1])
    segments[place] = segments[place][:-1] + ALPHABET[last ^ 1]
    assert fault(".".join(segments)) == "base64"


def test_attack_27_length_that_no_octets_have() -> None:
    head, payload, signature = forge(claims()).split(".")
    assert len(signature) == 86
    assert fault(f"{head}.{payload}.{signature[:85]}") == "base64"


@pytest.mark.parametrize("character", list("+/!\n\r\t \x00\x7f%~'\","))
def test_attack_27_foreign_characters(character: str) -> None:
    token = forge(claims())
    for at in (1, token.index(".") + 3, len(token) - 3):
        assert fault(token[:at] + character + token[at + 1 :]) == "characters"


@pytest.mark.parametrize("edge", [" ", "\n", "\t", "\r\n", "\ufeff", "\u00a0"])
def test_attack_28_space_around(edge: str) -> None:
    token = forge(claims())
    assert fault(edge + token) == "characters"
    assert fault(token + edge) == "characters"


def test_attack_28_segments() -> None:
    token = forge(claims())
    head, payload, signature = token.split(".")
    bad = ["", ".", "..", "a", "a.b", f"{token}.", f".{token}", f"{token}.AAAA", f"{head}..{signature}"]
    bad += [f".{payload}.{signature}", f"{head}.{payload}", f"{head}.{payload}.{signature}.a.b"]
    for text in bad:
        assert fault(text) == "segments"


@pytest.mark.parametrize("dot", ["\uff0e", "\u3002", "\u2024", "\ud800", "é", "\U0001f980"])
def test_attack_29_beyond_ascii(dot: str) -> None:
    assert fault(forge(claims()).replace(".", dot, 1)) == "characters"
    assert fault(forge(claims()) + dot) == "characters"


def test_attack_30_json_serialization() -> None:
    head, payload, signature = forge(claims()).split(".")
    flat = {"protected": head, "payload": payload, "signature": signature}
    general = {"payload": payload, "signatures": [{"protected": head, "signature": signature}]}
    for form in (flat, general, {f"{head}.{payload}.{signature}": ""}):
        assert fault(json.dumps(form)) == "characters"


@pytest.mark.parametrize("value", [b"a.b.c", None, 7, ["a"], bytearray(b"a.b.c"), object()])
def test_attack_30_no_text_at_all(value: Any) -> None:
    assert fault(value) == "characters"


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32", "utf-8-sig"])
def test_attack_31_other_encodings(encoding: str) -> None:
    assert fault(forge(json.dumps(claims()).encode(encoding))) == "claims_json"
    assert fault(forge(claims(), json.dumps(header()).encode(encoding))) == "header_json"


@pytest.mark.parametrize("octets", [b"\xff", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xe2\x82"])
def test_attack_31_bad_utf8(octets: bytes) -> None:
    assert fault(forge(json.dumps(claims(sub="@")).encode().replace(b"@", octets))) == "claims_json"


@pytest.mark.parametrize("literal", ['"\\ud800"', '"a\\udfffb"', '"\\udc00\\ud800"'])
def test_attack_32_lone_surrogates(literal: str) -> None:
    for name in ("sub", "client_id", "iss", "scope"):
        assert fault(forge(with_raw(name, literal))) in {"claims", "scope", "issuer"}


@pytest.mark.parametrize(
    "text", ["a\x00b", "\x00", "a\nb", "a\x1b[31m", "a\u2028b", "a\u0085b", "a\u202eb", "a\u200bb", "a\ufeff"]
)
def test_attack_33_101_control_characters_in_ids(text: str) -> None:
    assert fault(forge(claims(sub=text))) == "claims"
    assert fault(forge(claims(client_id=text))) == "claims"


def test_attack_33_raw_control_characters() -> None:
    assert fault(forge(with_raw("sub", '"a\nb"'))) == "claims_json"


@pytest.mark.parametrize("name", ["sub", "exp", "gen", "act", "x"])
def test_attack_34_duplicate_claims(name: str) -> None:
    text = json.dumps(claims())
    value = json.dumps(claims().get(name, 1))
    twice = text[:-1] + f', "{name}": {value}, "{name}": {value}}}'
    assert fault(forge(twice.encode())) == "claims_json"


def test_attack_34_duplicates_deeper_down() -> None:
    chain = '{"sub":"agent:planner","sub":"agent:planner","sid":"x"}'
    assert fault(forge(with_raw("act", chain))) == "claims_json"


@pytest.mark.parametrize("text", ["[]", "1", '"a"', "null", "true", "", " ", "{", "[{}]"])
def test_attack_35_not_an_object(text: str) -> None:
    assert fault(forge(text.encode() or b" ")) == "claims_json"
    assert fault(forge(claims(), text.encode() or b" ")) == "header_json"


@pytest.mark.parametrize("tail", ["{}", "x", ",", "}", "\x00", "// note"])
def test_attack_35_trailing_text(tail: str) -> None:
    assert fault(forge(json.dumps(claims()).encode() + tail.encode())) == "claims_json"


@pytest.mark.parametrize("opening", ['{"a":', "[", '[{"a":'])
def test_attack_36_deep_nesting(opening: str) -> None:
    deep = opening * ((MAX_TOKEN // 2) // len(opening))
    assert fault(forge(deep.encode())) == "claims_json"
    assert fault(forge(claims(), deep.encode())) == "header_json"
    assert fault(forge((opening * 100_000).encode())) == "too_long"


def test_attack_36_the_bound_of_nesting() -> None:
    def nested(depth: int) -> bytes:
        return b'{"a":' * depth + b"1" + b"}" * depth

    assert parse_object(nested(MAX_NESTING)) is not None
    assert parse_object(nested(MAX_NESTING + 1)) is None
    assert parse_object(b'{"a":' + b"[" * 10 + b"]" * 10 + b"}") is None


def test_attack_36_brackets_in_strings_and_side_by_side_are_no_depth() -> None:
    assert parse_object(b'{"a":"' + b"{[" * 40 + b'\\"[[[[[[[[[[["}') is not None
    wide = json.dumps({"a": [[] for _ in range(40)]}).encode()
    assert parse_object(wide) is not None
    assert read(forge(claims(sub="user:{[{[{[{[{[{[{["))).subject == "user:{[{[{[{[{[{[{["


def test_attack_37_ten_megabytes_cost_nothing() -> None:
    huge = "A" * 10_000_000
    for text in (huge, f"{huge}.{huge}.{huge}", "{" * 10_000_000, "é" * 10_000_000):
        assert fault(text) == "too_long"


def test_attack_37_the_bound_of_length() -> None:
    assert fault("A" * MAX_TOKEN) == "segments"
    assert fault("A" * (MAX_TOKEN + 1)) == "too_long"


def test_attack_37_many_names() -> None:
    many = json.dumps({str(n): 1 for n in range(500)}).encode()
    assert fault(forge(many)) == "claims"
    assert fault(forge(claims(), many)) == "header_names"


def test_attack_38_integer_of_5000_digits() -> None:
    for digits in ("9" * 5_000, "-" + "9" * 5_000, "9" * 17):
        assert fault(forge(with_raw("exp", digits))) == "claims_json"
        text = json.dumps(header(alg="@")).replace('"@"', digits).encode()
        assert fault(forge(claims(), text)) == "header_json"


@pytest.mark.parametrize(
    "literal", ["1.0", "1e3", "1E-3", "-0", "-1", "NaN", "Infinity", "-Infinity", "9" * 17]
)
def test_attack_40_numbers_that_the_parser_refuses(literal: str) -> None:
    """The parser itself does, whatever the model behind it would make of them."""
    for text in (f'{{"a":{literal}}}', f'{{"a":[{{"b":{literal}}}]}}'):
        assert parse_object(text.encode()) is None
    assert parse_object(b'{"a":9007199254740991}') == {"a": 2**53 - 1}


def test_attack_39_a_million_dots() -> None:
    assert fault("." * 1_000_000) == "too_long"
    assert fault("." * MAX_TOKEN) == "segments"


def test_base64url_is_one_to_one() -> None:
    for text in (b"A", b"AB", b"AAB", b"AA==", b"A+", b"A/A", b"AAAAA", b" AA", b"\xff\xfe"):
        assert b64decode(text) is None
    for data in (b"", b"\0", b"\0\0", b"\0\0\0", bytes(range(256)), b"\xfb\xff"):
        assert b64decode(b64encode(data)) == data


def test_the_memo_of_headers_holds_no_key() -> None:
    from clawguard.guard.tokens import _parse_header

    segment = forge(claims()).partition(".")[0].encode()
    assert _parse_header(segment) == ("ES256", signer().kid)
    for n in range(200):
        fault(forge(claims(), header(kid=f"{n:043d}")))
    info = _parse_header.cache_info()
    assert info.maxsize is not None
    assert info.currsize <= info.maxsize
