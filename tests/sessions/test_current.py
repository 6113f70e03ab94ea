"""Binding a session: what may wait leaves the loop, and an unexpected error keeps no token."""

from __future__ import annotations

import asyncio
import threading
from traceback import extract_tb
from typing import Any, NoReturn

import pytest

from clawguard import SessionContext, SessionManager
from clawguard.guard import CertificateProof
from clawguard.sessions.current import Use
from tests.openers import open_manager

PROOF = CertificateProof.of_thumbprint("A" * 43)


class Validator:
    """Note in which thread it is asked; `_may_write` and `_reads_wait` are what it may do."""

    def __init__(self, context: SessionContext, *, waits: bool = False, writes: bool = False) -> None:
        self._context = context
        self._reads_wait = waits
        self._writes = writes
        self.threads: list[int] = []
        self.looked = threading.Event()

    def _may_write(self, _: object) -> bool:
        return self._writes

    def validate(self, *_: Any, **__: Any) -> SessionContext:
        self.threads.append(threading.get_ident())
        return self._context

    def recheck(self, *_: Any, **__: Any) -> None:
        self.threads.append(threading.get_ident())
        self.looked.set()


@pytest.fixture(scope="module")
def context() -> SessionContext:
    with open_manager() as manager:
        return manager.create("a", scopes="x").as_context()


@pytest.mark.parametrize(
    ("able", "proof", "leaves"),
    [
        ({}, None, False),
        ({}, PROOF, True),
        ({"waits": True}, None, True),
        ({"writes": True}, None, True),
    ],
)
def test_only_what_may_wait_leaves_the_loop(
    context: SessionContext, able: dict[str, bool], proof: Any, leaves: bool
) -> None:
    validator = Validator(context, **able)

    async def main() -> None:
        async with Use(validator, "a.b.c", require=(), proof=proof) as bound:
            assert bound == context
            here = threading.get_ident()
            assert [each != here for each in validator.threads] == [leaves]
            await asyncio.to_thread(validator.looked.wait, 60)
            assert (validator.threads[-1] != here) is able.get("waits", False)

    asyncio.run(asyncio.wait_for(main(), 60))


def test_an_unexpected_error_says_where_it_arose_and_holds_no_frame(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first, second = OSError("first"), KeyError("second")

    def fail(*_: Any, **__: Any) -> NoReturn:
        try:
            try:
                raise first
            except OSError:
                raise second from None
        except KeyError as error:
            raise RuntimeError("third") from error

    monkeypatch.setattr(SessionManager, "validate", fail)
    with open_manager() as manager, pytest.raises(RuntimeError) as caught:
        manager.use("secret.token.text").__enter__()
    frames = extract_tb(caught.value.__traceback__)
    assert "fail" not in [each.name for each in frames]
    for error in (caught.value, second, first):
        (note,) = error.__notes__
        assert note.startswith(f"raised in {__file__}, line ")
    assert second.__traceback__ is first.__traceback__ is None
