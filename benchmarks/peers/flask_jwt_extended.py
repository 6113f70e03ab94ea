"""flask-jwt-extended: ES256, and a blocklist in a database, one keyed read on an open connection."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import flask
import flask_jwt_extended as peer
from cryptography.hazmat.primitives.asymmetric import ec

from benchmarks.material import LIFE, SCOPES

from .measures import Works, added, calls, consuming, expect
from .requests import wsgi

__all__ = ["works"]

_BLOCKED = 1_000  # tokens that the list has from the start


class _Blocklist:
    """Hold the ids of revoked tokens."""

    def __init__(self, path: Path) -> None:
        self.connection = sqlite3.connect(path, isolation_level=None)
        self.connection.execute("PRAGMA journal_mode = WAL")
        self.connection.execute("PRAGMA synchronous = FULL")  # as power-safe as clawguard's revoke
        self.connection.execute("CREATE TABLE blocklist (jti TEXT PRIMARY KEY) WITHOUT ROWID")
        self.connection.execute("BEGIN")
        for number in range(_BLOCKED):
            self.add(f"jti-{number}")
        self.connection.execute("COMMIT")

    def add(self, jti: str) -> None:
        self.connection.execute("INSERT INTO blocklist VALUES (?)", (jti,))

    def has(self, _header: object, claims: dict[str, Any]) -> bool:
        found = self.connection.execute("SELECT 1 FROM blocklist WHERE jti = ?", (claims["jti"],))
        return found.fetchone() is not None


def _app(guarded: Callable[[Any], Any] = lambda view: view) -> flask.Flask:
    app = flask.Flask("bench")
    app.add_url_rule("/", view_func=guarded(lambda: "ok"))
    return app


@contextmanager
def works(folder: Path) -> Iterator[Works]:
    """Sign, look up, revoke, and guard a request."""
    key = ec.generate_private_key(ec.SECP256R1())
    app, blocklist = _app(peer.jwt_required()), _Blocklist(folder / "blocklist.db")
    app.config |= {
        "JWT_ALGORITHM": "ES256",
        "JWT_PRIVATE_KEY": key,
        "JWT_PUBLIC_KEY": key.public_key(),
        "JWT_ACCESS_TOKEN_EXPIRES": LIFE,
    }
    peer.JWTManager(app).token_in_blocklist_loader(blocklist.has)

    def sign() -> str:
        return str(peer.create_access_token("planner", additional_claims={"scope": SCOPES}))

    def revoke(token: str) -> None:
        blocklist.add(str(peer.get_jti(token)))

    with closing(blocklist.connection), app.app_context():
        token, revoked = sign(), sign()
        revoke(revoked)
        answers = [wsgi(app, token=each)() for each in (token, revoked)]
        expect("answers of the Flask app", found=answers, expected=[200, 401])
        with app.test_request_context(headers={"Authorization": f"Bearer {token}"}):
            yield {
                "sign": calls(sign),
                "look_up": calls(peer.verify_jwt_in_request),
                "revoke": consuming(sign, revoke),
                "request": added(partial(calls, wsgi(app, token=token)), partial(calls, wsgi(_app()))),
            }
