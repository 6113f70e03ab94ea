"""Which checks are measured: the share that was asked for, and every denial."""

from __future__ import annotations

from collections import Counter

from hypothesis import example, given, settings
from hypothesis import strategies as st
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

from clawguard.guard import ProofKey
from tests.openers import open_manager
from tests.otel.telemetry import POLICY, Telemetry, refused


@settings(max_examples=20)
@given(share=st.floats(0, 1), calls=st.integers(1, 400), every=st.integers(1, 7), first=st.integers(0, 6))
@example(share=0.5, calls=400, every=2, first=1)  # by "one in two" it would be all or nothing
@example(share=0.1, calls=400, every=5, first=3)
def test_the_share_that_is_measured_is_the_one_asked_for_also_of_every_nth_call(
    share: float, calls: int, every: int, first: int
) -> None:
    telemetry = Telemetry()
    with open_manager() as manager:
        tokens = [manager.create(f"agent-{number}", scopes="x").token for number in range(every)]
        with telemetry.watch(manager, share=share):
            for number in range(calls):
                manager.validate(tokens[number % every])
    whose = Counter(span.attributes["gen_ai.agent.id"] for span in telemetry.spans if span.attributes)
    mine, theirs = whose[f"agent-{first % every}"], len(range(first % every, calls, every))
    assert abs(len(telemetry.spans) - share * calls) <= 4
    assert abs(mine - share * theirs) <= 6
    assert telemetry.count("operation.duration", operation="validate") == len(telemetry.spans)


def test_a_denial_always_has_a_span_and_a_token_of_nobodys_only_its_share(telemetry: Telemetry) -> None:
    with open_manager(policy=POLICY) as manager:
        made = manager.create("planner", scopes="docs:read mail:send")
        old = manager.create("helper", scopes="docs:read")
        bound = manager.create("holder", scopes="docs:read", cnf=ProofKey.generate().cnf)
        manager.refresh(old)
        with telemetry.watch(manager, share=0.0), telemetry.request() as request:
            context = manager.validate(made.token)
            assert manager.authorize(context, "docs:read")
            for _ in range(3):
                refused(manager.validate, "x.y.z")
            assert telemetry.names() == []
            assert not manager.authorize(context, "mail:send")
            refused(manager.validate, made.token, require="a:b")
            refused(manager.validate, old.token)
            refused(manager.validate, bound.token)
            manager.revoke(made)
            refused(manager.validate, made.token)
    assert telemetry.names() == ["authorize", *["validate"] * 3, "revoke", "validate", "request"]
    *denials, _ = (span for span in telemetry.spans if span.name != "clawguard.revoke")
    kinds = [(span.attributes or {}).get("error.type") for span in denials]
    assert kinds == [None, "insufficient_scope", "token_superseded", "invalid_proof", "session_ended"]
    assert telemetry.told("authorize") == {
        "session.id": made.id, "clawguard.action": "mail:send", "clawguard.allowed": False,
    }  # fmt: skip
    for span in denials:
        assert span.parent is not None
        assert span.parent.span_id == request.get_span_context().span_id
        assert request.start_time <= (span.start_time or 0) + 1_000
        assert (span.start_time or 0) <= (span.end_time or 0)
    assert telemetry.count("refusals", operation="validate", error="invalid_token") == 3
    assert telemetry.count("refusals", operation="authorize", error="policy_denied") == 1
    assert telemetry.count("refusals", operation="validate", error="session_ended") == 1
    assert telemetry.count("operation.duration", operation="validate") == 0


def test_the_tracers_sampler_has_no_say_in_what_is_measured() -> None:
    telemetry = Telemetry(sampler=ALWAYS_OFF)
    with open_manager() as manager, telemetry.watch(manager):
        token = manager.create("planner", scopes="x").token
        for _ in range(7):
            manager.validate(token)
    assert telemetry.spans == []
    assert telemetry.count("operation.duration", operation="validate") == 7
