"""OCSF 1.8.0, category Identity & Access Management: classes 3002, 3003 and 3004.

`unmapped` holds the event's data, and the chain under the names of the record-integrity profile
(`attestation_list`), which came after 1.8.0. `fingerprint` is not of the OCSF record: it is SHA-256 over the
previous one's bytes and `raw_data`, the text that the log holds.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from clawguard.clock import to_microseconds
from clawguard.events.chain import canonical
from clawguard.events.formats.facts import failed, product_version, severity_of, title

if TYPE_CHECKING:
    from clawguard.events.event import Event

__all__ = ["activity_of", "ocsf"]

_VERSION = "1.8.0"
_AUTHENTICATION, _AUTHORIZE_SESSION, _ENTITY_MANAGEMENT = 3002, 3003, 3004
_CLASS_NAMES = {3002: "Authentication", 3003: "Authorize Session", 3004: "Entity Management"}
_SEVERITIES = {1: "Informational", 2: "Low", 3: "Medium", 4: "High"}
_OTHER = 99
_USERS = {"user": (1, "User"), "agent": (4, "Service"), "service": (4, "Service")}
_OWN_FIELDS = ("workspace_id", "session_id", "version", "agent_id", "subject", "actor", "cause", "reason")


class _Activity(NamedTuple):
    class_uid: int
    id: int
    name: str | None = None


_ACTIVITIES = {
    "session.created": _Activity(_AUTHENTICATION, 1, "Logon"),
    "session.refreshed": _Activity(_AUTHENTICATION, 5, "Service Ticket Renew"),
    "session.updated": _Activity(_ENTITY_MANAGEMENT, 3, "Update"),
    "session.source_changed": _Activity(_AUTHENTICATION, _OTHER),
    "session.expired": _Activity(_AUTHENTICATION, 2, "Logoff"),
    "session.purged": _Activity(_ENTITY_MANAGEMENT, 4, "Delete"),
    "guard.denied": _Activity(_AUTHORIZE_SESSION, _OTHER),
    "guard.granted": _Activity(_AUTHORIZE_SESSION, 1, "Assign Privileges"),
    "policy.changed": _Activity(_ENTITY_MANAGEMENT, 3, "Update"),
    "agent.disabled": _Activity(_ENTITY_MANAGEMENT, 9, "Disable"),
    "agent.enabled": _Activity(_ENTITY_MANAGEMENT, 8, "Enable"),
    "token.rejected": _Activity(_AUTHENTICATION, _OTHER),
    "token.reuse_detected": _Activity(_AUTHENTICATION, 5, "Service Ticket Renew"),
    "key.rotated": _Activity(_ENTITY_MANAGEMENT, 3, "Update"),
    "subscriber.failed": _Activity(_ENTITY_MANAGEMENT, _OTHER),
    "subscriber.parked": _Activity(_ENTITY_MANAGEMENT, _OTHER),
    "log.archived": _Activity(_ENTITY_MANAGEMENT, _OTHER),
    "history.cleared": _Activity(_ENTITY_MANAGEMENT, 4, "Delete"),
    "history.deleted": _Activity(_ENTITY_MANAGEMENT, 4, "Delete"),
    "history.imported": _Activity(_ENTITY_MANAGEMENT, 1, "Create"),
    "history.key_rotated": _Activity(_ENTITY_MANAGEMENT, 3, "Update"),
    "history.encrypted": _Activity(_ENTITY_MANAGEMENT, 3, "Update"),
}
_DELEGATED = _Activity(_AUTHENTICATION, 4, "Service Ticket Request")
_OF_THE_HOST = _Activity(_ENTITY_MANAGEMENT, _OTHER)


def ocsf(event: Event, *, source: str) -> dict[str, Any]:
    """Return the event as its class and activity; a type of the host's own is an activity on an entity."""
    activity = _activity(event)
    body = {_AUTHENTICATION: _authentication, _AUTHORIZE_SESSION: _authorization}.get(
        activity.class_uid, _management
    )
    return _given(
        **_classification(event, activity),
        time=_milliseconds(event.at),
        count=event.data.get("count") if failed(event) else None,
        message=f"{title(event)}{f': {event.reason}' if event.reason else ''}",
        metadata=_metadata(event),
        actor=_actor(event),
        raw_data=_text(event),
        unmapped=_unmapped(event, source),
        **body(event, source),
    )


def activity_of(event_type: str) -> str:
    """Return the class and activity of an event type, in words."""
    activity = _ACTIVITIES.get(event_type, _OF_THE_HOST)
    return f"{_CLASS_NAMES[activity.class_uid]}: {activity.name or 'Other'}"


def _activity(event: Event) -> _Activity:
    if event.type == "session.created" and "parent_id" in event.data:
        return _DELEGATED
    return _ACTIVITIES.get(event.type, _OF_THE_HOST)


def _classification(event: Event, activity: _Activity) -> dict[str, Any]:
    name = activity.name or title(event)
    severity = severity_of(event)
    return {
        "category_uid": 3,
        "category_name": "Identity & Access Management",
        "class_uid": activity.class_uid,
        "class_name": _CLASS_NAMES[activity.class_uid],
        "activity_id": activity.id,
        "activity_name": name,
        "type_uid": activity.class_uid * 100 + activity.id,
        "type_name": f"{_CLASS_NAMES[activity.class_uid]}: {name if activity.name else 'Other'}",
        "severity_id": severity,
        "severity": _SEVERITIES[severity],
        "status_id": 2 if failed(event) else 1,
        "status": "Failure" if failed(event) else "Success",
        "status_code": event.cause,
        "status_detail": event.reason,
    }


def _metadata(event: Event) -> dict[str, Any]:
    product = {"name": "clawguard", "vendor_name": "clawguard", "version": product_version()}
    return _given(
        version=_VERSION,
        product=product,
        uid=event.id,
        sequence=event.seq or None,
        event_code=event.type,
        log_name="clawguard",
        tenant_uid=event.workspace_id,
        correlation_uid=event.cause_id,
    )


def _actor(event: Event) -> dict[str, Any] | None:
    """Return who caused it, and the agent that acts in the session."""
    user = None if event.actor is None else {"name": event.actor}
    return _given(user=user, app_uid=event.agent_id if event.session_id is not None else None) or None


def _authentication(event: Event, source: str) -> dict[str, Any]:
    audience = event.data.get("audience", "clawguard")
    endpoint = event.data.get("to" if event.type == "session.source_changed" else "source")
    return {
        "user": _user(event.subject),
        "session": _session(event, source),
        "service": {"name": audience},
        "src_endpoint": None if endpoint is None else {"name": endpoint},
    }


def _authorization(event: Event, source: str) -> dict[str, Any]:
    """Return whose privileges: those that were given, or the one that was refused."""
    asked = event.data.get("scopes", event.data.get("action", ""))
    privileges = asked.split() if event.type == "guard.granted" else [asked or "unknown"]
    return {"user": _user(event.subject), "session": _session(event, source), "privileges": privileges}


def _management(event: Event, _source: str) -> dict[str, Any]:
    data = event.data
    if event.type == "session.updated":
        entity = _entity("session", event.session_id, version=str(event.version))
    elif event.type == "session.purged":
        entity = _entity("session", None, name="ended sessions")
    elif event.type == "policy.changed":
        entity = _entity("policy", data.get("previous", data.get("digest")))
        return {"entity": entity, "entity_result": _entity("policy", data.get("digest"))}
    elif event.type == "key.rotated":
        entity = _entity("signing key", data.get("previous"))
        return {"entity": entity, "entity_result": _entity("signing key", data.get("kid"))}
    elif event.type in ("agent.disabled", "agent.enabled"):
        entity = _entity("agent", event.agent_id)
    elif event.type.startswith("history."):
        entity = _history(event)
    elif event.type == "subscriber.failed":
        entity = _entity("event receiver", data.get("receiver"), name="unknown")
    elif event.type == "log.archived":
        entity = _entity("archive", data.get("file"))
    elif event.type == "subscriber.parked":
        entity = _entity("subscriber", data.get("subscriber"))
    else:
        entity = _entity("event", event.id, name=event.type)
    return {"entity": entity, "comment": event.reason}


def _history(event: Event) -> dict[str, Any]:
    """Return the conversation that an event is of, or the content key that all of them are under."""
    if event.session_id is None:
        return _entity("content key", str(event.data.get("key")))
    return _entity("conversation", event.session_id)


def _entity(kind: str, uid: str | None, **more: str) -> dict[str, Any]:
    return _given(type=kind, type_id=_OTHER, uid=uid, **more)


def _user(subject: str | None) -> dict[str, Any]:
    if subject is None:
        return {"name": "unknown", "type_id": 0, "type": "Unknown"}
    kind = subject.partition(":")[0]
    type_id, name = _USERS.get(kind, (_OTHER, kind))
    return {"uid": subject, "name": subject, "type_id": type_id, "type": name}


def _session(event: Event, source: str) -> dict[str, Any] | None:
    if event.session_id is None:
        return None
    expires_at = event.data.get("expires_at")
    return _given(
        uid=event.session_id,
        issuer=source,
        created_time=_milliseconds(event.at) if event.type == "session.created" else None,
        expiration_time=None if expires_at is None else expires_at // 1000,
        expiration_reason=event.cause if event.type == "session.expired" else None,
    )


def _unmapped(event: Event, source: str) -> dict[str, Any]:
    if not event.seq:
        return {"data": dict(event.data)}
    attestation = {
        "uid": event.id,
        "chain_uid": source,
        "fingerprint": _fingerprint(event.hash),
        "prev_event": {"fingerprint": _fingerprint(event.prev_hash)},
    }
    return {"data": dict(event.data), "attestation_list": [attestation]}


def _fingerprint(digest: str) -> dict[str, Any]:
    return {"algorithm": "SHA-256", "algorithm_id": 3, "value": digest}


def _text(event: Event) -> str:
    """Return the RFC 8785 text that the event's hash covers."""
    body = {name: getattr(event, name) for name in (*_OWN_FIELDS, "cause_id", "type", "id")}
    return canonical(_given(**body, at=to_microseconds(event.at), data=dict(event.data) or None))


def _milliseconds(at: datetime) -> int:
    return to_microseconds(at) // 1000


def _given(**values: Any) -> dict[str, Any]:
    """Return what is not None."""
    return {name: value for name, value in values.items() if value is not None}
