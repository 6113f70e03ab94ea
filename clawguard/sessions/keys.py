"""`manager.keys`: the signing keys of all processes, listed, published, rotated."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from clawguard.checks import check_flag
from clawguard.clock import to_datetime
from clawguard.errors import ClawguardError
from clawguard.guard import Algorithm, KeyEncryptionKey, SigningKey
from clawguard.models import Ended
from clawguard.sessions.change import Change
from clawguard.sessions.current import who_acts
from clawguard.sessions.keychain import KeyInfo, insert_key
from clawguard.sessions.parts import Parts
from clawguard.sessions.switches import Switches

__all__ = ["Keys"]

_logger = logging.getLogger("clawguard.sessions")


class Keys:
    """`manager.keys`: list, publish and rotate the signing keys of all processes."""

    def __init__(self, parts: Parts, switches: Switches) -> None:
        self._store = parts.store
        self._keychain = parts.keychain
        self._guard = parts.guard
        self._clock = parts.clock
        self._change = parts.change
        self._switches = switches

    def list(self) -> list[KeyInfo]:
        """Return every key and its state, the oldest first."""
        rows = self._store.read("keys.all")
        return [
            KeyInfo(kid, algorithm, state, _instant(until), to_datetime(made), _instant(activated))
            for kid, algorithm, state, _, _, until, _, made, activated in rows
        ]

    def jwks(self) -> dict[str, Any]:
        """Return the JWK set (RFC 7517) that others verify with: public members only."""
        self._keychain.catch_up()
        return self._guard.ring.jwks()

    def active(self) -> KeyInfo:
        """Return the key that signs."""
        return next(key for key in self.list() if key.state == "active")

    def rotate(
        self,
        *,
        emergency: bool = False,
        dry_run: bool = False,
        algorithm: Algorithm | None = None,
        actor: str | None = None,
    ) -> Ended:
        """Let the next key sign, in every process at once, and return what that ended.

        The key before goes on verifying until the last token it may have signed has ended. With
        `emergency` it stops at once, the published next key is not trusted either, and every session whose
        token it signed ends with the cause `key`; where the store fails meanwhile, a later sweep records
        the rest. `algorithm` changes what the new keys sign with. With `dry_run` nothing changes.
        """
        check_flag(emergency, argument="emergency")
        check_flag(dry_run, argument="dry_run")
        actor = who_acts(actor)
        wanted = algorithm or self._guard.ring.require_signer().algorithm
        fresh = [SigningKey.generate(wanted), SigningKey.generate(wanted)]
        if dry_run:
            self._keychain.catch_up()
            signer = self._guard.ring.require_signer()
            return self._switches.count({"key_id": signer.kid}) if emergency else Ended(0, None)
        cause_id = self._switches.new_cause()
        with self._change(durable=True) as change:
            old, active = _rotate(
                change, fresh, kek=self._keychain.kek, emergency=emergency, algorithm=wanted
            )
            change.tx.run("meta.bump")
            cause, data = "key" if emergency else None, {"kid": active, "previous": old}
            change.writer.append("key.rotated", cause=cause, actor=actor, cause_id=cause_id, data=data)
        return Ended(self._follow_up(old if emergency else None, actor=actor, cause_id=cause_id), cause_id)

    def _follow_up(self, compromised: str | None, *, actor: str, cause_id: str) -> int:
        """Take up the new keys, and end what a compromised one signed; the rotation stands whatever fails.

        The next validate takes them up as well, and accepts none of what is left to end for `prune`.
        """
        ended = 0
        try:
            self._keychain.reload()
            for count in self._end_signed(compromised, actor, cause_id) if compromised is not None else ():
                ended += count
        except ClawguardError as error:
            _logger.error("the keys were rotated, but what follows is not finished yet: %s", error)
        return ended

    def _end_signed(self, kid: str, actor: str, cause_id: str) -> Iterator[int]:
        given = {"cause": "key", "reason": None, "actor": actor, "cause_id": cause_id}
        yield from self._switches.batches({"key_id": kid}, **given)
        with self._change(durable=True) as change:
            change.tx.run("keys.ends_done", kid=kid)
            change.tx.run("meta.bump")

    def prune(self) -> None:
        """Stop verifying with keys whose last token has ended, and finish an emergency cut short."""
        rows = self._store.read("keys.all")
        for kid, _, _, _, _, _, pending, *_ in rows:
            if pending:
                deque(self._end_signed(kid, "host", self._switches.new_cause()), maxlen=0)
        now = self._clock.now()
        if any(state == "retiring" and until <= now for _, _, state, _, _, until, *_ in rows):
            with self._change(durable=True) as change:
                if change.tx.run("keys.prune", now=change.now):
                    change.tx.run("meta.bump")


def _instant(at: int | None) -> datetime | None:
    return None if at is None else to_datetime(at)


def _rotate(
    change: Change, fresh: list[SigningKey], *, kek: KeyEncryptionKey, emergency: bool, algorithm: Algorithm
) -> tuple[str, str]:
    """Move the states of the keys; return the ids of the one before and of the new active one."""
    keys = {state: (kid, kind) for kid, kind, state, *_ in change.tx.run("keys.all")}
    old, _ = keys["active"]
    if emergency:
        change.tx.run("keys.compromise", kid=old, ends_pending=1)
    else:
        last = change.tx.run("keys.last_token", kid=old)[0][0]
        change.tx.run("keys.retire", kid=old, verify_until=max(last or 0, change.now))
    following, kind = keys.get("next", ("", ""))
    if following and not emergency and kind == algorithm:
        change.tx.run("keys.activate", kid=following, now=change.now)
        active = following
    else:
        if following:
            change.tx.run("keys.compromise", kid=following, ends_pending=0)
        insert_key(change.tx, fresh[0], kek=kek, state="active", now=change.now)
        active = fresh[0].kid
    insert_key(change.tx, fresh[1], kek=kek, state="next", now=change.now + 1)
    return old, active
