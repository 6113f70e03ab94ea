"""What people get wrong, and what they are told: the argument, the reason, how to mend it."""

from __future__ import annotations

import contextvars
import re
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from clawguard import (
    ConfigError,
    InsufficientScope,
    InvalidArgument,
    InvalidToken,
    NoSession,
    ScopeSet,
    SessionManager,
    TokenSuperseded,
    Verifier,
    current_session,
    requires,
)
from tests.clocks import FakeClock
from tests.openers import open_manager

ROOT = Path(__file__).parents[2]


@pytest.fixture
def manager() -> Any:
    with open_manager() as manager:
        yield manager


Call = Callable[[SessionManager], object]


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda m: m.validate(m.create("a", scopes="x")), "pass `session.token`"),
        (lambda m: m.inspect(m.create("a", scopes="x")), "pass `session.token`"),
        (lambda m: m.inspect(None), "pass `session.token`"),
        (lambda m: m.delegate(uuid.uuid4(), "b", scopes="x"), r"sessions\.get\(id\)"),
        (lambda m: m.revoke(m.create("a", scopes="x").token), "is a token, not an id"),
        (lambda m: m.create("a", scopes="docs:read,mail:send"), "separated by spaces"),
        (lambda m: m.create("a", scopes="x", ttl=0), "more than 0 seconds"),
        (lambda m: m.create("a", scopes="x", ttl=20 * 366 * 86_400), "at most ten years"),
        (lambda m: m.refresh(m.create("a", scopes="x"), expected_generation=2), "above the session's, 1"),
        (lambda m: m.refresh(m.create("a", scopes="x"), expected_generation=True), "must be an integer"),
        (
            lambda m: requires(len),  # type: ignore[arg-type]
            re.escape("write @requires('docs:read')"),
        ),
    ],
)
def test_a_mistake_is_an_invalid_argument_with_a_hint(manager: SessionManager, call: Call, told: str) -> None:
    with pytest.raises(InvalidArgument, match=told):
        call(manager)


@pytest.mark.parametrize(
    ("call", "argument"),
    [
        (lambda m: m.events.read(session_id="\ud800"), "session_id"),
        (lambda m: m.events.read(cause_id=object()), "cause_id"),
        (lambda m: m.events.follow(session_id="\ud800"), "session_id"),
        (lambda m: m.events.follow(timeout="x"), "timeout"),
        (lambda m: m.events.follow(poll="x"), "poll"),
        (lambda m: m.events.flush("x"), "timeout"),
        (lambda m: m.events.verify(progress=5), "progress"),
        (lambda m: m.sessions.purge(0, progress=5), "progress"),
        (lambda m: m.sessions.page(live="no"), "live"),
        (lambda m: m.activity.set_name(m.create("a", scopes="x"), 0), "name"),
        (lambda m: ScopeSet(5), "scopes"),  # type: ignore[arg-type]
        (lambda m: SessionManager.open("/tmp/\ud800"), "url"),
    ],
)
def test_a_value_of_another_kind_is_named(manager: SessionManager, call: Call, argument: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        call(manager)
    assert caught.value.argument == argument


def test_an_iterable_that_can_be_read_once_is_read_once(manager: SessionManager) -> None:
    use = manager.use(manager.create("a", scopes="x").token, require=(each for each in ["admin:all"]))
    for _ in range(2):
        with pytest.raises(InsufficientScope):
            use.__enter__()


@pytest.mark.parametrize("text", ["0192f0c1-2d6a-7c3e-8b1a-5e9d4c7f0a21", "Bearer a.b.c", "a.b.c"])
def test_what_is_no_token_is_told_what_one_is(manager: SessionManager, text: str) -> None:
    with pytest.raises(InvalidToken, match=r"IssuedSession\.token"):
        manager.validate(text)
    with pytest.raises(InvalidToken, match=r"IssuedSession\.token"):
        manager.delegate(text, "b", scopes="x")


@pytest.mark.parametrize(
    "url", ["sqlite://a.db", "sqlite:a.db", "file:a.db", "sqlite:///a.db?mode=ro", "mysql://x"]
)
def test_a_url_that_is_not_supported_makes_no_file(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InvalidArgument, match="sqlite:///relative"):
        SessionManager.open(url)
    assert list(tmp_path.iterdir()) == []


def test_a_verifier_of_a_private_database(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="private to its manager"):
        Verifier.open(":memory:")
    with pytest.raises(ConfigError, match=str(tmp_path / "none" / "a.db").rpartition("/")[0]):
        Verifier.open(tmp_path / "none" / "a.db")


@pytest.mark.parametrize("kek", ["/nonexistent/clawguard.kek", "./my.kek-of-some-length", "~/clawguard.kek"])
def test_a_path_is_not_taken_for_a_passphrase(tmp_path: Path, kek: str) -> None:
    with pytest.raises(InvalidArgument, match=r"pathlib\.Path"):
        SessionManager.open(tmp_path / "data" / "a.db", kek=kek)


def test_the_name_of_a_file_is_not_taken_for_a_passphrase(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("production-keys.bin").write_bytes(bytes(32))
    with pytest.raises(InvalidArgument, match=r"pathlib\.Path"):
        SessionManager.open(tmp_path / "data" / "a.db", kek="production-keys.bin")
    SessionManager.open(tmp_path / "data" / "a.db", kek="correct horse battery / staple").close()


def test_one_text_is_no_list_of_audiences(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match=r"audiences=\['shop'\]"):
        SessionManager.open(tmp_path / "data" / "a.db", audiences="shop")


def test_requires_takes_scopes_as_everything_else_does(manager: SessionManager) -> None:
    @requires("docs:read mail:send")
    def send() -> str:
        return current_session().agent_id

    with manager.use(manager.create("a", scopes="docs:read mail:send").token):
        assert send() == "a"
    with manager.use(manager.create("a", scopes="docs:read").token), pytest.raises(InsufficientScope):
        send()


def test_one_of_several_scopes_is_said_so(manager: SessionManager) -> None:
    token = manager.create("a", scopes="x").token
    with pytest.raises(InsufficientScope, match="a has none of y z"):
        manager.validate(token, any_of="y z")


def test_a_new_thread_has_no_session_but_in_a_copy_of_the_context(manager: SessionManager) -> None:
    found: list[object] = []

    def look() -> None:
        try:
            found.append(current_session().agent_id)
        except NoSession as refusal:
            found.append(refusal.hint)

    with manager.use(manager.create("a", scopes="x").token):
        context = contextvars.copy_context()
        for work in (look, lambda: context.run(look)):
            thread = threading.Thread(target=work)
            thread.start()
            thread.join()
    assert "copy of its context" in str(found[0])
    assert found[1] == "a"


def test_a_private_database_that_nobody_closed_leaves_nothing_behind(tmp_path: Path) -> None:
    code = "from clawguard import SessionManager; SessionManager.open(':memory:').create('a', scopes='x')"
    environment = {"PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path)}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)
    assert list(tmp_path.iterdir()) == []


# what a context and a repeated request are held against


def test_a_context_is_for_its_audience_only(tmp_path: Path) -> None:
    path = tmp_path / "data" / "a.db"
    with open_manager(path, audiences=["mail"]) as manager:
        own = manager.validate(manager.create("a", scopes="x").token)
        mail = manager.validate(manager.create("a", scopes="x", audience="mail").token, audience="mail")
        for context in (own, mail):
            assert manager.validate(context, audience=context.audience) == context
            assert manager.validate(context) == context
        with pytest.raises(InvalidToken):
            manager.validate(own, audience="mail")
        with pytest.raises(InvalidArgument, match="audience"):
            manager.validate(own, audience="other")
        with Verifier.open(path, audience="mail", clock=FakeClock()) as verifier:
            assert verifier.validate(mail) == mail
            for refuse in (verifier.validate, verifier.recheck):
                with pytest.raises(InvalidToken):
                    refuse(own)


@pytest.mark.parametrize(
    "other", [{"ttl": 60}, {"idle_timeout": 5}, {"role": "r"}, {"delegable": False}, {"max_lifetime": 9_000}]
)
def test_a_request_id_stands_for_one_request(manager: SessionManager, other: dict[str, Any]) -> None:
    made = manager.create("a", scopes="x", request_id="r1")
    assert manager.create("a", scopes="x", request_id="r1", name="n", metadata={"a": 1}) == made
    with pytest.raises(InvalidArgument, match="different request"):
        manager.create("a", scopes="x", request_id="r1", **other)


def test_an_issued_session_equals_what_is_read_for_it(manager: SessionManager) -> None:
    made = manager.create("a", scopes="x")
    assert made == manager.sessions.get(made.id)
    assert hash(made) == hash(manager.sessions.get(made.id))
    assert made != manager.refresh(made)
    assert made != made.id


def test_an_older_generation_is_superseded_and_told_so(manager: SessionManager) -> None:
    made = manager.create("a", scopes="x")
    manager.refresh(made)
    with pytest.raises(TokenSuperseded, match="use the newest"):
        manager.refresh(made, expected_generation=1)


def test_a_url_with_a_password_is_not_repeated() -> None:
    with pytest.raises(InvalidArgument) as caught:
        SessionManager.open("mysql://admin:hunter2@db/x")
    assert "mysql" in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_a_manager_makes_nothing_where_it_may_not(tmp_path: Path) -> None:
    path = tmp_path / "none" / "clawguard.db"
    with pytest.raises(ConfigError, match="there is no database"):
        SessionManager.open(path, create=False)
    assert not path.parent.exists()
    with pytest.raises(ConfigError):
        SessionManager.open(":memory:", create=False)
    with pytest.raises(InvalidArgument, match="create"):
        SessionManager.open(path, create="no")  # type: ignore[arg-type]
    with SessionManager.open(path, audience="mail") as made:
        session = made.create("a", scopes="x")
    with SessionManager.open(path, create=False) as manager:
        assert manager.get_session(session).id == session.id
        assert manager.audience == "mail"
