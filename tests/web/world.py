"""What the adapters are asked about: sessions in every state, requests that show them, the answers due."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import Any

from clawguard import IssuedSession, SessionManager, Verifier
from clawguard.guard import ProofKey
from tests.web.adapters import ORIGIN, Answer, Sent

BEARER = 'Bearer realm="clawguard"'
ALGS = 'DPoP algs="ES256 EdDSA RS256"'
MISSING = (401, f"{BEARER}, {ALGS}", "unauthorized")
TWICE = (400, f'{BEARER}, error="invalid_request"', "invalid_request")
INVALID = (401, f'{BEARER}, error="invalid_token"', "invalid_token")
NOT_PROVED = (401, f'{BEARER}, error="invalid_token", {ALGS}', "invalid_token")
BAD_PROOF = (401, f'{ALGS}, error="invalid_dpop_proof"', "invalid_dpop_proof")
UNAVAILABLE = (503, None, "temporarily_unavailable")
GOOD = (200, None, b"planner")


def lacks(scopes: str, scheme: str = BEARER) -> tuple[int, str, str]:
    return 403, f'{scheme}, error="insufficient_scope", scope="{scopes}"', "insufficient_scope"


@dataclass(frozen=True)
class World:
    """Hold a database's sessions, each in a state that a request may meet."""

    manager: SessionManager
    verifier: Verifier
    key: ProofKey
    good: IssuedSession
    bound: IssuedSession
    short: IssuedSession

    def make(self, scopes: str = "docs:read", **options: Any) -> IssuedSession:
        return self.manager.create("planner", scopes=scopes, **options)

    def revoked(self) -> str:
        session = self.make()
        self.manager.revoke(session, reason="leaked")
        return session.token

    def replaced(self) -> str:
        session = self.make()
        self.manager.refresh(session)
        return session.token

    def used_up(self) -> str:
        session = self.make(max_uses=1)
        self.manager.validate(session.token)
        return session.token

    def expired(self) -> str:
        while self.manager.inspect(self.short.token).verdict == "active":
            time.sleep(0.01)
        return self.short.token

    def orphaned(self) -> str:
        parent = self.make()
        child = self.manager.delegate(parent, "helper", scopes="docs:read")
        self.manager.end(parent)
        return child.token

    def proof(self, **changes: str) -> str:
        return self.key.proof(
            **{"method": "GET", "url": f"{ORIGIN}/whoami", "token": self.bound.token, **changes}
        )


def header(value: str, **rest: str) -> Sent:
    return Sent((("Authorization", value),), **rest)


def bearer(token: str, **rest: str) -> Sent:
    return header(f"Bearer {token}", **rest)


def dpop(world: World, *proofs: str, token: str | None = None, **rest: str) -> Sent:
    shown = tuple(("DPoP", proof) for proof in proofs)
    return Sent((("Authorization", f"DPoP {token or world.bound.token}"), *shown), **rest)


def beside(world: World, *headers: tuple[str, str], **rest: str) -> Sent:
    return Sent((("Authorization", f"Bearer {world.good.token}"), *headers), **rest)


def told(answer: Answer) -> tuple[int, str | None, str | bytes]:
    """Return status, challenge and the error of the body, or the body itself."""
    challenge = dict(answer.headers).get("WWW-Authenticate") or dict(answer.headers).get("www-authenticate")
    is_refusal = answer.status >= 400 and answer.body
    return answer.status, challenge, json.loads(answer.body)["error"] if is_refusal else answer.body
