"""What the charts show, held against what happened."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clawguard import InsufficientScope, SessionManager
from clawguard.server.console import tallies
from clawguard.server.console.tallies import Tallies
from tests.clocks import FakeClock
from tests.openers import open_manager
from tests.server.scene import Scene

ACTS = st.lists(
    st.tuples(st.sampled_from(["create", "elsewhere", "revoke", "deny"]), st.integers(0, 200)), max_size=40
)


def read(manager: SessionManager, clock: FakeClock, *, minutes: int = 60, step: int = 1) -> Any:
    return Tallies(manager.events, now=clock.now).read("default", minutes=minutes, step=step)


def total(counted: Any) -> Counter[str]:
    return sum((counts for _, counts in counted), Counter())


@settings(max_examples=15)
@given(acts=ACTS)
def test_every_act_of_the_last_hour_is_counted_in_its_minute(acts: list[tuple[str, int]]) -> None:
    clock = FakeClock()
    expected: dict[int, Counter[str]] = {}
    with open_manager(clock=clock) as manager:
        kept = Tallies(manager.events, now=clock.now)
        living: list[Any] = []
        for act, pause in acts:
            clock.advance(pause)
            minute = expected.setdefault(clock.now() // 60_000_000 * 60, Counter())
            if act == "create":
                living.append(manager.create("bot", scopes="docs:read", ttl=86_400))
                minute["created"] += 1
            elif act == "elsewhere":
                manager.create("bot", scopes="docs:read", workspace_id="acme")
            elif act == "revoke" and living:
                manager.revoke(living.pop())
                minute["ended:revoked"] += 1
            kept.read("default", minutes=60, step=1)  # read on and on, and at once: both agree
        counted = kept.read("default", minutes=60, step=1)
        assert counted == read(manager, clock)
    begin = counted[0][0]
    shown = {at: counts for at, counts in counted if counts}
    assert shown == {at: counts for at, counts in expected.items() if counts and at >= begin}


def test_steps_add_minutes_up(clock: FakeClock) -> None:
    with open_manager(clock=clock) as manager:
        for _ in range(30):
            manager.create("bot", scopes="docs:read", ttl=86_400)
            clock.advance(60)
        fine, coarse = read(manager, clock), read(manager, clock, minutes=24 * 60, step=15)
    assert len(fine) == 60
    assert len(coarse) == 96
    assert total(fine) == total(coarse) == {"created": 30}
    assert all(at % 900 == 0 for at, _ in coarse)


def test_denials_are_counted_as_often_as_they_happened(clock: FakeClock) -> None:
    with open_manager(clock=clock) as manager:
        session = manager.create("bot", scopes="docs:read")
        for _ in range(5):
            with pytest.raises(InsufficientScope):
                manager.validate(session.token, require="docs:write")
        manager.prune_expired()
        clock.advance(90)
        manager.prune_expired()
        assert total(read(manager, clock))["denied"] == 5


def test_what_lies_before_the_day_or_in_an_archive_is_not_read(clock: FakeClock, tmp_path: Path) -> None:
    with open_manager(tmp_path / "a.db", clock=clock) as manager:
        for _ in range(20):
            manager.create("old", scopes="docs:read", ttl=864_000, max_lifetime=864_000)
            clock.advance(3_600 * 2)
        assert total(read(manager, clock, minutes=24 * 60, step=15)) == {"created": 11}
        kept = Tallies(manager.events, now=clock.now)
        kept.read("default", minutes=60, step=1)
        late = manager.create("late", scopes="docs:read")
        clock.advance(60)
        manager.create("latest", scopes="docs:read")
        manager.events.archive(late.created_at, tmp_path / "archive.jsonl")
        assert total(kept.read("default", minutes=60, step=1)) == {"created": 2}
        assert total(read(manager, clock, minutes=24 * 60, step=15)) == {"created": 2}


def test_a_long_log_is_read_over_several_questions(clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tallies, "_PAGE", 3)
    monkeypatch.setattr(tallies, "_PAGES", 2)
    with open_manager(clock=clock) as manager:
        for _ in range(10):
            manager.create("bot", scopes="docs:read")
        kept = Tallies(manager.events, now=clock.now)
        found = [total(kept.read("default", minutes=60, step=1))["created"] for _ in range(3)]
    assert found == [6, 10, 10]


def test_so_many_workspaces_are_kept_and_no_more(clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tallies, "_WORKSPACES", 2)
    with open_manager(clock=clock) as manager:
        kept = Tallies(manager.events, now=clock.now)
        for name in ("a", "b", "c"):
            manager.create("bot", scopes="docs:read", workspace_id=name)
            assert total(kept.read(name, minutes=60, step=1)) == {"created": 1}
        assert list(kept._kept) == ["b", "c"]
        assert total(kept.read("a", minutes=60, step=1)) == {"created": 1}


def test_how_many_were_live_is_reckoned_back_from_how_many_are(scene: Scene, clock: FakeClock) -> None:
    first = [scene.manager.create("bot", scopes="docs:read", ttl=86_400) for _ in range(3)]
    clock.advance(60)
    scene.manager.revoke(first[0])
    clock.advance(60)
    scene.manager.create("bot", scopes="docs:read", ttl=86_400)
    told = data(scene).json()
    assert told["live"][-4:] == [0, 4, 3, 4]  # and the admin's own
    assert told["created"][-3:] == [4, 0, 1]
    assert told["ended"] == {"revoked": [*[0] * 58, 1, 0]}
    assert len({len(each) for each in (told["at"], told["live"], told["created"], told["denied"])}) == 1


def data(scene: Scene) -> httpx.Response:
    answer = scene.get("/console/charts/data?span=hour")
    assert answer.status_code == 200
    return answer
