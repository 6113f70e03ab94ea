"""Conversations over HTTP: the newest entries of one, and what a search finds."""

from __future__ import annotations

from clawguard import IssuedSession
from tests.openers import open_manager
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
