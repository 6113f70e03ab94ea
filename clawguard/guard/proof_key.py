"""The other side of a proof: an agent's key, and the proofs that it makes with it (RFC 9449, 4.2)."""

from __future__ import annotations

import hashlib
from typing import NoReturn

from clawguard.clock import SECOND, Clock, SystemClock, new_id
from clawguard.errors import InvalidArgument
from clawguard.guard.encoding import b64encode, compact_json
from clawguard.guard.keys import SigningKey
from clawguard.guard.proofs import HTTP_METHOD
from clawguard.guard.uri import normal_uri

__all__ = ["ProofKey"]

_PUBLIC = ("crv", "e", "kty", "n", "x", "y")


class ProofKey:
    """Hold the key that an agent's tokens are bound to; it never leaves the agent.

    `ProofKey.generate()` makes one; `ProofKey(SigningKey.from_private_bytes(...))` takes one that was kept.
    """

    __slots__ = ("_clock", "_header", "_key")

    def __init__(self, key: SigningKey, *, clock: Clock | None = None) -> None:
        if not isinstance(key, SigningKey):
            raise InvalidArgument("key", "must be a SigningKey", hint="ProofKey.generate() makes a new one")
        self._key = key
        self._clock = clock or SystemClock()
        members = {name: value for name, value in key.verifying.jwk().items() if name in _PUBLIC}
        header = {"typ": "dpop+jwt", "alg": key.algorithm, "jwk": members}
        self._header = b64encode(compact_json(header))

    @classmethod
    def generate(cls, *, clock: Clock | None = None) -> ProofKey:
        """Return a new P-256 key."""
        return cls(SigningKey.generate(), clock=clock)

    def __repr__(self) -> str:
        return f"ProofKey(jkt={self._key.kid!r})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a ProofKey cannot be copied or pickled")

    @property
    def cnf(self) -> dict[str, str]:
        """What `create` and `delegate` bind a session's tokens to: the key's RFC 7638 thumbprint."""
        return {"jkt": self._key.kid}

    def proof(self, *, method: str, url: str, token: str | None = None) -> str:
        """Return the `DPoP` header field for one request: each proof is good once.

        `token` is the access token sent with it; none is where a refresh token is redeemed. Raises
        InvalidArgument for what is no method, no http or https URL or has dot segments in it, or no token.
        """
        target = normal_uri(url)
        if target is None:
            raise InvalidArgument("url", "must be an absolute http or https URL without dot segments")
        if not isinstance(method, str) or not HTTP_METHOD.fullmatch(method):
            raise InvalidArgument("method", "must be the HTTP method of the request")
        if token is not None and not (isinstance(token, str) and token.isascii()):
            raise InvalidArgument("token", "must be a token")
        now = self._clock.now()
        claims: dict[str, object] = {"jti": new_id(now), "htm": method, "htu": target, "iat": now // SECOND}
        if token is not None:
            claims["ath"] = b64encode(hashlib.sha256(token.encode()).digest()).decode()
        signing_input = self._header + b"." + b64encode(compact_json(claims))
        return (signing_input + b"." + b64encode(self._key.sign(signing_input))).decode()

    def headers(self, token: str, *, method: str, url: str) -> dict[str, str]:
        """Return the HTTP headers that carry a token that is bound to this key, for one request."""
        if not isinstance(token, str):
            raise InvalidArgument("token", "must be a token")
        return {"Authorization": f"DPoP {token}", "DPoP": self.proof(method=method, url=url, token=token)}
