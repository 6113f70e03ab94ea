"""A verifier at a server says what one beside the store says, and denies whatever it cannot know."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from collections.abc import Callable, Iterator
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from clawguard import (
    AccessDenied,
    AsyncVerifier,
    ConfigError,
    InvalidArgument,
    IssuedSession,
    SessionEnded,
    SessionManager,
    StoreUnavailable,
    Verifier,
    current_session,
    requires,
)
from clawguard.errors import ClawguardError
from clawguard.guard import CertificateProof, DPoPProof, ProofKey
from clawguard.server import create_app
from tests.certificates import certificate, tls_files
from tests.server.scene import Scene
from tests.servers import HOST
from tests.web.servers import serving

URL = "https://api.example.com/docs"
POLICY = {
    "rules": [
        {"name": "documents", "effect": "allow", "actions": "docs:*"},
        {
            "name": "private",
            "effect": "mask",
            "actions": "docs:read",
            "when": {"risk_above": 0.5},
            "fields": ["email"],
        },
    ]
}


class Pair(NamedTuple):
    """Hold a manager, a verifier beside its store, and one at its server."""

    manager: SessionManager
    beside: Verifier
    remote: Verifier
    port: int
    caller: IssuedSession


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    path = tmp_path / "store" / "clawguard.db"
    with SessionManager.open(path, audiences=["mail"], policy=POLICY, sweep_every=None) as manager:
        caller = manager.create("tool", scopes="clawguard:introspect")
        with (
            serving(create_app(manager)) as port,
            Verifier.open(path) as beside,
            Verifier.open(f"http://{HOST}:{port}", token=caller.token) as remote,
        ):
            yield Pair(manager, beside, remote, port, caller)


def outcome(verifier: Verifier, work: Callable[[Verifier], Any]) -> Any:
    """Return what a call gives, or what it raises, whole."""
    try:
        return work(verifier)
    except ClawguardError as error:
        told = {name: value for name, value in vars(error).items() if name != "hint"}
        return type(error), error.message, told


def test_it_says_of_every_token_what_a_verifier_beside_the_store_says(pair: Pair) -> None:
    manager = pair.manager
    live = manager.create("planner", scopes="docs:* mail:send", subject="user:ana", role="r", task_type="t")
    child = manager.delegate(live, "reader", scopes="docs:read")
    ended, superseded = (manager.create("planner", scopes="docs:read") for _ in range(2))
    manager.revoke(ended, reason="laptop lost")
    manager.refresh(superseded)
    family = manager.create("planner", scopes="docs:read", refreshable=True)
    bound = manager.create("planner", scopes="docs:read", cnf=ProofKey.generate().cnf)
    mail = manager.create("planner", scopes="docs:read", audience="mail")
    tokens = [each.token for each in (live, child, ended, superseded, bound, mail)]
    tokens += [family.refresh_token or "", live.token[:-4] + "AAAA", "a.b.c", "x", "", "é", "a" * 9_000]
    questions: tuple[dict[str, Any], ...] = (
        {},
        {"require": "docs:read"},
        {"require": "docs:read web:read"},
        {"any_of": "web:read web:write"},
        {"source": "192.0.2.7"},
    )
    for token, given in product(tokens, questions):

        def call(verifier: Verifier, token: str = token, given: dict[str, Any] = given) -> Any:
            return verifier.validate(token, **given)

        assert outcome(pair.remote, call) == outcome(pair.beside, call), (token[:20], given)


def test_a_mistake_of_the_callers_is_told_as_beside_the_store(pair: Pair) -> None:
    live = pair.manager.create("planner", scopes="docs:read")
    mistakes: tuple[dict[str, Any], ...] = (
        {"require": "NOT A SCOPE"},
        {"audience": "billing"},
        {"source": "a\n"},
    )
    for given in mistakes:
        for verifier in (pair.beside, pair.remote):
            with pytest.raises(InvalidArgument) as mistake:
                verifier.validate(live.token, **given)
            assert mistake.value.argument == next(iter(given))


def _of(call: Callable[[Verifier, Any], Any], context: Any, verifier: Verifier) -> Any:
    return call(verifier, context)


def test_it_says_of_every_context_what_a_verifier_beside_the_store_says(pair: Pair) -> None:
    manager = pair.manager
    live, ended, superseded = (manager.create("planner", scopes="docs:read") for _ in range(3))
    contexts = [pair.remote.validate(each.token) for each in (live, ended, superseded)]
    manager.revoke(ended)
    manager.refresh(superseded)
    calls: tuple[Callable[[Verifier, Any], Any], ...] = (
        lambda verifier, context: verifier.validate(context),
        lambda verifier, context: verifier.validate(context, require="web:read"),
        lambda verifier, context: verifier.recheck(context),
        lambda verifier, context: verifier.recheck(context, require="web:read"),
        lambda verifier, context: verifier.recheck(context, any_of="web:read docs:read"),
        lambda verifier, context: verifier.authorize(context, "docs:read", resource="a", risk=0.9),
        lambda verifier, context: verifier.authorize(context, "web:read"),
    )
    for context, call in product(contexts, calls):
        asked = partial(_of, call, context)
        assert outcome(pair.remote, asked) == outcome(pair.beside, asked)
    decision = pair.remote.authorize(contexts[0], "docs:read", risk=0.9)
    assert decision.mask({"email": "ana@example.com"}) == {"email": "***"}


def test_uses_are_spent_and_denials_are_recorded_at_the_server(pair: Pair) -> None:
    counted = pair.manager.create("planner", scopes="docs:read", max_uses=2)
    for _ in range(2):
        assert pair.remote.validate(counted.token, require="docs:read")
    with pytest.raises(SessionEnded, match="uses"):
        pair.remote.validate(counted.token)
    pair.manager.prune_expired()
    types = [event.type for event in pair.manager.events.read(session_id=counted.id)]
    assert "guard.denied" in types
    assert types[-1] in ("session.expired", "guard.denied")


def test_a_bound_token_is_good_with_its_proof_and_once(pair: Pair) -> None:
    key = ProofKey.generate()
    bound = pair.manager.create("planner", scopes="docs:read", cnf=key.cnf)
    shown = key.headers(bound.token, method="GET", url=URL)["DPoP"]
    proof = DPoPProof(shown, method="GET", url=URL)
    assert pair.remote.validate(bound.token, proof=proof).agent_id == "planner"
    with pytest.raises(AccessDenied, match="proof"):
        pair.remote.validate(bound.token, proof=proof)
    held = CertificateProof(certificate("mine"))
    other = pair.manager.create("planner", scopes="docs:read", cnf={"x5t#S256": held.thumbprint})
    assert pair.remote.validate(other.token, proof=held)
    with pytest.raises(AccessDenied, match="proof"):
        pair.remote.validate(other.token, proof=CertificateProof(certificate("other")))


def test_a_session_ended_is_refused_from_the_next_call_on(pair: Pair) -> None:
    for _ in range(10):
        session = pair.manager.create("planner", scopes="docs:read")
        pair.remote.validate(session.token)
        pair.manager.revoke(session)
        with pytest.raises(SessionEnded):
            pair.remote.validate(session.token)


def test_many_threads_share_it_and_none_gets_anothers_answer(pair: Pair) -> None:
    sessions = [pair.manager.create(f"agent-{number}", scopes="docs:read") for number in range(8)]
    wrong: list[str] = []

    def ask(session: IssuedSession) -> None:
        for _ in range(25):
            found = pair.remote.validate(session.token).agent_id
            if found != session.agent_id:
                wrong.append(found)

    threads = [threading.Thread(target=ask, args=(session,)) for session in sessions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_forked_child_shares_no_connection_with_its_parent(pair: Pair) -> None:
    sessions = [pair.manager.create(f"agent-{number}", scopes="docs:read") for number in range(2)]
    pair.remote.validate(sessions[0].token)  # leaves a connection behind
    child = os.fork()
    if child == 0:
        try:
            found = {pair.remote.validate(sessions[1].token).agent_id for _ in range(20)}
            os._exit(0 if found == {"agent-1"} else 1)
        finally:
            os._exit(2)
    found = {pair.remote.validate(sessions[0].token).agent_id for _ in range(20)}
    _, status = os.waitpid(child, 0)
    assert (found, os.waitstatus_to_exitcode(status)) == ({"agent-0"}, 0)


# Whatever it cannot know, it denies.


def garbage(listener: socket.socket, answer: bytes) -> None:
    while True:
        try:
            connection = listener.accept()[0]
            connection.recv(65_536)
            connection.sendall(answer)
            connection.close()
        except OSError:
            return


ANSWERS = {
    "no HTTP": b"hello\r\n\r\n",
    "no JSON": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    "no object": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]",
    "nothing": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
    "no context": b'HTTP/1.1 200 OK\r\nContent-Length: 14\r\n\r\n{"context":{}}',
    "half an answer": b'HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{"context"',
    "a redirect": b"HTTP/1.1 307 OK\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 2\r\n\r\n{}",
    "a fault": b"HTTP/1.1 500 OK\r\nContent-Length: 2\r\n\r\n{}",
    "too many": b"HTTP/1.1 429 OK\r\nContent-Length: 2\r\n\r\n{}",
}


@pytest.mark.parametrize("kind", ANSWERS)
def test_an_answer_that_is_none_denies(pair: Pair, kind: str) -> None:
    session = pair.manager.create("planner", scopes="docs:read")
    context = pair.remote.validate(session.token)
    with socket.create_server((HOST, 0)) as listener:
        threading.Thread(target=garbage, args=(listener, ANSWERS[kind]), daemon=True).start()
        _move(pair.remote, listener.getsockname()[1])
        for call in (
            lambda: pair.remote.validate(session.token),
            lambda: pair.remote.authorize(context, "docs:read"),
        ):
            with pytest.raises(StoreUnavailable):
                call()
    with pytest.raises(StoreUnavailable):  # nobody listens any more
        pair.remote.validate(session.token)


def _move(remote: Verifier, port: int) -> None:
    """Let a verifier ask at another port, over a new connection."""
    connections = remote._asking._connections  # type: ignore[attr-defined]
    connections.close()
    connections._dialler._known, connections.closed = [(socket.AF_INET, (HOST, port))], False


def test_a_server_that_says_nothing_denies_in_time(pair: Pair) -> None:
    session = pair.manager.create("planner", scopes="docs:read")
    url = f"http://{HOST}:{pair.port}"
    with (
        socket.create_server((HOST, 0)) as listener,  # connections are taken, and nobody looks at them
        Verifier.open(url, token=pair.caller.token, lock_timeout=2) as remote,
    ):
        _move(remote, listener.getsockname()[1])
        with pytest.raises(StoreUnavailable, match="TimeoutError"):
            remote.validate(session.token)


def test_a_verifier_whose_own_token_is_no_good_denies(pair: Pair) -> None:
    session = pair.manager.create("planner", scopes="docs:read")
    weak = pair.manager.create("tool", scopes="docs:read")
    url = f"http://{HOST}:{pair.port}"
    for token in (weak.token, "x", lambda: weak.token):
        with Verifier.open(url, token=token) as remote, pytest.raises(StoreUnavailable, match="know"):
            remote.validate(session.token)
    pair.manager.revoke(pair.caller)
    with pytest.raises(StoreUnavailable, match="know"):
        pair.remote.validate(session.token)


def test_attack_118_a_token_of_another_workspace_is_invalid_to_it_and_untouched(pair: Pair) -> None:
    theirs = pair.manager.create("planner", scopes="docs:read", workspace_id="acme", max_uses=1)
    with pytest.raises(AccessDenied, match="not valid"):
        pair.remote.validate(theirs.token)
    assert pair.manager.get_session(theirs.id).uses_left == 1


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com",
        "http://10.0.0.1",
        "https://",
        "https://a b",
        "http://localhost",
        "https://h/?q=1",
    ],
)
def test_attack_a_token_is_not_sent_in_the_clear(url: str) -> None:
    with pytest.raises(InvalidArgument, match="url"):
        Verifier.open(url, token="x")


def test_attack_a_server_whose_certificate_does_not_hold_is_not_asked(
    pair: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = tls_files(tmp_path, HOST)
    session = pair.manager.create("planner", scopes="docs:read")
    tls = {"ssl_certfile": files.certificate, "ssl_keyfile": str(files.key)}
    with serving(create_app(pair.manager), **tls) as port:
        with pytest.raises(StoreUnavailable, match="SSLCertVerificationError"):
            Verifier.open(f"https://127.0.0.1:{port}", token=pair.caller.token)
        monkeypatch.setenv("SSL_CERT_FILE", str(files.authority))
        with Verifier.open(f"https://127.0.0.1:{port}", token=pair.caller.token) as remote:
            assert remote.validate(session.token).agent_id == "planner"


def test_what_it_has_not_says_so(pair: Pair) -> None:
    for call in (
        lambda: pair.remote.events,
        lambda: pair.remote.on("session.*", print),
        lambda: pair.remote.inspect("x"),
        lambda: Verifier.open(f"http://{HOST}:{pair.port}"),
        lambda: Verifier.open(f"http://{HOST}:{pair.port}", token=pair.caller.token, issuer="urn:other"),
    ):
        with pytest.raises(ConfigError):
            call()
    with pytest.raises(InvalidArgument, match="token"):
        Verifier.open("state.db", token="x")
    assert pair.caller.token not in repr(pair.remote) + repr(vars(pair.remote))


# In async code nothing waits on the loop.


def test_the_async_twin_and_a_bound_block_ask_in_threads(pair: Pair) -> None:
    session = pair.manager.create("planner", scopes="docs:read")
    loops: list[int] = []
    plain = pair.remote._asking.post  # type: ignore[attr-defined]

    def post(*given: Any, **more: Any) -> Any:
        loops.append(threading.get_ident())
        return plain(*given, **more)

    pair.remote._asking.post = post  # type: ignore[attr-defined]

    @requires("docs:read")
    async def read() -> str:
        return current_session().agent_id

    async def main() -> str:
        twin = AsyncVerifier(pair.remote)
        context = await twin.validate(session.token)
        await twin.recheck(context)
        assert await twin.authorize(context, "docs:read")
        async with twin.use(session.token):
            assert await read() == "planner"
            pair.manager.revoke(session)
            await asyncio.sleep(20)
        return "never"

    with pytest.raises(SessionEnded):
        asyncio.run(main())
    assert threading.get_ident() not in loops
    assert len(loops) >= 6


def test_a_web_app_takes_it(pair: Pair) -> None:
    from clawguard.web.asgi import ClawguardMiddleware

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for part in (b"one ", b"two"):
            await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body", "body": current_session().agent_id.encode()})

    session = pair.manager.create("planner", scopes="docs:read")
    app_scene = Scene.__new__(Scene)
    app_scene.app = ClawguardMiddleware(app, pair.remote, require="docs:read")  # type: ignore[assignment]
    assert app_scene.ask("GET", "/", headers=session.headers()).text == "one twoplanner"
    pair.manager.revoke(session)
    assert app_scene.ask("GET", "/", headers=session.headers()).status_code == 401
