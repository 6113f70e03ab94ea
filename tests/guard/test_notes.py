"""Signed notes: the form of c2sp.org/signed-note to the letter, and nothing beside it."""

from __future__ import annotations

import base64
import copy
import pickle

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from clawguard import ConfigError, InvalidArgument
from clawguard.guard import NoteKey, NoteSigner, SigningKey
from clawguard.guard.notes import note_name
from tests.events import notes

# Keys and notes that other implementations publish.
NEUMANN = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
NEUMANN_NOTE = (
    "If you think cryptography is the answer to your problem,\n"
    "then you don't know what your problem is.\n"
    "\n"
    "\u2014 PeterNeumann "
    "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
)
FOO = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
FOO_NOTE = (
    "This is an example message.\n"
    "\n"
    "\u2014 example.com/foo "
    "Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n"
)
SIGNER = NoteSigner("urn:mine", SigningKey.generate("EdDSA"))
KEY = SIGNER.public
TEXTS = st.text(st.characters(exclude_categories=["Cs", "Cc"]) | st.just("\n"), max_size=60).map(
    lambda text: text + "\n"
)


@pytest.mark.parametrize(("vkey", "note"), [(NEUMANN, NEUMANN_NOTE), (FOO, FOO_NOTE)])
def test_notes_of_others_are_read(vkey: str, note: str) -> None:
    key = NoteKey.from_text(vkey)
    assert str(key) == vkey
    assert key.open(note, argument="note") == note.rpartition("\n\n")[0] + "\n"
    for changed in (note.replace("is", "was", 1), note.replace("\n\n", "\n \n\n", 1)):
        with pytest.raises(InvalidArgument, match="was changed"):
            key.open(changed, argument="note")


@given(TEXTS)
def test_what_is_signed_here_is_read_by_an_independent_reader_and_back(text: str) -> None:
    note = SIGNER.sign(text)
    assert KEY.open(note, argument="note") == text
    assert notes.open_note(note.encode(), notes.read_vkey(str(KEY))).decode() == text
    assert NoteKey.from_text(str(KEY)).open(note, argument="note") == text


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30))
def test_any_issuer_gives_a_name_of_its_own_without_spaces_or_plus(text: str) -> None:
    from urllib.parse import unquote

    name = note_name(text)
    assert name.isascii()
    assert name.isprintable()
    assert not set(name) & {" ", "+"}
    assert unquote(name) == text


def test_signatures_of_others_are_passed_over_and_one_that_fails_is_not() -> None:
    note = SIGNER.sign("a\n")
    other = notes.sign("witness.example/w1", "a\n", Ed25519PrivateKey.generate()).rpartition("\n\n")[2]
    namesake = notes.sign("urn:mine", "a\n", Ed25519PrivateKey.generate()).rpartition("\n\n")[2]
    assert KEY.open(note + other * 16 + namesake, argument="note") == "a\n"
    with pytest.raises(InvalidArgument, match="is not signed with the key"):
        KEY.open("a\n\n" + other + namesake, argument="note")
    bad = SIGNER.sign("b\n").rpartition("\n\n")[2]
    with pytest.raises(InvalidArgument, match="was changed"):
        KEY.open(note + bad, argument="note")


def bent(note: str) -> dict[str, object]:
    """Return texts that are no notes, made of one that is."""
    text, _, line = note.rpartition("\n\n")
    return {
        "no string": note.encode(),
        "nothing": "",
        "no signature": text + "\n\n",
        "no blank line": text + "\n" + line,
        "no last newline": note[:-1],
        "a hyphen": note.replace("\u2014", "-"),
        "no space": note.replace("\u2014 ", "\u2014"),
        "two spaces": note.replace("\u2014 ", "\u2014  "),
        "no name": f"{text}\n\n\u2014  {line.split()[2]}\n",
        "a plus in a name": note.replace("\u2014 urn", "\u2014 u+rn"),
        "no padding": note.replace("=\n", "\n"),
        "stray bits": note[:-3] + chr(ord(note[-3]) + 1) + "=\n",
        "url alphabet": note.replace("+", "-").replace("/", "_") if set("+/") & set(line) else None,
        "a carriage return": note.replace("\n", "\r\n"),
        "a tab": note.replace("a", "\t", 1),
        "a surrogate": "\ud800" + note,
        "text behind": note + "more\n",
        "too many signatures": note + line * 100,
        "too long": "a" * 300_000 + note,
        "short signature": f"{text}\n\n\u2014 urn:mine {base64.b64encode(b'abcd').decode()}\n",
    }


@pytest.mark.parametrize("name", bent(FOO_NOTE))
def test_what_is_no_note_is_refused(name: str) -> None:
    note = bent(SIGNER.sign("a line\nand another\n"))[name]
    if note is None:
        return
    with pytest.raises(InvalidArgument, match="note"):
        KEY.open(note, argument="note")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "vkey",
    [
        None,
        b"",
        "",
        "PeterNeumann",
        NEUMANN.replace("c74f20a3", "c74f20a4"),
        NEUMANN.replace("c74f20a3", "C74F20A3"),
        NEUMANN.replace("+ARpc", "+Aipc"),
        NEUMANN.replace("PeterNeumann", "PeterNeumann2"),
        NEUMANN.replace("PeterNeumann", "Peter Neumann"),
        NEUMANN.replace("PeterNeumann", "\ud800"),
        NEUMANN.replace("PeterNeumann", ""),
        NEUMANN[:-4],
        NEUMANN + "=",
        FOO.replace("+A", "+Ag"),
        notes.vkey_of("a", bytes(32)),
        notes.vkey_of("a", bytes([1]) + bytes(31)),
    ],
)
def test_what_is_no_key_is_refused(vkey: object) -> None:
    with pytest.raises(InvalidArgument, match="key"):
        NoteKey.from_text(vkey)


def test_only_ed25519_signs_notes() -> None:
    with pytest.raises(ConfigError, match="Ed25519"):
        NoteSigner("a", SigningKey.generate("ES256"))


@pytest.mark.parametrize("text", ["", "a", "a\r\n", "\x00\n"])
def test_what_no_note_can_hold_is_not_signed(text: str) -> None:
    with pytest.raises(ValueError, match="whole lines"):
        SIGNER.sign(text)


def test_a_signer_shows_nothing_and_refuses_to_be_copied() -> None:
    assert repr(SIGNER) == "NoteSigner('urn:mine')"
    assert repr(KEY) == f"NoteKey('{KEY}')"
    for call in (pickle.dumps, copy.copy):
        with pytest.raises(TypeError, match="pickled"):
            call(SIGNER)


def test_a_text_with_blank_lines_is_read_whole() -> None:
    assert KEY.open(SIGNER.sign("a\n\nb\n"), argument="note") == "a\n\nb\n"


def test_a_note_is_as_long_as_it_may_be_and_no_longer() -> None:
    room = 262_144 - len(SIGNER.sign("\n"))
    longest = "a" * room + "\n"
    assert KEY.open(SIGNER.sign(longest), argument="note") == longest
    with pytest.raises(InvalidArgument, match="is no signed note"):
        KEY.open(SIGNER.sign("a" + longest), argument="note")


def test_a_note_has_one_signature_to_a_hundred() -> None:
    note = SIGNER.sign("text\n")
    line = note.rpartition("\n\n")[2]
    assert KEY.open(note + line * 99, argument="note") == "text\n"
    for count in (0, 101):
        with pytest.raises(InvalidArgument, match="is no signed note"):
            KEY.open("text\n\n" + line * count, argument="note")


@pytest.mark.parametrize(
    "line",
    [
        "\u2014 a+b " + base64.b64encode(bytes(68)).decode(),
        "\u2014 name " + base64.b64encode(bytes(4)).decode(),
    ],
)
def test_one_line_that_is_no_signature_spoils_the_note(line: str) -> None:
    with pytest.raises(InvalidArgument, match="has a line that is no signature"):
        KEY.open(SIGNER.sign("text\n") + line + "\n", argument="note")


@pytest.mark.parametrize("data", [b"\x02" + bytes(32), b"\x01" + bytes(31), b"\x01" + bytes(33)])
def test_a_verifiers_key_is_of_ed25519_and_of_its_length(data: bytes) -> None:
    with pytest.raises(InvalidArgument, match="must be a verifier's key"):
        NoteKey.from_text(f"urn:mine+00000000+{base64.b64encode(data).decode()}")
