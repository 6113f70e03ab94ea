"""Events of the host's own: registered, checked, in the log, on the bus; bad ones change nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from traceback import format_exception
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, Field, RootModel, SecretStr, field_validator

from clawguard import Event, InvalidArgument, SessionManager, SessionNotFound, Verifier
from clawguard.sessions.references import SessionRef
from tests.clocks import FakeClock
from tests.openers import open_manager
from tests.subscribing import until

SECRET = "hunter2-hunter2"


class Added(BaseModel):
    text: str
    weight: int = 1
    at: datetime | None = None
    password: SecretStr | None = None

    @field_validator("text")
    @classmethod
    def _not_forbidden(cls, text: str) -> str:
        if text.startswith("hunter2"):
            raise ValueError(f"{text} is forbidden")
        return text


class Picky(BaseModel):
    """A model that takes what cannot be written as JSON."""

    model_config = {"arbitrary_types_allowed": True}
    thing: object


class Strict(BaseModel):
    model_config = {"extra": "forbid"}
    counts: dict[str, int] = {}
    broken: str = ""

    @field_validator("broken")
    @classmethod
    def _fail(cls, text: str) -> str:
        raise KeyError(text)


class Hostile(Mapping[str, Any]):
    def __getitem__(self, name: str) -> Any:
        raise RuntimeError(SECRET)

    def __iter__(self) -> Iterator[str]:
        raise RuntimeError(SECRET)

    def __len__(self) -> int:
        return 1


class More(Added):
    beside: str = SECRET


class Unfinished(BaseModel):
    part: Missing  # type: ignore[name-defined]  # noqa: F821


class Aliased(BaseModel):
    count: int = Field(alias="theCount")


@pytest.fixture
def publisher(manager: SessionManager) -> SessionManager:
    manager.events.register("memory.added", Added)
    manager.events.register("note.taken")
    return manager


def test_a_published_event_is_in_the_log_and_heard_on_every_way(publisher: SessionManager) -> None:
    live: list[Event] = []
    durable: list[Event] = []
    signalled: list[Event] = []
    publisher.on("memory.*", live.append)
    publisher.on("memory.added", durable.append, durable="index", after=0)
    publisher.signals.memory_added.connect(lambda manager, event: signalled.append(event))
    given = Added(text="noon", at=datetime(2026, 1, 1, tzinfo=UTC), password=SecretStr(SECRET))
    event = publisher.publish("memory.added", given)
    until(lambda: live and durable and signalled)
    assert live == durable == signalled == [event] == publisher.events.read(types="memory.added")
    assert event.type == "memory.added"
    assert event.data == {
        "text": "noon",
        "weight": 1,
        "at": "2026-01-01T00:00:00Z",
        "password": "**********",
    }
    assert publisher.events.verify()


def test_who_listened_before_a_type_was_registered_hears_it(manager: SessionManager) -> None:
    heard: list[Event] = []
    manager.on("*", heard.append)
    manager.on("*e*.*", heard.append)
    manager.events.register("memory.added", Added)
    event = manager.publish("memory.added", {"text": "noon"})
    assert manager.events.flush(5)
    assert heard == [event, event]


@pytest.mark.parametrize("kind", ["record", "id", "context"])
def test_an_event_concerns_the_session_it_is_said_of(publisher: SessionManager, kind: str) -> None:
    session = publisher.create("scout", scopes="a", subject="user:ana", workspace_id="w")
    named: dict[str, SessionRef] = {
        "record": session,
        "id": session.id,
        "context": publisher.validate(session.token),
    }
    event = publisher.publish("note.taken", {}, session=named[kind], workspace_id="w", cause_id="ticket 7")
    whose = (event.session_id, event.agent_id, event.subject, event.workspace_id)
    assert whose == (session.id, "scout", "user:ana", "w")
    assert (event.actor, event.version, event.cause_id) == ("host", None, "ticket 7")
    assert publisher.events.read(session_id=session.id, cause_id="ticket 7", workspace_id="w") == [event]


def test_an_event_concerns_the_bound_session_unless_told_otherwise(publisher: SessionManager) -> None:
    session, other = publisher.create("scout", scopes="a"), publisher.create("other", scopes="a")
    with publisher.use(session.token):
        own = publisher.publish("note.taken", {})
        of_other = publisher.publish("note.taken", {}, session=other, actor="cron")
        of_none = publisher.publish("note.taken", {}, workspace_id="w")
    assert (own.session_id, own.agent_id, own.actor) == (session.id, "scout", f"session:{session.id}")
    assert (of_other.session_id, of_other.agent_id, of_other.actor) == (other.id, "other", "cron")
    assert (of_none.session_id, of_none.workspace_id) == (None, "w")
    assert publisher.publish("note.taken", {}).session_id is None


def test_a_session_bound_by_another_database_is_the_actor_only(
    publisher: SessionManager, clock: FakeClock
) -> None:
    with open_manager(":memory:", clock=clock) as elsewhere:
        session = elsewhere.create("scout", scopes="a")
        with elsewhere.use(session.token):
            event = publisher.publish("note.taken", {})
    assert (event.session_id, event.actor) == (None, f"session:{session.id}")


def test_an_ended_session_can_still_be_told_of(publisher: SessionManager) -> None:
    session = publisher.create("scout", scopes="a")
    publisher.revoke(session)
    assert publisher.publish("note.taken", {}, session=session).agent_id == "scout"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.dictionaries(st.text(st.characters(codec="utf-8"), max_size=8), JSON, max_size=4))
def test_any_json_object_without_floats_comes_back_as_it_was(publisher: SessionManager, data: Any) -> None:
    event = publisher.publish("note.taken", data)
    assert event.data == data
    assert publisher.events.read(after=event.seq - 1) == [event]
    assert publisher.events.verify()


def test_only_what_the_registered_model_says_is_written_and_can_be_read_back(
    publisher: SessionManager,
) -> None:
    publisher.events.register("counted.thing", Aliased)
    assert SECRET not in str(publisher.publish("memory.added", More(text="a")))
    assert SECRET not in str(publisher.events.read(types="memory.added")[0].data)
    given = Aliased(theCount=3)
    assert Aliased.model_validate(publisher.publish("counted.thing", given).data) == given


def test_what_is_done_to_a_payload_or_an_event_later_changes_nothing(publisher: SessionManager) -> None:
    given: dict[str, Any] = {"words": ["a"]}
    event = publisher.publish("note.taken", given)
    given["words"].append("b")
    event.data["words"].append("c")  # type: ignore[union-attr]
    assert publisher.events.read(types="note.taken")[0].data == {"words": ["a"]}


@pytest.mark.parametrize(
    ("event_type", "payload", "what"),
    [
        ("memory.added", {"text": 5}, "payload: text does not fit \\(string_type\\)"),
        ("memory.added", {"text": SECRET}, "payload: text does not fit \\(value_error\\)"),
        ("memory.added", {"weight": SECRET, "text": "a"}, "payload: weight"),
        ("memory.added", {}, "payload: text does not fit \\(missing\\)"),
        ("memory.added", SECRET, "payload: Added"),
        ("memory.added", None, "payload: Added"),
        ("memory.added", {"text": "a", "weight": 2**60}, "beyond 2"),
        ("memory.added", Added.model_construct(text=[SECRET]), "payload: cannot be checked and written"),
        ("strict.thing", {SECRET: 1}, "payload: Strict does not fit \\(extra_forbidden\\)"),
        ("strict.thing", {"counts": {SECRET: "x"}}, "payload: counts does not fit \\(int_parsing\\)"),
        ("strict.thing", {"broken": SECRET}, "payload: cannot be checked and written as JSON .KeyError"),
        ("note.taken", Hostile(), "payload: cannot be checked and written as JSON .RuntimeError"),
        ("note.taken", {"score": 0.5}, "payload: .*float.*as a string"),
        ("note.taken", {"score": float("nan")}, "payload"),
        ("note.taken", {"text": "a" * 16_384}, "payload: .*16384 bytes"),
        ("note.taken", {"text": "\ud800"}, "payload"),
        ("note.taken", [SECRET], "payload: must be a JSON object"),
        ("note.taken", {1: 2}, "payload: must be a JSON object"),
        ("note.taken", None, "payload: must be a JSON object"),
        ("picky.thing", Picky(thing=object()), "payload: cannot be checked and written as JSON"),
        ("listed.thing", RootModel[list[str]]([SECRET]), "payload: must be a JSON object"),
        ("session.created", {}, "event_type: is written by clawguard alone"),
        ("memory.lost", {}, r"event_type: is not registered; events.register\("),
        (None, {}, "event_type"),
        (["note.taken"], {}, "event_type"),
    ],
)
def test_a_bad_payload_is_named_without_its_values_and_writes_nothing(
    publisher: SessionManager, event_type: Any, payload: Any, what: str
) -> None:
    publisher.events.register("picky.thing", Picky)
    publisher.events.register("listed.thing", RootModel[list[str]])
    publisher.events.register("strict.thing", Strict)
    with pytest.raises(InvalidArgument, match=what) as refusal:
        publisher.publish(event_type, payload)
    assert SECRET not in "".join(format_exception(refusal.value))
    assert SECRET not in repr(refusal.value.__context__)
    assert publisher.events.last() == (0, 0)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"workspace_id": ""}, "workspace_id"),
        ({"actor": "a\nb"}, "actor"),
        ({"cause_id": 5}, "cause_id"),
        ({"session": 5}, "session"),
        ({"session": "a.b.c"}, "session"),
    ],
)
def test_a_bad_argument_is_named_and_writes_nothing(
    publisher: SessionManager, arguments: Any, named: str
) -> None:
    with pytest.raises(InvalidArgument, match=named):
        publisher.publish("note.taken", {}, **arguments)
    assert publisher.events.last() == (0, 0)


def test_an_unknown_session_or_one_of_another_workspace_is_refused(publisher: SessionManager) -> None:
    session = publisher.create("scout", scopes="a", workspace_id="w")
    before = publisher.events.last()
    with pytest.raises(SessionNotFound):
        publisher.publish("note.taken", {}, session="0190")
    with pytest.raises(SessionNotFound):
        publisher.publish("note.taken", {}, session=session, workspace_id="other")
    assert publisher.events.last() == before


@pytest.mark.parametrize(
    "name",
    [
        *("", "memory", "Memory.added", "memory.", ".added", "memory..added", "memory.added ", "a.*", "m.1"),
        *("session.x", "guard.x", "token.x", "log.x", "history.x", "clawguard.x", "mémoire.a", None, 5),
        "m." + "a" * 63,
    ],
)
def test_a_name_that_no_host_may_use_is_refused(manager: SessionManager, name: Any) -> None:
    known = manager._parts.bus.types.names
    with pytest.raises(InvalidArgument, match="name"):
        manager.events.register(name)
    assert manager._parts.bus.types.names == known


@pytest.mark.parametrize("payload", [dict, Added(text="a"), "Added", 5, BaseModel, Unfinished])
def test_a_payload_type_is_a_pydantic_model(manager: SessionManager, payload: Any) -> None:
    with pytest.raises(InvalidArgument, match="payload"):
        manager.events.register("memory.added", payload)


def test_a_type_is_registered_once_with_one_payload_and_one_signal(publisher: SessionManager) -> None:
    publisher.events.register("memory.added", Added)
    with pytest.raises(InvalidArgument, match="another payload"):
        publisher.events.register("memory.added")
    publisher.events.register("memory.item_added")
    with pytest.raises(InvalidArgument, match=r"share its signal with 'memory\.item_added'"):
        publisher.events.register("memory_item.added")
    with pytest.raises(InvalidArgument, match="would share"):
        publisher.events.register("memory.item.added")


def test_other_processes_hear_a_type_that_they_register_and_all_of_them_by_a_star(
    database: str, clock: FakeClock
) -> None:
    starred: list[Event] = []
    heard: list[Event] = []
    with open_manager(database, clock=clock) as manager, Verifier.open(database, clock=clock) as verifier:
        manager.events.register("memory.added", Added)
        verifier.on("*", starred.append, durable="all", after=0)
        with pytest.raises(InvalidArgument, match=r"fits no type.*register"):
            verifier.on("memory.*", heard.append, durable="index", after=0)
        with pytest.raises(InvalidArgument, match=r"fits no type.*register"):
            verifier.events.read(types="memory.*")
        verifier.events.register("memory.added")
        verifier.on("memory.*", heard.append, durable="index", after=0)
        event = manager.publish("memory.added", {"text": "noon"})
        until(lambda: starred and heard)
        assert starred == heard == [event] == verifier.events.read(types="memory.*")
    assert Added.model_validate(heard[0].data) == Added(text="noon")


def test_a_pattern_hears_what_is_registered_elsewhere_or_later(database: str, clock: FakeClock) -> None:
    every: list[Event] = []
    heard: list[Event] = []
    with open_manager(database, clock=clock) as newer, Verifier.open(database, clock=clock) as older:
        newer.events.register("memory.added")
        newer.events.register("memory.removed")
        older.events.register("memory.added")
        older.on("memory.*", heard.append, durable="index", after=0)
        older.on("*.*", every.append, durable="all", after=0)
        names = ["memory.added", "memory.removed", "memory.removed", "memory.added"]
        sent = [newer.publish(name, {}) for name in names]
        until(lambda: len(heard) == len(every) == 4)
        assert heard == every == sent
        assert older.events.read(types="*") == older.events.read(types=["memory.*"]) == sent
        assert list(older.events.follow(after=0, types="?emory.*", timeout=0)) == sent
