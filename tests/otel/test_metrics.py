"""Metrics: what they count, once each, and how few series they are."""

from __future__ import annotations

from pathlib import Path

import pytest

from clawguard import SessionManager
from clawguard.models import CAUSES
from tests.clocks import FakeClock
from tests.openers import open_manager
from tests.otel.telemetry import POLICY, WATCHED, Telemetry, refused

LABELS = {"clawguard.operation", "clawguard.cause", "error.type"}


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_every_refusal_is_counted_once_measured_or_not(share: float, telemetry: Telemetry) -> None:
    with open_manager(policy=POLICY) as manager:
        made = manager.create("planner", scopes="docs:read")
        with telemetry.watch(manager, share=share):
            for _ in range(5):
                refused(manager.validate, made.token, require="mail:send")
                refused(manager.validate, "x.y.z")
                assert not manager.authorize(made.as_context(), "mail:send")
            refused(manager.create, "planner", scopes="Not A Scope")
    assert telemetry.count("refusals", operation="validate", error="insufficient_scope") == 5
    assert telemetry.count("refusals", operation="validate", error="invalid_token") == 5
    assert telemetry.count("refusals", operation="authorize", error="policy_denied") == 5
    assert telemetry.count("refusals", operation="create", error="invalid_argument") == 1
    measured = telemetry.count("operation.duration", operation="validate", error="invalid_token")
    assert measured == 5 * share


def test_sessions_are_counted_as_they_are_made_refreshed_and_ended(telemetry: Telemetry) -> None:
    clock = FakeClock()
    with open_manager(clock=clock) as manager, telemetry.watch(manager):
        root = manager.create("planner", scopes="x", refreshable=True, request_id="one")
        manager.create("planner", scopes="x", refreshable=True, request_id="one")  # the same again
        for _ in range(3):
            manager.delegate(root, "helper", scopes="x")
        family = manager.create("planner", scopes="x", refreshable=True)
        manager.redeem(family.refresh_token or "")
        manager.redeem(family.refresh_token or "")  # within the grace: the same again
        manager.refresh(family)
        manager.revoke(root)
        manager.revoke(root)
        for _ in range(2):
            manager.create("late", scopes="x", ttl=60)
        clock.advance(61)
        assert manager.prune_expired() == 2
    assert telemetry.count("sessions.created", operation="create") == 4
    assert telemetry.count("sessions.created", operation="delegate") == 3
    assert telemetry.count("sessions.refreshed") == 2
    assert telemetry.count("sessions.ended", cause="revoked") == 1
    assert telemetry.count("sessions.ended", cause="parent") == 3
    assert telemetry.count("sessions.ended", cause="ttl") == 2


def test_a_process_counts_its_own_and_every_end_counts_once(tmp_path: Path) -> None:
    path, clock = tmp_path / "clawguard.db", FakeClock()
    mine, theirs = Telemetry(), Telemetry()
    with (
        open_manager(path, clock=clock) as one, open_manager(path, clock=clock) as other,
        mine.watch(one), theirs.watch(other),
    ):  # fmt: skip
        sessions = [one.create("planner", scopes="x", ttl=60) for _ in range(6)]
        for session in sessions[:2]:
            other.revoke(session)
            one.revoke(session)
        clock.advance(61)
        assert one.prune_expired() + other.prune_expired() == 4
    assert mine.count("sessions.created", operation="create") == 6
    assert theirs.count("sessions.created", operation="create") == 0
    for cause, ended in (("revoked", 2), ("ttl", 4)):
        assert (
            mine.count("sessions.ended", cause=cause) + theirs.count("sessions.ended", cause=cause) == ended
        )


def test_closing_counts_what_was_committed_before(tmp_path: Path, telemetry: Telemetry) -> None:
    with SessionManager.open(tmp_path / "clawguard.db") as manager:
        with telemetry.watch(manager):
            for _ in range(50):
                manager.create("planner", scopes="x")
        manager.create("planner", scopes="x")
        manager.events.flush(10)
    assert telemetry.count("sessions.created", operation="create") == 50


def test_durations_are_told_apart_from_microseconds_to_seconds(
    manager: SessionManager, telemetry: Telemetry
) -> None:
    with telemetry.watch(manager):
        manager.validate(manager.create("planner", scopes="x").token)
    bounds = telemetry.bounds("operation.duration")
    assert bounds[0] <= 1e-5
    assert bounds[-1] >= 1.0
    assert list(bounds) == sorted(bounds)


def test_managers_that_share_providers_add_up(telemetry: Telemetry) -> None:
    with open_manager() as one, open_manager() as other, telemetry.watch(one), telemetry.watch(other):
        one.create("planner", scopes="x")
        other.create("planner", scopes="x")
    assert telemetry.count("sessions.created", operation="create") == 2


def test_no_metric_has_a_label_that_grows_with_sessions_agents_or_workspaces(telemetry: Telemetry) -> None:
    with open_manager(policy=POLICY) as manager, telemetry.watch(manager):
        for number in range(20):
            made = manager.create(f"agent-{number}", scopes="docs:read", workspace_id=f"tenant-{number}")
            child = manager.delegate(made, f"helper-{number}", scopes="docs:read")
            context = manager.validate(child.token, source=f"192.0.2.{number}")
            manager.authorize(context, f"mail:{number}")
            refused(manager.validate, child.token, require=f"scope:{number}")
            refused(manager.revoke, f"unknown-{number}")
            manager.revoke(made, reason=f"reason {number}")
            refused(manager.validate, child.token)
    points = telemetry.points()
    assert {label for _, labels in points for label, _ in labels} <= LABELS
    for _, labels in points:
        values = dict(labels)
        assert values.get("clawguard.operation", "create") in WATCHED
        assert values.get("clawguard.cause", "ttl") in CAUSES
    assert len(points) < 20
