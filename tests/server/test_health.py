"""Health and metrics: what they say, to whom, and that no label grows with what callers do."""

from __future__ import annotations

import re

import pytest

from clawguard.server import Settings
from tests.server.scene import Scene


def test_it_lives_and_is_ready(scene: Scene) -> None:
    assert scene.ask("GET", "/health/live").json() == {"status": "live"}
    assert scene.ask("GET", "/health/ready").json() == {"status": "ready"}


def test_it_is_not_ready_when_it_is_about_to_stop(scene: Scene) -> None:
    scene.app.state.clawguard.tail.stop()
    stopping = scene.ask("GET", "/health/ready")
    assert (stopping.status_code, stopping.json()["code"]) == (503, "stopping")


def test_a_store_that_does_not_answer_is_a_503_everywhere(scene: Scene) -> None:
    scene.manager._store.close()
    for method, path, fields in (
        ("GET", "/health/ready", None),
        ("GET", "/v1/sessions", None),
        ("POST", "/oauth/introspect", {"token": "x"}),
        ("POST", "/oauth/revoke", {"token": "x"}),
    ):
        answer = scene.ask(method, path, as_=scene.admin, data=fields)
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1"), answer.text


def test_the_metrics_are_for_those_who_may_read_them(scene: Scene) -> None:
    assert scene.ask("GET", "/metrics").status_code == 401
    assert scene.get("/metrics", as_=scene.caller("docs:read")).status_code == 403
    text = scene.get("/metrics", as_=scene.caller("clawguard:metrics:read")).text
    assert "clawguard_live_sessions 3.0" in text
    assert "clawguard_log_unlinked 0.0" in text
    assert 'clawguard_http_requests_total{method="GET",route="/metrics",status="401"} 1.0' in text


def test_no_label_of_a_metric_grows_with_what_callers_do(scene: Scene) -> None:
    for number in range(20):
        session = scene.manager.create(f"agent-{number}", scopes="docs:read", subject=f"user:{number}")
        scene.get(f"/v1/sessions/{session.id}")
        scene.get(f"/nowhere/{number}")
        scene.ask(f"METHOD{number}", "/health/live")
    series = set(re.findall(r"^clawguard_http_requests_total\{.*\}", scene.get("/metrics").text, re.M))
    assert len(series) <= 4, series


@pytest.mark.parametrize(
    "settings",
    [
        {"origin": "https://auth.example.com/path"},
        {"max_body": 1},
        {"token_rate": "often"},
        {"heartbeat": 0},
        {"workspace": ""},
    ],
)
def test_settings_that_will_not_do_are_refused(settings: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(settings))):
        Settings(**settings)  # type: ignore[arg-type]
