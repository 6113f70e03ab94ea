"""What is held against what, and what of it cannot be compared."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["OURS", "PARTS", "PEERS", "Part", "Peer", "Row", "works_of"]


class Row(NamedTuple):
    """Hold one comparison: the peer's work and clawguard's, and in a sentence how the two differ.

    The budget is the most that clawguard may take, as a share of the peer's time.
    """

    part: str
    work: str
    what: str
    ours: str
    differs: str
    budget: float | None = None


class Peer(NamedTuple):
    """Hold a peer by its name on the package index, its module here, how it was set up, and its rows."""

    name: str
    module: str
    setting: str
    rows: tuple[Row, ...]


class Part(NamedTuple):
    """Hold a table and its chart."""

    name: str
    title: str
    about: str


PARTS = (
    Part(
        "tokens",
        "Tokens that nobody keeps",
        "A token is signed and believed until it expires. Whoever needs no more than that is served best by "
        "a library that does no more: signing writes nothing, and so takes a fraction of a create.",
    ),
    Part(
        "sessions",
        "Sessions that can be revoked",
        "What is issued is looked up each time it is used, in a SQLite file.",
    ),
    Part(
        "requests",
        "What a guard adds to a request",
        "Whole requests through an app of the framework, without a network: the processor's time with the "
        "guard, of all threads, less that of the same app without one. The token was seen before.",
    ),
    Part(
        "conversations",
        "Conversations",
        "A message of 65 characters, in a conversation of 500 to begin with; what is read for the first time "
        "is one of 100.",
    ),
)

OURS = {
    "create": "create",
    "validate_first": "validate, first time",
    "validate_again": "validate, seen before",
    "revoke": "revoke",
    "delegate": "delegate, from a token",
    "redeem": "redeem",
    "append": "append",
    "read_first": "tail(100), first time",
    "read_again": "tail(100), read before",
    "flask": "Flask",
    "drf": "Django REST framework",
    "fastapi": "FastAPI",
}
"""How the tables call clawguard's works."""

_LISTED = "clawguard also writes the session's row and a chained event."
_BLIND = "Cannot know that a token was revoked."
_READS = "clawguard reads the session's row, and checks a scope."
_REMEMBERS = (
    "It verifies the signature each time; clawguard remembers that it verified these bytes, reads the "
    "session's row, and checks a scope."
)
_OFFLINE = (
    "Done offline by the holder, and the issuer never hears of it; clawguard's child is a session of its "
    "own, written, chained and revocable, and its parent's token is verified for the first time."
)
_ENDED = "Both commits wait for the disk; clawguard also looks for sessions below it and chains the event."
_RECENT = (
    "It reads all hundred each time; clawguard remembers the newest entries, and reads whether they stand "
    "and what came since."
)
_ONCE = "The signature of clawguard's token is not verified again."
_ALSO = "clawguard's answer holds scopes and the line of delegation besides."


def _without_state(signed: str, kept: str, blind: str = _BLIND) -> tuple[Row, Row, Row]:
    """Return the rows of a peer that signs and verifies, and keeps nothing."""
    return (
        Row("tokens", "sign", f"sign, {signed}", "create", kept),
        Row("tokens", "verify", "verify", "validate_first", f"{blind} {_READS}"),
        Row("tokens", "verify", "verify", "validate_again", f"{blind} {_REMEMBERS}"),
    )


def _looked_up(what: str, differs: str, budget: float | None = None) -> tuple[Row, Row]:
    """Return the rows of a peer that looks a token up."""
    return (
        Row("sessions", "look_up", what, "validate_first", differs),
        Row("sessions", "look_up", what, "validate_again", f"{differs} {_ONCE}", budget),
    )


PEERS = (
    Peer(
        "PyJWT",
        "pyjwt",
        "ES256, keys loaded",
        _without_state("ES256", f"Nothing is kept: no list, no revoke, no log. {_LISTED}"),
    ),
    Peer(
        "joserfc",
        "joserfc",
        "ES256, keys imported, claims checked by its registry",
        _without_state("ES256", f"Nothing is kept: no list, no revoke, no log. {_LISTED}"),
    ),
    Peer(
        "biscuit-python",
        "biscuit",
        "Ed25519 in Rust; three rights and an end as Datalog; revocation ids not looked up",
        (
            *_without_state(
                "Ed25519",
                f"Another signature, in Rust; nothing is kept. {_LISTED}",
                "Revocation ids are in the token, and to look them up is the host's; here nobody does.",
            ),
            Row("tokens", "narrow", "narrow by a block", "delegate", _OFFLINE),
        ),
    ),
    Peer(
        "tenuo",
        "tenuo",
        "Ed25519 in Rust; three tools; neither the holder's proof nor its signed revocation list asked for",
        (
            *_without_state(
                "Ed25519",
                f"Another signature, in Rust; nothing is kept. {_LISTED}",
                "Neither a revocation list nor the holder's proof, which each call carries, is asked for.",
            ),
            Row("tokens", "narrow", "narrow by a grant", "delegate", _OFFLINE),
        ),
    ),
    Peer(
        "Flask-JWT-Extended",
        "flask_jwt_extended",
        "ES256; a blocklist in SQLite: one keyed read on an open connection, its documentation has an ORM",
        (
            Row(
                "sessions",
                "sign",
                "sign, ES256",
                "create",
                f"Nothing is kept before a token is revoked, so there is no list of live ones. {_LISTED}",
            ),
            *_looked_up(
                "verify, look into the blocklist",
                f"Whatever is not on the list is taken: a lost row lets a token in. {_ALSO}",
            ),
            Row("sessions", "revoke", "add to the blocklist", "revoke", _ENDED),
            Row(
                "requests",
                "request",
                "verify, look into the blocklist",
                "flask",
                "A list of what was revoked against the session's own row; clawguard checks a scope as well, "
                "and does not verify the signature again.",
                1 / 5,
            ),
        ),
    ),
    Peer(
        "fastapi-users",
        "fastapi_users",
        "database strategy, SQLAlchemy on aiosqlite as its documentation has it, a session for each act",
        (
            Row(
                "sessions",
                "issue",
                "store an opaque token",
                "create",
                "No signature, no scopes, no log; each statement hops to a thread and back.",
            ),
            *_looked_up("read the token, then the user", f"Reads a user, too. {_ALSO}", 1 / 50),
            Row(
                "sessions",
                "revoke",
                "read and delete the token",
                "revoke",
                f"Nothing remains that tells who ended what. {_ENDED}",
            ),
            Row(
                "requests",
                "request",
                "read the token, then the user",
                "fastapi",
                "Reads a user, too; clawguard checks a scope and does not verify the signature again.",
                1 / 10,
            ),
        ),
    ),
    Peer(
        "djangorestframework-simplejwt",
        "simplejwt",
        "ES256, with its blacklist app; rotated refresh tokens are blacklisted",
        (
            Row(
                "sessions",
                "issue",
                "sign a refresh token, store its id",
                "create",
                "The access tokens made of it are not kept. Both sign; clawguard also chains an event.",
            ),
            *_looked_up(
                "verify, look into the blacklist",
                "Of refresh tokens only: its access tokens are not looked up, and live until they expire. "
                f"{_ALSO}",
                1 / 40,
            ),
            Row("sessions", "revoke", "verify, blacklist", "revoke", f"Verifies the token first. {_ENDED}"),
            Row(
                "sessions",
                "rotate",
                "rotate a refresh token",
                "redeem",
                "It refuses a second use; clawguard gives the same answer again for ten seconds, then takes "
                "a second use for theft and ends the session. Both commits wait for the disk.",
            ),
            Row(
                "requests",
                "request",
                "verify, read the user",
                "drf",
                "The blacklist is not asked about access tokens: one lives on while its user is active. "
                "clawguard reads its own row, and no user.",
                1 / 5,
            ),
        ),
    ),
    Peer(
        "django-rest-knox",
        "knox",
        "SHA-512 digests of opaque tokens; a user with one token, since a look-up reads all of a user's",
        (
            Row(
                "sessions",
                "issue",
                "store an opaque token's digest",
                "create",
                "A random text, and its digest in a row: no signature, no scopes, no log.",
            ),
            *_looked_up("read the user's tokens", f"Reads a user, too. {_ALSO}", 1 / 50),
            Row(
                "sessions",
                "revoke",
                "delete the token",
                "revoke",
                f"The object is at hand, and nothing remains that tells who ended what. {_ENDED}",
            ),
            Row(
                "requests",
                "request",
                "read the token with its user",
                "drf",
                "Reads a user, too; clawguard checks a scope and does not verify the signature again.",
            ),
        ),
    ),
    Peer(
        "openai-agents",
        "openai_agents",
        "`SQLiteSession` on a file, which waits for the disk at each append; for one row it was told not to",
        (
            Row(
                "conversations",
                "append",
                "add_items, waits for the disk",
                "append",
                "As it comes. clawguard's append does not wait: a power cut may take the last ones, whole.",
                1 / 5,
            ),
            Row(
                "conversations",
                "append_relaxed",
                "add_items, does not wait",
                "append",
                "Like for like, by a private hook of the library. clawguard also parses the message, takes "
                "the lock that processes share, and refuses where the session has ended.",
            ),
            Row(
                "conversations",
                "read",
                "get_items(100)",
                "read_first",
                "Gives dictionaries parsed from JSON, by way of a thread; clawguard gives entries that "
                "another manager wrote, and each one's text is read here.",
            ),
            Row(
                "conversations",
                "read",
                "get_items(100)",
                "read_again",
                f"The same. {_RECENT}",
                1 / 5,
            ),
        ),
    ),
    Peer(
        "google-adk",
        "google_adk",
        "`DatabaseSessionService` on SQLAlchemy and aiosqlite; writes ahead, does not wait for the disk",
        (
            Row(
                "conversations",
                "create",
                "create_session",
                "create",
                "A row for a conversation: no token, no scopes, no end. clawguard signs and chains an event.",
            ),
            Row(
                "conversations",
                "append",
                "append_event",
                "append",
                "An event carries state and actions besides its text; neither side waits for the disk.",
            ),
            Row(
                "conversations",
                "read",
                "get_session, 100 events",
                "read_first",
                "Gives the session's state as well, and each event as a validated model; clawguard's entries "
                "were written by another manager, and each one's text is read here.",
            ),
            Row(
                "conversations",
                "read",
                "get_session, 100 events",
                "read_again",
                f"The same. {_RECENT}",
            ),
        ),
    ),
)


def works_of(peer: Peer) -> tuple[list[str], list[str]]:
    """Return what is measured of a peer and of clawguard beside it, each work once."""
    return list(dict.fromkeys(row.work for row in peer.rows)), list(
        dict.fromkeys(row.ours for row in peer.rows)
    )
