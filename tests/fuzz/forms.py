"""Forms as they are read: the bodies that anybody may send to the OAuth endpoints."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any
from urllib.parse import urlencode

from fastapi import Request
from pydantic import BaseModel

from clawguard.server.forms import IntrospectionForm, OAuthError, RevocationForm, TokenForm, read_form
from tests.fuzz.base import Target, ways, with_secret

__all__ = ["FORMS"]

_MODELS = (TokenForm, RevocationForm, IntrospectionForm)
_KIND = b"application/x-www-form-urlencoded"
_SECRET = "hunter2-correct-horse"
_NAMES = {name for model in _MODELS for name in model.model_fields}
_SENTENCES = {
    f"the body must be {_KIND.decode()}",
    "the form is malformed",
    "a parameter stands in the form twice",
    *(f"{name} is missing, or is not as it must be" for name in _NAMES),
}


def _read(model: type[BaseModel], body: bytes, kind: bytes = _KIND) -> BaseModel | OAuthError:
    """Return the form of a body, or the one error that may come of it, which names nothing that was sent."""
    headers = [(b"content-type", kind)]

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    request = Request({"type": "http", "method": "POST", "path": "/", "headers": headers}, receive)
    try:
        return _result(read_form(request, model))
    except OAuthError as error:
        _check_error(error)
        return error


def _check_error(error: OAuthError) -> None:
    assert error.error in ("invalid_request", "invalid_target")
    assert error.status == 400
    assert error.description in _SENTENCES, "an error that says what was sent"
    assert _SECRET not in f"{error!r} {error}"
    assert error.__suppress_context__ or error.__context__ is None, "a traceback that says what was sent"


def _result(reading: Coroutine[Any, Any, BaseModel]) -> BaseModel:
    """Run what waits for nothing but the body that is there."""
    try:
        reading.send(None)
    except StopIteration as done:
        form: BaseModel = done.value
        return form
    raise AssertionError("it waits for more than its body")


def _any_body(data: bytes) -> None:
    """Read a body: what is taken says what stands there once, and is the same when it is written."""
    body = with_secret(data, _SECRET.encode())
    for model in _MODELS:
        form = _read(model, body)
        if isinstance(form, OAuthError):
            continue
        sent = _sent(body)
        meant = {name: sent.get(name) or None for name in model.model_fields}
        assert form.model_dump() == meant, "read another value than was sent"
        written = urlencode(form.model_dump(exclude_none=True))
        assert _read(model, written.encode()) == form


def _sent(body: bytes) -> dict[str, str]:
    """Return the fields of a form that is as it must be, read by another hand (URL Standard, 5.1)."""
    fields: dict[str, str] = {}
    for part in filter(None, body.split(b"&")):
        name, _, value = (_plain(each) for each in part.replace(b"+", b" ").partition(b"="))
        assert name not in fields, "took a parameter that stands there twice"
        fields[name] = value
    return fields


def _plain(text: bytes) -> str:
    """Return what percent-encoded text says; an escape that is none stands as it is."""
    first, *escapes = text.split(b"%")
    return b"".join([first, *map(_unescaped, escapes)]).decode()


def _unescaped(after: bytes) -> bytes:
    digits = after[:2]
    is_escape = len(digits) == 2 and not digits.strip(b"0123456789abcdefABCDEF")
    return bytes.fromhex(digits.decode()) + after[2:] if is_escape else b"%" + after


def _any_kind(data: bytes) -> None:
    """Send a body that is as it must be as any type: only as a form it is taken."""
    form = _read(RevocationForm, b"token=a", data)
    kind = data.decode("latin-1").partition(";")[0].strip().lower()
    assert isinstance(form, OAuthError) is (kind != _KIND.decode())


def _seeds() -> list[bytes]:
    exchange = {
        "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
        "subject_token": "a.b.c",
        "subject_token_type": "urn:ietf:params:oauth:token-type:access_token",
        "scope": "docs:read mail:send",
        "audience": "https://api.example.com/ä",
    }
    return [
        b"body:" + urlencode(exchange).encode(),
        b"body:grant_type=refresh_token&refresh_token=\xff",
        b"body:token=\xff&token=b&token_type_hint=",
        b"body:&&token=%C3%A4+%zz%&&=x&\xff=\xff",
        b"body:token=%ff%00%F0%9f%98%80;b=c",
        b"body:audience=a&audience=b&grant_type=x",
        b"body:" + b"a=b&" * 31 + b"token=c",
        b"kind:Application/X-WWW-Form-Urlencoded ; charset=utf-16",
        b"body:grant_type=A&token=B",
        b"kind:text/plain",
    ]


FORMS = Target(ways("body", body=_any_body, kind=_any_kind), _seeds)
