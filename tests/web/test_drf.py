"""Django REST framework: the agent as user, permissions alone and composed, where the middleware stands."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from django.http import HttpRequest
from django.urls import re_path

from clawguard import SessionManager
from clawguard.errors import InvalidArgument
from clawguard.testing import assert_event
from tests.web.adapters import Ask, Sent, over_asgi, over_wsgi
from tests.web.django_site import asgi_site, wsgi_site
from tests.web.drf_site import View, routed
from tests.web.world import ALGS, BEARER

from rest_framework.permissions import IsAuthenticated  # isort: skip  # once the site has its settings
from rest_framework.request import Request  # isort: skip

from clawguard.web.drf import ClawguardAuthentication, requires_scopes  # isort: skip


@pytest.fixture
def manager() -> Iterator[SessionManager]:
    with SessionManager.open(":memory:", sweep_every=None) as manager:
        yield manager


def site(manager: SessionManager, *permissions: Any, view: Any = View) -> Ask:
    routes = (re_path("", view.as_view(permission_classes=permissions)),)
    return routed(over_wsgi(wsgi_site(manager, optional=True)), routes)


def sent(manager: SessionManager, scopes: str) -> Sent:
    return Sent(tuple(manager.create("planner", scopes=scopes).headers().items()))


def test_the_user_is_the_agent_and_no_user_of_the_site(manager: SessionManager) -> None:
    class Who(View):
        def say(self) -> str:
            user: Any = self.request.user
            assert user.session is self.request.auth
            return json.dumps([str(user), user.pk, user.is_authenticated, user.is_anonymous, user.is_staff])

    answer = site(manager, IsAuthenticated, view=Who)(sent(manager, ""))
    assert json.loads(answer.body) == ["planner", "clawguard:default:planner", True, False, False]


@pytest.mark.parametrize(
    ("scopes", "status"),
    [("docs:read", 200), ("docs:*", 200), ("*", 200), ("docs:write", 403), ("docs:read:own", 403), ("", 403)],
)
def test_a_wildcard_passes_an_exact_requirement(manager: SessionManager, scopes: str, status: int) -> None:
    assert site(manager, requires_scopes("docs:read"))(sent(manager, scopes)).status == status


def test_a_permission_that_is_refused_is_in_the_log(manager: SessionManager) -> None:
    site(manager, requires_scopes("docs:read"))(sent(manager, "mail:send"))
    assert assert_event(manager, "guard.denied", agent_id="planner").data["action"] == "docs:read"


def test_drfs_own_permission_sends_the_challenge_with_401(manager: SessionManager) -> None:
    answer = site(manager, IsAuthenticated)(Sent())
    assert (answer.status, answer.headers["WWW-Authenticate"]) == (401, f"{BEARER}, {ALGS}")


def test_permissions_compose_as_drfs_do(manager: SessionManager) -> None:
    reads, writes = requires_scopes("docs:read"), requires_scopes("docs:write")
    either = site(manager, reads | writes)
    both = site(manager, reads & writes)
    other = site(manager, ~reads)
    for ask, scopes, status in (
        (either, "docs:write", 200),
        (either, "docs:read", 200),
        (either, "mail:send", 403),
        (both, "docs:*", 200),
        (both, "docs:write", 403),
        (other, "mail:send", 200),
        (other, "docs:read", 403),
    ):
        assert ask(sent(manager, scopes)).status == status
    assert either(Sent()).status == 401


def test_the_session_is_bound_in_a_view_under_asgi_too(manager: SessionManager) -> None:
    ask = routed(over_asgi(asgi_site(manager)), (re_path("", View.as_view()),))
    assert ask(sent(manager, "")).body == b"planner"


def test_without_the_middleware_nothing_is_taken_for_checked() -> None:
    with pytest.raises(InvalidArgument, match="ClawguardMiddleware does not stand before this"):
        ClawguardAuthentication().authenticate(Request(HttpRequest()))


def test_a_scope_that_is_none_is_refused_when_the_view_is_made() -> None:
    with pytest.raises(InvalidArgument):
        requires_scopes("Docs Read")
