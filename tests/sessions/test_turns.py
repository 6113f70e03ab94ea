"""A turn is entered once; who gives up waiting lets the next one go on."""

from __future__ import annotations

import pytest

from clawguard import InvalidArgument
from tests.openers import open_manager


def test_a_turn_that_was_entered_before_is_refused() -> None:
    with open_manager() as manager:
        turn = manager.activity.turn(manager.create("a", scopes="x"))
        for read in (lambda: turn.number, lambda: turn.session, turn.check):
            with pytest.raises(InvalidArgument) as early:
                read()
            assert str(early.value) == (
                "turn: has not begun; use it as `with manager.activity.turn(session):`"
            )
        with turn:
            assert turn.session.state == "running"
        with pytest.raises(InvalidArgument) as again:
            turn.__enter__()
        assert str(again.value) == "turn: was entered before; call activity.turn() for each block"
