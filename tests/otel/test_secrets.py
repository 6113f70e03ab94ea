"""What is never told, whatever is shown to whichever verb."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from hashlib import sha256
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from clawguard import ClawguardError, SessionManager
from clawguard.guard import DPoPProof, ProofKey
from tests.clocks import FakeClock
from tests.openers import KEK, open_manager
from tests.otel.telemetry import POLICY, Telemetry

SHOWN = ("validate", "delegate", "redeem", "refresh", "revoke", "end", "invalidate", "use", "authorize")


@settings(max_examples=30)
@given(
    calls=st.lists(st.tuples(st.sampled_from(SHOWN), st.integers(0, 11), st.booleans()), max_size=25),
    share=st.sampled_from((0.0, 1.0)),
)
def test_no_secret_and_no_free_text_is_ever_told(calls: list[tuple[str, int, bool]], share: float) -> None:
    """Show every kind of secret to every verb, in its place and in others, and read all that was exported."""
    clock = FakeClock()
    telemetry, key = Telemetry(), ProofKey.generate(clock=clock)
    url = "https://api.example.com/docs"
    private: dict[str, Any] = {
        "name": "hidden-name",
        "key": "hidden-key",
        "metadata": {"hidden": "hidden-value"},
    }
    with open_manager(policy=POLICY, clock=clock) as manager, telemetry.watch(manager, share=share):
        plain = manager.create("planner", scopes="docs:read x", refreshable=True, **private)
        bound = manager.create("holder", scopes="docs:read", cnf=key.cnf, refreshable=True)
        child = manager.delegate(plain, "helper", scopes="docs:read", request_id="hidden-request")
        goes_with = [None if verb == "redeem" else bound.token for verb, *_ in (*calls, ("validate",))]
        proofs = [key.proof(method="GET", url=url, token=token) for token in goes_with]
        manager.validate(bound.token, proof=DPoPProof(proofs[-1], method="GET", url=url))
        issued = [plain, bound, child]
        forged = replace(plain.as_context(), session_id=plain.token[:250])
        shown: list[Any] = [
            plain.token, bound.token, child.token, plain.refresh_token, bound.refresh_token, plain.jti,
            proofs[0], plain, child.id, bound.as_context(), forged, child.as_context(),
        ]  # fmt: skip
        for number, (verb, index, proves) in enumerate(calls):
            proof = DPoPProof(proofs[number], method="GET", url=url) if proves else None
            with suppress(ClawguardError, TypeError):
                issued.extend(each for each in [show(manager, verb, shown[index], proof)] if each is not None)
        manager.revoke_all_for_agent("helper", reason="hidden-reason")
        manager.agents.disable("holder", reason="hidden-reason", actor="hidden-actor")
        for text in (plain.refresh_token, plain.token, bound.refresh_token):
            mistake(manager, text)
        manager.keys.rotate(emergency=True)
        manager.reload_policy(POLICY)
        for each in issued:
            with suppress(ClawguardError):
                manager.validate(each.token)
        signer = manager._parts.guard.ring.require_signer()
        jtis = {row.jti for row in manager.sessions.iter()} | {each.jti for each in issued}
    told = telemetry.everything()
    assert "planner" in told
    secrets = {part for each in issued for part in each.token.split(".")[1:]} | jtis
    secrets |= {each.refresh_token[-43:] for each in issued if each.refresh_token}
    secrets |= {sha256(each.token.encode()).hexdigest() for each in issued}
    secrets |= {part for proof in proofs for part in proof.split(".")[1:]}
    secrets |= {signer.private_bytes().hex(), KEK.hex(), repr(KEK), plain.token[:250], "hidden"}
    assert not [secret for secret in secrets if secret in told]


def mistake(manager: SessionManager, text: str | None) -> None:
    """Name what is no agent as one."""
    for ends in (manager.revoke_all_for_agent, manager.agents.disable, manager.agents.enable):
        with suppress(ClawguardError):
            ends(text or "")
    with suppress(ClawguardError):
        manager.revoke_where(agent_id=text or "")


def show(manager: SessionManager, verb: str, given: Any, proof: DPoPProof | None) -> Any:
    """Call a verb with anything; return what it issued."""
    if verb == "use":
        with manager.use(given, proof=proof, end=True):
            return None
    if verb == "delegate":
        return manager.delegate(given, "below", scopes="docs:read", cnf=None)
    if verb == "authorize":
        manager.authorize(given, "docs:read", resource="hidden-resource")
        return None
    given_too: dict[str, Any] = {"proof": proof} if verb in ("validate", "redeem") else {}
    if verb == "revoke":
        given_too = {"reason": "hidden-reason"}
    result = getattr(manager, verb)(given, **given_too)
    return result if verb in ("refresh", "redeem") else None
