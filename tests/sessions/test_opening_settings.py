"""What is asked for at opening is what is opened: each setting by its name, the others as documented."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from clawguard import AsyncSessionManager, AsyncVerifier, SessionManager, Verifier
from clawguard.sessions import manager, verifier


class Opened(Exception):
    """Say with which settings something was to be opened."""

    def __init__(self, *given: Any, **settings: Any) -> None:
        self.given = given
        self.settings = settings


def refuse(*given: Any, **settings: Any) -> Any:
    raise Opened(*given, **settings)


def defaults(function: Any) -> dict[str, Any]:
    return {name: each.default for name, each in inspect.signature(function).parameters.items()}


TWINS: list[tuple[Any, Any]] = [(AsyncSessionManager, SessionManager), (AsyncVerifier, Verifier)]


@pytest.mark.parametrize(("awaited", "plain"), TWINS)
def test_a_twin_is_opened_with_every_setting_as_it_was_given(
    awaited: Any, plain: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = {name: object() for name in defaults(plain.open)}
    monkeypatch.setattr(plain, "open", refuse)
    with pytest.raises(Opened) as seen:
        awaited.open(wanted["url"], **{name: each for name, each in wanted.items() if name != "url"})
    assert dict(seen.value.settings, url=seen.value.given[0]) == wanted


@pytest.mark.parametrize(("awaited", "plain"), TWINS)
def test_a_twin_leaves_out_what_the_plain_class_leaves_out(
    awaited: Any, plain: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = defaults(plain.open)
    monkeypatch.setattr(plain, "open", refuse)
    with pytest.raises(Opened) as seen:
        awaited.open()
    assert dict(seen.value.settings, url=seen.value.given[0]) == usual


@pytest.mark.parametrize(("module", "plain"), [(manager, SessionManager), (verifier, Verifier)])
def test_what_is_left_out_is_as_the_signature_says(
    module: Any, plain: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "open_parts", refuse)
    with pytest.raises(Opened) as seen:
        plain.open()
    told = {"url": seen.value.given[0], **seen.value.settings}
    usual = defaults(plain.open)
    assert {name: told[name] for name in usual if name in told} == {
        name: each for name, each in usual.items() if name in told
    }


def test_a_verifier_asks_a_server_as_whoever_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verifier, "Asking", refuse)
    monkeypatch.setenv("CLAWGUARD_TOKEN", "of the environment")
    for given, told in ((None, "of the environment"), ("mine", "mine")):
        with pytest.raises(Opened) as seen:
            Verifier.open("https://auth.example.com", token=given, lock_timeout=7)
        assert seen.value.given == ("https://auth.example.com", told)
        assert seen.value.settings == {"timeout": 7}


@pytest.mark.parametrize("waits", [False, True])
def test_every_part_of_a_twin_leaves_the_loop_where_the_plain_manager_waits(
    waits: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SessionManager, "_reads_wait", waits)
    with SessionManager.open(":memory:", sweep_every=None) as plain:
        twin = AsyncSessionManager(plain)
        for name in ("keys", "sessions", "agents", "activity", "history", "subscribers"):
            part: Any = getattr(twin, name)
            assert part._reads_wait is waits, name
            assert type(part._plain) is type(getattr(plain, name)), name
        for each in (twin.history.milestones, twin.history.encryption):
            assert each._reads_wait is waits
