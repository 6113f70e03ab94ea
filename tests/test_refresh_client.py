"""The refresh client: one redeem however many ask, and a file that is believed only as it must be."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from clawguard import IssuedSession, SessionEnded, SessionManager, StoreBusy, TokenSuperseded, file_lock
from clawguard.refresh_client import Issued, RefreshClient
from tests.clocks import START, FakeClock
from tests.faults.lab import CONTEXT, PATIENCE, Work, crew
from tests.openers import KEK, open_manager
from tests.refresh_hosts import REFRESH_TOKEN, TOKEN, Host, refused

THREADS = 8


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def host(clock: FakeClock) -> Host:
    return Host(clock)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "tokens"


@pytest.fixture
def client(path: Path, host: Host) -> RefreshClient:
    made = RefreshClient(path, host.redeem, timeout=PATIENCE, clock=host.clock)
    made.keep(host.issue())
    return made


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(THREADS) as opened:
        yield opened


# When it is refreshed


def test_a_token_is_refreshed_when_it_has_less_than_the_margin_left(
    client: RefreshClient, host: Host, clock: FakeClock
) -> None:
    clock.advance(29.9)
    assert client.token() == TOKEN
    assert host.redeemed == []
    clock.advance(0.1)
    assert client.token() == client.token() == "eyJ.next-1.signature"
    clock.advance(31)
    assert client.token() == "eyJ.next-2.signature"
    assert host.redeemed == [REFRESH_TOKEN, "cgr1_next-1_secret"]


@pytest.mark.parametrize(("margin", "due"), [(0, 60), (timedelta(seconds=5), 55), (3_600, 30)])
def test_a_margin_beyond_half_of_a_tokens_life_is_cut_to_that(
    path: Path, host: Host, clock: FakeClock, margin: Any, due: float
) -> None:
    client = RefreshClient(path, host.redeem, margin=margin, clock=clock)
    client.keep(host.issue())
    for step in range(1, 4):
        clock.advance(due - 0.001)
        assert len({client.token() for _ in range(20)}) == 1
        assert len(host.redeemed) == step - 1
        clock.advance(0.001)
        assert len({client.token() for _ in range(20)}) == 1
        assert len(host.redeemed) == step


def test_a_clock_far_ahead_of_the_servers_does_not_redeem_on_every_call(path: Path, host: Host) -> None:
    ahead = FakeClock(START + 86_400_000_000)
    client = RefreshClient(path, host.redeem, clock=ahead)
    client.keep(host.issue())
    for _ in range(20):
        ahead.advance(1)
        assert client.token() == TOKEN
    assert client.refresh(TOKEN) == client.token() == "eyJ.next-1.signature"
    assert len(host.redeemed) == 1


def test_a_session_near_its_own_end_is_redeemed_a_few_times_only(path: Path, clock: FakeClock) -> None:
    with open_manager(clock=clock) as manager:
        made = manager.create("a", scopes="x", ttl=60, max_lifetime=200, refreshable=True)
        client = RefreshClient(path, manager.redeem, clock=clock)
        client.keep(made)
        for _ in range(399):
            clock.advance(0.5)
            manager.validate(client.token())
        assert manager.get_session(made.id).generation < 10
        clock.advance(0.5)
        refused(client.token, SessionEnded, match="ttl")


def test_a_token_of_the_furthest_future_is_kept(path: Path, host: Host) -> None:
    client = RefreshClient(path, host.redeem, clock=host.clock)
    end = datetime.max.replace(tzinfo=host.clock.datetime.tzinfo)
    client.keep(SimpleNamespace(token=TOKEN, refresh_token=REFRESH_TOKEN, token_expires_at=end))
    assert client.token() == TOKEN


# Once


def test_threads_and_two_clients_of_one_path_redeem_once(
    path: Path, client: RefreshClient, host: Host, pool: ThreadPoolExecutor
) -> None:
    host.clock.advance(45)
    host.doing = lambda: time.sleep(0.1)  # so that the others come meanwhile
    clients = [client, RefreshClient(path, host.redeem, timeout=PATIENCE, clock=host.clock)]
    tokens = set(pool.map(lambda number: clients[number % 2].token(), range(THREADS)))
    assert tokens == {"eyJ.next-1.signature"}
    assert host.redeemed == [REFRESH_TOKEN]


def test_coroutines_redeem_once(client: RefreshClient, host: Host) -> None:
    async def ask() -> list[str]:
        return await asyncio.gather(*(asyncio.to_thread(client.token) for _ in range(THREADS)))

    host.clock.advance(45)
    host.doing = lambda: time.sleep(0.1)
    assert set(asyncio.run(ask())) == {"eyJ.next-1.signature"}
    assert len(host.redeemed) == 1


def test_a_refused_token_is_refreshed_once_and_for_all(
    client: RefreshClient, host: Host, pool: ThreadPoolExecutor
) -> None:
    host.doing = lambda: time.sleep(0.1)
    assert set(pool.map(client.refresh, [TOKEN] * THREADS)) == {"eyJ.next-1.signature"}
    assert client.refresh("an older one") == "eyJ.next-1.signature"
    assert client.refresh(client.token()) == "eyJ.next-2.signature"
    assert len(host.redeemed) == 2


def test_a_keep_waits_for_a_refresh_under_way(path: Path, client: RefreshClient, host: Host) -> None:
    def keep_meanwhile() -> None:
        other = RefreshClient(path, host.redeem, timeout=0, clock=host.clock)
        refused(lambda: other.keep(host.issue("eyJ.other.signature")), StoreBusy)
        refused(lambda: other.refresh(TOKEN), StoreBusy)
        assert other.token() == TOKEN

    host.doing = keep_meanwhile
    assert client.refresh(TOKEN) == client.token() == "eyJ.next-1.signature"


class StillClock:
    """Stand still for all processes until the test moves it."""

    def __init__(self) -> None:
        self._at = CONTEXT.RawValue("q", START)

    def now(self) -> int:
        return int(self._at.value)

    elapsed = now

    def advance(self, seconds: float) -> None:
        self._at.value += round(seconds * 1_000_000)


class Family:
    """Hold what the processes of one experiment share: a database, a token file and a clock."""

    def __init__(self, folder: Path, *, grace: float = 0) -> None:
        self.database, self.path = folder / "db" / "clawguard.db", folder / "tokens"
        self.grace = grace
        self.clock = StillClock()
        self.redeems = CONTEXT.Value("i", 0)
        with self.manager() as manager:
            made = manager.create("agent", scopes="a", ttl=60, refreshable=True)
            self.id, self.first = made.id, made.token
            self.client(manager.redeem).keep(made)

    def manager(self) -> SessionManager:
        return open_manager(self.database, clock=self.clock, kek=KEK, refresh_grace=self.grace)  # type: ignore[arg-type]

    def client(self, redeem: Callable[[str], Issued], **given: Any) -> RefreshClient:
        return RefreshClient(self.path, redeem, clock=self.clock, **given)


def ask(family: Family, barrier: Any, number: int, *, rejected: bool) -> list[str]:
    """Ask for the token in many threads of one of many processes; every token must be good."""
    with family.manager() as manager, ThreadPoolExecutor(THREADS) as pool:

        def redeem(refresh_token: str) -> IssuedSession:
            with family.redeems.get_lock():
                family.redeems.value += 1
            time.sleep(0.05)
            return manager.redeem(refresh_token)

        client = family.client(redeem, timeout=PATIENCE)
        barrier.wait(PATIENCE)

        def once(_: int) -> str:
            token = client.refresh(family.first) if rejected else client.token()
            assert manager.validate(token).generation == 2
            return token

        return list(pool.map(once, range(THREADS)))


@pytest.mark.slow
@pytest.mark.parametrize("rejected", [False, True])
def test_processes_and_threads_at_once_take_one_step_and_all_can_go_on(
    tmp_path: Path, rejected: bool
) -> None:
    """Without any grace: a second redeem of the same refresh token would end the session."""
    family, barrier = Family(tmp_path), CONTEXT.Barrier(6)
    family.clock.advance(10 if rejected else 45)
    with crew() as start:
        workers = [start(lambda n=n: ask(family, barrier, n, rejected=rejected)) for n in range(6)]
        tokens = [token for worker in workers for token in worker.result()]
    assert len(tokens) == 6 * THREADS
    assert len(set(tokens)) == 1
    assert family.redeems.value == 1
    with family.manager() as manager:
        assert manager.get_session(family.id).generation == 2
        with pytest.raises(TokenSuperseded):
            manager.validate(family.first)


# Holders that die, and forks


def hang_in_redeem(family: Family, inside: Any, *, is_late: bool, beside: Work = lambda: None) -> None:
    """Refresh in a thread, and never come back from the redeem: before or after the server answered."""
    manager = family.manager()

    def redeem(refresh_token: str) -> IssuedSession:
        if is_late:
            manager.redeem(refresh_token)
        inside.set()
        time.sleep(PATIENCE)
        raise AssertionError("nobody ended this process")

    client = family.client(redeem)
    threading.Thread(target=client.token, daemon=True).start()
    assert inside.wait(PATIENCE)
    beside()
    time.sleep(PATIENCE)


@pytest.mark.slow
@pytest.mark.parametrize("is_late", [False, True])
def test_a_holder_killed_while_it_redeems_leaves_nothing_locked_or_lost(
    tmp_path: Path, is_late: bool
) -> None:
    family, inside = Family(tmp_path, grace=10), CONTEXT.Event()
    family.clock.advance(45)
    before = family.path.read_bytes()
    with crew() as start, family.manager() as manager:
        holder = start(lambda: hang_in_redeem(family, inside, is_late=is_late))
        client = family.client(manager.redeem, timeout=0)
        assert inside.wait(PATIENCE)
        refused(client.token, StoreBusy)
        holder.kill()
        assert family.path.read_bytes() == before
        assert manager.get_session(family.id).generation == 1 + is_late
        assert manager.validate(client.token()).generation == 2
        family.clock.advance(45)
        assert manager.validate(client.token()).generation == 3


def test_a_redeem_whose_answer_was_lost_for_longer_than_the_grace_ends_the_session(tmp_path: Path) -> None:
    family = Family(tmp_path, grace=10)
    family.clock.advance(45)
    with family.manager() as manager:

        def lose(refresh_token: str) -> IssuedSession:
            manager.redeem(refresh_token)
            raise ConnectionError("the answer was lost")

        refused(family.client(lose).token, ConnectionError)
        family.clock.advance(10)
        refused(family.client(manager.redeem).token, SessionEnded, match="reuse")


@pytest.mark.slow
def test_a_forked_child_does_not_keep_its_parents_lock(tmp_path: Path) -> None:
    family, inside, child = Family(tmp_path), CONTEXT.Event(), CONTEXT.Value("i", 0)
    family.clock.advance(45)

    def fork() -> None:
        pid = os.fork()
        if pid == 0:
            child.value = os.getpid()
            time.sleep(PATIENCE)
            os._exit(0)

    with crew() as start, family.manager() as manager:
        holder = start(lambda: hang_in_redeem(family, inside, is_late=False, beside=fork))
        deadline = time.monotonic() + PATIENCE
        while not child.value and time.monotonic() < deadline:
            time.sleep(0.01)
        assert child.value
        try:
            refused(family.client(manager.redeem, timeout=0).token, StoreBusy)
            holder.kill()
            os.kill(child.value, 0)
            assert manager.validate(family.client(manager.redeem, timeout=0).token()).generation == 2
        finally:
            os.kill(child.value, signal.SIGKILL)


def test_a_child_forked_beside_a_refresh_can_refresh(client: RefreshClient, host: Host) -> None:
    host.clock.advance(45)
    inside, go_on = threading.Event(), threading.Event()
    host.doing = lambda: (inside.set(), go_on.wait(PATIENCE))
    refreshing = threading.Thread(target=client.token)
    refreshing.start()
    assert inside.wait(PATIENCE)
    with crew() as start:
        worker = start(lambda: (client.token(), len(host.redeemed)))
        go_on.set()
        assert worker.result() == ("eyJ.next-1.signature", 1)
    refreshing.join()
    host.clock.advance(45)
    assert client.token() == "eyJ.next-2.signature"


def test_no_lock_file_is_opened_behind_a_forks_back(
    client: RefreshClient, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fork waits for an opening under way: the child closes only what it knows of."""
    opening, open_ = threading.Event(), file_lock._open

    def slow(name: str, flags: int) -> int:
        descriptor = open_(name, flags)
        opening.set()
        time.sleep(0.2)
        return descriptor

    def inherited() -> list[str]:
        links = [each.readlink() for each in Path("/proc/self/fd").iterdir() if each.is_symlink()]
        return [each.name for each in links if each.name == "tokens.lock"]

    monkeypatch.setattr(file_lock, "_open", slow)
    refreshing = threading.Thread(target=client.refresh, args=(TOKEN,))
    refreshing.start()
    assert opening.wait(PATIENCE)
    with crew() as start:
        assert start(inherited).result() == []
    refreshing.join()
