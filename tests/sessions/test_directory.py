"""What is purged is gone with all that belongs to it, and the log says how much it was and where."""

from __future__ import annotations

from pathlib import Path

import pytest

from clawguard import SessionNotFound
from tests.clocks import FakeClock
from tests.openers import open_manager, rows

LEFT = (
    "SELECT (SELECT count(*) FROM sessions), (SELECT count(*) FROM entries), "
    "(SELECT count(*) FROM refresh_tokens), (SELECT count(*) FROM turns)"
)


def test_a_purge_leaves_nothing_of_whom_it_takes_and_all_of_the_others(tmp_path: Path) -> None:
    path, clock = tmp_path / "data" / "clawguard.db", FakeClock()
    with open_manager(path, clock=clock) as manager:
        made = []
        for workspace in ("acme", "acme", "default"):
            each = manager.create("a", scopes="x", workspace_id=workspace, refreshable=True)
            manager.history.append(each, {"role": "user", "content": "hello"})
            manager.activity.turn(each, lease=60).__enter__()
            made.append(each)
        live = manager.create("b", scopes="x", workspace_id="acme")
        manager.revoke_where(workspace_id="acme", agent_id="a")
        manager.revoke(made[2])
        clock.advance(2)
        assert rows(path, LEFT) == [(4, 3, 3, 3)]
        assert manager.sessions.purge(1, workspace_id="acme", dry_run=True) == 2
        assert rows(path, LEFT) == [(4, 3, 3, 3)]
        assert manager.sessions.purge(1, workspace_id="acme", actor="ops:eve") == 2
        assert rows(path, LEFT) == [(2, 1, 1, 1)]
        assert manager.sessions.get(live).id == live.id
        with pytest.raises(SessionNotFound):
            manager.sessions.get(made[0].id)
        (told,) = manager.events.read(types="session.purged")
        assert (told.workspace_id, told.actor, told.session_id) == ("acme", "ops:eve", None)
        assert told.data == {"count": 2}
        assert manager.sessions.purge(1, workspace_id="acme") == 0
        assert len(manager.events.read(types="session.purged")) == 1
