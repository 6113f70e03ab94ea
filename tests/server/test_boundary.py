"""Around every request: its id, the size and shape of its body, one log line, and no secret in any of it."""

from __future__ import annotations

import asyncio
import io
import json
import logging
from typing import Any

import httpx
import pytest

from clawguard.server.logs import logging_to
from tests.server.scene import BASE, Scene


def test_every_answer_carries_an_id_and_a_good_one_is_kept(scene: Scene) -> None:
    given = scene.ask("GET", "/health/live", headers={"X-Request-Id": "proxy-0123.a_b"})
    assert given.headers["x-request-id"] == "proxy-0123.a_b"
    for bad in ("short", "x" * 65, "a b c d e f", "<script>alert"):
        assert scene.ask("GET", "/health/live", headers={"X-Request-Id": bad}).headers["x-request-id"] != bad


def test_attack_37_a_large_body_is_refused_before_it_is_read_to_its_end(scene: Scene) -> None:
    async def endless(sent: list[int]) -> Any:
        while True:
            sent.append(1)
            yield b"x" * 65_536

    sent: list[int] = []
    for content in (b"x" * 65_537, endless(sent)):
        answer = scene.ask("POST", "/v1/sessions", as_=scene.admin, content=content)
        assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")
    assert len(sent) <= 3


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[" * 30_000,
        b'{"agent_id": "a", "scopes": [], "metadata": {"x": NaN}}',
        b'{"agent_id": "a", "scopes": [], "metadata": ' + b'{"x":' * 60 + b"1" + b"}" * 60 + b"}",
        b'{"agent_id": "a", "scopes": [], "metadata": {"x": "\\ud800"}}',
        b'{"agent_id": "\\u0000", "scopes": []}',
        b'{"agent_id": "a", "agent_id": "b", "scopes": []}',
        b'{"agent_id": 1, "scopes": []}',
        b'{"agent_id": "a", "scopes": "docs:read"}',
        b'{"agent_id": "a", "scopes": [], "ttl": "60"}',
        b'{"agent_id": "a", "scopes": [], "ttl": 1e400}',
        b'{"agent_id": "a", "scopes": [], "max_uses": true}',
        b'{"agent_id": "a", "scopes": [], "id": "chosen"}',
        b'{"agent_id": "a", "scopes": [], "workspace_id": "acme"}',
        b"\xff\xfe",
        b"",
    ],
)
def test_a_body_that_is_not_as_it_must_be_makes_nothing(scene: Scene, body: bytes) -> None:
    headers = {"Content-Type": "application/json"}
    answer = scene.ask("POST", "/v1/sessions", as_=scene.admin, content=body, headers=headers)
    assert answer.status_code in (400, 422), answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert scene.manager.active_count() == 1


@pytest.mark.parametrize(
    "query",
    [
        *(f"history/search?q=x&since={each}" for each in ("0", "-1.39e-303", "1700000000", "2026-03-01", "")),
        *(f"history/search?q=x&until={each}" for each in ("2026-03-01T12:00:00", "20260301T120000Z")),
        *(f"sessions?limit={each}" for each in ("1_0", "%2B1", "01", "+1", "1.5", "%D9%A1", "1e400", "true")),
        *(f"events?after={each}" for each in ("-1", "9" * 5_000, "null")),
        *(f"events/lines?idle={each}" for each in ("inf", "NaN", ".5", "0x1", "1_0")),
        *(f"sessions?live={each}" for each in ("yes", "True", "1")),
    ],
)
def test_a_query_has_one_spelling_of_a_number_and_a_time(scene: Scene, query: str) -> None:
    assert scene.get(f"/v1/{query}").status_code == 422


@pytest.mark.parametrize(
    "query",
    [
        "history/search?q=x&since=2026-03-01T12:00:00Z&until=2026-03-01t12:00:00.5%2B02:00",
        "sessions?limit=10.0&live=true",
        "events/lines?idle=0.01",
    ],
)
def test_a_query_takes_numbers_as_json_and_times_as_rfc_3339_write_them(scene: Scene, query: str) -> None:
    assert scene.get(f"/v1/{query}").status_code == 200


def test_a_mass_end_takes_a_time_and_no_count_of_seconds(scene: Scene) -> None:
    for when, status in ((1_700_000_000, 422), ("1700000000", 422), ("2020-01-01T00:00:00Z", 200)):
        answer = scene.post("/v1/sessions/revoke", {"where": {"issued_before": when}, "dry_run": True})
        assert answer.status_code == status, when


def test_what_is_not_there_is_a_problem_too(scene: Scene) -> None:
    absent, wrong = scene.ask("GET", "/nowhere"), scene.ask("DELETE", "/v1/sessions")
    assert (absent.status_code, absent.json()["code"]) == (404, "not_found")
    assert (wrong.status_code, wrong.json()["code"]) == (405, "method_not_allowed")
    assert set(wrong.headers["allow"].split(", ")) >= {"GET"} or wrong.headers["allow"] == "POST"


def test_an_error_of_the_server_tells_nothing_of_itself(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError(f"secret {scene.admin.token}")

    monkeypatch.setattr(scene.manager.sessions, "page", fail)
    out = io.StringIO()
    with logging_to(out):
        answer = scene.get("/v1/sessions")
    assert (answer.status_code, answer.json()["code"]) == (500, "internal_error")
    assert "secret" not in answer.text
    assert '"error": "RuntimeError"' in out.getvalue()
    assert scene.admin.token not in out.getvalue()


def test_a_request_is_one_line_with_its_route_and_nothing_of_its_query(scene: Scene) -> None:
    out = io.StringIO()
    with logging_to(out):
        scene.get("/v1/sessions", params={"subject": "user:ana"})
    (line,) = [json.loads(each) for each in out.getvalue().splitlines()]
    assert line.keys() >= {"request_id", "method", "milliseconds", "source", "timestamp", "level"}
    assert (line["event"], line["route"], line["status"]) == ("request", "/v1/sessions", 200)
    assert line["session_id"] == scene.admin.id
    assert "ana" not in out.getvalue()


def test_no_secret_is_logged_whatever_is_sent_where(scene: Scene) -> None:
    """Tokens in paths, queries, bodies and headers that are not for them; and all that is given out."""
    session = scene.manager.create("planner", scopes="docs:read", refreshable=True)
    secrets = [session.token, session.refresh_token or "", scene.admin.token]
    out = io.StringIO()
    with logging_to(out):
        for secret in secrets:
            scene.get(f"/v1/sessions/{secret}")
            scene.get("/v1/sessions", params={"subject": secret, secret: "x"})
            scene.post("/v1/sessions", {"agent_id": secret, "scopes": [secret], secret: 1})
            scene.ask("GET", f"/{secret}", headers={"X-Request-Id": secret, "Last-Event-ID": secret})
            scene.form("/oauth/introspect", scene.admin, token=secret)
            scene.form("/oauth/token", grant_type="refresh_token", refresh_token=secret)
            scene.ask("GET", "/v1/keys", headers={"Authorization": f"Bearer {secret}, Bearer {secret}"})
        made = scene.post("/v1/sessions", {"agent_id": "x", "scopes": [], "refreshable": True}).json()
        logging.getLogger("uvicorn.error").error("a line of another's with %s in it", session.token)
    text = out.getvalue()
    assert text.count("\n") > 20
    for secret in (*secrets, made["token"], made["refresh_token"]):
        assert secret not in text
        assert secret[-24:] not in text


def test_a_body_that_does_not_come_is_not_waited_for(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("clawguard.server.boundary._BODY_SECONDS", 0.05)

    async def never() -> Any:
        yield b"{"
        await asyncio.sleep(30)

    async def ask(client: httpx.AsyncClient) -> httpx.Response:
        return await client.post("/v1/sessions", content=never(), headers=scene.admin.headers())

    answer = scene.run(ask)
    assert (answer.status_code, answer.json()["code"]) == (408, "request_timeout")
    assert str(answer.url).startswith(BASE)
