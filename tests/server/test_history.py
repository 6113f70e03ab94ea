"""Conversations over HTTP: the newest entries of one, and what a search finds."""

from __future__ import annotations

from pathlib import Path

from clawguard import IssuedSession
from clawguard.errors import EntryUnreadable
from clawguard.sessions.problems import error_of
from tests.openers import open_manager, raw
from tests.refusing import UNKNOWN
from tests.server.scene import Scene


def talk(scene: Scene) -> IssuedSession:
    session = scene.manager.create("planner", scopes="docs:read")
    for text in ("where is the invoice", "the invoice is in the attic", "thank you"):
        scene.manager.history.append(session, {"role": "user", "content": text, "mood": "calm"})
    return session


def test_the_newest_entries_come_with_their_number_and_all_that_the_host_kept(scene: Scene) -> None:
    session = talk(scene)
    told = scene.get(f"/v1/sessions/{session.id}/history", params={"limit": 2}).json()
    assert told["count"] == 3
    assert [each["seq"] for each in told["items"]] == [2, 3]
    assert told["items"][1] | {"content": "thank you", "mood": "calm", "role": "user"} == told["items"][1]
    assert scene.get(f"/v1/sessions/{UNKNOWN}/history").status_code == 404


def test_a_search_finds_words_in_one_session_or_in_all(scene: Scene) -> None:
    session, other = talk(scene), talk(scene)
    all_hits = scene.get("/v1/history/search", params={"q": "attic"}).json()["items"]
    assert {each["session_id"] for each in all_hits} == {session.id, other.id}
    (hit,) = scene.get("/v1/history/search", params={"q": "attic", "session_id": other.id}).json()["items"]
    assert (hit["seq"], hit["agent_id"]) == (2, "planner")
    assert "attic" in hit["snippet"]
    assert scene.get("/v1/history/search", params={"q": "cellar"}).json()["items"] == []


def test_who_may_read_sessions_may_not_read_what_was_said(scene: Scene) -> None:
    session = talk(scene)
    reader = scene.caller("clawguard:sessions:*")
    assert scene.get(f"/v1/sessions/{session.id}", as_=reader).status_code == 200
    for path in (f"/v1/sessions/{session.id}/history", "/v1/history/search?q=invoice"):
        refused = scene.get(path, as_=reader)
        assert (refused.status_code, "invoice" in refused.text) == (403, False)


def test_a_search_of_what_is_encrypted_says_that_there_is_none() -> None:
    with open_manager(encrypt_history=True) as manager:
        scene = Scene(manager)
        session = talk(scene)
        refused = scene.get("/v1/history/search", params={"q": "invoice"})
        assert (refused.status_code, refused.json()["code"]) == (409, "search_unavailable")
        assert scene.get(f"/v1/sessions/{session.id}/history").json()["count"] == 3


def test_an_entry_that_was_altered_is_named_and_not_repeated(tmp_path: Path) -> None:
    path = tmp_path / "data" / "clawguard.db"
    with open_manager(path, encrypt_history=True) as manager:
        scene = Scene(manager)
        session = talk(scene)
        with raw(path) as database:
            database.execute("UPDATE entries SET role = 'system' WHERE seq = 2")
        refused = scene.get(f"/v1/sessions/{session.id}/history")
    told = refused.json()
    assert (refused.status_code, told["code"]) == (409, "entry_unreadable")
    assert (told["session_id"], told["seq"]) == (session.id, 2)
    assert "restore a backup" in told["detail"]
    assert "attic" not in refused.text
    read = error_of(refused.status_code, told, "")
    assert isinstance(read, EntryUnreadable)
    assert (read.session_id, read.seq) == (session.id, 2)
    assert str(read) == str(EntryUnreadable(session.id, 2, "it was altered, or is another entry's"))
