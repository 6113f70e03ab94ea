"""Create, delegate, refresh and revoke against the same work by hand, at the same power safety."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

from pydantic import BaseModel

from clawguard import Verifier

from .harness import Pair, Result, Setting, alternate, benchmark, pair
from .raw import SCOPES, RawStore, open_manager


@benchmark("create")
def create(setting: Setting) -> Iterator[Result]:
    """create, persisted, chained and signalled"""
    raw = RawStore(setting.path("create-raw"))
    raw.level("NORMAL")
    with open_manager(setting.path("create")) as manager:
        found = pair(
            lambda: manager.create("planner", scopes=SCOPES),
            raw.create,
            rounds=setting.size(41, 15),
            number=20,
        )
    raw.close()
    yield found.against("create, to PyJWT encode + two inserts by hand", 2.0)


@benchmark("delegate")
def delegate(setting: Setting) -> Iterator[Result]:
    """delegate from a record and from a token never seen before, against create and one miss"""
    rounds, number = setting.size(31, 11), 20
    path = setting.path("delegate")
    with open_manager(path) as manager, Verifier.open(path) as verifier:
        issued = [manager.create("planner", scopes=SCOPES) for _ in range(rounds * number + 1)]
        parents, tokens, others = iter(issued), iter(issued), iter(issued)

        def miss() -> object:
            return verifier.validate(next(others).token)

        made, seen, recorded, carried = alternate(
            lambda: manager.create("planner", scopes=SCOPES),
            miss,
            lambda: manager.delegate(next(parents), "helper", scopes="docs:read"),
            lambda: manager.delegate(next(tokens).token, "helper", scopes="docs:read"),
            rounds=rounds,
            number=number,
        )
    yield Pair(recorded, made).against("delegate from a record, to create", 1.3)
    allowed = [1.3 * create + miss for create, miss in zip(made, seen, strict=True)]
    yield Pair(carried, allowed).against("delegate from a token, to 1.3 create + one miss", 1.0)


@benchmark("refresh")
def refresh(setting: Setting) -> Iterator[Result]:
    """refresh, power-safe"""
    raw = RawStore(setting.path("refresh-raw"))
    raw.level("NORMAL")
    by_hand, generations = raw.create(), count(1)
    raw.level("FULL")
    with open_manager(setting.path("refresh")) as manager:
        session = manager.create("planner", scopes=SCOPES)
        found = pair(
            lambda: manager.refresh(session),
            lambda: raw.refresh(by_hand, next(generations)),
            rounds=setting.size(31, 11),
            number=15,
        )
    raw.close()
    yield found.against("refresh, to PyJWT encode + the statements by hand", 1.6)


@benchmark("revoke")
def revoke(setting: Setting) -> Iterator[Result]:
    """revoke of a session without children, power-safe"""
    rounds, number = setting.size(31, 11), 15
    raw = RawStore(setting.path("revoke-raw"))
    raw.level("NORMAL")
    by_hand = iter([raw.create() for _ in range(rounds * number + 1)])
    raw.level("FULL")
    raw.checkpoint()
    with open_manager(setting.path("revoke")) as manager:
        issued = iter([manager.create("planner", scopes=SCOPES) for _ in range(rounds * number + 1)])
        found = pair(
            lambda: manager.revoke(next(issued)),
            lambda: raw.revoke(next(by_hand)),
            rounds=rounds,
            number=number,
        )
    raw.close()
    yield found.against("revoke, to the statements by hand", 1.6)


class _Added(BaseModel):
    text: str


@benchmark("publish")
def publish(setting: Setting) -> Iterator[Result]:
    """publish an event of the host's own, power-safe"""
    raw = RawStore(setting.path("publish-raw"))
    raw.level("FULL")
    payload = _Added(text="the meeting is at noon")
    with open_manager(setting.path("publish")) as manager:
        manager.events.register("memory.added", _Added)
        found = pair(
            lambda: manager.publish("memory.added", payload),
            raw.publish,
            rounds=setting.size(61, 21),
            number=50,
        )
    raw.close()
    yield found.against("publish, to one raw commit", 1.5)


@benchmark("turn")
def turn(setting: Setting) -> Iterator[Result]:
    """a turn that nobody else wants, against setting the state twice by hand"""
    with open_manager(setting.path("turn")) as manager:
        session = manager.create("planner", scopes=SCOPES)

        def take() -> None:
            with manager.activity.turn(session):
                pass

        def by_hand() -> None:
            manager.activity.set_state(session, "running", turn_id="t")
            manager.activity.set_state(session, "idle")

        found = pair(take, by_hand, rounds=setting.size(61, 21), number=20)
    yield found.against("turn without contention, to setting the state twice", 1.75)
