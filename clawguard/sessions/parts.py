"""What an open manager or verifier is made of: opened, founded on first use, and closed as one."""

from __future__ import annotations

import hashlib
import logging
import os
import uuid
from collections.abc import Collection
from contextlib import ExitStack
from functools import partial
from typing import NamedTuple

from clawguard.checks import check_flag, check_text
from clawguard.clock import SECOND, Clock, Duration, IdFactory, SystemClock, microseconds, new_id
from clawguard.errors import ClawguardError, ConfigError, InvalidArgument
from clawguard.events.audit import AuditLog
from clawguard.events.cursors import Bench
from clawguard.events.log import SCHEMA_VERSION
from clawguard.events.signals import Dispatch, EventBus
from clawguard.events.subscribers import Servers
from clawguard.guard import Guard, KekSource, KeyEncryptionKey, SigningKey, load_kek
from clawguard.history.content_keys import Contents
from clawguard.sessions.cache import ContextCache
from clawguard.sessions.change import Change
from clawguard.sessions.ending import Endings
from clawguard.sessions.feed import LEAST_BOUND, Feed
from clawguard.sessions.heartbeat import Heartbeat
from clawguard.sessions.keychain import Keychain, insert_key, load_rules
from clawguard.sessions.lines import Lines
from clawguard.sessions.log_key import ensure_log_key, insert_log_key, load_log_key
from clawguard.sessions.recorder import Recorder
from clawguard.store import Reach, Store, open_store

__all__ = ["Parts", "open_parts"]

_logger = logging.getLogger("clawguard.sessions")

_DEFAULT_URL = ".clawguard/clawguard.db"
_DEFAULT_AUDIENCE = "clawguard"
_CACHE_CAPACITY = 65_536
_LAST_CALL = 2.0  # seconds that receivers have at close


class Parts(NamedTuple):
    """Hold everything that one open manager or verifier works with."""

    store: Store
    clock: Clock
    new_id: IdFactory
    guard: Guard
    keychain: Keychain
    contents: Contents
    lines: Lines
    bus: EventBus
    log: AuditLog
    cache: ContextCache
    recorder: Recorder
    endings: Endings
    servers: Servers
    heartbeat: Heartbeat
    feed: Feed | None

    def change(self, *, durable: bool, reach: Reach | None = None) -> Change:
        """Return the context manager for one use case's transaction."""
        return Change(self.store, self.log, self.clock, durable=durable, reach=reach)

    def close(self) -> None:
        """Write what was gathered, deliver what is queued, and let go of the store."""
        with ExitStack() as steps:  # from the last to the first, each whatever became of the others
            steps.callback(self.bus.close)
            steps.callback(self.store.close)
            steps.callback(self.log.close)
            steps.callback(self._write_last)
            steps.callback(self.servers.close)
            steps.callback(self.heartbeat.close)

    def _write_last(self) -> None:
        """Write what was gathered, the failures of the last receivers too."""
        self.bus.flush(_LAST_CALL)
        try:
            self.recorder.flush(last=True)
            self.log.link()
            self.log.export(last=True)
        except ClawguardError as error:
            _logger.error("what was gathered last could not be written: %s", error)


def open_parts(
    url: str | os.PathLike[str] | None,
    *,
    issuer: str | None,
    audience: str | None,
    audiences: Collection[str],
    kek: KekSource,
    signs: bool,
    max_staleness: Duration,
    create: bool,
    lock_timeout: float,
    dispatch: Dispatch,
    clock: Clock | None,
) -> Parts:
    """Open the store and everything above it; a holder that signs founds a new database.

    Raises ConfigError for files, keys, issuer or audience that do not fit.
    """
    if isinstance(audiences, str):
        raise InvalidArgument("audiences", "must be a list of names", hint=f"write audiences=[{audiences!r}]")
    check_flag(create, argument="create")
    clock = clock or SystemClock()
    bound = _bound(max_staleness)
    bus = EventBus(dispatch=dispatch)
    patience = microseconds(lock_timeout, argument="lock_timeout") / SECOND
    store = open_store(_resolve(url), clock=clock, create=create, lock_timeout=patience)
    try:
        return _assemble(
            store,
            bus,
            issuer=issuer,
            audience=audience,
            audiences=audiences,
            kek=kek,
            signs=signs,
            bound=bound,
            clock=clock,
        )
    except BaseException:
        store.close()
        raise


def _resolve(url: str | os.PathLike[str] | None) -> str:
    if url is None:
        return os.environ.get("CLAWGUARD_URL") or _DEFAULT_URL
    if not isinstance(url, str | os.PathLike):
        raise InvalidArgument("url", "must be a path or a URL")
    return os.fspath(url)


def _assemble(
    store: Store,
    bus: EventBus,
    *,
    issuer: str | None,
    audience: str | None,
    audiences: Collection[str],
    kek: KekSource,
    signs: bool,
    bound: int,
    clock: Clock,
) -> Parts:
    meta = store.read("meta.get")
    if not meta and signs:
        founder = check_text(issuer or f"urn:clawguard:{uuid.UUID(new_id(clock.now()))}", argument="issuer")
        own = check_text(audience or _DEFAULT_AUDIENCE, argument="audience")
        _found(store, issuer=founder, audience=own, key=_load_kek(store, kek, founder), now=clock.now())
        meta = store.read("meta.get")
    if not meta:
        raise ConfigError("the database has not been founded", hint="open it once with SessionManager.open()")
    _, known_issuer, known_audience, *_ = meta[0]
    _check_fit(issuer, known_issuer, audience if signs else None, known_audience)
    key = _load_kek(store, kek, known_issuer) if signs else None
    own = audience or known_audience
    ring, policy = load_rules(store, key)
    guard = Guard(issuer=known_issuer, audience=own, audiences={own, *audiences}, ring=ring, policy=policy)
    if key is not None:
        ensure_log_key(store, kek=key, now=clock.now())
    load_key = partial(load_log_key, store, key, issuer=known_issuer)
    log = AuditLog(store, bus=bus, issuer=known_issuer, new_id=new_id, clock=clock, load_key=load_key)

    def change(*, durable: bool, reach: Reach | None = None) -> Change:
        return Change(store, log, clock, durable=durable, reach=reach)

    recorder = Recorder(change, clock=clock)
    keychain = Keychain(store, guard, kek=key)
    bus.report = recorder.receiver_failed
    cache = ContextCache(capacity=_CACHE_CAPACITY, clock=clock)
    log.listen(cache.heard)
    feed = Feed(store, clock, bound=bound) if bound else None
    if feed is not None:
        log.listen(feed.heard)
    return Parts(
        store=store,
        clock=clock,
        new_id=new_id,
        guard=guard,
        keychain=keychain,
        contents=Contents(store, lambda: keychain.kek),
        lines=Lines(store, guard),
        bus=bus,
        log=log,
        cache=cache,
        recorder=recorder,
        endings=Endings(store, change, clock=clock, new_id=new_id),
        servers=Servers(Bench(store, log, bus, change, clock), new_id=new_id),
        heartbeat=Heartbeat(change),
        feed=feed,
    )


def _bound(max_staleness: Duration) -> int:
    bound = microseconds(max_staleness, argument="max_staleness", least=0)
    if 0 < bound < LEAST_BOUND:
        raise InvalidArgument("max_staleness", "must be 0, or at least 0.25 seconds")
    return bound


def _load_kek(store: Store, source: KekSource, issuer: str) -> KeyEncryptionKey:
    """Load the key-encryption key; its file is made on first use, while no key is sealed yet."""
    return load_kek(
        source,
        default_path=store.side_file("kek"),
        salt=hashlib.sha256(issuer.encode()).digest(),
        create=not store.read("keys.all"),
        environ=os.environ,
    )


def _found(store: Store, *, issuer: str, audience: str, key: KeyEncryptionKey, now: int) -> None:
    """Make the database ours: its identity and first two keys, in one power-safe transaction."""
    first, following = SigningKey.generate(), SigningKey.generate()
    with store.transaction(durable=True) as tx:
        if tx.run("meta.get"):
            return  # another process came first
        tx.run("meta.found", schema_version=SCHEMA_VERSION, issuer=issuer, audience=audience, now=now)
        insert_key(tx, first, kek=key, state="active", now=now)
        insert_key(tx, following, kek=key, state="next", now=now + 1)
        insert_log_key(tx, kek=key, now=now)


def _check_fit(issuer: str | None, known_issuer: str, audience: str | None, known_audience: str) -> None:
    if issuer is not None and issuer != known_issuer:
        raise ConfigError(
            "the database belongs to another issuer", hint="leave issuer= out, or name another path"
        )
    if audience is not None and audience != known_audience:
        raise ConfigError(
            "the database was founded for another audience",
            hint="leave audience= out, and name further ones in audiences=",
        )
