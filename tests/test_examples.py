"""Every example runs, and prints what it says."""

from __future__ import annotations

import fcntl
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from clawguard import SessionManager
from tests.servers import redis_url

ROOT = Path(__file__).resolve().parents[1]
OWN_TESTS = "test_flask_app.py"
EXAMPLES = {path.name: path for path in sorted((ROOT / "examples").glob("*.py"))}
LONGEST = 80


def run(name: str, folder: Path, *arguments: str, **environ: str) -> list[str]:
    """Run an example in an empty folder and return its lines."""
    done = start(name, folder, *arguments, **environ)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stderr, done.stderr
    return done.stdout.splitlines()


def start(name: str, folder: Path, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run an example, however it ends."""
    own = {key: value for key, value in os.environ.items() if not key.startswith("CLAWGUARD_")}
    return subprocess.run(
        [sys.executable, str(EXAMPLES[name]), *arguments],
        cwd=folder,
        env=own | {"PYTHONPATH": str(ROOT), "HOME": str(folder)} | environ,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize("name", EXAMPLES)
def test_examples_are_short(name: str) -> None:
    assert len(EXAMPLES[name].read_text(encoding="utf-8").splitlines()) <= LONGEST


def test_every_example_is_run_here() -> None:
    source = Path(__file__).read_text(encoding="utf-8")
    assert all(f'run("{name}"' in source for name in EXAMPLES if name != OWN_TESTS)


def test_an_examples_own_tests_pass(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(EXAMPLES[OWN_TESTS])]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60)
    assert "3 passed" in done.stdout, done.stdout + done.stderr
    assert not list(tmp_path.iterdir())


def test_quickstart(tmp_path: Path) -> None:
    text = "\n".join(run("quickstart.py", tmp_path))
    # Two threads print here, so that two lines may stand in one; each text is whole.
    assert "sent to ana@example.com by planner" in text
    assert "summarizer lacks mail:send" in text
    assert "session ended: parent" in text
    events = re.findall(r"#\d +(session\.\w+) +(\w+) +[0-9a-f-]{36}(?:  (revoked \(leaked\)|parent))?", text)
    assert events == [
        ("session.created", "planner", ""),
        ("session.created", "summarizer", ""),
        ("session.expired", "planner", "revoked (leaked)"),
        ("session.expired", "summarizer", "parent"),
    ]
    assert (tmp_path / ".clawguard" / "clawguard.db").exists()


def test_quickstart_in_memory_leaves_nothing_behind(tmp_path: Path) -> None:
    text = "\n".join(run("quickstart.py", tmp_path, CLAWGUARD_URL=":memory:"))
    assert "session ended: parent" in text
    assert not list(tmp_path.iterdir())


def test_async_host(tmp_path: Path) -> None:
    assert run("async_host.py", tmp_path) == [
        "scout-0 found something on topic 0",
        "scout-1 found something on topic 1",
        "scout-2 found something on topic 2",
        "rogue stopped: session ended: revoked (went astray)",
        "live sessions: 0",
    ]
    assert not list(tmp_path.iterdir())


def test_audit_subscriber(tmp_path: Path) -> None:
    expected = [
        "live: {'finished': 1, 'parent': 1, 'revoked': 1}",
        "log: writer ended, finished, no reason",
        "log: crawler ended, revoked, robots.txt says no",
        "log: parser ended, parent, no reason",
        "follow: session.created of crawler",
        "follow: session.expired of crawler",
    ]
    assert run("audit_subscriber.py", tmp_path) == [*expected, "chain: 6 entries hold"]
    assert run("audit_subscriber.py", tmp_path) == [*expected, "chain: 12 entries hold"]


def test_tool_subprocess(tmp_path: Path) -> None:
    assert run("tool_subprocess.py", tmp_path) == [
        "tool: reporter reads the report",
        "tool: refused: reporter lacks reports:write",
        "host: revoked",
        "tool: refused: session ended: revoked (done with it)",
        "tool: refused: session ended: revoked (done with it)",
    ]
    assert not list(tmp_path.iterdir())


def test_policy(tmp_path: Path) -> None:
    assert run("policy.py", tmp_path) == [
        "docs:write on prod/report: False, by the rule no-prod",
        "{'name': 'Ana', 'email': '***'}",
        "planner lacks web:search",
        "with the grant: web:search",
        "web:search was granted, and recorded",
        "without it, at once: 0 scopes",
    ]
    assert not list(tmp_path.iterdir())


def test_chat_history(tmp_path: Path) -> None:
    assert run("chat_history.py", tmp_path) == [
        "1 user: A quiet room in 京都, please.",
        "2 assistant: ",
        "3 tool: Garden room, 120",
        "4 assistant: The garden room is free.",
        "['The [garden] room is free.', 'A quiet room in [京都], please.']",
        "what tools were given is not found: ()",
        "session ended: finished",
        "5 entries, forked from the first: True",
        "5 entries: message 5",
        "session.expired finished",
        "session.expired invalidated",
        "history.deleted {'count': 5}",
    ]
    assert not list(tmp_path.iterdir())


def test_import_history(tmp_path: Path) -> None:
    assert run("import_history.py", tmp_path) == [
        "crab_1774260000_1.jsonl: 2 messages, by telegram:12345",
        "  a second time: nothing to do",
        "telegram_user123.jsonl: 1 messages, by nobody said",
        "  a second time: nothing to do",
        "broken.jsonl: path: line 3: role: Input should be 'user', 'assistant', 'tool' or 'system'; "
        "nothing was imported",
        "telegram_user123: 1 messages, live",
        "crab_1774260000_1: 2 messages, live",
        "carried out for crab: ['Where were we?', 'At the third lemma.']",
        "what it did not know stays: the notes say so",
        "mode 600",
    ]
    assert not list(tmp_path.iterdir())


def test_refresh_client(tmp_path: Path) -> None:
    assert run("refresh_client.py", tmp_path) == [
        "process 0: planner goes on",
        "process 1: planner goes on",
        "process 2: planner goes on",
        "generation 2",
    ]
    assert not list(tmp_path.iterdir())


def test_delegation(tmp_path: Path) -> None:
    assert run("delegation.py", tmp_path) == [
        "writer lacks mail:send",
        "writer lacks docs:*",
        "lead: docs:* mail:send, 6 uses left, for user:ana",
        "lead > writer: docs:read docs:write, 3 uses left, for user:ana",
        "lead > writer > reader: docs:read, 1 uses left, for user:ana",
        "reader acts for user:ana, below lead and writer",
        "session ended: uses",
        "{'lead': None, 'writer': 'revoked', 'reader': 'uses'}",
    ]
    assert not list(tmp_path.iterdir())


def test_redis_relay(tmp_path: Path) -> None:
    url = redis_url()
    for _ in range(2):
        assert run("redis_relay.py", tmp_path, REDIS_URL=url) == [
            "dev.clawguard.session.created of planner ",
            "dev.clawguard.session.created of summarizer ",
            "dev.clawguard.session.expired of planner revoked",
            "dev.clawguard.session.expired of summarizer parent",
            "all from this log: True",
        ]


def test_webhook_receiver(tmp_path: Path) -> None:
    assert run("webhook_receiver.py", tmp_path) == [
        "dev.clawguard.session.created of planner",
        "dev.clawguard.session.expired of planner",
        "again, and taken before",
        "forged, or old: http://127.0.0.1 answered 401",
        "forged, or old: http://127.0.0.1 answered 401",
    ]
    assert not list(tmp_path.iterdir())


def test_siem_export_goes_on_after_a_restart_and_mends_half_a_line(tmp_path: Path) -> None:
    file = tmp_path / "log.ndjson"
    for count in (4, 8):
        assert run("siem_export.py", tmp_path, "ocsf", file.name) == []
        lines = [json.loads(line) for line in file.read_bytes().splitlines()]
        assert [each["metadata"]["sequence"] for each in lines] == list(range(1, count + 1))
        file.write_bytes(file.read_bytes() + b'{"half')
    assert len(run("siem_export.py", tmp_path, "ocsf", file.name) + file.read_bytes().splitlines()) == 12
    with SessionManager.open(tmp_path / ".clawguard" / "clawguard.db") as manager:
        checkpoint = (tmp_path / "log.ndjson.checkpoint").read_text(encoding="utf-8")
        assert manager.events.verify(checkpoint).count == 12
        assert checkpoint.split("\n")[1] == "12"


def test_a_second_siem_export_leaves_the_file_of_the_first_alone(tmp_path: Path) -> None:
    file = tmp_path / "log.ndjson"
    file.write_bytes(b'{"whole":1}\n{"being writ')
    with file.open("rb") as first:
        fcntl.flock(first, fcntl.LOCK_EX)
        second = start("siem_export.py", tmp_path, "ocsf", file.name)
    assert second.returncode == 1
    assert second.stderr == "another exporter writes log.ndjson\n"
    assert [(each.name, each.read_bytes()) for each in tmp_path.iterdir()] == [
        (file.name, b'{"whole":1}\n{"being writ')
    ]


def test_siem_export_in_cef(tmp_path: Path) -> None:
    lines = run("siem_export.py", tmp_path, "cef")
    assert [line.split("|")[4] for line in lines] == ["session.created"] * 2 + ["session.expired"] * 2
    assert all(line.startswith("CEF:0|clawguard|") for line in lines)


def test_asgi_stream(tmp_path: Path) -> None:
    assert run("asgi_stream.py", tmp_path) == [
        "without a token: 401",
        "200 news for listener",
        "the stream broke off with its session",
        "afterwards: 401",
    ]


def test_starlette_app(tmp_path: Path) -> None:
    assert run("starlette_app.py", tmp_path) == [
        "nobody reads: 401",
        "the reader reads: notes for reader",
        "the reader writes: 403",
        "the writer writes: written by writer",
    ]


def test_fastapi_app(tmp_path: Path) -> None:
    assert run("fastapi_app.py", tmp_path) == [
        "nobody: unauthorized",
        "planner: notes for planner",
        'mail: 403 scope="mail:send"',
        "the page says: [{'Clawguard': ['notes:read']}]",
    ]


def test_flask_app(tmp_path: Path) -> None:
    assert run("flask_app.py", tmp_path) == [
        "nobody, the open page: welcome",
        "nobody, the notes: 401",
        "the planner: notes for planner",
        "afterwards: 401",
    ]


def test_django_app(tmp_path: Path) -> None:
    assert run("django_app.py", tmp_path) == [
        "nobody: 401",
        "the planner: notes for planner",
        'mail: 403 scope="mail:send notes:read"',
    ]


def test_mcp_server(tmp_path: Path) -> None:
    assert run("mcp_server.py", tmp_path) == [
        "['read', 'write']",
        "{'result': 'notes for planner'}",
        '  403 error="insufficient_scope", scope="notes:write"',
        "write: Server returned an error response",
        '  401 error="invalid_token"',
        "read: Server returned an error response",
    ]


def test_mcp_stdio(tmp_path: Path) -> None:
    assert run("mcp_stdio.py", tmp_path) == [
        "read ['notes for planner, token here: False']",
        "write ['insufficient_scope: needs notes:write']",
        "read ['invalid_token']",
    ]


def test_fastmcp_server(tmp_path: Path) -> None:
    pytest.importorskip("fastmcp", reason="needs the extra fastmcp, in an environment of its own")
    assert run("fastmcp_server.py", tmp_path) == [
        "['read', 'write']",
        "notes for planner",
        "write: insufficient_scope: needs notes:write",
        "afterwards: 401",
    ]


def test_drf_app(tmp_path: Path) -> None:
    assert run("drf_app.py", tmp_path) == [
        "nobody: unauthorized",
        "planner: {'notes for': 'planner'}",
        'mail: 403 scope="mail:send"',
    ]


def test_openai_agents_app(tmp_path: Path) -> None:
    pytest.importorskip("agents", reason="needs the extra openai-agents")
    assert run("openai_agents_app.py", tmp_path) == [
        "sent to ana by coordinator",
        '{"assistant": "specialist"}',
        "plan, read by specialist",
        "refused: this agent lacks the scope mail:send",
        "specialist: Not to Bob.",
        "10 items kept; 1 session live",
    ]
    assert not list(tmp_path.iterdir())


def test_langgraph_auth(tmp_path: Path) -> None:
    pytest.importorskip("langgraph_sdk", reason="needs the extra langgraph")
    given = {"workspace_id": "default", "agent_id": "planner", "subject": "user:ana"}
    owner = ", ".join(f"'clawguard_{name}': {value!r}" for name, value in given.items())
    assert run("langgraph_auth.py", tmp_path) == [
        "made: {'topic': 'rooms', " + owner + "}",
        "sees: {" + owner + "}",
        "the reader makes one: 403 insufficient_scope: threads:create",
        "its notes: ('64656661756c74x', '706c616e6e6572x', '757365723a616e61x', 'notes')",
        "afterwards: 401 invalid_token",
    ]
    assert not list(tmp_path.iterdir())


def test_pydantic_ai_app(tmp_path: Path) -> None:
    pytest.importorskip("pydantic_ai", reason="needs the extra pydantic-ai")
    assert run("pydantic_ai_app.py", tmp_path) == [
        "planner: read to ana by planner; sent to ana by planner",
        "helper: read to ana by helper",
        "mailer: refused: this agent lacks the scope mail:sign",
        "helper, afterwards: I have no tools.",
    ]
    assert not list(tmp_path.iterdir())
