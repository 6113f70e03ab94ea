"""Content keys: what is sealed says the same again in its own place, and nothing in any other."""

from __future__ import annotations

import os
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clawguard import ConfigError
from clawguard.errors import EntryUnreadable
from clawguard.guard import KeyEncryptionKey
from clawguard.history.content_keys import PLAINTEXT, ContentKey, ContentKeys
from clawguard.history.records import Entry, Row

ONE, OTHER = "0190d2a0-1111-7000-8000-000000000001", "0190d2a0-1111-7000-8000-000000000002"
KEY = ContentKey.first()
PLAIN = ContentKeys(1, {})
SEALING = ContentKeys(1, {1: KEY})
SAID = Row(7, "message", "user", "said in confidence", '{"x":1}', 0)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=200)
ROWS = st.builds(
    Row,
    at=st.integers(0, 2**53),
    kind=st.sampled_from(["message", "prompt", "warn"]),
    role=st.sampled_from(["user", "tool", None]),
    content=TEXTS,
    data=st.none() | TEXTS.map(lambda text: f'{{"{text}"'),
    auto_injected=st.integers(0, 1),
    tools_indexed=st.integers(0, 1),
    content_key=st.just(PLAINTEXT),
    sealed=st.none(),
)


@given(rows=st.lists(ROWS, max_size=4), first=st.integers(1, 2**53))
def test_what_is_sealed_is_opened_as_it_was(rows: list[Row], first: int) -> None:
    sealed = SEALING.seal(ONE, rows, first=first)
    assert all((row.content, row.data, row.content_key) == ("", None, 1) for row in sealed)
    read = [(seq, *row) for seq, row in enumerate(sealed, first)]
    assert SEALING.know(read)
    assert SEALING.open(ONE, read) == tuple(Entry((seq, *row)) for seq, row in enumerate(rows, first))


@pytest.mark.parametrize(
    "changed",
    [{"at": 8}, {"kind": "prompt"}, {"role": "assistant"}, {"role": None}, {"auto_injected": 1}],
    ids=str,
)
def test_a_seal_holds_each_column_that_tells_an_entry_from_others(changed: dict[str, Any]) -> None:
    [sealed] = SEALING.seal(ONE, [SAID], first=3)
    with pytest.raises(EntryUnreadable, match=f"entry 3 of session {ONE}.*altered") as caught:
        SEALING.open_row(ONE, 3, sealed._replace(**changed))
    assert "confidence" not in repr(caught.value.__dict__)
    assert caught.value.__cause__ is None


def test_a_seal_holds_session_number_and_key() -> None:
    [sealed] = SEALING.seal(ONE, [SAID], first=3)
    both = ContentKeys(1, {1: KEY, 2: KEY})
    for keys, session_id, seq, row in (
        (SEALING, OTHER, 3, sealed),
        (SEALING, ONE, 4, sealed),
        (both, ONE, 3, sealed._replace(content_key=2)),
        (ContentKeys(1, {1: ContentKey.first()}), ONE, 3, sealed),
    ):
        with pytest.raises(EntryUnreadable):
            keys.open_row(session_id, seq, row)
    assert both.open_row(ONE, 3, sealed) == SAID


@given(place=st.integers(0), flip=st.integers(1, 255))
def test_no_byte_of_a_seal_may_change(place: int, flip: int) -> None:
    [row] = SEALING.seal(ONE, [SAID], first=3)
    sealed = bytearray(row.sealed or b"")
    sealed[place % len(sealed)] ^= flip
    for altered in (bytes(sealed), bytes(sealed[: place % len(sealed)])):
        with pytest.raises(EntryUnreadable):
            SEALING.open_row(ONE, 3, row._replace(sealed=altered))


def test_plaintext_and_ciphertext_are_each_refused_where_the_other_is_stored() -> None:
    [sealed] = SEALING.seal(ONE, [SAID], first=3)
    for keys, row, why in (
        (SEALING, SAID, "not encrypted"),
        (PLAIN, sealed, "is encrypted, and nothing is here"),
        (ContentKeys(1, {2: KEY}), sealed, "content key 1, which is not there"),
    ):
        assert not keys.know([(3, *row)])
        with pytest.raises(EntryUnreadable, match=why):
            keys.open(ONE, [(3, *row)])
    converting = ContentKeys(1, {PLAINTEXT: None, 1: KEY})
    assert [each.text for each in converting.open(ONE, [(3, *SAID), (3, *sealed)])] == [SAID.content] * 2
    assert (converting.active, converting.is_settled, SEALING.is_settled, PLAIN.active) == (1, False, True, 0)


def test_the_same_text_is_never_sealed_alike_and_sessions_have_keys_of_their_own() -> None:
    sealed = [SEALING.seal(ONE, [SAID], first=1)[0].sealed or b"" for _ in range(200)]
    assert len({each[1:13] for each in sealed}) == 200  # the nonces
    own, others = KEY.of_session(ONE), KEY.of_session(OTHER)
    assert own.open(others.seal(b"x", purpose="p"), purpose="p") is None
    assert own.open(KEY.of_session(ONE).seal(b"x", purpose="p"), purpose="p") == b"x"


def test_a_stored_key_is_opened_by_its_key_encryption_key_and_under_its_number_only() -> None:
    kek = KeyEncryptionKey(os.urandom(32))
    stored = KEY.seal(1, 0, kek)
    again = ContentKey.unseal(stored, 1, 0, kek)
    assert again.of_session(ONE).open(KEY.of_session(ONE).seal(b"x", purpose="p"), purpose="p") == b"x"
    for number, least, other in ((2, 0, kek), (1, 1, kek), (1, 0, KeyEncryptionKey(os.urandom(32)))):
        with pytest.raises(ConfigError, match="key-encryption key does not open"):
            ContentKey.unseal(stored, number, least, other)
    with pytest.raises(ConfigError, match="no content key"):
        PLAIN.sealed_as_last(kek)
    with pytest.raises(ConfigError, match="not whole"):
        ContentKey(b"short")
    assert KEY._secret not in stored


def test_a_successor_seals_anew_and_knows_the_digests() -> None:
    number, following = SEALING.successor()
    assert number == 2
    assert following.digest(b"file") == KEY.digest(b"file") != b"file"
    assert following.of_session(ONE).open(KEY.of_session(ONE).seal(b"x", purpose="p"), purpose="p") is None
    assert (PLAIN.successor()[0], PLAIN.digest(b"file")) == (1, b"file")


def test_no_secret_shows() -> None:
    for each in (KEY, SEALING, KEY.of_session(ONE)):
        assert KEY._secret.hex() not in repr(each)
        assert repr(KEY._secret) not in repr(each)
