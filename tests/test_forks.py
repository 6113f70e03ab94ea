"""What is called around a fork: every owner, whatever becomes of another."""

from __future__ import annotations

import pytest

from clawguard.forks import _Registry


class Owner:
    """Count its calls; fail at each where asked."""

    def __init__(self, *, fails: bool) -> None:
        self.fails = fails
        self.calls = 0

    def after_fork(self) -> None:
        self.calls += 1
        if self.fails:
            raise OSError(9, "Bad file descriptor")


def test_an_owner_that_fails_keeps_no_other_from_being_made_anew(caplog: pytest.LogCaptureFixture) -> None:
    registry = _Registry()
    registry._registered = True
    owners = [Owner(fails=True), Owner(fails=False)]
    for owner in owners:
        registry.add(owner)
    registry._in_child()
    assert [owner.calls for owner in owners] == [1, 1]
    assert "after_fork of Owner failed" in caplog.text
