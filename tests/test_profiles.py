"""Where the time goes: every act that misses its budget has its row, and all of its time is somebody's."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.profiles import imported, layer_of, table

PAGE = Path(__file__).parents[1] / "docs" / "benchmarks.md"


@pytest.mark.parametrize(
    ("place", "layer"),
    [
        (("~", 0, "<method 'execute' of 'sqlite3.Connection' objects>"), "SQLite"),
        (("~", 0, "<method 'sign' of 'cryptography.hazmat.bindings._rust.openssl.ec.ECPrivateKey' objects>"),
         "signing, hashing"),
        (("~", 0, "<built-in method _hashlib.openssl_sha256>"), "signing, hashing"),
        (("~", 0, "<built-in method builtins.getattr>"), "Python's own"),
        (("/env/site-packages/jwt/algorithms.py", 760, "sign"), "PyJWT, pydantic"),
        (("/env/site-packages/cachetools/__init__.py", 505, "pop"), "cachetools"),
        (("/here/clawguard/sessions/issuing.py", 96, "create"), "clawguard"),
        (("/usr/lib/python3.11/threading.py", 396, "notify_all"), "Python's own"),
    ],
)  # fmt: skip
def test_each_function_is_somebodys(place: tuple[str, int, str], layer: str) -> None:
    assert layer_of(place) == layer


def test_each_act_has_its_row_and_its_shares_are_all_of_it(tmp_path: Path) -> None:
    head, _, *rows = table(tmp_path, calls=20).splitlines()
    assert len(rows) == 3
    for row in rows:
        act, _, calls, *shares = (cell.strip() for cell in row.strip("|").split("|"))
        assert len(shares) == head.count("|") - 4, act
        assert int(calls) > 10
        assert 95 <= sum(int(each.removesuffix("%")) for each in shares) <= 105, act
        assert f"\n| {act} |" in PAGE.read_text(encoding="utf-8")


def test_an_import_is_told_apart_by_packages() -> None:
    assert {"clawguard", "cryptography", "jwt"} <= imported().keys()
