"""The views of a small site of Django REST framework."""

from __future__ import annotations

from typing import Any

from django.http import HttpResponse
from django.test import override_settings
from django.urls import URLPattern, path, re_path
from rest_framework.views import APIView

from clawguard import current_session
from clawguard.web.drf import AgentUser, ClawguardAuthentication, requires_scopes
from tests.web.adapters import Ask, Sent, mail

__all__ = ["routed", "views"]


class View(APIView):
    """Answer in plain text, GET and POST alike."""

    authentication_classes = [ClawguardAuthentication]  # noqa: RUF012  # as DRF has it

    def get(self, request: Any, *rest: Any) -> HttpResponse:
        """Answer what the view says."""
        assert isinstance(request.user, AgentUser)
        assert request.auth == current_session()
        return HttpResponse("" if request.method == "HEAD" else self.say(), content_type="text/plain")

    post = get

    def say(self) -> str:
        """Say who calls."""
        return current_session().agent_id


class Mail(View):
    """Call the tool."""

    def say(self) -> str:
        """Send mail."""
        return mail()


def views(require: str) -> tuple[URLPattern, ...]:
    """Return the routes, whose views need scopes."""
    needed = {"permission_classes": [requires_scopes(require)]}
    return path("mail", Mail.as_view(**needed)), re_path("", View.as_view(**needed))


def routed(ask: Ask, routes: tuple[Any, ...]) -> Ask:
    """Have a site answer with these routes."""

    def routed(sent: Sent) -> Any:
        with override_settings(ROOT_URLCONF=routes):
            return ask(sent)

    return routed
