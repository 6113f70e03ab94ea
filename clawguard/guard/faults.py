"""Why a token is refused: a closed set of machine codes, for the audit event only."""

from __future__ import annotations

from typing import Literal, get_args

__all__ = ["FAULTS", "Fault", "ProofFault", "TokenFault"]

Fault = Literal[
    "too_long",
    "characters",
    "segments",
    "base64",
    "header_json",
    "header_names",
    "typ",
    "kid",
    "unknown_key",
    "alg",
    "signature",
    "claims_json",
    "claims",
    "lifetime",
    "scope",
    "actors",
    "issuer",
    "audience",
    "not_yet_valid",
    "issued_in_future",
    "unknown_session",
    "row",
    "row_scopes",
    "row_generation",
    "refresh_form",
    "refresh_unknown",
    "refresh_seal",
    "proof_missing",
    "proof_unbound",
    "proof_form",
    "proof_header",
    "proof_key",
    "proof_binding",
    "proof_claims",
    "proof_request",
    "proof_time",
    "proof_token",
    "proof_replayed",
]

FAULTS: tuple[str, ...] = get_args(Fault)


class TokenFault(Exception):
    """Refuse a token; `reason` is one of `FAULTS`.

    It never leaves the library: callers get one `InvalidToken` for all of them. It holds no text of the
    token and is raised outside of `except` blocks: in `__context__` a parser's error would hold the input.
    """

    def __init__(self, reason: Fault) -> None:
        super().__init__(reason)
        self.reason = reason


class ProofFault(TokenFault):
    """Refuse the proof beside a token that is genuine itself."""
