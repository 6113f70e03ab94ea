"""clawguard's side of every comparison: each work is set up only when it is asked for."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.material import LIFE, MESSAGE, SCOPES
from benchmarks.raw import open_manager
from clawguard import IssuedSession, SessionManager, Verifier

from . import ours_requests
from .measures import Measure, Works, calls, consuming, later

__all__ = ["works"]

_SAID, _READ = 500, 100


@contextmanager
def works(folder: Path) -> Iterator[Works]:
    """Create, validate, revoke, delegate, redeem; append and read; guard requests."""
    path = folder / "clawguard.db"
    with ExitStack() as stack:
        manager = stack.enter_context(open_manager(path))
        verifier = stack.enter_context(Verifier.open(path))
        runner = stack.enter_context(asyncio.Runner())
        create = partial(manager.create, "planner", scopes=SCOPES, ttl=LIFE)
        yield {
            "create": calls(create),
            "validate_again": later(partial(_validate_again, manager, create)),
            "validate_first": consuming(create, partial(_validate, verifier)),
            "revoke": consuming(create, manager.revoke),
            "delegate": later(partial(_delegate, manager, create)),
            "redeem": consuming(partial(create, refreshable=True), partial(_redeem, manager)),
            "append": later(partial(_append, manager, create)),
            "read_first": later(partial(_read_first, manager, create, stack, path)),
            "read_again": later(partial(_read_again, manager, create)),
            "flask": later(partial(ours_requests.flask_request, manager, verifier)),
            "drf": later(partial(ours_requests.drf_request, manager, verifier, folder)),
            "fastapi": later(partial(ours_requests.fastapi_request, manager, verifier, runner)),
        }


def _validate(verifier: Verifier, session: IssuedSession) -> object:
    return verifier.validate(session.token, require="docs:read")


def _validate_again(manager: SessionManager, create: Any) -> Measure:
    token = create().token
    return calls(lambda: manager.validate(token, require="docs:read"))


def _delegate(manager: SessionManager, create: Any) -> Measure:
    return consuming(create, lambda session: manager.delegate(session.token, "helper", scopes="docs:read"))


def _redeem(manager: SessionManager, session: IssuedSession) -> object:
    return manager.redeem(str(session.refresh_token))


def _append(manager: SessionManager, create: Any) -> Measure:
    session = _talk(manager, create)
    return calls(lambda: manager.history.append(session, MESSAGE))


def _read_again(manager: SessionManager, create: Any) -> Measure:
    return calls(partial(_texts, manager, _talk(manager, create)))


def _read_first(manager: SessionManager, create: Any, stack: ExitStack, path: Path) -> Measure:
    """Read as another process does that goes on with a conversation."""
    other = stack.enter_context(open_manager(path))

    def talked() -> IssuedSession:
        session: IssuedSession = create()
        manager.history.extend(session, [MESSAGE] * _READ)
        return session

    return consuming(talked, partial(_texts, other))


def _texts(manager: SessionManager, session: IssuedSession) -> list[str | None]:
    return [entry.text for entry in manager.history.tail(session, _READ)]


def _talk(manager: SessionManager, create: Any) -> IssuedSession:
    session: IssuedSession = create()
    for _ in range(_SAID):
        manager.history.append(session, MESSAGE)
    return session
