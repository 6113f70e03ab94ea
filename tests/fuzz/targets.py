"""What is fuzzed: a function for each reader of foreign text, which takes any bytes and says what must hold.

The bytes are a way, a colon and what goes that way; without a known way the whole goes the first one. Every
way leads to an error of the reader's own kind, or to a value that comes back the same when it is written.
"""

from __future__ import annotations

import atexit
import json
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cache
from io import BytesIO
from pathlib import Path
from types import MappingProxyType
from typing import Any

from clawguard import ConfigError, InvalidArgument, InvalidToken, IssuedSession, SessionManager
from clawguard.clock import SECOND
from clawguard.guard import Claims, Guard, TokenFault
from clawguard.guard.policy import Policy
from clawguard.guard.policy_file import load_policy
from clawguard.guard.refresh_tokens import RefreshToken
from clawguard.guard.tokens import encode
from clawguard.history.jsonl import Read
from clawguard.scopes import ScopeSet, parse_scopes
from clawguard.sessions.history import History
from clawguard.sessions.pages import cursor_of, digest_of
from tests.fuzz.base import Target, compact, keys, mutated, sign, text_of, ways
from tests.fuzz.forms import FORMS
from tests.fuzz.notes import NOTES
from tests.fuzz.proofs import PROOFS
from tests.guard.forge import AUDIENCE, ISSUER, LEEWAY, NOW, act, claims, ring_of
from tests.openers import open_manager

__all__ = ["TARGETS"]


@cache
def _folder() -> Path:
    made = tempfile.TemporaryDirectory(prefix="clawguard-fuzz-")
    atexit.register(made.cleanup)
    return Path(made.name)


# Tokens


@cache
def _guard() -> Guard:
    ring = ring_of(*keys().values())
    return Guard(issuer=ISSUER, audience=AUDIENCE, audiences=[AUDIENCE], ring=ring, leeway=LEEWAY)


@cache
def _genuine() -> dict[bytes, tuple[str, Claims]]:
    """Return for each key a token and what it says."""
    tokens = {name: sign(key, compact(claims(sub=key.algorithm))) for name, key in keys().items()}
    return {
        name: (token, _guard().verify(token, audience=None, now=NOW * SECOND))
        for name, token in tokens.items()
    }


def _verified(token: str) -> Claims | None:
    try:
        return _guard().verify(token, audience=None, now=NOW * SECOND)
    except TokenFault:
        return None


def _any_token(data: bytes) -> None:
    said = _verified(text_of(data))
    assert said is None or said in [genuine for _, genuine in _genuine().values()], "accepted a forgery"


def _changed_token(data: bytes) -> None:
    token, genuine = _genuine().get(data[:1], _genuine()[b"0"])
    said = _verified(mutated(token, data[1:]))
    assert said is None or said == genuine, "accepted a changed token with other claims"


def _any_claims(data: bytes) -> None:
    """Sign any payload: what is accepted is what it says, and is accepted again when it is written."""
    key = keys()[b"1"]
    said = _verified(sign(key, data))
    if said is not None:
        assert said.to_dict() == json.loads(data)
        assert _verified(encode(said, key)) == said


def _any_header(data: bytes) -> None:
    """Sign under any header: only those that say `alg`, `kid` and `typ` of the key are accepted."""
    key = keys()[b"1"]
    said = _verified(sign(key, compact(claims()), data))
    if said is not None:
        header = json.loads(data)
        assert header.pop("typ").lower() in ("at+jwt", "application/at+jwt")
        assert header == {"alg": "EdDSA", "kid": key.kid}


def _token_seeds() -> list[bytes]:
    key = keys()[b"1"]
    above = ("agent:root", "0190d2a0-3333-7000-8000-000000000003")
    chain = act(("agent:planner", claims()["sid"]), above)
    return [
        b"text:a.b.c",
        b"text:" + _genuine()[b"1"][0].encode(),
        b"changed:0\x00\x00a",
        b"changed:1\x00\x90b\x01\x10c",
        b"claims:" + compact(claims()),
        b"claims:" + compact(claims(act=chain, cnf={"jkt": "A" * 43})),
        b"header:" + compact({"alg": "EdDSA", "kid": key.kid, "typ": "at+jwt"}),
        b"header:" + compact({"alg": "none", "kid": "../x", "typ": "JWT", "crit": ["b64"]}),
    ]


# Scopes


def _any_scopes(data: bytes) -> None:
    """Read two sets of scopes, a bar between them."""
    with suppress(InvalidArgument):
        one, other = (parse_scopes(part) for part in (text_of(data) + "|").split("|")[:2])
        _check_scopes(one)
        _check_pair(one, other)


def _check_scopes(scopes: ScopeSet) -> None:
    assert parse_scopes(str(scopes)) == scopes == ScopeSet(tuple(scopes))
    assert all(scope in scopes for scope in scopes)
    assert str(scopes).isascii()


def _check_pair(one: ScopeSet, other: ScopeSet) -> None:
    both, either = one.intersect(other), one.union(other)
    assert all(scope in one and scope in other for scope in both), "both hold what one lacks"
    assert not either.missing(one), "the union lacks what one has"
    assert not either.missing(other), "the union lacks what the other has"
    assert set(one.missing(other)) == {scope for scope in other if scope not in one}
    assert both == other.intersect(one)


def _scope_seeds() -> list[bytes]:
    return [
        b"docs:read docs:*|docs:read:all",
        b"*|a",
        b"a:*|a:b:*",
        b"a  b",
        b"\xc2\xa0",
        b"a:*:b|" + b"a:" * 17,
    ]


# Policies


def _any_file(data: bytes) -> None:
    path = _folder() / "policy.toml"
    path.write_bytes(data)
    _check_policy(path)


def _any_dict(data: bytes) -> None:
    try:
        tree = json.loads(data)
    except (ValueError, RecursionError):
        return
    if isinstance(tree, dict):
        _check_policy(tree)


def _check_policy(source: Path | dict[str, Any]) -> None:
    """Load it; a fault is said in what a terminal can show."""
    policy = _loaded(source)
    if isinstance(policy, ConfigError):
        assert policy.message.isprintable(), "an error that writes to the terminal"
        return
    assert load_policy(policy.to_dict()) == policy
    assert len(policy.rules) == len(policy.to_dict().get("rules", ()))


def _loaded(source: Path | dict[str, Any]) -> Policy | ConfigError:
    try:
        return load_policy(source)
    except ConfigError as error:
        return error


def _policy_seeds() -> list[bytes]:
    whole = {
        "roles": {
            "reader": {"scopes": "docs:read", "may_become": ["writer"]},
            "writer": {"scopes": "docs:*"},
        },
        "tasks": {"sum": {"scopes": ["docs:read"]}},
        "rules": [
            {
                "name": "a",
                "effect": "mask",
                "actions": "docs:*",
                "fields": ["x"],
                "priority": 1,
                "when": {"role": "reader", "risk_above": 0.5, "any": [{"resource": ["a*"]}]},
            }
        ],
        "grants": [{"name": "g", "scopes": "mail:send", "from_role": "reader", "to_role": "writer"}],
    }
    return [
        b'file:[roles.r]\nscopes = "docs:read"\n[[rules]]\nname = "a"\neffect = "deny"\nactions = "a:*"\n',
        b"file:a = [[[[[[1]]]]]]\nb.c.'d' = 1979-05-27T07:32:00Z\n",
        b"file:\xff\xfe\x00",
        b"dict:" + compact(whole),
        b'dict:{"rules": [{"name": "a", "effect": "deny", "actions": "a", "when": {"risk_above": 1e999}}]}',
    ]


# Cursors


@cache
def _manager() -> SessionManager:
    """Return a manager with a few sessions and conversations to list."""
    manager = open_manager()
    atexit.register(manager.close)
    for number in range(3):
        session = manager.create(f"agent-{number}", scopes="docs:read", refreshable=True)
        manager.history.append(session, {"role": "user", "content": "hello"})
    return manager


def _listings() -> tuple[tuple[Callable[..., Any], str], ...]:
    """Return each listing with the digest of its filters."""
    manager = _manager()
    workspace = {"workspace_id": "default"}
    return (
        (manager.sessions.page, digest_of(workspace, None)),
        (manager.history.page, digest_of("history", workspace)),
    )


def _any_cursor(data: bytes) -> None:
    for page, _ in _listings():
        _lists(page, text_of(data))


def _any_position(data: bytes) -> None:
    """Forge a cursor, with its marks as they must be: they keep cursors apart, and are no signature."""
    position = data.decode("latin-1")
    for page, digest in _listings():
        if position.isascii() and _lists(page, cursor_of(position, digest)):
            assert position.isprintable(), "a position that not every database takes"


def _lists(page: Callable[..., Any], cursor: str) -> bool:
    """Tell whether a cursor is taken."""
    try:
        return len(page(cursor=cursor).items) <= 3
    except InvalidArgument:
        return False


def _cursor_seeds() -> list[bytes]:
    cursors = [page(limit=1).next_cursor.encode() for page, _ in _listings()]
    return [
        *(b"cursor:" + each for each in cursors),
        b"position:0190d2a0-1111-7000-8000-000000000001",
        b"position:1790000000000000 0190d2a0-1111-7000-8000-000000000001",
        b"position:\x00' OR 1=1 --",
    ]


# Conversations as files


def _any_transcript(data: bytes) -> None:
    """Import a file; what is taken is the same when it is exported and imported again."""
    if not _can_be_read(data):
        return
    history, taken = _importer().history, _folder() / "taken.jsonl"
    taken.write_bytes(data)
    first, second = _importers()
    try:
        history.import_jsonl(first, taken)
        history.export_jsonl(first, taken)
        history.import_jsonl(second, taken)
        assert _told(history, second) == _told(history, first)
    finally:
        history.clear(first)
        history.clear(second)


def _told(history: History, session: IssuedSession) -> list[object]:
    """Return what an export has: when and what, but for what was put in automatically."""
    entries = history.load_with_timestamps(session)
    return [(each.at, each.message) for each in entries if not each.auto_injected]


@cache
def _importer() -> SessionManager:
    manager = open_manager()
    atexit.register(manager.close)
    return manager


@cache
def _importers() -> tuple[IssuedSession, ...]:
    return tuple(_importer().create("importer", scopes="docs:read") for _ in range(2))


def _can_be_read(data: bytes) -> bool:
    """Tell whether an import would take it."""
    try:
        return sum(1 for _ in Read(BytesIO(data), now=NOW * SECOND).rows()) >= 0
    except InvalidArgument:
        return False


def _transcript_seeds() -> list[bytes]:
    header = {"agent": "a", "created_at": "2026-09-21T14:13:20+00:00"}
    call = {"id": "1", "name": "search", "arguments": {"q": "x"}}
    lines: list[dict[str, Any]] = [
        header,
        {"at": "2026-09-21T14:13:21.000007+02:00", "role": "user", "content": "hello"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "user", "content": [{"type": "text", "text": "hi"}], "mood": {"x": [1.5, None, True]}},
    ]
    return [
        b"\n".join(map(compact, lines)),
        b'{"role": "user", "content": "\\ud800"}',
        b'{"role": "user", "content": "a", "n": 1e999}\n\n',
        b'\xef\xbb\xbf{"role": "user", "content": "a", "a": 1, "a": 2}',
        b'{"role": "user", "content": "\\u0000", "at": "9999-12-31T23:59:59+00:00"}',
    ]


# Refresh tokens


_REFRESH = RefreshToken("0190d2a0-1111-7000-8000-000000000001", bytes(range(32)))


def _any_refresh_token(data: bytes) -> None:
    _check_refresh_token(text_of(data))


def _changed_refresh_token(data: bytes) -> None:
    _check_refresh_token(mutated(_REFRESH.text(), data))


def _check_refresh_token(text: str) -> None:
    """Read it, and redeem it where no such token was ever given out."""
    with suppress(TokenFault):
        assert RefreshToken.parse(text).text() == text
    with suppress(InvalidToken):
        assert not _manager().redeem(text), "redeemed a token that nobody was given"


def _any_seal(data: bytes) -> None:
    with suppress(TokenFault):
        assert not _REFRESH.unseal(data), "opened a seal that nobody made"


def _refresh_seeds() -> list[bytes]:
    text = _REFRESH.text().encode()
    return [b"text:" + text, b"text:cgr1_", b"changed:\x00\x05a", b"changed:\x00\x45_", b"seal:" + bytes(60)]


TARGETS: Mapping[str, Target] = MappingProxyType(
    {
        "tokens": Target(
            ways("text", text=_any_token, changed=_changed_token, claims=_any_claims, header=_any_header),
            _token_seeds,
        ),
        "scopes": Target(_any_scopes, _scope_seeds),
        "policies": Target(ways("file", file=_any_file, dict=_any_dict), _policy_seeds),
        "cursors": Target(ways("cursor", cursor=_any_cursor, position=_any_position), _cursor_seeds),
        "transcripts": Target(_any_transcript, _transcript_seeds),
        "refresh_tokens": Target(
            ways("text", text=_any_refresh_token, changed=_changed_refresh_token, seal=_any_seal),
            _refresh_seeds,
        ),
        "notes": NOTES,
        "proofs": PROOFS,
        "forms": FORMS,
    }
)
