"""Every error that clawguard raises: one tree, each with a machine code and a sentence.

ClawguardError
├── AccessDenied                 the caller is refused
│   ├── InvalidToken             not a token of ours, whatever the fault
│   │   └── InvalidProof         a bound token without the proof that its caller holds the key
│   ├── TokenSuperseded          a newer token of the session exists
│   ├── SessionEnded             genuine, but over: cause, reason
│   ├── NoSession                no session is bound here
│   ├── InsufficientScope        lacks a scope: required, missing
│   └── PolicyDenied             the policy or the host forbids it: action, reason, decision
├── DelegationRefused            a child asked for more than its parent has: missing
├── SessionNotFound              no such session
├── EntryUnreadable              an entry is not as it was stored: session_id, seq
├── SearchUnavailable            there is no index to search here
├── KeyInUse                     a live session holds the key: session_id
├── LimitReached                 the agent has as many live sessions as it may: limit
├── TurnQueueFull                as many wait for the session's turn as may: session_id, queue
├── TurnTimeout                  the session's turn was not had in time: session_id
├── TurnLost                     the turn is another's by now, or nobody's: session_id, turn_id
├── InvalidArgument              (also a ValueError) which argument and why
│   └── EventsArchived           asked for events that are in an archive by now: until
├── ConfigError                  files, keys or settings are not as they must be
├── ClockError                   the clock stands below what the log has seen
├── StoreUnavailable             the store did not answer; access is denied
│   ├── StoreBusy                a lock was not had in time; nothing happened
│   ├── StoreUpgraded            a newer version migrated the store
│   ├── StoreMoved               the database is another by now
│   └── OutcomeUnknown           the write may or may not have happened; repeat it
├── EventRefused                 raised by a durable receiver: it will never take this event
├── ReceiverFailed               raised by a durable receiver: it failed on this event, which is a try
└── ReceiverUnavailable          raised by a durable receiver: it can take nothing just now
"""

from __future__ import annotations

from typing import Any

__all__ = [
    "AccessDenied",
    "ClawguardError",
    "ClockError",
    "ConfigError",
    "DelegationRefused",
    "EntryUnreadable",
    "EventRefused",
    "EventsArchived",
    "InsufficientScope",
    "InvalidArgument",
    "InvalidProof",
    "InvalidToken",
    "KeyInUse",
    "LimitReached",
    "NoSession",
    "OutcomeUnknown",
    "PolicyDenied",
    "ReceiverFailed",
    "ReceiverUnavailable",
    "SearchUnavailable",
    "SessionEnded",
    "SessionNotFound",
    "StoreBusy",
    "StoreMoved",
    "StoreUnavailable",
    "StoreUpgraded",
    "TokenSuperseded",
    "TurnLost",
    "TurnQueueFull",
    "TurnTimeout",
]


class ClawguardError(Exception):
    """Stand at the root of every error raised by clawguard.

    `code` is for machines and never changes, `message` says what is wrong, `hint` how to mend it.
    None of them ever holds a token or a key.
    """

    code = "error"

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}; {self.hint}" if self.hint else self.message

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (type(self), self.args, self.__dict__.copy())


def _restore(kind: type[ClawguardError], args: tuple[Any, ...], state: dict[str, Any]) -> ClawguardError:
    error = kind.__new__(kind, *args)
    error.__dict__.update(state)
    return error


class AccessDenied(ClawguardError):
    """Refuse a caller: what a web adapter turns into 401 or 403."""

    code = "access_denied"


class InvalidToken(AccessDenied):
    """Refuse a token for any fault of its form, signature, claims or session.

    The text is always the same; the fault itself goes to the audit event only.
    """

    code = "invalid_token"

    def __init__(self, *, hint: str = "a token is the text in `IssuedSession.token`") -> None:
        super().__init__("the token is not valid", hint=hint)


class InvalidProof(InvalidToken):
    """Refuse what is shown beside a token: no proof where one is needed, an old one, one of another key.

    As with a token, the fault itself goes to the audit event only.
    """

    code = "invalid_proof"

    def __init__(self) -> None:
        ClawguardError.__init__(
            self,
            "the proof beside the token is missing or not valid",
            hint="a bound token needs a new proof with each request, see `clawguard.guard.ProofKey`",
        )


class TokenSuperseded(AccessDenied):
    """Refuse a token or record of an older generation than the session's current one."""

    code = "token_superseded"

    def __init__(self) -> None:
        super().__init__("a newer token of this session has been issued", hint="use the newest one")


class SessionEnded(AccessDenied):
    """Refuse a genuine token, record or id whose session is over.

    `cause` is one of the closed set in `clawguard.models.Cause`, `reason` the free text given with it.
    """

    code = "session_ended"

    def __init__(self, cause: str, reason: str | None = None) -> None:
        super().__init__(f"session ended: {cause}" + (f" ({reason})" if reason else ""))
        self.cause = cause
        self.reason = reason


class NoSession(AccessDenied):
    """Refuse a call that needs a bound session where none is bound."""

    code = "no_session"

    def __init__(self) -> None:
        super().__init__(
            "no session is bound here",
            hint="call it inside `with manager.use(token):`, in the same thread or a copy of its context",
        )


class InsufficientScope(AccessDenied):
    """Refuse an agent that lacks a scope: `required` lists all that were asked, `missing` what it lacks.

    With `any_of` one of them would do.
    """

    code = "insufficient_scope"

    def __init__(
        self, agent_id: str, required: tuple[str, ...], missing: tuple[str, ...], *, any_of: bool = False
    ) -> None:
        super().__init__(f"{agent_id} {'has none of' if any_of else 'lacks'} {' '.join(missing)}")
        self.agent_id = agent_id
        self.required = required
        self.missing = missing
        self.any_of = any_of


class PolicyDenied(AccessDenied):
    """Refuse what the policy or the host forbids: an action, a role, an agent that is disabled.

    `decision` is the `Decision` behind it where one was asked for.
    """

    code = "policy_denied"

    def __init__(self, action: str, reason: str, *, decision: Any = None) -> None:
        super().__init__(f"{action} is denied: {reason}")
        self.action = action
        self.reason = reason
        self.decision = decision


class DelegationRefused(ClawguardError):
    """Refuse a delegation that would give more than the parent has; `missing` lists the scopes it lacks."""

    code = "delegation_refused"

    def __init__(self, message: str, *, missing: tuple[str, ...] = (), hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.missing = missing


class SessionNotFound(ClawguardError):
    """Answer for an id that names no session."""

    code = "session_not_found"

    def __init__(self, session_id: str) -> None:
        hint = "give its id or its record; `sessions.find(key=...)` finds a live one by its key"
        super().__init__(f"no session {session_id}", hint=hint)
        self.session_id = session_id


class EntryUnreadable(ClawguardError):
    """Report an entry, `seq` of `session_id`, that was altered, moved, or stored in another way than all."""

    code = "entry_unreadable"

    def __init__(self, session_id: str, seq: int, why: str) -> None:
        message = f"entry {seq} of session {session_id} cannot be read: {why}"
        super().__init__(message, hint="restore a backup, or delete the conversation")
        self.session_id = session_id
        self.seq = seq


class SearchUnavailable(ClawguardError):
    """Refuse to search where there is no index: conversations are encrypted, or SQLite lacks FTS5."""

    code = "search_unavailable"


class KeyInUse(ClawguardError):
    """Refuse a create whose key a live session of the workspace holds; `session_id` names it."""

    code = "key_in_use"

    def __init__(self, key: str, session_id: str) -> None:
        message = f"the live session {session_id} holds the key {key!r}"
        super().__init__(message, hint="use that session, or end it first")
        self.key = key
        self.session_id = session_id


class LimitReached(ClawguardError):
    """Refuse a session to an agent that has as many live ones in its workspace as it may: `limit`."""

    code = "limit_reached"

    def __init__(self, agent_id: str, limit: int) -> None:
        super().__init__(f"{agent_id} has {limit} live sessions, as many as it may", hint="end one first")
        self.agent_id = agent_id
        self.limit = limit


class TurnQueueFull(ClawguardError):
    """Refuse at once to wait for a session's turn: as many as may wait already. Nothing was changed."""

    code = "turn_queue_full"

    def __init__(self, session_id: str, queue: int) -> None:
        message = f"the turn of session {session_id} is taken, and no more than {queue} may wait for it"
        super().__init__(message, hint="ask again later, or with a larger queue")
        self.session_id = session_id
        self.queue = queue


class TurnTimeout(ClawguardError):
    """Report that a session's turn was waited for in vain. Nothing was changed, and nobody waits any more."""

    code = "turn_timeout"

    def __init__(self, session_id: str) -> None:
        message = f"the turn of session {session_id} was not had in time"
        super().__init__(message, hint="activity.stuck() tells of a turn that does not end")
        self.session_id = session_id


class TurnLost(ClawguardError):
    """Tell a holder that its turn is over before its block is: another may be at work on the session.

    It was silent for longer than its lease, or somebody set the session's state by hand, or the process is a
    forked child, which holds nothing.
    """

    code = "turn_lost"

    def __init__(self, session_id: str, turn_id: str) -> None:
        super().__init__(
            f"the turn {turn_id} of session {session_id} was lost", hint="do nothing more in its name"
        )
        self.session_id = session_id
        self.turn_id = turn_id


class InvalidArgument(ClawguardError, ValueError):
    """Refuse an argument: `argument` names it, the message says why. Nothing was changed."""

    code = "invalid_argument"

    def __init__(self, argument: str, message: str, *, hint: str | None = None) -> None:
        super().__init__(f"{argument}: {message}", hint=hint)
        self.argument = argument


class EventsArchived(InvalidArgument):
    """Refuse to read from before `until`, the last entry that was archived: nothing is passed over."""

    code = "events_archived"

    def __init__(self, until: int) -> None:
        super().__init__(
            "after",
            f"the events up to {until} were archived",
            hint=f"read them in their archive, and the others with after={until}",
        )
        self.until = until


class ConfigError(ClawguardError):
    """Refuse to start: a file, mode, key or setting is not as it must be."""

    code = "config_error"


class ClockError(ClawguardError):
    """Refuse to decide: the clock stands more than 5 s below a time the log has already seen."""

    code = "clock_error"


class StoreUnavailable(ClawguardError):
    """Report that the store did not answer: access is denied.

    The change that met it was not made, unless this is `OutcomeUnknown`; batches before it stand.
    """

    code = "store_unavailable"


class StoreBusy(StoreUnavailable):
    """Report that the write lock or a token file's was not had in time. Nothing happened; repeat the call."""

    code = "store_busy"


class StoreUpgraded(StoreUnavailable):
    """Report that a newer version of clawguard migrated the store under this process."""

    code = "store_upgraded"


class StoreMoved(StoreUnavailable):
    """Report that the database was moved into another, which the hint names. Nothing is to be had here."""

    code = "store_moved"


class OutcomeUnknown(StoreUnavailable):
    """Report that a commit failed in a way that leaves its outcome open. Repeat the call as it was."""

    code = "outcome_unknown"


class EventRefused(ClawguardError):
    """Say, in a durable receiver, that an event will never be taken: it is parked at once.

    The message is kept with it and written into the log, so it holds no secret.
    """

    code = "event_refused"


class ReceiverFailed(ClawguardError):
    """Say, in a durable receiver, why it failed on an event: it is tried again, up to `tries` times.

    As any other error does, but the message is kept and written into the log, so it holds no secret.
    """

    code = "receiver_failed"


class ReceiverUnavailable(ClawguardError):
    """Say, in a durable receiver, that nothing can be taken just now: the event is tried until it can.

    Later and later, up to some seconds; that is not counted as a try, and nothing is parked. The message is
    logged, so it holds no secret.
    """

    code = "receiver_unavailable"
