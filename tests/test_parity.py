"""Sync and async have the same names, the same parameters and the same defaults."""

from __future__ import annotations

import inspect

import pytest

from clawguard import AsyncSessionManager, AsyncVerifier, SessionManager, Verifier
from clawguard.events.subscribers import Subscribers
from clawguard.sessions.activity import Activity
from clawguard.sessions.aio_parts import (
    AsyncActivity,
    AsyncAgents,
    AsyncEncryption,
    AsyncHistory,
    AsyncKeys,
    AsyncMilestones,
    AsyncSubscribers,
)
from clawguard.sessions.encryption import Encryption
from clawguard.sessions.history import History
from clawguard.sessions.keys import Keys
from clawguard.sessions.milestones import Milestones
from clawguard.sessions.switches import Agents

PAIRS = [
    (SessionManager, AsyncSessionManager),
    (Verifier, AsyncVerifier),
    (Keys, AsyncKeys),
    (Agents, AsyncAgents),
    (Subscribers, AsyncSubscribers),
    (Activity, AsyncActivity),
    (History, AsyncHistory),
    (Encryption, AsyncEncryption),
    (Milestones, AsyncMilestones),
]
INSTANCE_ATTRIBUTES = {"sessions", "activity", "history", "keys", "agents", "subscribers"}
PLAIN_IN_BOTH = {"on", "off", "use", "open", "turn"}


def public(kind: type) -> set[str]:
    return {name for name in dir(kind) if not name.startswith("_")} - INSTANCE_ATTRIBUTES


@pytest.mark.parametrize(("plain", "awaited"), PAIRS)
def test_the_names_are_the_same(plain: type, awaited: type) -> None:
    assert public(plain) == public(awaited)


@pytest.mark.parametrize(("plain", "awaited"), PAIRS)
def test_what_may_wait_is_awaited(plain: type, awaited: type) -> None:
    for name in public(plain):
        member = inspect.getattr_static(awaited, name)
        if inspect.isfunction(member) and name not in PLAIN_IN_BOTH:
            assert inspect.iscoroutinefunction(member), name


@pytest.mark.parametrize(("plain", "awaited"), PAIRS)
def test_the_parameters_are_the_same(plain: type, awaited: type) -> None:
    for name in public(plain):
        one, other = inspect.getattr_static(plain, name), inspect.getattr_static(awaited, name)
        if inspect.isfunction(one):
            assert shape(one) == shape(other), name


def shape(function: object) -> list[tuple[str, object, object]]:
    parameters = inspect.signature(function).parameters.values()  # type: ignore[arg-type]
    return [(each.name, each.kind, each.default) for each in parameters]
