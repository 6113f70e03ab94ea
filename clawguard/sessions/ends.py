"""Between which two databases one moves: how they are opened, and what stands against it."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any, NamedTuple

from clawguard.clock import Clock
from clawguard.errors import ClawguardError, ConfigError, InvalidArgument, StoreUpgraded
from clawguard.events.log import SCHEMA_VERSION
from clawguard.guard import KekSource, load_kek
from clawguard.private_files import absolute
from clawguard.sessions.keychain import load_rules
from clawguard.sessions.verifier import Verifier
from clawguard.store import Store, Transaction, database_path, is_on_server, is_there, open_store, place_of
from clawguard.store.shut import MoveState, state_of
from clawguard.store.tables import TABLES

__all__ = [
    "Copied",
    "Ends",
    "Survey",
    "TableCount",
    "check_kek",
    "check_pair",
    "checked_url",
    "count_rows",
    "in_use",
    "issuer_of",
    "last_noted",
    "move_state",
]


class TableCount(NamedTuple):
    """Hold how many rows a table has, and how many of them the copy has."""

    name: str
    rows: int
    copied: int


@dataclass(frozen=True, slots=True)
class Copied:
    """Report a copy, or what one would do: see `copy_database`. `refusals` say why it would not be made."""

    issuer: str
    target: str
    moved: bool
    tables: tuple[TableCount, ...]
    events: int
    refusals: tuple[ClawguardError, ...] = ()


class Ends(NamedTuple):
    """Hold where a copy comes from and where it goes, and how both are opened."""

    old: str
    new: str
    clock: Clock
    patience: float

    def open_old(self, *, upgrades: bool = True) -> Store:
        """Open the old one, also where it is shut."""
        return self._open(self.old, create=False, upgrades=upgrades)

    def open_new(self, *, create: bool) -> Store:
        """Open the new one, also where it is shut; made where there is none and `create` says so.

        One of an earlier version is somebody's, and stays as it is.
        """
        return self._open(self.new, create=create, upgrades=False)

    def _open(self, url: str, *, create: bool, upgrades: bool) -> Store:
        given: dict[str, Any] = {"create": create, "upgrades": upgrades, "lock_timeout": self.patience}
        return open_store(url, clock=self.clock, moves=True, **given)

    def is_new_there(self, state: MoveState | None) -> bool:
        """Tell whether there is a new one; raise StoreMoved where the old one was moved to somewhere else."""
        found = is_there(self.new, lock_timeout=self.patience)
        if not found and state is not None and state.is_shut:
            raise state.refusal() or in_use()
        return found

    def verify(self, url: str) -> int:
        """Return how many entries of the log hold; raise ConfigError where one does not."""
        with Verifier.open(url, clock=self.clock, lock_timeout=self.patience) as opened:
            found = opened.events.verify()
            if not found:
                raise ConfigError(
                    f"the log of {place_of(url)} does not hold: {found.fault}",
                    hint="find out who changed it, or restore a backup",
                )
            return opened.events.last()[0]


class Survey:
    """Look what a copy would do, and change nothing."""

    def __init__(self, ends: Ends, kek: KekSource) -> None:
        self._ends = ends
        self._kek = kek

    def report(self) -> Copied:
        """Count what there is on both sides, and collect what would refuse."""
        with closing(self._ends.open_old(upgrades=False)) as old:
            state, issuer = move_state(old), issuer_of(old)
            refusals = list(self._refusals(old, state))
            counts = count_rows(old)
        copied: dict[str, int] = {}
        try:
            copied = self._look_at_new(state, issuer)
        except ClawguardError as error:
            refusals.append(error)
        tables = tuple(TableCount(name, count, copied.get(name, 0)) for name, count in counts.items())
        return Copied(issuer, place_of(self._ends.new), False, tables, counts["events"], tuple(refusals))

    def _refusals(self, old: Store, state: MoveState | None) -> Iterator[ClawguardError]:
        if state is not None and state.is_shut:
            return
        for check in (lambda: check_kek(old, self._kek), lambda: self._ends.verify(self._ends.old)):
            try:
                check()
            except ClawguardError as error:
                yield error

    def _look_at_new(self, state: MoveState | None, issuer: str) -> dict[str, int]:
        if not self._ends.is_new_there(state):
            return {}
        with closing(self._ends.open_new(create=False)) as new:
            partial = move_state(new)
            check_pair(state, partial, issuer=issuer, founded=issuer_of(new), place=place_of(self._ends.new))
            return {} if partial is None else count_rows(new)


def checked_url(url: str | os.PathLike[str], *, argument: str) -> str:
    """Return a URL as text; raise InvalidArgument for one that will not do."""
    text = os.fspath(url) if isinstance(url, str | os.PathLike) else ""
    if not is_on_server(text):
        path = database_path(text) if text else None
        if path is None:
            raise InvalidArgument(argument, "must be a file or a server that outlives this process")
        absolute(path, argument=argument)
    return text


def move_state(store: Store) -> MoveState | None:
    """Return what is known of a move in a store."""
    return state_of(store.read("move.state")) if store.read("move.known") else None


def issuer_of(store: Store) -> str:
    """Return whose database it is, or nothing where it is nobody's yet."""
    rows = store.read("meta.get")
    return str(rows[0][1]) if rows else ""


def check_kek(store: Store, kek: KekSource) -> None:
    """Raise ConfigError where the keys cannot be opened with what the new database is to be opened with."""
    issuer = issuer_of(store)
    if not issuer:
        raise ConfigError("the database has not been founded", hint="open it once with SessionManager.open()")
    key = load_kek(
        kek,
        default_path=store.side_file("kek"),
        salt=hashlib.sha256(issuer.encode()).digest(),
        create=False,
        environ=os.environ,
    )
    load_rules(store, key)


def count_rows(store: Store) -> dict[str, int]:
    """Return how many rows each table has, hidden or not."""
    state = move_state(store)
    kind = "there" if state is not None and state.is_shut else "count"
    return {table.name: int(store.read(f"move.{kind}.{table.name}")[0][0]) for table in TABLES}


def check_pair(
    state: MoveState | None, partial: MoveState | None, *, issuer: str, founded: str, place: str
) -> None:
    """Raise what stands against going on between these two."""
    if state is not None and state.state == "receiving":
        raise state.refusal() or in_use()
    if state is not None and state.is_shut:
        is_done = partial is None and founded == issuer and place == state.told
        if not is_done and (partial is None or partial.copy != state.copy):
            raise state.refusal() or in_use()
        return
    if partial is None:
        if founded:
            raise in_use()
    elif partial.state != "receiving":
        raise partial.refusal() or in_use()
    elif state is None or partial.capture != state.capture:
        raise ConfigError(
            "the new database is a part of another copy", hint="give an empty one, or go on with that copy"
        )


def last_noted(tx: Transaction, *, capture: str) -> int:
    """Return the number of the last change that was noted, in a write that has the old database alone.

    Raises StoreMoved where another copy was made of it meanwhile, ConfigError where this one was given up:
    what is noted there by now is for another one. Raises StoreUpgraded where a newer version migrated it.
    """
    state = state_of(tx.run("move.state")) if tx.run("move.known") else None
    if state is not None and state.is_shut:
        raise state.refusal() or in_use()
    if state is None or state.capture != capture:
        raise ConfigError("the copy was given up meanwhile", hint="begin anew with an empty database")
    if tx.run("change.head")[0][0] != SCHEMA_VERSION:
        raise StoreUpgraded("a newer clawguard migrated the store", hint="copy it anew with that version")
    return int(tx.run("move.last_change")[0][0])


def in_use() -> ConfigError:
    """Return what tells that a new database is none."""
    return ConfigError("the new database is in use already", hint="give an empty one, such as a new schema")
