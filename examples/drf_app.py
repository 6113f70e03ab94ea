"""A site of Django REST framework in one file, served by the standard library."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

import django
import httpx
from django.conf import settings
from django.core.wsgi import get_wsgi_application

from clawguard import SessionManager, Verifier, requires

AGENTS = ["clawguard.web.drf.ClawguardAuthentication"]


@requires("mail:send")
def send_mail() -> str:
    return "sent"


def routes() -> tuple[Any, ...]:
    from django.urls import path  # once the settings are there
    from rest_framework.request import Request
    from rest_framework.response import Response
    from rest_framework.views import APIView

    from clawguard.web.drf import requires_scopes

    class Notes(APIView):
        permission_classes = (requires_scopes("notes:read"),)

        def get(self, request: Request) -> Response:
            return Response({"notes for": str(request.user)})

        def post(self, _request: Request) -> Response:
            return Response(send_mail())

    return (path("notes", Notes.as_view()),)


class Quiet(WSGIRequestHandler):
    def log_message(self, *args: Any) -> None:
        """Log nothing."""


@contextmanager
def serving(app: Any) -> Iterator[str]:
    with make_server("127.0.0.1", 0, app, handler_class=Quiet) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/notes"
        finally:
            server.shutdown()
            thread.join()


def main() -> None:
    with SessionManager.open() as manager, Verifier.open() as verifier:
        settings.configure(
            ALLOWED_HOSTS=["127.0.0.1"],
            MIDDLEWARE=["clawguard.web.django.ClawguardMiddleware"],
            CLAWGUARD={"verifier": verifier, "optional": True},
            REST_FRAMEWORK={"DEFAULT_AUTHENTICATION_CLASSES": AGENTS, "UNAUTHENTICATED_USER": None},
        )
        django.setup()
        settings.ROOT_URLCONF = routes()
        planner = manager.create("planner", scopes="notes:*", ttl=60).headers()
        with serving(get_wsgi_application()) as url:
            print("nobody:", httpx.get(url).json()["error"])
            print("planner:", httpx.get(url, headers=planner).json())
            refused = httpx.post(url, headers=planner)
            print("mail:", refused.status_code, refused.headers["WWW-Authenticate"].rpartition(", ")[2])


if __name__ == "__main__":
    main()
