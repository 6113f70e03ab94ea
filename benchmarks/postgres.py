"""PostgreSQL: the store's verbs against the same statements by hand, on psycopg, at the same power safety."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import secrets
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from time import perf_counter, sleep
from typing import Any

import jwt
import psycopg
from cryptography.hazmat.primitives.asymmetric import ec
from psycopg.rows import dict_row

from clawguard import AccessDenied, SessionManager, Verifier
from clawguard.clock import SystemClock, new_id
from clawguard.store.catalog import Catalog

from .harness import Result, Setting, benchmark, pair
from .raw import SCOPES

_SERVER = "postgresql://postgres@127.0.0.1:5432/test"
_KEK = bytes(range(32))
_REST = 0.0002  # seconds between two validates, to leave the server a share of the cores
_CONTEXT = multiprocessing.get_context("fork")


@contextmanager
def _schema() -> Iterator[str]:
    """Give the URL of a schema that is removed at the end; CLAWGUARD_BENCH_POSTGRES names another server."""
    server, name = os.environ.get("CLAWGUARD_BENCH_POSTGRES", _SERVER), f"bench_{secrets.token_hex(6)}"
    try:
        yield f"{server}?schema={name}"
    finally:
        with psycopg.connect(server, autocommit=True) as connection:
            connection.execute(f"SET client_min_messages = error; DROP SCHEMA IF EXISTS {name} CASCADE")


def _open(url: str) -> SessionManager:
    manager = SessionManager.open(url, kek=_KEK, sweep_every=None)
    manager.on("session.*", lambda _: None)
    return manager


class _Raw:
    """Do by hand what create and revoke do: one connection, prepared statements, no lock, no chain."""

    def __init__(self, url: str) -> None:
        with _open(url) as manager:
            issued = manager.create("planner", scopes=SCOPES)
        server, _, schema = url.partition("?schema=")
        self._connection = psycopg.connect(server, autocommit=True, options=f"-c search_path={schema}")
        self._connection.prepare_threshold = 0
        self._claims = jwt.decode(issued.token, options={"verify_signature": False})
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._headers = {"typ": "at+jwt", "kid": issued.kid}
        self._catalog = Catalog("postgres")
        with self._connection.cursor(row_factory=dict_row) as cursor:
            self._row = cursor.execute("SELECT * FROM sessions LIMIT 1").fetchone() or {}
            self._event = cursor.execute("SELECT * FROM events LIMIT 1").fetchone() or {}
        self._seq = itertools.count(2)
        self._now = SystemClock().now()

    def close(self) -> None:
        self._connection.close()

    def one(self) -> None:
        """Ask for nothing."""
        self._connection.execute("SELECT 1").fetchall()

    def create(self) -> str:
        """Sign, then insert the session and its event in one transaction."""
        session_id = new_id(self._now)
        jwt.encode(self._claims, self._key, algorithm="ES256", headers=self._headers)
        self._begin("local")
        self._run("session.insert", **self._row | {"id": session_id, "jti": str(uuid.uuid4())})
        self._append(session_id)
        self._connection.execute("COMMIT")
        return session_id

    def revoke(self, session_id: str) -> None:
        """End the session and insert its event in one transaction."""
        self._begin("on")
        given = {"cause": "revoked", "reason": None, "actor": "host"}
        if not self._run("session.end_one", id=session_id, now=self._now, **given):
            raise RuntimeError("the raw revoke changed nothing")
        self._run("session.has_children", id=session_id)
        self._append(session_id)
        self._connection.execute("COMMIT")

    def _begin(self, level: str) -> None:
        self._connection.execute(f"BEGIN; SET LOCAL synchronous_commit = {level}", prepare=False)

    def _append(self, session_id: str) -> None:
        statement = self._catalog["event.insert"]
        event = self._event | {"seq": next(self._seq), "session_id": session_id}
        self._connection.execute(statement.sql, statement.bind(event))

    def _run(self, name: str, /, **params: Any) -> list[Any]:
        statement = self._catalog[name]
        return self._connection.execute(statement.sql, statement.bind(params)).fetchall()


@benchmark("postgres")
def postgres(setting: Setting) -> Iterator[Result]:
    """create, revoke and a keyed read on PostgreSQL, against the raw transactions; writers at once"""
    rounds, number = setting.size(31, 11), 15
    with _schema() as url, _schema() as other, _open(url) as manager:
        raw = _Raw(other)
        yield pair(
            lambda: manager.create("planner", scopes=SCOPES), raw.create, rounds=rounds, number=number
        ).against("PostgreSQL: create, to PyJWT encode + the raw transaction", 1.3)
        issued = iter([manager.create("planner", scopes=SCOPES) for _ in range(rounds * number + 1)])
        by_hand = iter([raw.create() for _ in range(rounds * number + 1)])
        yield pair(
            lambda: manager.revoke(next(issued)),
            lambda: raw.revoke(next(by_hand)),
            rounds=rounds,
            number=number,
        ).against("PostgreSQL: revoke, to the raw transaction", 1.5)
        session = manager.create("planner", scopes=SCOPES)
        read = manager._store.read
        for what, act, budget in (
            ("the keyed read of a validate", lambda: read("validate.pulse", id=session.id), 1.5),
            ("validate, hit", lambda: manager.validate(session.token), 2.0),
        ):
            found = pair(act, raw.one, rounds=2 * rounds, number=50)
            yield found.against(f"PostgreSQL: {what}, to `select 1`", budget)
        raw.close()
    yield from _news(setting)
    yield from _writers(setting)


def _news(setting: Setting) -> Iterator[Result]:
    """Measure how long another process that remembers a token accepts it after its end was acknowledged."""
    ends = setting.size(500, 100)
    with _schema() as url, _open(url) as manager:
        mine, theirs = _CONTEXT.Pipe()
        other = _CONTEXT.Process(target=_remember, args=(url, theirs))
        other.start()
        late = []
        for _ in range(ends):
            session = manager.create("planner", scopes=SCOPES)
            mine.send(session.token)
            mine.recv()
            manager.revoke(session)
            acknowledged = perf_counter()
            late.append(max(0.0, mine.recv() - acknowledged))
        mine.send(None)
        other.join()
    found = sorted(late)
    detail = f"median {found[ends // 2] * 1e3:.1f} ms, longest {found[-1] * 1e3:.1f} ms of {ends}"
    what = "PostgreSQL: revoke acknowledged to refused elsewhere, `max_staleness=1`, p99"
    yield Result(what, found[int(ends * 0.99)], 0.005, "milliseconds", detail=detail)


def _remember(url: str, pipe: Any) -> None:
    """Validate each token that comes until it is refused, and tell when the call began that refused it."""
    with Verifier.open(url, max_staleness=1) as verifier:
        while (token := pipe.recv()) is not None:
            verifier.validate(token)
            while verifier.freshness is None or not verifier.freshness.lease:
                sleep(_REST)
            pipe.send("remembered")
            with suppress(AccessDenied):
                while True:
                    began = perf_counter()
                    verifier.validate(token)
                    sleep(_REST)
            pipe.send(began)


def _writers(setting: Setting) -> Iterator[Result]:
    """Measure what eight processes gain, against one, by writing to different sessions at once."""
    seconds = setting.size(3, 1)
    for verb in ("create", "revoke"):
        rates = [_rate(verb, count, seconds) for count in (1, 8)]
        detail = f"{rates[0]:,.0f}/s with one"
        what = f"PostgreSQL: {verb}s a second of 8 processes, to those of one"
        yield Result(what, rates[1] / rates[0], 1.3, "share", at_least=True, detail=detail)


def _rate(verb: str, count: int, seconds: float) -> float:
    with _schema() as url:
        _open(url).close()
        barrier, results = _CONTEXT.Barrier(count), _CONTEXT.Queue()
        workers = [
            _CONTEXT.Process(target=_work, args=(url, verb, seconds, barrier, results)) for _ in range(count)
        ]
        for worker in workers:
            worker.start()
        rate = sum(results.get() for _ in workers)
        for worker in workers:
            worker.join()
    return float(rate)


def _work(url: str, verb: str, seconds: float, barrier: Any, results: Any) -> None:
    with _open(url) as manager:
        issued = [manager.create("planner", scopes=SCOPES) for _ in range(1_000 if verb == "revoke" else 1)]
        barrier.wait()
        done, begun = 0, perf_counter()
        while (spent := perf_counter() - begun) < seconds and issued:
            if verb == "revoke":
                manager.revoke(issued.pop())
            else:
                manager.create("planner", scopes=SCOPES)
            done += 1
        results.put(done / spent)
