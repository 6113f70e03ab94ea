"""The views of a small Django site, of both kinds, and the handlers that serve them."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import django
from django.conf import settings
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.test import override_settings
from django.urls import path, re_path

from clawguard import current_session, requires

__all__ = ["asgi_site", "wsgi_site"]

STREAMS: dict[str, Any] = {}

settings.configure(
    ALLOWED_HOSTS=["*"],
    LOGGING_CONFIG=None,
    MIDDLEWARE=["clawguard.web.django.ClawguardMiddleware"],
    REST_FRAMEWORK={"UNAUTHENTICATED_USER": None},
    ROOT_URLCONF=__name__,
    SECRET_KEY="x",
    USE_I18N=False,
)
django.setup(set_prefix=False)


@requires("mail:send")
def mail() -> str:
    """Do what needs a scope of its own."""
    return "sent"


def send(request: HttpRequest) -> HttpResponse:
    """Call the tool from a plain view."""
    return HttpResponse(mail(), content_type="text/plain")


def whoami(request: HttpRequest) -> HttpResponse:
    """Say who calls."""
    name = current_session().agent_id
    return HttpResponse("" if request.method == "HEAD" else name, content_type="text/plain")


async def whoami_async(request: HttpRequest) -> HttpResponse:
    """Say the same from a coroutine."""
    return whoami(request)


def plain_middleware(get_response: Any) -> Any:
    """Be a middleware of Django's that knows nothing of coroutines."""

    def answer(request: HttpRequest) -> HttpResponse:
        response: HttpResponse = get_response(request)
        return response

    return answer


def stream(request: HttpRequest) -> StreamingHttpResponse:
    """Stream what the test says."""
    parts: Iterator[str] | AsyncIterator[str] = STREAMS["parts"]()
    return StreamingHttpResponse(parts)


async def wait(request: HttpRequest) -> HttpResponse:
    """Wait for what the test says."""
    await STREAMS["wait"]()
    return HttpResponse("late")


urlpatterns = [
    path("mail", send),
    path("stream", stream),
    path("wait", wait),
    path("async/whoami", whoami_async),
    re_path("", whoami),
]


def wsgi_site(verifier: Any, **options: Any) -> WSGIHandler:
    """Return the site for a WSGI server."""
    return _made(WSGIHandler, {"verifier": verifier, **options})


def asgi_site(verifier: Any, **options: Any) -> ASGIHandler:
    """Return the site for an ASGI server."""
    return _made(ASGIHandler, {"verifier": verifier, **options})


def _made(handler: Any, options: Any) -> Any:
    with override_settings(CLAWGUARD=options):
        return handler()
