"""A Django site in one file, with the middleware in its settings, served by the standard library."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

import django
import httpx
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse
from django.urls import path

from clawguard import SessionManager, Verifier, current_session, requires


@requires("mail:send")
def send_mail(to: str) -> str:
    return f"sent to {to}"


def notes(_request: HttpRequest) -> HttpResponse:
    return HttpResponse(f"notes for {current_session().agent_id}")


def mail(_request: HttpRequest) -> HttpResponse:
    return HttpResponse(send_mail("ana@example.com"))


urlpatterns = [path("notes", notes), path("mail", mail)]


class Quiet(WSGIRequestHandler):
    def log_message(self, *args: Any) -> None:
        """Log nothing."""


@contextmanager
def serving(app: Any) -> Iterator[str]:
    with make_server("127.0.0.1", 0, app, handler_class=Quiet) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def main() -> None:
    with SessionManager.open() as manager, Verifier.open() as verifier:
        settings.configure(
            ALLOWED_HOSTS=["127.0.0.1"],
            ROOT_URLCONF=__name__,
            LOGGING_CONFIG=None,
            MIDDLEWARE=["clawguard.web.django.ClawguardMiddleware"],
            CLAWGUARD={"verifier": verifier, "require": "notes:read"},
        )
        django.setup()
        planner = manager.create("planner", scopes="notes:*", ttl=60).headers()
        with serving(get_wsgi_application()) as url:
            print("nobody:", httpx.get(f"{url}/notes").status_code)
            print("the planner:", httpx.get(f"{url}/notes", headers=planner).text)
            refused = httpx.get(f"{url}/mail", headers=planner)
            print("mail:", refused.status_code, refused.headers["WWW-Authenticate"].rpartition(", ")[2])


if __name__ == "__main__":
    main()
