"""clawguard: short-lived, scoped, revocable, audited sessions for every agent.

`SessionManager` issues and ends them, `Verifier` checks them with public keys only, `current_session` and
`requires` guard what a bound session may do.
"""

import logging

from clawguard.errors import (
    AccessDenied,
    ClawguardError,
    ConfigError,
    DelegationRefused,
    InsufficientScope,
    InvalidArgument,
    InvalidToken,
    KeyInUse,
    LimitReached,
    NoSession,
    OutcomeUnknown,
    PolicyDenied,
    SessionEnded,
    SessionNotFound,
    StoreBusy,
    StoreUnavailable,
    TokenSuperseded,
)
from clawguard.events.event import Event
from clawguard.guard import Policy
from clawguard.models import Decision, IssuedSession, Session, SessionContext
from clawguard.scopes import ScopeSet
from clawguard.sessions.aio import AsyncSessionManager, AsyncVerifier
from clawguard.sessions.current import current_session, requires
from clawguard.sessions.manager import SessionManager
from clawguard.sessions.verifier import Verifier

__all__ = [
    "AccessDenied",
    "AsyncSessionManager",
    "AsyncVerifier",
    "ClawguardError",
    "ConfigError",
    "Decision",
    "DelegationRefused",
    "Event",
    "InsufficientScope",
    "InvalidArgument",
    "InvalidToken",
    "IssuedSession",
    "KeyInUse",
    "LimitReached",
    "NoSession",
    "OutcomeUnknown",
    "Policy",
    "PolicyDenied",
    "ScopeSet",
    "Session",
    "SessionContext",
    "SessionEnded",
    "SessionManager",
    "SessionNotFound",
    "StoreBusy",
    "StoreUnavailable",
    "TokenSuperseded",
    "Verifier",
    "current_session",
    "requires",
]

logging.getLogger(__name__).addHandler(logging.NullHandler())
