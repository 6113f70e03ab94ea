"""What the events of each type hold: the one description, of which their JSON Schemas are made.

A schema is of `Event.to_dict()`, which is also the data of a CloudEvent. A type has one shape or several.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from clawguard.events.types import schema_id
from clawguard.models import CAUSES

__all__ = ["SHAPES", "Shape", "schema_of"]

_Schema = dict[str, Any]
_NOTHING: Mapping[str, _Schema] = MappingProxyType({})


class Shape(NamedTuple):
    """Say what stands in a record besides number, id, type, time and hashes, and in its data.

    `always` and `perhaps` name fields of the record, the rest of which are None; `data` and `perhaps_data`
    members of its data by their schema; `narrowed` says of a field what every event's schema does not.
    """

    summary: str
    always: tuple[str, ...] = ()
    perhaps: tuple[str, ...] = ()
    data: Mapping[str, _Schema] = _NOTHING
    perhaps_data: Mapping[str, _Schema] = _NOTHING
    narrowed: Mapping[str, _Schema] = _NOTHING


def _text(meaning: str) -> _Schema:
    return {"type": "string", "minLength": 1, "maxLength": 255, "description": meaning}


def _count(meaning: str, *, least: int = 1) -> _Schema:
    return {"type": "integer", "minimum": least, "description": meaning}


def _matching(pattern: str, meaning: str) -> _Schema:
    return {"type": "string", "pattern": pattern, "description": meaning}


_UUID = "^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"
_SHA256 = "^[0-9a-f]{64}$"
_TIME = r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{6})?\+00:00$"

_EVERY: dict[str, _Schema] = {
    "seq": _count("The event's number in the log, from 1 without gaps."),
    "id": _matching(_UUID, "The same wherever the event is read."),
    "at": {**_matching(_TIME, "When it was written."), "format": "date-time"},
    "prev_hash": _matching(_SHA256, "The hash of the event before."),
    "hash": _matching(_SHA256, "SHA-256 over the bytes of prev_hash and the event's text."),
}
_SOME: dict[str, _Schema] = {
    "workspace_id": _text("The workspace."),
    "session_id": _matching(_UUID, "The session."),
    "version": _count("Counts the changes of the session's row; this one is counted."),
    "agent_id": _text("The agent."),
    "subject": _text("On whose behalf the agent acts."),
    "actor": _text("Who caused it: `host`, `session:` and an id, or what the host said."),
    "cause": {"enum": list(CAUSES), "description": "Why the session ended."},
    "reason": _text("Free text, or a short code where the guard refused."),
    "cause_id": _matching(_UUID, "What all events of one act have in common."),
}

_WHOSE = ("workspace_id", "session_id", "agent_id", "subject")
_SESSION = (*_WHOSE, "version")
_SCOPES = _matching(r"^(\S+( \S+)*)?$", "Scopes, sorted, with one blank between them.")
_ENDS_AT = _count("When the session ends, in microseconds since 1970.", least=0)
_DIGEST = _matching(_SHA256, "The digest of the policy in force.")
_KEY = _matching("^[A-Za-z0-9_-]{43}$", "The thumbprint of a key (RFC 7638).")
_PARENT = _matching(_UUID, "The session above.")
_CNF: _Schema = {
    "type": "object",
    "properties": {
        "jkt": _KEY,
        "x5t#S256": _matching("^[A-Za-z0-9_-]{43}$", "The thumbprint of a certificate (RFC 8705)."),
    },
    "additionalProperties": False,
    "minProperties": 1,
    "maxProperties": 1,
    "description": "What its tokens are bound to (RFC 7800): a key, or a certificate.",
}
_TIMES = _count("How often since the last such event.")
_MANY = {"reason": {"const": "many kinds", "description": "Too many kinds at once to tell them apart."}}

SHAPES: dict[str, tuple[Shape, ...]] = {
    "session.created": (
        Shape(
            "A session was made, by `create` or `delegate`.",
            always=_SESSION,
            data={
                "scopes": _SCOPES,
                "expires_at": _ENDS_AT,
                "audience": _text("Whom its tokens are for."),
            },
            perhaps_data={
                "parent_id": _PARENT,
                "uses": _count("How many uses it has."),
                "role": _text("Its role."),
                "task_type": _text("Its task type."),
                "policy": _DIGEST,
                "cnf": _CNF,
            },
            narrowed={"version": {"const": 1}},
        ),
    ),
    "session.refreshed": (
        Shape(
            "A session got its next token, by `refresh` or `redeem`.",
            always=_SESSION,
            data={"generation": _count("The new token's generation.", least=2), "expires_at": _ENDS_AT},
        ),
    ),
    "session.updated": (
        Shape(
            "Something of a session was set: a name, a label, its metadata, its state, the key that signs.",
            always=_SESSION,
            data={
                "fields": {
                    "type": "array",
                    "items": _text("A field of the session."),
                    "minItems": 1,
                    "uniqueItems": True,
                    "description": "The fields that were set; their values stand in the session only.",
                }
            },
        ),
    ),
    "session.source_changed": (
        Shape(
            "A session's token came from elsewhere than before.",
            always=_SESSION,
            data={"from": _text("The source before."), "to": _text("The new source.")},
        ),
    ),
    "session.expired": (
        Shape(
            "A session ended: the one event of every end.",
            always=(*_SESSION, "cause"),
            perhaps=("actor", "reason", "cause_id"),
        ),
    ),
    "session.purged": (
        Shape(
            "Ended sessions were removed.",
            always=("workspace_id", "actor"),
            data={"count": _count("How many.")},
        ),
    ),
    "guard.denied": (
        Shape(
            "A genuine caller was refused; alike ones are counted, and written once a minute.",
            always=(*_WHOSE, "reason"),
            data={"action": _text("What was refused."), "count": _TIMES},
            perhaps_data={"policy": _DIGEST, "rule": _text("The rule that denied.")},
        ),
        Shape("", always=(*_WHOSE, "reason"), data={"count": _TIMES}, narrowed=_MANY),
        Shape("", always=("reason",), data={"count": _TIMES}, narrowed=_MANY),
    ),
    "guard.granted": (
        Shape(
            "A grant of the policy gave a new session scopes that its parent lacks.",
            always=_SESSION,
            data={
                "grant": _text("The grant."),
                "scopes": _SCOPES,
                "parent_id": _PARENT,
                "policy": _DIGEST,
            },
            narrowed={"version": {"const": 1}},
        ),
    ),
    "policy.changed": (
        Shape(
            "A policy was put in force.",
            always=("actor",),
            data={"digest": _DIGEST},
            perhaps_data={"previous": _matching(_SHA256, "The digest of the policy before.")},
        ),
    ),
    "agent.disabled": (
        Shape(
            "An agent may have no sessions any more.",
            always=("workspace_id", "agent_id", "actor", "cause_id"),
            perhaps=("reason",),
        ),
    ),
    "agent.enabled": (
        Shape(
            "An agent may have sessions again.",
            always=("workspace_id", "agent_id", "actor", "cause_id"),
        ),
    ),
    "token.rejected": (
        Shape(
            "A token was none of ours; alike ones are counted, and written once a minute.",
            always=("reason",),
            data={"source": _text("Where it came from, `unknown` where that was not said."), "count": _TIMES},
        ),
        Shape("", always=("reason",), data={"count": _TIMES}, narrowed=_MANY),
    ),
    "token.reuse_detected": (
        Shape(
            "A spent refresh token came back; the end of its session follows.",
            always=(*_SESSION, "cause_id"),
        ),
    ),
    "key.rotated": (
        Shape(
            "Another key signs; the cause is `key` where the one before is distrusted.",
            always=("actor", "cause_id"),
            perhaps=("cause",),
            data={"kid": _KEY, "previous": _KEY},
            narrowed={"cause": {"const": "key"}},
        ),
    ),
    "history.cleared": (
        Shape(
            "A live session's conversation was emptied.",
            always=(*_WHOSE, "actor"),
            data={"count": _count("How many entries it had.")},
        ),
    ),
    "history.deleted": (
        Shape(
            "A conversation was removed; its session has ended.",
            always=(*_WHOSE, "actor", "cause_id"),
            data={"count": _count("How many entries it had.")},
        ),
    ),
    "history.imported": (
        Shape(
            "The messages of a file were appended to a session's conversation.",
            always=(*_WHOSE, "actor"),
            data={"count": _count("How many.", least=0)},
        ),
    ),
    "history.key_rotated": (
        Shape(
            "Another content key seals what is said; with 0 before it, encryption began.",
            always=("actor",),
            data={"key": _count("The new key."), "previous": _count("The key before.", least=0)},
        ),
    ),
    "history.encrypted": (
        Shape(
            "All that was said is under one content key, and those before it were destroyed.",
            data={"key": _count("That key.")},
        ),
    ),
    "log.archived": (
        Shape(
            "Old events were moved into a file; the log goes on from where they ended.",
            always=(),
            data={
                "seq": _count("The number of the last event in the file."),
                "hash": _matching(_SHA256, "That event's hash."),
                "sha256": _matching(_SHA256, "SHA-256 of the file."),
                "note": {"type": "string", "description": "A signed note of that (C2SP tlog-checkpoint)."},
                "file": _text("The file's name."),
            },
        ),
    ),
    "subscriber.failed": (
        Shape(
            "A receiver failed, or a live one was too slow (`overflow`); counted, and written once a minute.",
            always=("reason",),
            data={"receiver": _text("Its name."), "count": _TIMES},
        ),
        Shape("", always=("reason",), data={"count": _TIMES}, narrowed=_MANY),
    ),
    "subscriber.parked": (
        Shape(
            "A durable subscriber could not take an event, and goes on with the next.",
            always=("reason",),
            data={
                "subscriber": _text("Its name."),
                "seq": _count("The number of the event that was parked."),
                "tries": _count("How often it was tried."),
            },
        ),
    ),
}


def schema_of(event_type: str) -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of an event type's records."""
    first, *others = SHAPES[event_type]
    head = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": schema_id(event_type),
        "title": event_type,
        "description": first.summary,
    }
    if not others:
        return head | _record(event_type, first)
    return head | {"oneOf": [_record(event_type, each) for each in (first, *others)]}


def _record(event_type: str, shape: Shape) -> dict[str, Any]:
    fields = {"type": {"const": event_type}, **_EVERY}
    for name, schema in _SOME.items():
        fields[name] = _field(name, schema, shape)
    fields["data"] = _closed({**shape.data, **shape.perhaps_data}, required=shape.data)
    return _closed(fields, required=fields)


def _field(name: str, schema: _Schema, shape: Shape) -> _Schema:
    """Return the schema of a field that is None in some events; one that is never there is None in all."""
    if name in shape.narrowed:
        schema = {"description": schema["description"]} | shape.narrowed[name]
    if name in shape.always:
        return schema
    return {"anyOf": [schema, {"type": "null"}]} if name in shape.perhaps else {"type": "null"}


def _closed(properties: dict[str, _Schema], *, required: Mapping[str, _Schema]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": sorted(required),
        "additionalProperties": False,
    }
