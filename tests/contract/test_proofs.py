"""Bound sessions: a token that is worth nothing without its key, wherever and however it is shown."""

from __future__ import annotations

import asyncio
import multiprocessing
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from clawguard import (
    AsyncSessionManager,
    DelegationRefused,
    InsufficientScope,
    InvalidArgument,
    InvalidToken,
    IssuedSession,
    SessionEnded,
    SessionManager,
    TokenSuperseded,
    Verifier,
    current_session,
)
from clawguard.errors import ClockError, InvalidProof
from clawguard.guard import CertificateProof, DPoPProof, ProofKey
from tests.certificates import certificate
from tests.clocks import FakeClock
from tests.contract.conftest import on_a_file
from tests.openers import open_manager, rows

URL = "https://api.example.com/mail"


@pytest.fixture
def key(clock: FakeClock) -> ProofKey:
    return ProofKey.generate(clock=clock)


def shown(key: ProofKey, token: str | None) -> DPoPProof:
    """Return a fresh proof of a request with a token, as a server reads it."""
    return DPoPProof(key.proof(method="GET", url=URL, token=token), method="GET", url=URL)


def reasons(manager: SessionManager) -> list[str | None]:
    manager.prune_expired()
    return [event.reason for event in manager.events.read(types="guard.denied")]


def test_a_bound_token_is_valid_with_a_proof_of_its_key(manager: SessionManager, key: ProofKey) -> None:
    bound = manager.create("a", scopes="x y", cnf=key.cnf)
    for _ in range(3):  # from the memory too
        assert manager.validate(bound.token, require="x", proof=shown(key, bound.token)).agent_id == "a"
    inspection = manager.inspect(bound.token)
    assert inspection.verdict == "active"
    assert inspection.claims is not None
    assert inspection.claims["cnf"] == key.cnf == manager.get_session(bound).cnf
    assert bound.headers() == {"Authorization": f"DPoP {bound.token}"}


def test_attack_58_a_bound_token_is_no_bearer_token(manager: SessionManager, key: ProofKey) -> None:
    bound = manager.create("a", scopes="x", cnf=key.cnf)
    for _ in range(2):
        with pytest.raises(InvalidProof):
            manager.validate(bound.token)
        with pytest.raises(InvalidProof), manager.use(bound.token):
            pass
        with pytest.raises(InvalidProof):
            manager.delegate(bound.token, "b", scopes="x", cnf=key.cnf)
        with pytest.raises(InvalidToken):
            manager.validate(bound.token, proof=CertificateProof(certificate("a")))
    assert set(reasons(manager)) == {"proof_missing"}


def test_who_has_the_token_alone_leaves_no_trace(
    manager: SessionManager, key: ProofKey, clock: FakeClock
) -> None:
    bound = manager.create("a", scopes="x", cnf=key.cnf, idle_timeout=100, max_uses=2)
    proof = shown(key, bound.token)
    manager.validate(bound.token, proof=proof, source="home")
    manager.prune_expired()
    before = manager.get_session(bound)
    clock.advance(50)
    for thief in (None, shown(ProofKey.generate(clock=clock), bound.token), proof):
        with pytest.raises(InvalidProof):
            manager.validate(bound.token, proof=thief, source="abroad")
    manager.prune_expired()
    assert manager.get_session(bound) == before
    assert before.uses_left == 1


def test_attack_59_a_proof_is_good_once(manager: SessionManager, key: ProofKey) -> None:
    bound = manager.create("a", scopes="x", cnf=key.cnf)
    proof = shown(key, bound.token)
    manager.validate(bound.token, proof=proof)
    with pytest.raises(InvalidProof):
        manager.validate(bound.token, proof=proof)
    assert reasons(manager) == ["proof_replayed"]


def test_a_proof_is_taken_last_of_all(manager: SessionManager, key: ProofKey) -> None:
    bound = manager.create("a", scopes="x", cnf=key.cnf)
    proof = shown(key, bound.token)
    with pytest.raises(InsufficientScope):
        manager.validate(bound.token, require="y", proof=proof)
    manager.validate(bound.token, proof=proof)


def test_attack_59_a_proof_for_another_token_or_request(manager: SessionManager, key: ProofKey) -> None:
    bound, other = (manager.create("a", scopes="x", cnf=key.cnf) for _ in range(2))
    text = key.proof(method="GET", url=URL, token=bound.token)
    for method, url in (("POST", URL), ("GET", URL + "/all")):
        with pytest.raises(InvalidProof):
            manager.validate(bound.token, proof=DPoPProof(text, method=method, url=url))
    with pytest.raises(InvalidProof):
        manager.validate(other.token, proof=shown(key, bound.token))
    with pytest.raises(InvalidProof):
        manager.validate(bound.token, proof=shown(key, None))
    assert manager.validate(bound.token, proof=DPoPProof(text, method="GET", url=URL))
    assert set(reasons(manager)) == {"proof_request", "proof_token"}


def test_attack_59_a_stale_or_future_proof(manager: SessionManager, key: ProofKey, clock: FakeClock) -> None:
    bound = manager.create("a", scopes="x", cnf=key.cnf)
    stale = shown(key, bound.token)
    clock.advance(61)
    with pytest.raises(InvalidProof):
        manager.validate(bound.token, proof=stale)
    ahead = ProofKey(key._key, clock=FakeClock(clock.at + 6_000_000))
    with pytest.raises(InvalidProof):
        manager.validate(bound.token, proof=shown(ahead, bound.token))
    assert set(reasons(manager)) == {"proof_time"}


def test_a_proof_is_remembered_for_as_long_as_any_clock_would_take_it(
    manager: SessionManager, key: ProofKey, clock: FakeClock
) -> None:
    bound = manager.create("a", scopes="x", cnf=key.cnf)
    proof = shown(key, bound.token)
    manager.validate(bound.token, proof=proof)
    clock.advance(64)
    manager.prune_expired()  # too old by now, but the clock may yet be set back
    clock.set_back(4.5)
    with pytest.raises(InvalidProof):
        manager.validate(bound.token, proof=proof)
    assert "proof_replayed" in reasons(manager)
    clock.advance(7)
    manager.prune_expired()
    assert not manager._store.read("proof.any_stale", before=2**62)


def test_a_mistaken_source_takes_neither_proof_nor_use(manager: SessionManager, key: ProofKey) -> None:
    bound = manager.create("a", scopes="x", cnf=key.cnf, max_uses=1)
    proof = shown(key, bound.token)
    for source in ("10.0.0.1\n", "", 7):
        with pytest.raises(InvalidArgument, match="source"):
            manager.validate(bound.token, proof=proof, source=source)  # type: ignore[arg-type]
    assert manager.get_session(bound).uses_left == 1
    assert manager.validate(bound.token, proof=proof, source="10.0.0.1")


@pytest.mark.parametrize("is_replayed", [True, False])
def test_a_proof_that_got_too_old_while_it_waited_is_refused(
    manager: SessionManager,
    key: ProofKey,
    clock: FakeClock,
    monkeypatch: pytest.MonkeyPatch,
    is_replayed: bool,
) -> None:
    bound = manager.create("a", scopes="x", cnf=key.cnf)
    proof = shown(key, bound.token)
    if is_replayed:
        manager.validate(bound.token, proof=proof)
    plain = manager._guard.check_proof

    def stopped(*args: Any, **given: Any) -> Any:
        known = plain(*args, **given)
        clock.advance(70)  # whoever stopped it let it go on
        manager.prune_expired()
        return known

    monkeypatch.setattr(manager._guard, "check_proof", stopped)
    with pytest.raises(InvalidProof):
        manager.validate(bound.token, proof=proof)


def test_a_session_that_ended_while_its_proof_waited_is_refused(
    manager: SessionManager, key: ProofKey, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = manager._guard.check_proof
    meanwhile: list[Callable[[], object]] = []

    def stopped(*args: Any, **given: Any) -> Any:
        known = plain(*args, **given)
        if meanwhile:
            meanwhile.pop()()
        return known

    monkeypatch.setattr(manager._guard, "check_proof", stopped)
    revoked, old, renamed = (manager.create("a", scopes="x", cnf=key.cnf, ttl=30) for _ in range(3))
    meanwhile.append(lambda: manager.revoke(revoked))
    with pytest.raises(SessionEnded, match="revoked"):
        manager.validate(revoked.token, proof=shown(key, revoked.token))
    meanwhile.append(lambda: manager.activity.set_name(renamed, "n"))
    assert manager.validate(renamed.token, proof=shown(key, renamed.token))
    meanwhile.append(lambda: clock.advance(31))
    with pytest.raises(SessionEnded, match="ttl"):
        manager.validate(old.token, proof=shown(key, old.token))


def test_a_clock_that_was_ahead_does_not_make_used_proofs_new(
    database: str, key: ProofKey, clock: FakeClock
) -> None:
    ahead = FakeClock(clock.at)
    with open_manager(database, clock=clock) as manager, open_manager(database, clock=ahead) as hasty:
        bound = manager.create("a", scopes="x", cnf=key.cnf)
        proof = shown(key, bound.token)
        manager.validate(bound.token, proof=proof)
        ahead.advance(120)
        hasty.prune_expired()
        with pytest.raises(InvalidProof):
            manager.validate(bound.token, proof=proof)


def test_a_verifier_forgets_proofs_too(database: str, key: ProofKey, clock: FakeClock) -> None:
    with open_manager(database, clock=clock) as manager, Verifier.open(database, clock=clock) as verifier:
        bound = manager.create("a", scopes="x", cnf=key.cnf)
        verifier.validate(bound.token, proof=shown(key, bound.token))
        clock.advance(66)
        while rows(database, "SELECT * FROM proof_ids"):
            verifier._sweeper.kick()
            time.sleep(0.01)


def test_what_becomes_of_a_dump_changes_nothing(manager: SessionManager, key: ProofKey) -> None:
    bound = manager.create("a", scopes="x", cnf=key.cnf)
    thief = ProofKey.generate(clock=FakeClock())
    bound.to_dict()["cnf"]["jkt"] = thief.cnf["jkt"]
    assert bound.cnf == key.cnf
    bound.cnf["jkt"] = thief.cnf["jkt"]  # type: ignore[index]
    with pytest.raises(InvalidProof):
        manager.validate(bound.token, proof=shown(thief, bound.token))
    assert manager.validate(bound.token, proof=shown(key, bound.token))


def test_the_log_says_what_a_session_is_bound_to(manager: SessionManager, key: ProofKey) -> None:
    manager.create("a", scopes="x", cnf=key.cnf)
    manager.create("a", scopes="x")
    assert [event.data.get("cnf") for event in manager.events.read()] == [key.cnf, None]


def test_a_proof_beside_an_unbound_token_is_refused(manager: SessionManager, key: ProofKey) -> None:
    plain = manager.create("a", scopes="x")
    with pytest.raises(InvalidProof):
        manager.validate(plain.token, proof=shown(key, plain.token))
    assert manager.validate(plain.token, proof=CertificateProof(certificate("a")))
    context = manager.validate(plain.token)
    with pytest.raises(InvalidArgument, match="proof"):
        manager.validate(context, proof=shown(key, plain.token))


def test_a_token_bound_to_a_certificate_needs_that_certificate(manager: SessionManager) -> None:
    held, other = CertificateProof(certificate("a")), CertificateProof(certificate("b"))
    bound = manager.create("a", scopes="x", cnf={"x5t#S256": held.thumbprint})
    assert bound.headers() == {"Authorization": f"Bearer {bound.token}"}
    for _ in range(2):
        assert manager.validate(bound.token, proof=held)
        for proof in (None, other):
            with pytest.raises(InvalidProof):
                manager.validate(bound.token, proof=proof)


def test_a_session_in_use_is_bound_once_for_its_block(manager: SessionManager, key: ProofKey) -> None:
    bound = manager.create("a", scopes="x", cnf=key.cnf)
    with manager.use(bound.token, require="x", proof=shown(key, bound.token)):
        assert manager.validate(current_session(), require="x").session_id == bound.id
        child = manager.delegate(current_session(), "b", scopes="x", cnf=key.cnf)
    assert child.parent_id == bound.id


def test_below_a_bound_session_every_session_is_bound(manager: SessionManager, key: ProofKey) -> None:
    bound = manager.create("a", scopes="x", cnf=key.cnf)
    with pytest.raises(DelegationRefused, match="bound"):
        manager.delegate(bound, "b", scopes="x")
    own = ProofKey.generate(clock=FakeClock())
    child = manager.delegate(bound, "b", scopes="x", cnf=own.cnf)
    assert manager.validate(child.token, proof=shown(own, child.token))
    with pytest.raises(InvalidProof):
        manager.validate(child.token, proof=shown(key, child.token))
    free = manager.create("c", scopes="x")
    assert manager.delegate(free, "d", scopes="x", cnf=own.cnf).cnf == own.cnf


def test_the_binding_outlives_every_refresh(manager: SessionManager, key: ProofKey) -> None:
    bound = manager.create("a", scopes="x", cnf=key.cnf, refreshable=True)
    again = manager.refresh(bound)
    assert again.refresh_token is None
    assert bound.refresh_token is not None
    renewed = manager.redeem(bound.refresh_token, proof=shown(key, None))
    for session in (again, renewed):
        assert session.cnf == key.cnf
        with pytest.raises((InvalidProof, TokenSuperseded)):
            manager.validate(session.token)
    assert manager.validate(renewed.token, proof=shown(key, renewed.token))


def test_attack_68_redeeming_without_the_key(
    manager: SessionManager, key: ProofKey, clock: FakeClock
) -> None:
    bound = manager.create("a", scopes="x", cnf=key.cnf, refreshable=True)
    assert bound.refresh_token is not None
    thief = ProofKey.generate(clock=clock)
    for proof in (None, shown(thief, None), CertificateProof(certificate("a"))):
        with pytest.raises(InvalidProof):
            manager.redeem(bound.refresh_token, proof=proof)
    assert manager.get_session(bound).generation == 1
    first = manager.redeem(bound.refresh_token, proof=shown(key, None))
    with pytest.raises(InvalidProof):  # the grace is the holder's alone
        manager.redeem(bound.refresh_token, proof=shown(thief, None))
    again = manager.redeem(bound.refresh_token, proof=shown(key, None))
    assert (again.refresh_token, again.generation) == (first.refresh_token, first.generation)


def test_attack_59_a_proof_redeems_once(manager: SessionManager, key: ProofKey) -> None:
    bound = manager.create("a", scopes="x", cnf=key.cnf, refreshable=True)
    assert bound.refresh_token is not None
    proof = shown(key, None)
    renewed = manager.redeem(bound.refresh_token, proof=proof)
    assert renewed.refresh_token is not None
    for refresh_token in (bound.refresh_token, renewed.refresh_token):
        with pytest.raises(InvalidProof):
            manager.redeem(refresh_token, proof=proof)
    assert manager.get_session(bound).generation == 2
    assert manager.redeem(renewed.refresh_token, proof=shown(key, None)).generation == 3


def test_a_replayed_proof_redeems_nothing_and_moves_nothing(manager: SessionManager, key: ProofKey) -> None:
    bound = manager.create("a", scopes="x", cnf=key.cnf, refreshable=True)
    assert bound.refresh_token is not None
    proof = shown(key, None)
    manager.redeem(bound.refresh_token, proof=proof)
    manager.keys.rotate()  # so that the same generation would be signed anew
    before, log = manager.get_session(bound), manager.events.last()
    with pytest.raises(InvalidProof):
        manager.redeem(bound.refresh_token, proof=proof)
    assert (manager.get_session(bound), manager.events.last()) == (before, log)


def test_a_redeem_goes_by_the_clock_that_a_validate_goes_by(
    manager: SessionManager, key: ProofKey, clock: FakeClock
) -> None:
    bound = manager.create("a", scopes="x", cnf=key.cnf, refreshable=True)
    assert bound.refresh_token is not None
    proof = shown(key, None)
    other = manager.create("b", scopes="x")
    clock.advance(600)
    manager.validate(other.token)  # the log has nothing of that, but this process has seen it
    clock.set_back(595)
    with pytest.raises(ClockError):
        manager.redeem(bound.refresh_token, proof=proof)


def test_a_spent_refresh_token_ends_a_bound_family_whoever_shows_it(
    manager: SessionManager, key: ProofKey, clock: FakeClock
) -> None:
    bound = manager.create("a", scopes="x", cnf=key.cnf, refreshable=True)
    assert bound.refresh_token is not None
    manager.redeem(bound.refresh_token, proof=shown(key, None))
    clock.advance(11)
    with pytest.raises(SessionEnded, match="reuse"):
        manager.redeem(bound.refresh_token)


def test_a_repeated_request_is_for_the_same_key(manager: SessionManager, key: ProofKey) -> None:
    bound = manager.create("a", scopes="x", cnf=key.cnf, request_id="r")
    assert manager.create("a", scopes="x", cnf=key.cnf, request_id="r").id == bound.id
    for cnf in (None, ProofKey.generate().cnf):
        with pytest.raises(InvalidArgument, match="request_id"):
            manager.create("a", scopes="x", cnf=cnf, request_id="r")


@pytest.mark.parametrize("cnf", [{}, {"jkt": "short"}, {"jwk": {}}, "jkt", {"jkt": "A" * 43, "kid": "x"}])
def test_what_binds_to_nothing_is_refused_and_changes_nothing(manager: SessionManager, cnf: Any) -> None:
    with pytest.raises(InvalidArgument, match="cnf"):
        manager.create("a", scopes="x", cnf=cnf)
    assert manager.active_count() == 0


def test_a_row_whose_binding_was_taken_away_is_refused(
    database: str, key: ProofKey, clock: FakeClock
) -> None:
    with open_manager(database, clock=clock) as manager:
        bound = manager.create("a", scopes="x", cnf=key.cnf)
        plain = manager.create("a", scopes="x")
    with open_manager(database, clock=clock) as manager:  # nothing is remembered
        with manager._store.transaction(durable=True) as tx:
            tx._connection.execute("UPDATE sessions SET cnf = NULL WHERE cnf IS NOT NULL")  # type: ignore[attr-defined]
        for proof in (None, shown(key, bound.token)):
            with pytest.raises(InvalidToken):
                manager.validate(bound.token, proof=proof)
        assert manager.validate(plain.token)


def _show(database: str, token: str, text: str, answer: Any) -> None:
    with SessionManager.open(database, kek=bytes(range(32)), sweep_every=None) as manager:
        try:
            manager.validate(token, proof=DPoPProof(text, method="GET", url=URL))
        except InvalidProof:
            answer.put("refused")
        else:
            answer.put("taken")


def test_attack_59_one_proof_in_eight_processes_at_once(database: str) -> None:
    key = ProofKey.generate()
    with SessionManager.open(database, kek=bytes(range(32)), sweep_every=None) as manager:
        token = manager.create("a", scopes="x", cnf=key.cnf).token
    text = key.proof(method="GET", url=URL, token=token)
    context = multiprocessing.get_context("spawn")
    answer = context.Queue()
    processes = [context.Process(target=_show, args=(database, token, text, answer)) for _ in range(8)]
    for process in processes:
        process.start()
    verdicts = sorted(answer.get(timeout=60) for _ in processes)
    for process in processes:
        process.join(60)
    assert verdicts == ["refused"] * 7 + ["taken"]
    assert len(rows(database, "SELECT digest FROM proof_ids")) == 1


@on_a_file
def test_nothing_of_a_proof_is_written(database: str, key: ProofKey, clock: FakeClock) -> None:
    path = Path(database)
    with open_manager(path, clock=clock) as manager:
        bound = manager.create("a", scopes="x", cnf=key.cnf)
        text = key.proof(method="GET", url=URL, token=bound.token)
        manager.validate(bound.token, proof=DPoPProof(text, method="GET", url=URL))
        with pytest.raises(InvalidProof) as caught:
            manager.validate(bound.token, proof=DPoPProof(text, method="GET", url=URL))
        manager.prune_expired()
    assert caught.value.__context__ is None
    assert text not in repr(caught.value)
    stored = b"".join(each.read_bytes() for each in path.parent.iterdir() if each.is_file())
    assert all(part.encode() not in stored for part in text.split("."))


def test_async_code_shows_proofs_too(key: ProofKey, clock: FakeClock) -> None:
    async def scene(run: Callable[[], IssuedSession]) -> None:
        async with AsyncSessionManager(manager) as wrapped:
            bound = run()
            context = await wrapped.validate(bound.token, require="x", proof=shown(key, bound.token))
            assert context.session_id == bound.id
            with pytest.raises(InvalidProof):
                await wrapped.validate(bound.token)
            async with wrapped.use(bound.token, proof=shown(key, bound.token)) as inside:
                assert inside == current_session()

    with open_manager(clock=clock) as manager:
        asyncio.run(scene(lambda: manager.create("a", scopes="x", cnf=key.cnf)))


def test_no_proof_is_forgotten_nor_refused_while_it_may_be_shown(
    manager: SessionManager, key: ProofKey, clock: FakeClock
) -> None:
    bound = manager.create("a", scopes="x", cnf=key.cnf)
    first, second = shown(key, bound.token), shown(key, bound.token)
    manager.validate(bound.token, proof=first)
    clock.advance(59)
    manager.prune_expired()
    assert manager.validate(bound.token, proof=second)
    for proof in (first, second):
        with pytest.raises(InvalidProof):
            manager.validate(bound.token, proof=proof)
    assert set(reasons(manager)) == {"proof_replayed"}
