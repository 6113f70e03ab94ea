"""The policy in the store: one for the whole database, in force in every process at its next validate."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from typing import NamedTuple

from clawguard.errors import ClawguardError, InvalidArgument
from clawguard.guard import Guard, Policy, PolicySource, load_policy
from clawguard.sessions.change import Change
from clawguard.sessions.keychain import Keychain

__all__ = ["Policies"]

_logger = logging.getLogger("clawguard.sessions")


class Given(NamedTuple):
    """Hold a policy that was given, and its file, if it came from one."""

    policy: Policy
    file: str | None

    @classmethod
    def of(cls, source: PolicySource) -> Given:
        """Load a policy; raise ConfigError for its first fault."""
        return cls(load_policy(source), os.fspath(source) if isinstance(source, str | os.PathLike) else None)


class Policies:
    """Put policies in force, each change an event with the digests of both."""

    def __init__(self, change: Callable[..., Change], keychain: Keychain, guard: Guard) -> None:
        self._change = change
        self._keychain = keychain
        self._guard = guard
        self._file: str | None = None

    @property
    def in_force(self) -> Policy:
        """The policy as it now stands in the store."""
        self._keychain.catch_up()
        return self._guard.policy

    def reload(self, source: PolicySource | None, *, actor: str) -> Policy:
        """Put a policy in force: see `SessionManager.reload_policy`."""
        source = self._file if source is None else source
        if source is None:
            raise InvalidArgument("policy", "no file is known", hint="give a path, a dict or a Policy")
        return self._take(Given.of(source), actor=actor)

    def put_first(self, given: Given, *, on_failure: Callable[[], None]) -> None:
        """Put in force what a manager is opened with, before anything uses it."""
        try:
            self._take(given, actor="host")
        except BaseException:
            on_failure()
            raise

    def _take(self, given: Given, *, actor: str) -> Policy:
        self._file = given.file or self._file
        if given.policy != self.in_force:
            self._put(given.policy, actor=actor)
        return given.policy

    def _put(self, policy: Policy, *, actor: str) -> None:
        with self._change(durable=True) as change:
            *_, previous = change.tx.run("meta.get")[0]
            change.tx.run("policy.keep", digest=policy.digest, body=policy.body, now=change.now)
            change.tx.run("policy.put_in_force", digest=policy.digest)
            change.tx.run("meta.bump")
            data = {"digest": policy.digest} | ({"previous": previous} if previous else {})
            change.writer.append("policy.changed", actor=actor, data=data)
        try:
            self._keychain.catch_up()
        except ClawguardError as error:  # it is in force all the same: the next validate takes it up
            _logger.error("the policy was put in force, but could not be read back yet: %s", error)
