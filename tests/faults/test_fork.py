"""A forked child works, loses nothing, and shares neither connection, lock nor thread with its parent."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

import pytest

from clawguard import SessionEnded, SessionManager, StoreUnavailable
from clawguard.guard import SigningKey
from tests.faults.lab import (
    CONTEXT,
    Acks,
    acknowledged,
    assert_whole,
    crew,
    leave,
    report,
    rows,
    sizes,
    store_of,
    together,
)
from tests.openers import open_manager

PATIENCE = 15.0


def in_child(work: Callable[[], object]) -> int:
    """Fork, do it, and leave at once; return the child's number."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            work()
            status = 0
        finally:
            leave(status)
    return pid


def ended_well(pid: int) -> bool | None:
    """Wait for a child; None when it had to be ended because it hung."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return status == 0
        time.sleep(0.002)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return None


def create_validate_revoke(manager: SessionManager, name: str) -> str:
    session = manager.create(name, scopes="a")
    assert manager.validate(session.token).agent_id == name
    assert manager.revoke(session)
    with pytest.raises(SessionEnded):
        manager.validate(session.token)
    return session.id


def seen_from_elsewhere(path: Path) -> set[tuple[str, str | None]]:
    """Return each session's agent and cause, as an unrelated process finds them through the library."""
    program = (
        "import sys; from clawguard import SessionManager\n"
        "with SessionManager.open(sys.argv[1], sweep_every=None) as manager:\n"
        "    for each in manager.sessions.iter(): print(each.agent_id, each.cause)\n"
    )
    environment = os.environ | {"PYTHONPATH": str(Path.cwd())}
    done = subprocess.run(
        [sys.executable, "-c", program, str(path)],
        capture_output=True, text=True, check=True, timeout=60, env=environment,
    )  # fmt: skip
    pairs = (line.split() for line in done.stdout.splitlines())
    return {(agent, None if cause == "None" else cause) for agent, cause in pairs}


@pytest.mark.parametrize("how", ["os.fork", "multiprocessing"])
def test_attack_75_a_child_forked_after_open_works_and_loses_nothing(tmp_path: Path, how: str) -> None:
    path = tmp_path / "db" / "clawguard.db"
    with SessionManager.open(path, sweep_every=None) as manager:
        session = manager.create("parent", scopes="a")
        manager.validate(session.token)
        inherited = store_of(manager)._writer

        def child() -> None:
            manager.validate(session.token)
            create_validate_revoke(manager, "child")
            assert store_of(manager)._writer is not inherited

        if how == "os.fork":
            pid = in_child(child)
            create_validate_revoke(manager, "beside")
            assert ended_well(pid)
        else:
            process = CONTEXT.Process(target=child)
            process.start()
            create_validate_revoke(manager, "beside")
            process.join(PATIENCE)
            assert process.exitcode == 0
        create_validate_revoke(manager, "after")
        assert seen_from_elsewhere(path) == {
            ("parent", None), ("child", "revoked"), ("beside", "revoked"), ("after", "revoked"),
        }  # fmt: skip
    assert_whole(path)


def test_attack_75_no_two_processes_after_a_fork_make_the_same_id_secret_or_key(tmp_path: Path) -> None:
    """The clock stands still: only chance, which no two of them may share, tells one from another."""
    with open_manager(tmp_path / "db" / "clawguard.db") as manager:

        def make(number: int) -> list[str]:
            made = [manager.create("agent", scopes="a", refreshable=True) for _ in range(5)]
            texts = [text for each in made for text in (each.id, each.jti, str(each.refresh_token))]
            return [*texts, SigningKey.generate("ES256").kid]

        texts = [*make(0), *(text for made in together(4, make) for text in made), *make(0)]
    assert len(set(texts)) == len(texts) == 6 * 16


@pytest.mark.parametrize("how", ["closed", "killed"])
def test_what_a_child_acknowledges_after_its_parent_is_gone_is_not_lost(tmp_path: Path, how: str) -> None:
    path, acks = tmp_path / "db" / "clawguard.db", tmp_path / "acks"
    turns = [CONTEXT.Event() for _ in range(4)]

    def parent() -> None:
        said = Acks(acks)
        manager = SessionManager.open(path, sweep_every=None)
        first, second = (manager.create(name, scopes="a") for name in ("first", "second"))
        tokens = first.token, second.token

        def child() -> None:
            manager.validate(tokens[0])
            manager.create("child-1", scopes="a")
            said.add("child", os.getpid())
            turns[0].set()
            assert turns[1].wait(PATIENCE)
            manager.revoke(first)
            manager.create("child-2", scopes="a")
            turns[2].set()
            assert turns[3].wait(PATIENCE)
            try:
                manager.validate(tokens[1])  # revoked by somebody else meanwhile
                said.add("accepted")
            except SessionEnded:
                said.add("refused")
            manager.create("child-3", scopes="a")
            said.add("done")
            os.kill(os.getpid(), signal.SIGKILL)

        in_child(child)
        assert turns[0].wait(PATIENCE)
        if how == "closed":
            manager.close()  # this process's connections are the last ones, unless the child's are seen
        else:
            os.kill(os.getpid(), signal.SIGKILL)

    with crew() as start:
        worker = start(parent)
        worker.process.join()
        assert turns[0].wait(PATIENCE)
        # Unrelated processes come and go: the last to close takes the log away, unless the child is seen.
        assert ("child-1", None) in seen_from_elsewhere(path)
        turns[1].set()
        assert turns[2].wait(PATIENCE)
        assert {("first", "revoked"), ("child-2", None)} <= seen_from_elsewhere(path)
        with SessionManager.open(path, sweep_every=None) as manager:
            (second,) = (each for each in manager.sessions.iter() if each.agent_id == "second")
            assert manager.revoke(second)
        turns[3].set()
        deadline = time.monotonic() + PATIENCE
        while not any(each[0] == "done" for each in acknowledged(acks)):
            assert time.monotonic() < deadline, "the child did not go on"
            time.sleep(0.01)
    assert ["refused"] in acknowledged(acks)
    assert ("child-3", None) in seen_from_elsewhere(path)
    assert_whole(path)


def test_a_killed_parent_leaves_no_lock_behind_in_its_child(tmp_path: Path) -> None:
    path, acks = tmp_path / "db" / "clawguard.db", tmp_path / "acks"
    holding, go = CONTEXT.Event(), CONTEXT.Event()

    def parent() -> None:
        said = Acks(acks)
        manager = SessionManager.open(path, sweep_every=None)
        manager.create("parent", scopes="a")
        forked = threading.Event()

        def hold() -> None:
            with manager._parts.change(durable=True) as change:
                change.tx.run("meta.barrier")
                holding.set()
                forked.wait(1.0)  # a fork may have to wait until no transaction is under way
                time.sleep(0.1)

        threading.Thread(target=hold, daemon=True).start()
        assert holding.wait(PATIENCE)

        def child() -> None:
            go.wait(PATIENCE)
            create_validate_revoke(manager, "child")
            said.add("worked")

        in_child(child)
        forked.set()
        os.kill(os.getpid(), signal.SIGKILL)

    with crew() as start:
        start(parent).process.join()
        with SessionManager.open(path, sweep_every=None, lock_timeout=2.0) as manager:
            create_validate_revoke(manager, "other")
        go.set()
        deadline = time.monotonic() + PATIENCE
        while acknowledged(acks) != [["worked"]]:
            assert time.monotonic() < deadline, "the child could not work"
            time.sleep(0.01)
    assert_whole(path)


def test_three_generations_each_sweep_and_write(tmp_path: Path) -> None:
    path = tmp_path / "db" / "clawguard.db"
    with SessionManager.open(path, sweep_every=0.05) as manager:
        due = manager.create("due-0", scopes="a", ttl=0.2)
        inherited = [store_of(manager)._writer]  # kept, so that no other object takes its address

        def live(generation: int) -> None:
            create_validate_revoke(manager, f"generation-{generation}")
            assert generation == 0 or all(store_of(manager)._writer is not each for each in inherited)
            mine = manager.create(f"due-{generation}", scopes="a", ttl=0.2)
            deadline = time.monotonic() + 5.0
            while manager.get_session(mine).ended_at is None:  # nobody asks for it: the sweeper records it
                assert time.monotonic() < deadline, "the sweeper did not run"
                time.sleep(0.02)
            assert "clawguard-sweeper" in {thread.name for thread in threading.enumerate()}
            if generation < 3:
                inherited.append(store_of(manager)._writer)
                assert ended_well(in_child(lambda: live(generation + 1)))

        live(0)
        assert manager.get_session(due).cause == "ttl"
    causes = dict(rows(path, "SELECT agent_id, cause FROM sessions"))
    assert causes == {f"generation-{n}": "revoked" for n in range(4)} | {f"due-{n}": "ttl" for n in range(4)}
    assert_whole(path)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("forks", sizes(12, 300))
def test_forks_in_the_middle_of_everything(tmp_path: Path, forks: int) -> None:
    """Fork while other threads write and validate: no child hangs, fails, or disturbs its parent."""
    path = tmp_path / "db" / "clawguard.db"
    over, faults = threading.Event(), []
    with SessionManager.open(path, sweep_every=0.05) as manager:
        session = manager.create("parent", scopes="a")
        children: list[bool | None] = []

        def work(step: Callable[[], object]) -> None:
            while not over.wait(0.0005):
                try:
                    step()
                except Exception as error:
                    faults.append(repr(error))
                    return

        steps = (
            lambda: manager.create("thread", scopes="a"),
            lambda: manager.validate(session.token),
            lambda: manager.validate(session.token),
        )
        threads = [threading.Thread(target=work, args=(step,)) for step in steps]
        for thread in threads:
            thread.start()
        try:
            for _ in range(forks):
                children.append(ended_well(in_child(lambda: void(create_validate_revoke(manager, "child")))))
                if children.count(True) < len(children) - 2:
                    break
        finally:
            over.set()
            for thread in threads:
                thread.join()
    report(
        "fork", forks=len(children), worked=children.count(True), failed=children.count(False),
        hung=children.count(None), parent_faults=len(faults),
    )  # fmt: skip
    assert faults == []
    assert children == [True] * forks
    done = rows(path, "SELECT count(*) FROM sessions WHERE agent_id = 'child' AND cause = 'revoked'")
    assert done == [(forks,)]
    assert_whole(path)


def void(_: object) -> None:
    """Take a result and give none."""


def test_threads_that_fork_at_once_take_turns(tmp_path: Path) -> None:
    with SessionManager.open(tmp_path / "db" / "clawguard.db", sweep_every=None) as manager:
        session = manager.create("parent", scopes="a")
        manager.validate(session.token)
        ended: list[bool | None] = []

        def fork_often() -> None:
            for _ in range(40):
                ended.append(ended_well(in_child(lambda: manager.validate(session.token))))

        threads = [threading.Thread(target=fork_often, daemon=True) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE * 6)
        assert ended == [True] * 120
        assert manager.validate(session.token).session_id == session.id


def test_what_cannot_be_opened_in_a_child_is_a_typed_error(tmp_path: Path) -> None:
    with SessionManager.open(tmp_path / "db" / "clawguard.db", sweep_every=None) as manager:

        def child() -> None:
            resource.setrlimit(resource.RLIMIT_NOFILE, (0, 0))
            for call in (lambda: manager.create("a", scopes="x"), lambda: manager.revoke("b")):
                with pytest.raises(StoreUnavailable):
                    call()
            manager.close()

        assert ended_well(in_child(child))


@pytest.mark.parametrize("threads", [1, 4])
def test_a_fork_beside_threads_that_validate_without_end_returns(tmp_path: Path, threads: int) -> None:
    with SessionManager.open(tmp_path / "db" / "clawguard.db", sweep_every=None) as manager:
        token, stop = manager.create("agent", scopes="a").token, threading.Event()

        def validate() -> None:
            while not stop.is_set():
                manager.validate(token)

        def fork() -> None:
            for _ in range(5):
                assert ended_well(in_child(lambda: manager.validate(token)))

        busy = [threading.Thread(target=validate, daemon=True) for _ in range(threads)]
        forking = threading.Thread(target=fork, daemon=True)
        for thread in (*busy, forking):
            thread.start()
        forking.join(PATIENCE)
        hung = forking.is_alive()
        stop.set()
        for thread in (*busy, forking):
            thread.join()
        assert not hung


def write_after_the_parent_has_closed(path: Path, acks_path: Path) -> None:
    """Fork with a connection that the child inherits, close it in the parent, and write in the child."""
    acks, closed = Acks(acks_path), CONTEXT.Event()
    with patch("clawguard.store.sqlite.call_around_fork", lambda store: None):
        manager = SessionManager.open(path, sweep_every=None)
    acks.add(manager.create("parent", scopes="a").id)

    def child() -> None:
        assert closed.wait(PATIENCE)
        for number in range(5):
            acks.add(manager.create(f"child-{number}", scopes="a").id)

    pid = in_child(child)
    manager.close()
    closed.set()
    ended_well(pid)


@pytest.mark.control
def test_an_inherited_connection_is_caught(tmp_path: Path) -> None:
    path, acks = tmp_path / "db" / "clawguard.db", tmp_path / "acks"
    with crew() as start:
        start(write_after_the_parent_has_closed, path, acks).result()
    said = {each for (each,) in acknowledged(acks)}
    lost = said - {each for (each,) in rows(path, "SELECT id FROM sessions")}
    report("fork, control: the connection is inherited", acknowledged=len(said), lost=len(lost))
    assert len(said) == 6
    assert lost


def fork_while_closing(path: Path, rounds: int) -> int:
    failures = 0
    for number in range(rounds):
        manager = SessionManager.open(path / str(number) / "clawguard.db", sweep_every=None)
        for _ in range(60):
            manager.create("agent", scopes="a")
        closing = threading.Thread(target=manager.close)
        closing.start()
        time.sleep(0.0002 * (number % 12))
        failures += not ended_well(in_child(lambda: None))
        closing.join()
    return failures


@pytest.mark.parametrize("rounds", sizes(25, 500))
def test_closing_in_one_thread_and_forking_in_another(tmp_path: Path, rounds: int) -> None:
    with crew() as start:  # in a process of its own: what this could do is end the process
        failed = start(fork_while_closing, tmp_path, rounds).result(60 + rounds)
    report("fork while closing", rounds=rounds, failed=failed)
    assert failed == 0
