"""Sealing, and where the key-encryption key comes from."""

from __future__ import annotations

import base64
import copy
import pickle
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from clawguard.errors import ConfigError, InvalidArgument
from clawguard.guard import KeyEncryptionKey, load_kek
from clawguard.guard.sealing import KEK_VARIABLE

KEY = bytes(range(32))
SALT = b"0123456789abcdef"
PURPOSE = "signing-key:kid:ES256"


def load(
    source: Any, *, path: Path | None = None, environ: dict[str, str] | None = None, **options: Any
) -> KeyEncryptionKey:
    settings = {"salt": SALT, "create": False, **options}
    return load_kek(source, default_path=path or Path("/nonexistent/kek"), environ=environ or {}, **settings)


def same(one: KeyEncryptionKey, other: KeyEncryptionKey) -> bool:
    try:
        return other.unseal(one.seal(b"text", purpose=PURPOSE), purpose=PURPOSE) == b"text"
    except ConfigError:
        return False


@given(st.binary(max_size=2_000), st.text(st.characters(codec="utf-8"), max_size=60))
def test_what_is_sealed_comes_back(plaintext: bytes, purpose: str) -> None:
    kek = KeyEncryptionKey(KEY)
    sealed = kek.seal(plaintext, purpose=purpose)
    assert kek.unseal(sealed, purpose=purpose) == plaintext
    assert len(plaintext) < 8 or plaintext not in sealed
    assert kek.seal(plaintext, purpose=purpose) != sealed


def test_every_flipped_bit_is_found() -> None:
    kek = KeyEncryptionKey(KEY)
    sealed = kek.seal(b"private", purpose=PURPOSE)
    for bit in range(len(sealed) * 8):
        altered = bytearray(sealed)
        altered[bit // 8] ^= 1 << bit % 8
        with pytest.raises(ConfigError, match="does not open"):
            kek.unseal(bytes(altered), purpose=PURPOSE)


@pytest.mark.parametrize("length", [0, 1, 5, 12, 13, 20, 28])
def test_a_sealed_text_cut_short(length: int) -> None:
    sealed = KeyEncryptionKey(KEY).seal(b"private", purpose=PURPOSE)
    with pytest.raises(ConfigError, match="does not open") as caught:
        KeyEncryptionKey(KEY).unseal(sealed[:length], purpose=PURPOSE)
    assert caught.value.__context__ is None


def test_another_key_or_purpose_opens_nothing() -> None:
    sealed = KeyEncryptionKey(KEY).seal(b"private", purpose=PURPOSE)
    with pytest.raises(ConfigError, match="does not open") as caught:
        KeyEncryptionKey(bytes(32)).unseal(sealed, purpose=PURPOSE)
    assert caught.value.hint
    with pytest.raises(ConfigError):
        KeyEncryptionKey(KEY).unseal(sealed, purpose="signing-key:kid:EdDSA")


@pytest.mark.parametrize("make", [repr, str, lambda kek: "".join(map(str, kek.__slots__))])
def test_the_key_shows_nowhere(make: Callable[[Any], str]) -> None:
    text = make(KeyEncryptionKey(b"A" * 32))
    assert "AAAA" not in text
    assert "4141" not in text


@pytest.mark.parametrize("duplicate", [pickle.dumps, copy.copy, copy.deepcopy])
def test_the_key_refuses_pickling_and_copying(duplicate: Any) -> None:
    with pytest.raises(TypeError, match="cannot be copied or pickled"):
        duplicate(KeyEncryptionKey(KEY))


@pytest.mark.parametrize("key", [b"", b"short", bytes(31), bytes(33), bytearray(32), "a" * 32, None])
def test_a_key_of_another_size_or_type(key: Any) -> None:
    with pytest.raises(ConfigError, match="32 bytes"):
        KeyEncryptionKey(key)


def test_bytes_and_callable_give_the_key() -> None:
    assert same(load(KEY), load(lambda: KEY))
    with pytest.raises(ConfigError, match="32 bytes"):
        load(KEY[:31])


@pytest.mark.parametrize("answer", [b"", None, "x" * 32, bytes(64)])
def test_a_callable_that_gives_no_key(answer: Any) -> None:
    with pytest.raises(ConfigError, match="32 bytes"):
        load(lambda: answer)


def test_a_callable_that_fails() -> None:
    def kms() -> bytes:
        raise OSError("unreachable")

    with pytest.raises(ConfigError, match="OSError"):
        load(kms)


def test_a_passphrase_goes_through_scrypt() -> None:
    one = load("correct horse battery")
    assert same(one, load("correct horse battery"))
    assert not same(one, load("correct horse batterz"))
    assert not same(one, load("correct horse battery", salt=SALT[::-1]))


@pytest.mark.parametrize(
    "passphrase", ["", "elevenchars", "with\ncontrol character", "lone \ud800 surrogate"]
)
def test_a_passphrase_that_will_not_do(passphrase: str) -> None:
    with pytest.raises(ConfigError, match="passphrase") as caught:
        load(passphrase)
    report = "".join(traceback.format_exception(caught.value))
    assert not passphrase or ascii(passphrase)[1:-1] not in report


def test_a_salt_that_is_too_short() -> None:
    with pytest.raises(ConfigError, match="salt"):
        load("correct horse battery", salt=b"short")


def test_the_environment_gives_the_key(tmp_path: Path) -> None:
    text = base64.urlsafe_b64encode(KEY).decode().rstrip("=")
    assert same(load(None, environ={KEK_VARIABLE: text}), KeyEncryptionKey(KEY))
    assert same(load(KEY, environ={KEK_VARIABLE: "nonsense"}), KeyEncryptionKey(KEY))
    load(None, environ={KEK_VARIABLE: text}, path=tmp_path / "kek", create=True)
    assert not (tmp_path / "kek").exists()


@pytest.mark.parametrize(
    "text",
    ["", "x", "A" * 42, "A" * 42 + "B", "A" * 43 + "=", "A" * 44, " " + "A" * 43, "A" * 43 + "\n", "é" * 43],
)
def test_an_environment_that_gives_no_key(text: str) -> None:
    with pytest.raises(ConfigError, match=KEK_VARIABLE) as caught:
        load(None, environ={KEK_VARIABLE: text})
    assert len(text) < 40 or text not in str(caught.value)
    assert caught.value.__context__ is None


@pytest.mark.parametrize("source", [7, 1.5, [], {}, bytearray(32), object()])
def test_a_source_of_another_type(source: Any) -> None:
    with pytest.raises(InvalidArgument, match="kek"):
        load(source)


def test_a_file_is_made_once_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "kek"
    with pytest.raises(ConfigError, match="missing"):
        load(None, path=path)
    assert not path.exists()
    made = load(None, path=path, create=True)
    text = path.read_bytes()
    assert same(made, load(None, path=path, create=True))
    assert same(made, load(path))
    assert path.read_bytes() == text
    assert path.stat().st_mode & 0o777 == 0o600
    assert [each.name for each in tmp_path.iterdir()] == ["kek"]


def test_a_named_path_wins_over_the_environment(tmp_path: Path) -> None:
    made = load(tmp_path / "own", create=True, environ={KEK_VARIABLE: "nonsense"})
    assert same(made, load(tmp_path / "own"))
    assert [each.name for each in tmp_path.iterdir()] == ["own"]


def test_a_passphrase_of_twelve_characters_and_one_that_no_file_could_be_called() -> None:
    for passphrase in ("twelve chars", "long " * 1_000):
        assert same(load(passphrase), load(passphrase))


def test_a_key_names_itself_and_shows_nothing() -> None:
    assert repr(KeyEncryptionKey(KEY)) == "KeyEncryptionKey()"


def test_a_key_of_an_earlier_release_is_opened() -> None:
    sealed = (
        b"\x01" + bytes(12) + AESGCM(KEY).encrypt(bytes(12), b"text", b"clawguard\x01" + PURPOSE.encode())
    )
    assert KeyEncryptionKey(KEY).unseal(sealed, purpose=PURPOSE) == b"text"


@pytest.mark.parametrize("path", ["/a/path/of/it", "./a/path/of/it", "../a/path/of/it", "~/a/path/of/it"])
def test_what_looks_like_a_path_is_no_passphrase_though_no_file_is_there(path: str) -> None:
    with pytest.raises(InvalidArgument, match=r"pathlib\.Path"):
        load(path)
