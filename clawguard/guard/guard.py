"""The guard: what the manager talks to. It signs tokens for sessions and says what a token claims."""

from __future__ import annotations

import math
import threading
from collections.abc import Collection, Mapping

from clawguard.checks import check_text, is_integer
from clawguard.clock import SECOND
from clawguard.errors import ConfigError, InvalidArgument
from clawguard.forks import call_around_fork
from clawguard.guard.claims import Claims, load_model
from clawguard.guard.keys import KeyRing, SigningKey
from clawguard.guard.policy import Policy
from clawguard.guard.proofs import Proof, ProofId, check_proof
from clawguard.guard.tokens import decode, encode
from clawguard.models import Session

__all__ = ["Guard"]

_MAX_LEEWAY = 60 * SECOND


class Guard:
    """Sign and verify for one issuer, with one key ring and one policy at a time; it looks at no row.

    `audiences` is the allow-list of those a token may be for, `audience` the one meant when none is named.
    `leeway` is in microseconds, 0 to 60 s. Raises ConfigError or InvalidArgument for settings that are not as
    they must be.
    """

    def __init__(
        self,
        *,
        issuer: str,
        audience: str,
        audiences: Collection[str],
        ring: KeyRing,
        policy: Policy | None = None,
        leeway: int = 5 * SECOND,
    ) -> None:
        if isinstance(audiences, str) or audience not in audiences:
            raise ConfigError("audiences must be a collection that holds the audience itself")
        if not is_integer(leeway, least=0, most=_MAX_LEEWAY):
            raise ConfigError("the leeway must be 0 to 60 seconds")
        self._issuer = check_text(issuer, argument="issuer")
        self._audience = audience
        self._audiences = frozenset(check_text(each, argument="audiences") for each in audiences)
        self._leeway = leeway
        self._ring = ring
        self._policy = policy or Policy.empty()
        self._lock = threading.Lock()
        call_around_fork(self)
        load_model()

    @property
    def issuer(self) -> str:
        """The `iss` of every token."""
        return self._issuer

    @property
    def audience(self) -> str:
        """The audience meant where none is named."""
        return self._audience

    @property
    def ring(self) -> KeyRing:
        """The key ring in use."""
        return self._ring

    @property
    def policy(self) -> Policy:
        """The policy in force: read after the ring, it is never older than that."""
        return self._policy

    def replace(self, ring: KeyRing, policy: Policy) -> None:
        """Use others from now on, unless they are older; calls under way finish with those they have."""
        with self._lock:  # else a thread that loaded them earlier could put older ones back
            if ring.revision >= self._ring.revision:
                self._policy = policy
                self._ring = ring

    def after_fork(self) -> None:
        """Make the lock anew in a forked child: a thread of the parent may have held it."""
        self._lock = threading.Lock()

    def takes(self, audience: str, *, meant: str | None) -> bool:
        """Tell whether an audience is the one that is meant, or any on the allow-list where None is named."""
        return audience in self._audiences if meant is None else audience == self.check_audience(meant)

    def check_audience(self, audience: str | None) -> str:
        """Return the audience, or the guard's own for None; raise InvalidArgument off the allow-list."""
        if audience is None:
            return self._audience
        if not isinstance(audience, str) or audience not in self._audiences:
            raise InvalidArgument(
                "audience",
                "is not one of this manager's",
                hint="name it in audiences= when you open the manager",
            )
        return audience

    def issue(self, session: Session, signer: SigningKey) -> str:
        """Return a token for what the row says, signed with the row's key.

        Raises ConfigError when that is not the signer, InvalidArgument when the token would be too long.
        """
        return encode(self._claims(session), signer)

    def verify(self, token: str, *, audience: str | None, now: int) -> Claims:
        """Return the claims of a genuine token for the audience, by default the guard's own.

        `now` is in microseconds; a past `exp` is left to the caller. Raises TokenFault, InvalidArgument for
        an audience off the allow-list.
        """
        wanted = self.check_audience(audience)
        return decode(token, self._ring, issuer=self._issuer, audience=wanted, now=now, leeway=self._leeway)

    def check_proof(
        self, proof: Proof | None, cnf: Mapping[str, str] | None, *, token: str | None, now: int
    ) -> ProofId | None:
        """Hold a proof against what a token is bound to; return what must not come a second time.

        `token` is None where a refresh token is shown; `now` is in microseconds. Raises ProofFault.
        """
        return check_proof(proof, cnf, token=token, now=now, leeway=self._leeway)

    def _claims(self, session: Session) -> Claims:
        issued_at = math.floor(session.issued_at.timestamp())
        return Claims(
            issuer=self._issuer,
            audience=session.audience,
            subject=session.subject,
            client_id=session.agent_id,
            session_id=session.id,
            jti=session.jti,
            issued_at=issued_at,
            not_before=issued_at,
            expires_at=math.ceil(session.token_expires_at.timestamp()),
            scopes=session.scopes,
            generation=session.generation,
            actors=session.actors,
            cnf=session.cnf,
            kid=session.kid,
        )
