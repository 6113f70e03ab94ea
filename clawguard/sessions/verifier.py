"""The verifier: what a web app, tool or server needs. Public keys only: it can check, never issue."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection
from functools import partial

from clawguard.clock import SECOND, Clock, Duration, microseconds
from clawguard.errors import InvalidArgument
from clawguard.sessions.asking import Asking, is_server
from clawguard.sessions.parts import Parts, open_parts
from clawguard.sessions.proofs import forget_proofs
from clawguard.sessions.validating import Validation

__all__ = ["Verifier"]

_FLUSH_EVERY = 1.0


class Verifier(Validation):
    """Validate tokens against their rows, in any process that can open the store."""

    def __init__(self, parts: Parts) -> None:
        chores = (parts.recorder.flush, partial(forget_proofs, parts))
        super().__init__(parts, chores, every=_FLUSH_EVERY)

    @classmethod
    def open(
        cls,
        url: str | os.PathLike[str] | None = None,
        *,
        issuer: str | None = None,
        audience: str | None = None,
        audiences: Collection[str] = (),
        max_staleness: Duration = 0,
        token: str | Callable[[], str] | None = None,
        lock_timeout: float = 5.0,
        clock: Clock | None = None,
    ) -> Verifier:
        """Open an existing store to verify with; `audience` is what this service is called in tokens.

        `max_staleness` (seconds; 0, or 0.25 and more) lets `validate` answer from memory what no event spoke
        against that long ago.

        An `https://` URL is that of a `clawguard serve`, which is asked each time: `token` is the verifier's
        own, with the scope `clawguard:introspect`, or returns it (default `CLAWGUARD_TOKEN`), and
        `lock_timeout` how long a call may take as a whole. It knows the tokens of its own workspace. Raises
        ConfigError when there is no database there or it belongs to another issuer, StoreUnavailable when no
        server answers there.
        """
        where = os.environ.get("CLAWGUARD_URL") if url is None else url
        if is_server(where):
            from clawguard.sessions.remote import RemoteVerifier

            timeout = microseconds(lock_timeout, argument="lock_timeout") / SECOND
            asking = Asking(str(where), token or os.environ.get("CLAWGUARD_TOKEN"), timeout=timeout)
            return RemoteVerifier(asking, issuer=issuer, audience=audience)
        if token is not None:
            raise InvalidArgument("token", "goes with the URL of a server")
        parts = open_parts(
            url,
            issuer=issuer,
            audience=audience,
            audiences=audiences,
            kek=None,
            signs=False,
            max_staleness=max_staleness,
            create=False,
            lock_timeout=lock_timeout,
            dispatch="thread",
            clock=clock,
        )
        verifier = cls(parts)
        verifier._start()
        return verifier
