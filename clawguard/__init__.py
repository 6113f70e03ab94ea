"""clawguard: short-lived, scoped, revocable, audited sessions for every agent.

`SessionManager` issues and ends them, `Verifier` checks them with public keys only, `current_session` and
`requires` guard what a bound session may do.
"""

import logging

from clawguard.errors import (
    AccessDenied,
    ClawguardError,
    ClockError,
    ConfigError,
    DelegationRefused,
    InsufficientScope,
    InvalidArgument,
    InvalidToken,
    KeyInUse,
    NoSession,
    OutcomeUnknown,
    SessionEnded,
    SessionNotFound,
    StoreBusy,
    StoreUnavailable,
    StoreUpgraded,
    TokenSuperseded,
)
from clawguard.models import Event, Inspection, IssuedSession, Page, Session, SessionContext
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
    "ClockError",
    "ConfigError",
    "DelegationRefused",
    "Event",
    "Inspection",
    "InsufficientScope",
    "InvalidArgument",
    "InvalidToken",
    "IssuedSession",
    "KeyInUse",
    "NoSession",
    "OutcomeUnknown",
    "Page",
    "ScopeSet",
    "Session",
    "SessionContext",
    "SessionEnded",
    "SessionManager",
    "SessionNotFound",
    "StoreBusy",
    "StoreUnavailable",
    "StoreUpgraded",
    "TokenSuperseded",
    "Verifier",
    "current_session",
    "requires",
]

logging.getLogger(__name__).addHandler(logging.NullHandler())
