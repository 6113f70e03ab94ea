"""What is gathered in memory and written in batches: activity, denials, refused tokens, failed receivers.

None of it changes a verdict. What is lost with the process is at most a moment's worth: a lost touch ends
an idle session a tenth early, never late.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple

from clawguard.clock import SECOND, Clock
from clawguard.forks import call_around_fork
from clawguard.models import Decision, SessionContext
from clawguard.sessions.change import Change

__all__ = ["Recorder"]

_logger = logging.getLogger("clawguard.guard")
_REPEAT = 60 * SECOND
_MANY_KINDS = 64  # of one type; any sender of rubbish can make as many as it likes
_MANY_DENIALS, _MOST_DENIALS = 1_024, 8_192  # told apart, and told by their session at least
_KINDS_OF_ONE = 16  # of one session, source or receiver: what it does at will is told in so many events
_SOURCES = 16


class _Tally:
    """Count what is alike: written at once the first time, then once a minute."""

    __slots__ = ("count", "fields", "next_at")

    def __init__(self, fields: dict[str, Any]) -> None:
        self.fields = fields
        self.count = 0
        self.next_at = 0


class _Touch(NamedTuple):
    at: int
    sources: tuple[str, ...]


class Recorder:
    """Gather, and write everything gathered in one transaction at `flush`."""

    def __init__(self, change: Callable[..., Change], *, clock: Clock) -> None:
        self._change = change
        self._clock = clock
        self.kick: Callable[[], None] = lambda: None
        self._begin_anew()
        call_around_fork(self)

    def _begin_anew(self) -> None:
        self._lock = threading.Lock()
        self._writing = threading.RLock()  # a receiver called from within a flush may ask for another
        self._touches: dict[str, _Touch] = {}
        self._tallies: dict[tuple[str, ...], _Tally] = {}
        self._kinds: Counter[tuple[str, ...]] = Counter()

    def after_fork(self) -> None:
        """Begin empty in a forked child: what was gathered is the parent's to write."""
        self._begin_anew()

    def touch(self, session_id: str, *, at: int, source: str | None, soon: bool) -> None:
        """Note that a session was used; `soon` asks for a flush at once."""
        with self._lock:
            before = self._touches.get(session_id)
            sources = before.sources if before else ()
            if source is not None and sources[-1:] != (source,):
                sources = (*sources, source)[-_SOURCES:]
            self._touches[session_id] = _Touch(at, sources)
        if soon:
            self.kick()

    def denied(
        self, context: SessionContext, *, action: str, reason: str, decision: Decision | None = None
    ) -> None:
        """Note that a genuine caller was refused, by a decision of the policy where there was one."""
        fields = {
            "session_id": context.session_id,
            "agent_id": context.agent_id,
            "subject": context.subject,
            "workspace_id": context.workspace_id,
            "reason": reason[:255],
        }
        data = {"action": action[:255]}
        if decision is not None:
            data |= {"policy": decision.policy} | ({"rule": decision.rule} if decision.rule else {})
        self._count(("guard.denied", context.session_id, action, reason), fields, data)

    def rejected(self, *, source: str | None, reason: str) -> None:
        """Count a token that is none of ours by where it came from; nothing of the token is kept."""
        known = source[:255] if isinstance(source, str) and source.isprintable() else ""
        self._count(("token.rejected", known, reason), {"reason": reason}, {"source": known or "unknown"})

    def receiver_failed(self, receiver: str, error: str, count: int) -> None:
        """Note that a live receiver failed or was too slow."""
        key = ("subscriber.failed", receiver, error)
        self._count(key, {"reason": error[:255]}, {"receiver": receiver[:255]}, count=count)

    def flush(self, *, last: bool = False) -> None:
        """Write what was gathered and is due, or with `last` all of it; on a failure it is kept."""
        with self._writing:
            touches, tallies = self._take(self._clock.now(), everything=last)
            if not touches and not tallies:
                return
            try:
                with self._change(durable=False) as change:
                    for session_id, touch in touches.items():
                        _write_touch(change, session_id, touch)
                    for (event_type, *_), fields in tallies:
                        change.writer.append(event_type, **fields)
            except BaseException:
                self._put_back(touches, tallies)
                raise

    def _count(
        self, key: tuple[str, ...], fields: dict[str, Any], data: dict[str, Any], *, count: int = 1
    ) -> None:
        with self._lock:
            if key not in self._tallies:
                key, fields = self._bounded(key, fields | {"data": data})
            tally = self._tally(key, fields)
            tally.count += count
            first = tally.next_at == 0
            tally.next_at = tally.next_at or self._clock.now()
        if first:
            _logger.warning("%s: %s", key[0], " ".join(filter(None, key[1:])))
            self.kick()

    def _bounded(
        self, key: tuple[str, ...], fields: dict[str, Any]
    ) -> tuple[tuple[str, ...], dict[str, Any]]:
        """Return under what a new kind is counted: under its own name as long as there are not too many."""
        many = {"reason": "many kinds", "data": {}}
        is_denial, kinds = key[0] == "guard.denied", self._kinds[key[:1]]
        apart, most = (_MANY_DENIALS, _MOST_DENIALS) if is_denial else (_MANY_KINDS, _MANY_KINDS)
        if kinds >= most:
            return (key[0], "", ""), many
        if kinds < apart and self._kinds[key[:2]] < _KINDS_OF_ONE:
            return key, fields
        who = {name: fields["data"][name] for name in ("source", "receiver") if name in fields["data"]}
        return (*key[:2], "", "many"), fields | many | {"data": who}

    def _tally(self, key: tuple[str, ...], fields: dict[str, Any]) -> _Tally:
        tally = self._tallies.get(key)
        if tally is None:
            tally = self._tallies[key] = _Tally(fields)
            self._kinds.update((key[:1], key[:2]))
        return tally

    def _forget(self, key: tuple[str, ...]) -> None:
        del self._tallies[key]
        for group in (key[:1], key[:2]):
            self._kinds[group] -= 1
            if not self._kinds[group]:
                del self._kinds[group]

    def _take(
        self, now: int, *, everything: bool
    ) -> tuple[dict[str, _Touch], list[tuple[tuple[str, ...], dict[str, Any]]]]:
        """Take the touches and the tallies that are due; forget tallies that a minute brought nothing to."""
        with self._lock:
            touches, self._touches = self._touches, {}
            due = {key: tally for key, tally in self._tallies.items() if everything or tally.next_at <= now}
            taken = []
            for key, tally in due.items():
                if not tally.count:
                    self._forget(key)
                    continue
                taken.append((key, tally.fields | {"data": tally.fields["data"] | {"count": tally.count}}))
                tally.count, tally.next_at = 0, now + _REPEAT
            return touches, taken

    def _put_back(
        self, touches: dict[str, _Touch], tallies: list[tuple[tuple[str, ...], dict[str, Any]]]
    ) -> None:
        with self._lock:
            self._touches = touches | self._touches
            for key, fields in tallies:
                tally = self._tally(key, fields)
                tally.count += fields["data"]["count"]
                tally.next_at = 0


def _write_touch(change: Change, session_id: str, touch: _Touch) -> None:
    change.tx.run("session.touch", id=session_id, at=touch.at, now=change.now)
    for source in touch.sources:
        _write_source(change, session_id, source)


def _write_source(change: Change, session_id: str, source: str) -> None:
    before = change.one("session.last_source", id=session_id)
    row = change.one("session.set_source", id=session_id, source=source, now=change.now)
    if row is not None and before is not None and before[0] is not None:
        version, agent_id, subject, workspace_id = row
        change.writer.append(
            "session.source_changed",
            session_id=session_id,
            version=version,
            agent_id=agent_id,
            subject=subject,
            workspace_id=workspace_id,
            data={"from": before[0], "to": source},
        )
