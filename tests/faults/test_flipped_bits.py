"""Flipped bits: no bit of a genuine token can be another one, wherever it stands and whatever key signed."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from clawguard.clock import SECOND
from clawguard.guard import Algorithm, Guard, SigningKey, TokenFault, VerifyingKey
from clawguard.guard.keys import ALGORITHMS
from tests.faults.lab import report, sizes
from tests.guard.forge import (
    AUDIENCE,
    ISSUER,
    LEEWAY,
    NOW,
    PARENT,
    ROOT,
    SESSION,
    act,
    claims,
    forge,
    ring_of,
    signer,
)

_SEED = 20_260_922


def _guard(key: SigningKey) -> Guard:
    return Guard(issuer=ISSUER, audience=AUDIENCE, audiences=[AUDIENCE], ring=ring_of(key), leeway=LEEWAY)


def _tokens(key: SigningKey, count: int) -> Iterator[str]:
    """Yield tokens that differ in all that callers choose: bound or not, of a chain or of none."""
    chance = random.Random(_SEED)
    chain = act(("agent:planner", SESSION), ("agent:lead", PARENT), ("agent:root", ROOT))
    for number in range(count):
        scopes = sorted({f"docs:{chance.randrange(10_000)}" for _ in range(chance.randint(0, 6))})
        yield forge(
            claims(
                sub=f"user:{number}",
                scope=" ".join(scopes),
                gen=number + 1,
                act=chance.choice((None, None, None, chain)),
                cnf=chance.choice((None, None, None, {"jkt": key.kid})),
            ),
            key=key,
        )


def _is_accepted(guard: Guard, token: str) -> bool:
    try:
        guard.verify(token, audience=None, now=NOW * SECOND)
    except TokenFault:
        return False
    return True


def _flipped(token: str) -> Iterator[str]:
    """Yield the token with each of its bits flipped in turn."""
    for bit in range(len(token) * 8):
        altered = bytearray(token.encode())
        altered[bit // 8] ^= 1 << bit % 8
        yield altered.decode("latin-1")


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("tokens", sizes(1, 1_000, timeout=7_200))
def test_every_flipped_bit_is_refused(algorithm: Algorithm, tokens: int) -> None:
    key = signer(algorithm)
    guard, flips, accepted = _guard(key), 0, 0
    for token in _tokens(key, tokens):
        assert _is_accepted(guard, token)
        for altered in _flipped(token):
            flips += 1
            accepted += _is_accepted(guard, altered)
    report("G-CLOSED, flipped bits", algorithm=algorithm, tokens=tokens, flips=flips, accepted=accepted)
    assert accepted == 0


@pytest.mark.control
def test_a_guard_that_checks_no_signature_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    key = signer()
    (token,) = _tokens(key, 1)
    monkeypatch.setattr(VerifyingKey, "verify", lambda *_: True)
    told = [_is_accepted(_guard(key), altered) for altered in _flipped(token)]
    report("G-CLOSED, flipped bits, control: no signature", flips=len(told), accepted=sum(told))
    assert sum(told) > 100
