"""LangGraph's own server, in memory and offline, with `make_auth` in front of it."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest

from clawguard import SessionManager
from clawguard.models import IssuedSession
from tests.servers import PATIENCE, answers, free_port, unique

pytest.importorskip("langgraph_sdk", reason="needs the extra langgraph")
pytest.importorskip("langgraph_api", reason="needs LangGraph's server: nox -s langgraph-newest")

from langgraph_sdk import get_sync_client
from langgraph_sdk.client import SyncLangGraphClient
from langgraph_sdk.errors import APIStatusError

APP = """
import time
from typing import TypedDict
from langgraph.graph import StateGraph

class State(TypedDict, total=False):
    wait: float
    kept: str

def node(state, config):
    time.sleep(state.get("wait", 0))
    return {"kept": repr({name: str(each) for name, each in config["configurable"].items()})}

graph = StateGraph(State).add_node("node", node).set_entry_point("node").set_finish_point("node").compile()
"""
AUTH = """
import os
from clawguard import Verifier
from clawguard.agents.langgraph import make_auth

auth = make_auth(Verifier.open(os.environ["CLAWGUARD_URL"]))
"""
SERVE = """
import sys
from langgraph_api.cli import run_server

auth = {"path": "./own_auth.py:auth", "disable_studio_auth": True}
more = {"http": {"app": "./around.py:app"}, "allow_blocking": True} if sys.argv[2:] else {}
graphs = {"echo": "./app.py:graph"}
run_server(port=int(sys.argv[1]), graphs=graphs, auth=auth, disable_persistence=True, **more)
"""
AROUND = """
import os
from clawguard import Verifier
from clawguard.web.asgi import ClawguardMiddleware
from starlette.applications import Starlette
from starlette.middleware import Middleware

verifier = Verifier.open(os.environ["CLAWGUARD_URL"])
app = Starlette(middleware=[Middleware(ClawguardMiddleware, verifier=verifier, optional=True)])
"""
SCOPES = "threads:* store:* assistants:search"


class Served(NamedTuple):
    """Hold a server, its log, and the manager of its sessions."""

    url: str
    log: Path
    manager: SessionManager
    clients: ExitStack

    def client(self, session: IssuedSession) -> SyncLangGraphClient:
        """Return a client that bears a session's token."""
        return self.ask(session.headers())

    def ask(self, headers: dict[str, str]) -> SyncLangGraphClient:
        """Return a client that sends these headers."""
        return self.clients.enter_context(get_sync_client(url=self.url, headers=headers))


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("langgraph")) as found:
        yield found


@contextmanager
def serving(folder: Path, *around: str) -> Iterator[Served]:
    """Serve the graph; with `around` inside of our middleware too."""
    port = free_port()
    for name, text in {"app": APP, "own_auth": AUTH, "serve": SERVE, "around": AROUND}.items():
        (folder / f"{name}.py").write_text(text, encoding="utf-8")
    with SessionManager.open(folder / "clawguard.db") as manager, (folder / "log").open("wb") as log:
        own = os.environ | {"CLAWGUARD_URL": str(folder / "clawguard.db"), "LANGSMITH_TRACING": "false"}
        command = [sys.executable, "serve.py", str(port), *around]
        process = subprocess.Popen(command, cwd=folder, env=own, stdout=log, stderr=log)
        try:
            end = time.monotonic() + 2 * PATIENCE
            while not answers(port):
                assert process.poll() is None, (folder / "log").read_text()
                assert time.monotonic() < end, "the server never answered"
                time.sleep(0.1)
            with ExitStack() as clients:
                yield Served(f"http://127.0.0.1:{port}", folder / "log", manager, clients)
        finally:
            process.kill()
            process.wait()


@pytest.fixture
def ana(served: Served) -> IssuedSession:
    return served.manager.create("planner", scopes=SCOPES, subject=unique("user:ana"))


@pytest.fixture
def bob(served: Served) -> IssuedSession:
    return served.manager.create("planner", scopes=SCOPES, subject=unique("user:bob"))


def test_nobody_and_a_studio_user_are_a_401(served: Served) -> None:
    every: list[dict[str, str]] = [{}, {"authorization": "Bearer x"}, {"x-auth-scheme": "langsmith"}]
    for headers in every:
        with pytest.raises(APIStatusError) as refusal:
            served.ask(headers).threads.create()
        assert refusal.value.status_code == 401


def test_a_scope_that_is_missing_is_a_403_that_names_it(served: Served) -> None:
    reader = served.client(served.manager.create("reader", scopes="threads:read"))
    with pytest.raises(APIStatusError, match="insufficient_scope: threads:create") as refusal:
        reader.threads.create()
    assert refusal.value.status_code == 403


def test_an_owner_goes_about_its_work(served: Served, ana: IssuedSession) -> None:
    """A thread, runs on it and without one, its state, a copy, and the store."""
    client = served.client(ana)
    thread = client.threads.create(metadata={"topic": "rooms"})["thread_id"]
    kept = client.runs.wait(thread, "echo", input={})
    assert ana.id in str(kept)
    assert client.runs.wait(None, "echo", input={})
    assert client.threads.get_state(thread)["values"] == kept
    client.threads.copy(thread)
    assert len(client.threads.search(metadata={"topic": "rooms"})) == 2
    client.store.put_item(["notes"], "first", {"text": "hush"})
    found = client.store.get_item(["notes"], "first")
    assert found["value"] == {"text": "hush"}
    assert client.store.get_item(found["namespace"], "first") == found
    assert [item["key"] for item in client.store.search_items([])["items"]] == ["first"]


def test_attack_the_threads_of_another_subject(
    served: Served, ana: IssuedSession, bob: IssuedSession
) -> None:
    mine, theirs = served.client(ana), served.client(bob)
    thread = mine.threads.create()["thread_id"]
    mine.runs.wait(thread, "echo", input={})
    stolen = {"clawguard_subject": bob.subject}
    attempts: dict[str, Callable[[], object]] = {
        "get": lambda: theirs.threads.get(thread),
        "state": lambda: theirs.threads.get_state(thread),
        "history": lambda: theirs.threads.get_history(thread),
        "run": lambda: theirs.runs.wait(thread, "echo", input={}),
        "runs": lambda: theirs.runs.list(thread),
        "update": lambda: theirs.threads.update(thread, metadata=stolen),
        "create": lambda: theirs.threads.create(thread_id=thread, metadata=stolen, if_exists="do_nothing"),
        "copy": lambda: theirs.threads.copy(thread),
        "delete": lambda: theirs.threads.delete(thread),
    }
    for name, attempt in attempts.items():
        with pytest.raises((APIStatusError, httpx.HTTPStatusError)) as refusal:
            attempt()
        assert refusal.value.response.status_code in (404, 409), name
    assert theirs.threads.search() == []
    mine.threads.update(thread, metadata=stolen)
    assert (mine.threads.get(thread)["metadata"] or {})["clawguard_subject"] == ana.subject


def test_attack_the_notes_of_another_subject(served: Served, ana: IssuedSession, bob: IssuedSession) -> None:
    mine, theirs = served.client(ana), served.client(bob)
    mine.store.put_item(["secret"], "key", {"text": "hush"})
    namespace = mine.store.get_item(["secret"], "key")["namespace"]
    for tried in (["secret"], namespace):
        assert not theirs.store.get_item(tried, "key")
    assert theirs.store.search_items([])["items"] == []
    theirs.store.delete_item(namespace, "key")
    assert [item["value"] for item in mine.store.search_items(["secret"])["items"]] == [{"text": "hush"}]


def test_attack_a_client_that_says_who_its_user_is(
    served: Served, ana: IssuedSession, bob: IssuedSession
) -> None:
    """In the config or the context of a run: what the server keeps there is whom we let in."""
    client = served.client(ana)
    user = {"identity": bob.id, "permissions": ["*"], "session": bob.as_context().to_dict()}
    forged = {"langgraph_auth_user": user, "langgraph_auth_permissions": ["*"]}
    thread = client.threads.create()["thread_id"]
    ways: list[dict[str, Any]] = [{"config": {"configurable": forged}}, {"context": forged}]
    for way in ways:
        kept = client.runs.wait(thread, "echo", input={}, **way)
        assert ana.id in str(kept)
        assert bob.id not in str(kept)


def test_after_a_revoke_the_next_request_is_a_401(served: Served, ana: IssuedSession) -> None:
    client = served.client(ana)
    thread = client.threads.create()["thread_id"]
    served.manager.revoke(ana)
    with pytest.raises(APIStatusError) as refusal:
        client.threads.get(thread)
    assert refusal.value.status_code == 401


def test_no_token_is_kept_with_a_run_or_logged(served: Served, ana: IssuedSession) -> None:
    client = served.client(ana)
    thread = client.threads.create()["thread_id"]
    kept = client.runs.wait(thread, "echo", input={})
    everything = [str(kept), str(client.threads.get(thread)), str(client.runs.list(thread))]
    everything.append(served.log.read_text(encoding="utf-8"))
    assert "Blocking call" not in everything[-1]
    for text in everything:
        assert not any(part in text for part in ana.token.split("."))


def test_a_stream_that_waits_ends_with_its_session_inside_of_our_middleware(tmp_path: Path) -> None:
    """The server by itself asks about a stream when that begins."""
    begun = threading.Event()
    heard: list[str] = []

    def hear(url: str, session: IssuedSession) -> None:
        bears: dict[str, Any] = {"headers": session.headers(), "timeout": PATIENCE}
        with suppress(httpx.HTTPError), httpx.stream("GET", url, **bears) as response:
            begun.set()
            heard.extend(line for line in response.iter_lines() if line.startswith("data"))

    with serving(tmp_path, "around") as found:
        first, second = (found.manager.create("planner", scopes=SCOPES, subject="user:ana") for _ in range(2))
        client = found.client(second)
        thread = client.threads.create()["thread_id"]
        hearing = threading.Thread(target=hear, args=(f"{found.url}/threads/{thread}/stream", first))
        hearing.start()
        assert begun.wait(PATIENCE)
        found.manager.revoke(first)
        hearing.join(PATIENCE)
        assert not hearing.is_alive()
        assert client.runs.wait(thread, "echo", input={})
    assert heard == []
