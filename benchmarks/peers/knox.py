"""django-rest-knox: opaque tokens, their digests in a table. Each user has one: a look-up reads them all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

from .django_app import at_level, handler, set_up, view
from .measures import Works, added, calls, consuming, expect
from .requests import wsgi

__all__ = ["works"]


@contextmanager
def works(folder: Path) -> Iterator[Works]:
    """Issue, look up, revoke, and guard a request."""
    set_up(folder / "site.db", apps=["knox"])

    from django.contrib.auth.models import User
    from django.test import override_settings
    from knox.auth import TokenAuthentication
    from knox.models import AuthToken
    from rest_framework.exceptions import AuthenticationFailed
    from rest_framework.permissions import IsAuthenticated

    planner = User.objects.create(username="planner")
    numbers = count()

    def user() -> Any:
        return User.objects.create(username=f"user-{next(numbers)}")

    def issue(user: Any) -> tuple[Any, str]:
        found: tuple[Any, str] = AuthToken.objects.create(user)
        return found

    def look_up(token: str) -> bool:
        try:
            return bool(TokenAuthentication().authenticate_credentials(token.encode()))
        except AuthenticationFailed:
            return False

    def revoke(issued: tuple[Any, str]) -> None:
        issued[0].delete()

    _, token = issue(planner)
    revoked = issue(user())
    before = look_up(revoked[1])
    revoke(revoked)
    answers = [look_up(token), before, look_up(revoked[1])]
    expect("what knox lets pass", found=answers, expected=[True, True, False])
    routes = (view("bare"), view("guarded", TokenAuthentication, IsAuthenticated))
    with override_settings(ROOT_URLCONF=routes, REST_KNOX={"AUTH_HEADER_PREFIX": "Bearer"}):
        app = handler()
        statuses = [wsgi(app, "/guarded", each)() for each in (token, revoked[1])]
        expect("answers of the Django site", found=statuses, expected=[200, 401])
        yield {
            "issue": at_level(consuming(user, issue), power_safe=False),
            "look_up": calls(lambda: look_up(token)),
            "revoke": at_level(consuming(lambda: issue(user()), revoke), power_safe=True),
            "request": added(
                partial(calls, wsgi(app, "/guarded", token)), partial(calls, wsgi(app, "/bare"))
            ),
        }
