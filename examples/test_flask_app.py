"""Test flask_app.py through Flask's own client, with the fixtures that clawguard brings to pytest."""

import pytest
from flask.testing import FlaskClient

from clawguard import SessionManager
from clawguard.testing import ManualClock, assert_event, auth_headers
from examples.flask_app import make_app


@pytest.fixture
def client(clawguard_manager: SessionManager) -> FlaskClient:
    return make_app(clawguard_manager).test_client()


def test_the_front_page_is_open_and_the_notes_are_not(client: FlaskClient) -> None:
    assert client.get("/").text == "welcome"
    assert client.get("/notes").status_code == 401


def test_a_session_ends_by_time(
    client: FlaskClient, clawguard_manager: SessionManager, clawguard_clock: ManualClock
) -> None:
    session = clawguard_manager.create("planner", scopes="notes:*", ttl=60)
    assert client.get("/notes", headers=auth_headers(session)).text == "notes for planner"
    clawguard_clock.tick(60)
    assert client.get("/notes", headers=auth_headers(session)).status_code == 401
    assert_event(clawguard_manager, "session.expired", session_id=session.id, cause="ttl")


def test_who_lacks_the_scope_is_refused_and_recorded(
    client: FlaskClient, clawguard_manager: SessionManager
) -> None:
    session = clawguard_manager.create("mailer", scopes="mail:send")
    answer = client.get("/notes", headers=auth_headers(session.token))
    assert answer.status_code == 403
    assert 'scope="notes:read"' in answer.headers["WWW-Authenticate"]
    assert_event(clawguard_manager, "guard.denied", agent_id="mailer")
