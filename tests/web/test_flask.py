"""Flask: the extension, its two ways in, and streamed responses."""

from __future__ import annotations

from collections.abc import Iterator

import flask
import pytest

from clawguard import SessionManager, current_session
from clawguard.errors import InvalidArgument, SessionEnded
from clawguard.web.flask import Clawguard


@pytest.fixture
def manager() -> Iterator[SessionManager]:
    with SessionManager.open(":memory:", sweep_every=None) as manager:
        yield manager


def test_an_app_made_later_is_guarded_the_same(manager: SessionManager) -> None:
    guard = Clawguard(verifier=manager, optional=True)

    def make() -> flask.Flask:
        app = flask.Flask("made")
        guard.init_app(app)

        @app.route("/")
        def front() -> str:
            return "open"

        @app.route("/docs")
        @guard.requires("docs:read")
        def docs() -> str:
            return current_session().agent_id

        return app

    headers = manager.create("planner", scopes="docs:*").headers()
    for app in (make(), make()):
        assert app.extensions["clawguard"] is guard
        client = app.test_client()
        assert client.get("/").text == "open"
        assert client.get("/docs").status_code == 401
        assert client.get("/docs", headers=headers).text == "planner"


def test_an_app_is_guarded_once(manager: SessionManager) -> None:
    app = flask.Flask("twice")
    Clawguard(app, manager)
    with pytest.raises(InvalidArgument, match="guarded already"):
        Clawguard(app, manager)


def test_nothing_is_guarded_without_somebody_who_checks() -> None:
    with pytest.raises(InvalidArgument, match="verifier"):
        Clawguard(flask.Flask("alone"))


def test_a_streamed_response_breaks_off_when_its_session_ends(manager: SessionManager) -> None:
    app = flask.Flask("streams")
    Clawguard(app, manager)

    @app.route("/")
    def stream() -> flask.Response:
        def parts() -> Iterator[str]:
            yield current_session().agent_id
            manager.revoke(current_session())
            yield "late"

        return flask.Response(parts())

    response = app.test_client().get(
        "/", headers=manager.create("planner", scopes="").headers(), buffered=False
    )
    heard: list[bytes] = []
    with pytest.raises(SessionEnded):
        heard.extend(response.iter_encoded())
    assert b"late" not in heard


def test_an_error_page_of_the_app_does_not_stand_in_the_way(manager: SessionManager) -> None:
    app = flask.Flask("pages")
    guard = Clawguard(app, manager)

    @app.errorhandler(Exception)
    def page(error: Exception) -> tuple[str, int]:
        return "sorry", 500

    @app.route("/")
    @guard.requires("docs:read")
    def read() -> str:
        return ""

    answer = app.test_client().get("/", headers=manager.create("planner", scopes="").headers())
    assert answer.status_code == 403
